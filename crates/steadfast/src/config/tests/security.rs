//! How connections are secured.

use std::path::Path;

use rcgen::{CertificateParams, CertifiedKey, KeyPair, generate_simple_self_signed};
use steadfast_kafka::security::Sasl;
use tempfile::TempDir;

use super::*;

const SECRET: &str = "hunter2-planted";

fn secured(lines: &str) -> Result<Config, ConfigError> {
    with(&format!("[kafka]\n{lines}").replace("[kafka]\n", ""))
}

fn kafka(lines: &[&str]) -> Result<Config, ConfigError> {
    secured(&lines.iter().map(|line| format!("kafka.{line}\n")).collect::<String>())
}

const PLAIN: [&str; 2] = ["security.protocol = \"SASL_PLAINTEXT\"", "sasl.mechanism = \"PLAIN\""];

fn plain(lines: &[&str]) -> Result<Config, ConfigError> {
    kafka(&[&PLAIN[..], lines].concat())
}

fn login(config: &Config) -> (String, String) {
    match &config.kafka.security.security().sasl {
        Some(Sasl::Plain { username, password }) => (username.to_string(), password.expose().to_owned()),
        other => panic!("{other:?}"),
    }
}

/// A certificate and its key as files: `cert.pem`, `key.pem`, `both.pem`.
fn papers() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (cert, key) = (cert.pem(), signing_key.serialize_pem());
    for (name, content) in [
        ("cert.pem", cert.clone()),
        ("key.pem", key.clone()),
        ("both.pem", key + &cert),
        ("jks", "x".to_owned()),
    ] {
        std::fs::write(directory.path().join(name), content).unwrap();
    }
    std::fs::write(directory.path().join("jks"), [0xfe, 0xed, 0xfe, 0xed, 0, 0xff]).unwrap();
    std::fs::write(directory.path().join("p12"), [0x30, 0x82, 0x0a, 0xff]).unwrap();
    std::fs::write(directory.path().join("text"), "nothing\n").unwrap();
    directory
}

fn named(key: &str, directory: &Path, file: &str) -> String {
    format!("{key} = {:?}", directory.join(file).display().to_string())
}

#[test]
fn username_and_password_come_in_two_ways() {
    let keys = ["sasl.username = \"alice\"", "sasl.password = \"hunter2-planted\""];
    let jaas = "sasl.jaas.config = 'org.apache.kafka.common.security.plain.PlainLoginModule required \
                username=\"alice\" password=\"hunter2-planted\";'";
    for lines in [&keys[..], &[jaas]] {
        assert_eq!(login(&plain(lines).unwrap()), ("alice".to_owned(), SECRET.to_owned()));
    }
    assert!(
        told(plain(&[keys[0], jaas])).contains("`kafka.sasl.username` is set, and `sasl.jaas.config` too")
    );
}

#[test]
fn secrets_stand_in_files_and_in_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let reference = format!("${{file:{}}}", file.display());
    let jaas = format!("X.PlainLoginModule required username=alice password=\"{reference}\";");
    let base =
        format!("{LEAST}kafka.security.protocol = \"SASL_PLAINTEXT\"\nkafka.sasl.mechanism = \"PLAIN\"\n");
    let named = format!("{base}kafka.sasl.username = \"alice\"\n");
    for (text, environment, sets) in [
        (format!("{named}kafka.sasl.password = \"{reference}\""), None, None),
        (format!("{base}kafka.sasl.jaas.config = '{jaas}'"), None, None),
        (named.clone(), Some(("STEADFAST_KAFKA_SASL_PASSWORD", SECRET)), None),
        (format!("{named}kafka.sasl.password = \"${{env:PW}}\""), Some(("PW", SECRET)), None),
        (named.clone(), None, Some(format!("kafka.sasl.password={reference}"))),
    ] {
        let sets: Vec<&str> = sets.as_deref().into_iter().collect();
        let config = load(&text, environment.as_slice(), &sets).unwrap();
        assert_eq!(login(&config), ("alice".to_owned(), SECRET.to_owned()), "{text}");
        assert_eq!(
            config.files().len(),
            usize::from(!text.ends_with("alice\"\n") && !text.contains("env:")).max(sets.len())
        );
    }
}

#[test]
fn a_secret_on_the_command_line_is_refused() {
    let told = told(load(LEAST, &[], &[&format!("kafka.sasl.password={SECRET}")]));
    assert!(
        told.contains("`kafka.sasl.password` is a secret") && told.contains("STEADFAST_KAFKA_SASL_PASSWORD")
    );
    assert!(!told.contains(SECRET));
}

#[test]
fn what_does_not_fit_together_is_told_with_what_to_do() {
    let directory = papers();
    let at = |key: &str, file: &str| named(key, directory.path(), file);
    let ssl = "security.protocol = \"SSL\"";
    let bearer = ["security.protocol = \"SASL_SSL\"", "sasl.mechanism = \"OAUTHBEARER\""];
    let both = |file: &str| at("ssl.keystore.location", file);
    for (lines, reason) in [
        (vec!["sasl.username = \"alice\"".to_owned()], "is set, but `kafka.security.protocol` is PLAINTEXT"),
        (vec![both("both.pem")], "write security.protocol = \"SASL_SSL or SSL\""),
        (vec!["security.protocol = \"SASL_SSL\"".to_owned()], "`kafka.sasl.mechanism` is not set"),
        (vec![PLAIN[0].into(), "sasl.mechanism = \"GSSAPI\"".into()], "`GSSAPI` is not in this version"),
        (vec![PLAIN[0].into(), PLAIN[1].into()], "`kafka.sasl.username` is not set, and neither is"),
        (
            vec![PLAIN[0].into(), PLAIN[1].into(), "sasl.username = \"a\"".into()],
            "`kafka.sasl.password` is not set",
        ),
        (
            vec![PLAIN[0].into(), PLAIN[1].into(), "sasl.password = \"hunter2-planted\"".into()],
            "say whose password",
        ),
        (
            vec![
                PLAIN[0].into(),
                PLAIN[1].into(),
                "sasl.jaas.config = 'ScramLoginModule required username=\"a\" password=\"hunter2-planted\";'"
                    .into(),
            ],
            "another login module than PlainLoginModule",
        ),
        (
            vec![
                PLAIN[0].into(),
                PLAIN[1].into(),
                "sasl.jaas.config = 'PlainLoginModule required username=\"a\" hunter2-planted;'".into(),
            ],
            "an option is not written as key",
        ),
        (vec![bearer[0].into(), bearer[1].into()], "OAUTHBEARER needs a token"),
        (
            vec![
                bearer[0].into(),
                bearer[1].into(),
                "sasl.oauthbearer.token.endpoint.url = \"https://idp/token\"".into(),
            ],
            "must be a file: URL",
        ),
        (
            vec![
                bearer[0].into(),
                bearer[1].into(),
                "sasl.oauthbearer.token.endpoint.url = \"file:///no/such\"".into(),
            ],
            "/no/such, which cannot be read",
        ),
        (vec![ssl.into(), "ssl.truststore.type = \"JKS\"".into()], "keytool -importkeystore"),
        (vec![ssl.into(), at("ssl.truststore.location", "jks")], "which is a JKS store"),
        (vec![ssl.into(), at("ssl.truststore.location", "p12")], "which is a PKCS12 store"),
        (vec![ssl.into(), at("ssl.truststore.location", "absent")], "absent, which cannot be read"),
        (vec![ssl.into(), at("ssl.truststore.location", "text")], "text): expected at least one certificate"),
        (vec![ssl.into(), both("cert.pem")], "private key cannot be read"),
        (vec![ssl.into(), both("key.pem")], "`kafka.ssl.keystore.location` cannot be used"),
        (
            vec![ssl.into(), "ssl.keystore.certificate.chain = \"x\"".into()],
            "is set without `ssl.keystore.key`",
        ),
        (
            vec![ssl.into(), "ssl.keystore.key = \"hunter2-planted\"".into()],
            "give the certificate of that key",
        ),
        (
            vec![ssl.into(), "ssl.keystore.password = \"hunter2-planted\"".into()],
            "have no password of their own",
        ),
        (vec![ssl.into(), "ssl.key.password = \"hunter2-planted\"".into()], "openssl pkey"),
        (
            vec![ssl.into(), "sasl.pasword = \"hunter2-planted\"".into()],
            "did you mean `kafka.sasl.password`?",
        ),
        (
            vec![ssl.into(), "ssl.endpoint.identification.algorithm = \"http\"".into()],
            "https, or an empty text",
        ),
        (vec![PLAIN[0].into(), PLAIN[1].into(), "sasl.password = 7".into()], "a secret, or"),
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let told = told(kafka(&lines));
        assert!(told.contains(reason), "{lines:?}\n{told}");
        assert!(!told.contains(SECRET), "{told}");
    }
}

#[test]
fn certificates_are_read_when_the_configuration_is() {
    let directory = papers();
    let at = |key: &str, file: &str| named(key, directory.path(), file);
    let lines = [
        "security.protocol = \"SSL\"".to_owned(),
        at("ssl.truststore.location", "cert.pem"),
        at("ssl.keystore.location", "both.pem"),
    ];
    let read = || kafka(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    let before = read().unwrap();
    assert!(before.kafka.security.security().tls.is_some());
    assert_eq!(before.files().len(), 2);
    assert!(before.diff(&read().unwrap()).is_empty());

    let renewed = papers();
    std::fs::copy(renewed.path().join("both.pem"), directory.path().join("both.pem")).unwrap();
    let changes = before.diff(&read().unwrap());
    assert_eq!(changes.credentials, ["kafka.ssl.keystore.location"]);
    assert!(changes.at_start.is_empty() && changes.endpoints.is_empty());
}

#[test]
fn a_certificate_of_ours_that_expired_is_refused() {
    let directory = papers();
    let mut params = CertificateParams::new(vec!["me".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    let key = KeyPair::generate().unwrap();
    let both = key.serialize_pem() + &params.self_signed(&key).unwrap().pem();
    std::fs::write(directory.path().join("both.pem"), both).unwrap();
    let keystore = named("ssl.keystore.location", directory.path(), "both.pem");
    let told = told(kafka(&["security.protocol = \"SSL\"", &keystore]));
    assert!(told.contains("a certificate that expired at 2002-01-01T00:00:00"), "{told}");
}

#[test]
fn nothing_that_is_shown_holds_a_secret() {
    let config = |password: &str| {
        plain(&["sasl.username = \"alice\"", &format!("sasl.password = \"{password}\"")]).unwrap()
    };
    let before = config(SECRET);
    assert_eq!(before.settings()["kafka.sasl.password"], "set");
    let shown = format!("{before:?} {:?}", before.settings());
    assert!(!shown.contains(SECRET), "{shown}");
    assert_eq!(before.diff(&config("another")).credentials, ["kafka.sasl.password"]);
    assert!(before != config("another") && before == config(SECRET));
}

#[test]
fn another_cluster_that_is_written_to_is_secured_by_settings_of_its_own() {
    let sink = "sink = { type = \"kafka\", topic = \"copy\"";
    let consumed = "kafka.security.protocol = \"SASL_PLAINTEXT\"\nkafka.sasl.mechanism = \"PLAIN\"\n\
                    kafka.sasl.username = \"a\"\nkafka.sasl.password = \"b\"\n";
    let elsewhere = "bootstrap_servers = [\"o:1\"]";
    let same = with(&format!("{consumed}{sink} }}")).unwrap();
    assert_eq!(same.sink.elsewhere(), None);
    let told_of = |text: &str| told(with(text));
    let unsaid = told_of(&format!("{consumed}{sink}, {elsewhere} }}"));
    assert!(unsaid.contains("`sink.kafka.security.protocol` is not set"), "{unsaid}");
    let stray = told_of(&format!("{sink}, kafka = {{ \"security.protocol\" = \"SSL\" }} }}"));
    assert!(stray.contains("but `sink.bootstrap_servers` is not"), "{stray}");
    let other = told_of("sink.kafka.security.protocol = \"SSL\"");
    assert!(other.contains("but `sink.type` is stdout"), "{other}");
    let own = with(&format!(
        "{consumed}{sink}, {elsewhere}, kafka = {{ \"security.protocol\" = \"SASL_PLAINTEXT\", \
         \"sasl.mechanism\" = \"SCRAM-SHA-256\", \"sasl.username\" = \"x\", \"sasl.password\" = \"{SECRET}\" }} }}"
    ))
    .unwrap();
    let security = own.sink.elsewhere().unwrap().security.security().clone();
    assert!(matches!(security.sasl, Some(Sasl::Scram { .. })));
    assert_eq!(own.settings()["sink.kafka.sasl.password"], "set");
}

#[test]
fn of_a_token_command_the_arguments_are_not_shown_and_a_change_of_them_is_noticed() {
    let with = |secret: &str| {
        kafka(&[
            "security.protocol = \"SASL_PLAINTEXT\"",
            "sasl.mechanism = \"OAUTHBEARER\"",
            &format!("sasl.oauthbearer.token.command = [\"/bin/token\", \"--secret\", \"{secret}\"]"),
        ])
        .unwrap()
    };
    let config = with(SECRET);
    assert_eq!(config.settings()["kafka.sasl.oauthbearer.token.command"], "/bin/token with 2 arguments");
    assert!(!format!("{config:?}").contains(SECRET));
    assert!(config.diff(&with(SECRET)).is_empty());
    assert_eq!(config.diff(&with("another")).credentials, ["kafka.sasl.oauthbearer.token.command"]);
}

//! Files as people have them, and what becomes of them.

use proptest::prelude::*;

use super::*;

const SECRET: &str = "hunter2";

const JAVA: &str = "\
# the billing consumer
bootstrap.servers=kafka-1:9092,\\
    kafka-2:9092
group.id=billing
session.timeout.ms=30000
heartbeat.interval.ms = 3000
enable.auto.commit=true
max.poll.records=500
key.deserializer=org.apache.kafka.common.serialization.StringDeserializer
linger.ms=5
my.own=1
";

const SPRING: &str = "\
server:
  port: 8080
spring:
  kafka:
    bootstrap-servers: ${KAFKA_SERVERS:kafka-1:9092}
    consumer:
      groupId: billing
      auto-offset-reset: earliest
      isolation-level: read-committed
      fetch-min-size: 1KB
      max-poll-interval: 2m
      properties:
        max.partition.fetch.bytes: 524288
    listener:
      ack-mode: MANUAL
    producer:
      acks: all
";

const LIBRDKAFKA: &str = "\
metadata.broker.list=kafka-1:9092
group.id=billing
auto.offset.reset=smallest
queued.max.messages.kbytes=65536
enable.auto.offset.store=false
statistics.interval.ms=1000
";

fn imported(name: &str, text: &str) -> Imported {
    import_text(name, text, From::Auto).unwrap()
}

fn config(imported: &Imported) -> Config {
    let environment = ["XDG_STATE_HOME", "KAFKA_SASL_PASSWORD", "KAFKA_PASSWORD"];
    let environment = environment.map(|name| (name.to_owned(), "/x".to_owned()));
    Config::from_text(Path::new("imported"), &imported.toml, environment.into_iter(), &[])
        .unwrap_or_else(|error| panic!("{error}\n{}", imported.toml))
}

fn left(imported: &Imported) -> Vec<&str> {
    imported.left.iter().filter_map(|left| Some(left.split_once(':')?.0)).collect()
}

#[test]
fn java_s_properties_are_carried_over() {
    let imported = imported("consumer.properties", JAVA);
    let config = config(&imported);
    let servers: Vec<String> = config.kafka.bootstrap_servers.iter().map(ToString::to_string).collect();
    assert_eq!(servers, ["kafka-1:9092", "kafka-2:9092"]);
    assert_eq!((config.kafka.group_id.as_str(), config.kafka.session_timeout.as_secs()), ("billing", 30));
    let settings = config.settings();
    assert_eq!(
        (settings["kafka.auto.offset.reset"].as_str(), settings["kafka.isolation.level"].as_str()),
        ("latest", "read_uncommitted"),
        "as Java's defaults are"
    );
    assert_eq!(settings["kafka.max.poll.records"], "500");
    assert_eq!(left(&imported), ["key.deserializer (line 9)", "linger.ms (line 10)", "my.own (line 11)"]);
    assert!(imported.to_do[0].starts_with("topics: "), "{:?}", imported.to_do);
    for line in imported.left.iter().chain(&imported.to_do) {
        assert!(imported.toml.contains(&format!("# - {line}")), "{line} is not in\n{}", imported.toml);
    }
}

#[test]
fn springs_yaml_is_carried_over() {
    let imported = imported("application.yml", SPRING);
    let config = config(&imported);
    assert_eq!(config.kafka.bootstrap_servers[0].to_string(), "kafka-1:9092");
    let settings = config.settings();
    for (key, expected) in [
        ("kafka.group.id", "billing"),
        ("kafka.auto.offset.reset", "earliest"),
        ("kafka.isolation.level", "read_committed"),
        ("kafka.fetch.min.bytes", "1KiB"),
        ("kafka.max.poll.interval.ms", "2m"),
        ("kafka.max.partition.fetch.bytes", "512KiB"),
    ] {
        assert_eq!(settings[key], expected, "{key}");
    }
    assert_eq!(left(&imported), ["spring.kafka.listener.ack-mode", "spring.kafka.producer.acks"]);
}

#[test]
fn springs_names_are_known_in_properties_too() {
    let text = "server.port=80\nspring.kafka.bootstrap-servers=a:1\nspring.kafka.consumer.group-id=billing\n";
    let imported = imported("application.properties", text);
    assert_eq!(config(&imported).kafka.group_id, "billing");
    assert_eq!(imported.left, Vec::<String>::new());
}

#[test]
fn librdkafkas_names_are_carried_over_from_lines_and_json() {
    let json = r#"{"metadata.broker.list": "kafka-1:9092", "group.id": "billing", "auto.offset.reset": "smallest",
        "queued.max.messages.kbytes": 65536, "enable.auto.offset.store": false, "statistics.interval.ms": 1000}"#;
    for (name, text) in [("consumer.conf", LIBRDKAFKA), ("consumer.json", json)] {
        let imported = imported(name, text);
        let config = config(&imported);
        assert_eq!((config.kafka.group_id.as_str(), config.fetch.buffer_bytes), ("billing", 64 << 20));
        assert_eq!(config.settings()["kafka.auto.offset.reset"], "earliest");
        let mut left: Vec<String> = imported.left.iter().map(|left| left[..10].to_owned()).collect();
        left.sort();
        assert_eq!(left, ["enable.aut", "statistics"], "{name}");
    }
}

#[test]
fn no_secret_is_copied_anywhere() {
    for (name, text) in [
        (
            "c.properties",
            format!(
                "bootstrap.servers=a:1\nsasl.jaas.config=x.ScramLoginModule required username=\"al\" password=\"{SECRET}\";\nssl.keystore.password={SECRET}\nssl.key.password={SECRET}\nmy.password={SECRET}\n"
            ),
        ),
        (
            "c.yml",
            format!(
                "spring.kafka:\n  bootstrap-servers: a:1\n  jaas.options.password: {SECRET}\n  ssl.key-store-password: {SECRET}\n  properties.sasl.password: {SECRET}\n"
            ),
        ),
        (
            "c.conf",
            format!(
                "metadata.broker.list=a:1\nsasl.username=al\nsasl.password={SECRET}\nssl.key.password={SECRET}\nssl.key.pem={SECRET}\nsasl.oauthbearer.client.secret={SECRET}\n"
            ),
        ),
        ("broken.properties", format!("bootstrap.servers={SECRET}\\u00\n")),
    ] {
        match import_text(name, &text, From::Auto) {
            Ok(imported) => assert!(!format!("{imported:?}").contains(SECRET), "{name}: {imported:?}"),
            Err(error) => assert!(!format!("{error:?}").contains(SECRET), "{name}: {error:?}"),
        }
    }
}

#[test]
fn what_stands_in_a_login_besides_username_and_password_is_told() {
    let login = |line: &str| {
        let text = format!(
            "bootstrap.servers=a:1\nsecurity.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nsasl.jaas.config={line}\n"
        );
        imported("c.properties", &text)
    };
    let module = "org.apache.kafka.common.security.scram.ScramLoginModule";
    let token = login(&format!(
        "{module} required username = 'al' password=\"{SECRET}; =\" tokenauth=\"true\" extra=1;"
    ));
    assert!(token.toml.contains("\"sasl.username\" = \"al\""), "{}", token.toml);
    assert!(
        token.left.iter().any(|left| left.starts_with("sasl.jaas.config (line 4): extra, tokenauth in it: ")),
        "{:?}",
        token.left
    );
    let plain = login(&format!("{module} required username=al password={SECRET};"));
    assert!(!plain.left.iter().any(|left| left.contains("sasl.jaas.config")), "{:?}", plain.left);
    let broken = login(&format!("{module} required username=al password=\"{SECRET};"));
    assert!(
        broken
            .left
            .contains(&"sasl.jaas.config (line 4): it is no line of JAAS: a quote is not closed".into())
    );
    assert!(!format!("{token:?}{plain:?}{broken:?}").contains(SECRET));
}

#[test]
fn what_our_configuration_refuses_is_told_and_the_rest_loads() {
    let text = "bootstrap.servers=a:1\ngroup.id=g\nsession.timeout.ms=6000\nheartbeat.interval.ms=5000\n\
                auto.offset.reset=none\nfetch.min.bytes=many\n";
    let imported = imported("c.properties", text);
    config(&imported);
    assert!(
        imported.left.iter().any(|left| left.starts_with("fetch.min.bytes (line 6): ")),
        "{:?}",
        imported.left
    );
    assert!(imported.toml.contains("# Refused: "), "{}", imported.toml);
    let broken = import_text("c.properties", "bootstrap.servers=nowhere\n", From::Java).unwrap();
    config(&broken);
    assert!(broken.toml.contains("change-me:9092"));
}

#[test]
fn a_file_about_something_else_is_told_to_be_none() {
    for (name, text) in [("a.yml", "server.port: 80\n"), ("a.properties", "# nothing\n"), ("a.json", "{}")] {
        let error = import_text(name, text, From::Auto).unwrap_err();
        assert!(matches!(error, ImportError::Nothing { .. }), "{error}");
    }
    assert!(import(Path::new("/nowhere/at-all"), From::Auto).is_err());
}

proptest! {
    /// Whatever stands there: what comes out loads, or the reason is told.
    #[test]
    fn any_values_come_out_as_something_that_loads(
        values in prop::collection::vec("[ -~äß]{0,20}", 8),
    ) {
        let names = ["bootstrap.servers", "group.id", "session.timeout.ms", "client.id", "topics",
            "auto.offset.reset", "fetch.min.bytes", "enable.auto.commit"];
        let escaped = values.iter().map(|value| value.replace('\\', "\\\\"));
        let text: String = names.iter().zip(escaped).map(|(name, value)| format!("{name}={value}\n")).collect();
        config(&import_text("c.properties", &text, From::Java).unwrap());
    }
}

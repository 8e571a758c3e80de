//! Secrets stay where they were put.

use std::fs;
use std::path::Path;

use steadfast_tests::kafka::{Cluster, Listener, PASSWORD};
use steadfast_tests::service::{Workplace, usual_config};
use steadfast_tests::writer::Filling;

use super::scene::{Scene, by_password, check, token, told, trusting};
use crate::http::Answering;

const TOPIC: &str = "secured-outputs";
const COPY: &str = "secured-outputs-copy";
const WRONG: &str = "planted-wrong-5be1";

/// Passwords, keys and tokens, right ones and wrong ones, with everything logged that can be.
pub(super) fn no_secret(cluster: &Cluster) {
    for topic in [TOPIC, COPY] {
        cluster.create_topic(topic, 1, &[]).unwrap();
    }
    Filling::new(&cluster.bootstrap(), TOPIC, 1, 10).write().unwrap();
    let identity = cluster.papers().unwrap().client().unwrap();
    let key = identity.key.lines().nth(1).unwrap().to_owned();
    let token = token(600);
    let kept = Workplace::new().unwrap();
    fs::write(kept.path("token"), &token).unwrap();

    let login = |group: &str, lines: &str| {
        usual_config(&cluster.bootstrap_of(Listener::SaslSsl), group, TOPIC)
            + "\"security.protocol\" = \"SASL_SSL\"\n"
            + &trusting(cluster)
            + lines
    };
    let keystore = format!(
        "\"ssl.keystore.certificate.chain\" = '''{}'''\n\"ssl.keystore.key\" = '''{}'''\n",
        identity.certificate, identity.key
    );
    let file = kept.path("token").display().to_string();
    let bearer = format!(
        "\"sasl.mechanism\" = \"OAUTHBEARER\"\n\
         \"sasl.oauthbearer.token.command\" = [\"sh\", \"-c\", \"cat {file}; cat {file} >&2\"]\n"
    );
    let jaas = format!(
        "\"sasl.mechanism\" = \"PLAIN\"\n\"sasl.jaas.config\" = 'PlainLoginModule required username=\"x\" \
         password=\"{WRONG}\";'\n"
    );
    let log = "\n[log]\nlevel = \"trace\"\n";
    let copy = format!("{log}\n[sink]\ntype = \"kafka\"\ntopic = \"{COPY}\"\n");
    let runs = [
        (login(TOPIC, &(by_password("PLAIN", PASSWORD) + &keystore)) + &copy, 0),
        (login(TOPIC, &by_password("SCRAM-SHA-512", PASSWORD)) + &copy, 0),
        (login(TOPIC, &bearer) + log, 0),
        (login(TOPIC, &jaas) + log, 77),
        (login(TOPIC, &by_password("SCRAM-SHA-256", WRONG)) + log, 77),
    ];
    let scenes = runs.map(|(config, code)| (Scene::run(&config, &["--until-end"]), code));
    let mut said = Vec::new();
    for (mut scene, code) in scenes {
        assert_eq!(scene.ends(), code, "{}", scene.service.story());
        let records = scene.service.records();
        said.extend(records.iter().map(ToString::to_string));
        said.push(scene.service.story());
        said.extend(files_in(&scene.workplace.path("state")));
        said.push(check(&scene.workplace, &["--output", "json"]).1);
        said.push(told(&scene.workplace, &["endpoints"], &["--output", "json"]).1);
        for command in [&["config", "show"][..], &["history"]] {
            let (code, text) = told(&scene.workplace, command, &[]);
            assert_eq!(code, 0, "{command:?}: {text}");
            said.push(text);
        }
    }
    // In groups of their own: they are killed, and nobody waits until their sessions end.
    let pages = [
        login("secured-outputs-pages", &(by_password("PLAIN", PASSWORD) + &keystore)),
        login("secured-outputs-bearer", &bearer),
    ];
    for config in pages {
        let answering = Answering::of(&(config + log));
        answering.await_ready();
        for page in ["/livez?verbose", "/readyz?format=json", "/metrics", "/status"] {
            let (status, text) = answering.get(page);
            assert_eq!(status, 200, "{page}: {text}");
            said.push(text);
        }
    }
    for line in [
        "sasl.mechanism = 7",
        "sasl.password = [\"planted-wrong-5be1\"]",
        "sasl.jaas.config = \"planted-wrong-5be1",
    ] {
        let scene = Workplace::new().unwrap();
        let config = login(TOPIC, &format!("{}{keystore}{line}\n", by_password("PLAIN", PASSWORD)));
        scene.configure(&config).unwrap();
        let (code, text) = check(&scene, &["--set", &format!("kafka.sasl.password={WRONG}")]);
        assert_eq!(code, 78, "{text}");
        said.push(text);
    }
    said.extend(drilled(&(login(TOPIC, &by_password("PLAIN", PASSWORD)) + log), "drill", 0));
    for (password, code) in [(PASSWORD, 0), (WRONG, 77)] {
        let config = usual_config(&cluster.bootstrap_of(Listener::SaslPlaintext), TOPIC, TOPIC)
            + "\"security.protocol\" = \"SASL_PLAINTEXT\"\n"
            + &by_password("PLAIN", password)
            + log;
        said.extend(drilled(&config, "drill --real", code));
    }
    for secret in [PASSWORD, WRONG, &key, &token] {
        let found = said.iter().find(|text| text.contains(secret));
        assert_eq!(found, None, "{secret}");
    }
}

/// All that a drill says, with its log.
fn drilled(config: &str, command: &str, expected: i32) -> [String; 2] {
    let workplace = Workplace::new().unwrap();
    workplace.configure(config).unwrap();
    let log = workplace.path("drill.log").display().to_string();
    let command: Vec<&str> = command.split(' ').collect();
    let (code, text) = told(&workplace, &command, &["--scenario", "all-replaced", "--log", &log]);
    assert_eq!(code, expected, "{command:?}: {text}");
    let log = fs::read_to_string(log).unwrap();
    assert!(code != 0 || log.contains("consumer.respawned"), "{log}");
    [text, log]
}

fn files_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| match path.is_dir() {
        true => files_in(&path),
        false => vec![String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()],
    };
    entries.flat_map(read).collect()
}

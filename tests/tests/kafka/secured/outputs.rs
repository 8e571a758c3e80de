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
pub(super) fn no_secret(cluster: &mut Cluster) {
    for topic in [TOPIC, COPY] {
        cluster.create_topic(topic, 1, &[]).unwrap();
    }
    Filling::new(&cluster.bootstrap(), TOPIC, 1, 10).write().unwrap();
    let identity = cluster.papers().unwrap().client().unwrap();
    let key = identity.key.lines().nth(1).unwrap().to_owned();
    let token = token(600);
    let kept = Workplace::new().unwrap();
    fs::write(kept.path("token"), &token).unwrap();

    let login = |lines: &str| {
        usual_config(&cluster.bootstrap_of(Listener::SaslSsl), TOPIC, TOPIC)
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
        (login(&(by_password("PLAIN", PASSWORD) + &keystore)) + &copy, 0),
        (login(&by_password("SCRAM-SHA-512", PASSWORD)) + &copy, 0),
        (login(&bearer) + log, 0),
        (login(&jaas) + log, 77),
        (login(&by_password("SCRAM-SHA-256", WRONG)) + log, 77),
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
        for command in [&["config", "show"][..], &["history"]] {
            let (code, text) = told(&scene.workplace, command, &[]);
            assert_eq!(code, 0, "{command:?}: {text}");
            said.push(text);
        }
    }
    for config in [login(&(by_password("PLAIN", PASSWORD) + &keystore)), login(&bearer)] {
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
        let config = login(&format!("{}{keystore}{line}\n", by_password("PLAIN", PASSWORD)));
        scene.configure(&config).unwrap();
        let (code, text) = check(&scene, &["--set", &format!("kafka.sasl.password={WRONG}")]);
        assert_eq!(code, 78, "{text}");
        said.push(text);
    }
    for secret in [PASSWORD, WRONG, &key, &token] {
        let found = said.iter().find(|text| text.contains(secret));
        assert_eq!(found, None, "{secret}");
    }
}

fn files_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: std::path::PathBuf| match path.is_dir() {
        true => files_in(&path),
        false => vec![String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()],
    };
    entries.flat_map(read).collect()
}

//! Secured connections: brokers that want TLS and credentials, and brokers that nobody should believe.

mod outputs;
mod scene;
#[path = "../../../crates/steadfast/tests/endpoints/walk.rs"]
mod walk;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use libtest_mimic::Trial;
use serde_json::{Value, json};
use steadfast_sim::proxy::{Nodes, Old};
use steadfast_tests::certificates::Authority;
use steadfast_tests::finished::stopped;
use steadfast_tests::kafka::{Cluster, Listener, PASSWORD, REAUTHENTICATION_MS, USER};
use steadfast_tests::load::{Load, Plan};
use steadfast_tests::service::{Service, Workplace, binary, usual_config};
use steadfast_tests::stage::Stage;
use steadfast_tests::writer::Filling;

use crate::rehearsal::{LIMIT, Opening, expect_clean};
use scene::{Scene, by_password, check, token, trusting};

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.beside("secured::javas_tools_come_in_with_the_same_credentials", java),
        stage.beside("secured::every_way_in_leads_to_the_records", ways_in),
        stage.beside("secured::whoever_is_not_to_be_believed_is_told_and_given_nothing", refused),
        stage.beside("secured::a_password_that_is_corrected_is_taken_without_a_restart", corrected),
        stage.beside("secured::a_session_is_renewed_before_it_ends_and_nobody_notices", renewed),
        stage.beside("secured::brokers_that_migrate_to_tls_take_their_consumers_with_them", migrates),
        stage.beside("secured::the_operator_s_walk_to_tls_ends_as_the_document_says", walked),
        stage.beside("secured::the_kafka_sink_is_let_in_too", sink),
        stage.beside("secured::a_secret_is_found_in_no_output", outputs::no_secret),
    ]
}

/// The listeners are what Java's own client takes them for.
fn java(cluster: &Cluster) {
    cluster.create_topic("secured-java", 1, &[]).unwrap();
    let workplace = Workplace::new().unwrap();
    let properties = workplace.path("client.properties");
    let authority = cluster.papers().unwrap().authority();
    let module = "org.apache.kafka.common.security.scram.ScramLoginModule";
    let config = format!(
        "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nssl.truststore.type=PEM\n\
         ssl.truststore.location={}\n\
         sasl.jaas.config={module} required username=\"{USER}\" password=\"{PASSWORD}\";\n",
        authority.display()
    );
    fs::write(&properties, config).unwrap();
    let bootstrap = cluster.bootstrap_of(Listener::SaslSsl);
    let properties = properties.display().to_string();
    let arguments = ["--bootstrap-server", &bootstrap, "--command-config", &properties, "--list"];
    let topics = cluster.tool("org.apache.kafka.tools.TopicCommand", &arguments).unwrap();
    assert!(topics.lines().any(|topic| topic == "secured-java"), "{topics}");
}

/// Each as a group of its own, all at once.
fn ways_in(cluster: &Cluster) {
    const TOPIC: &str = "secured-ways-in";
    cluster.create_topic(TOPIC, 3, &[]).unwrap();
    let acked = Filling::new(&cluster.bootstrap(), TOPIC, 3, 300).write().unwrap();
    let workplace = Workplace::new().unwrap();
    fs::write(workplace.path("token"), token(600) + "\n").unwrap();
    let token_file = workplace.path("token").display().to_string();
    let identity = cluster.papers().unwrap().client().unwrap();
    fs::write(workplace.path("me.pem"), identity.key + &identity.certificate).unwrap();
    let tls = trusting(cluster);
    let bearer = "\"sasl.mechanism\" = \"OAUTHBEARER\"\n\"sasl.oauthbearer.token.";
    let ways = [
        (Listener::SaslSsl, "SASL_SSL", tls.clone() + &by_password("SCRAM-SHA-512", PASSWORD)),
        (Listener::SaslSsl, "SASL_SSL", tls.clone() + &by_password("SCRAM-SHA-256", PASSWORD)),
        (Listener::SaslPlaintext, "SASL_PLAINTEXT", by_password("PLAIN", PASSWORD)),
        (Listener::SaslSsl, "SASL_SSL", format!("{tls}{bearer}endpoint.url\" = \"file://{token_file}\"\n")),
        (Listener::SaslSsl, "SASL_SSL", format!("{tls}{bearer}command\" = [\"cat\", \"{token_file}\"]\n")),
        (
            Listener::Mutual,
            "SSL",
            format!("{tls}\"ssl.keystore.location\" = \"{}\"\n", workplace.path("me.pem").display()),
        ),
        (Listener::Misnamed, "SSL", tls.clone() + "\"ssl.endpoint.identification.algorithm\" = \"\"\n"),
    ];
    let scenes: Vec<Scene> = (1..)
        .zip(ways)
        .map(|(number, (listener, protocol, lines))| {
            let lines = format!("\"security.protocol\" = \"{protocol}\"\n{lines}");
            let config =
                usual_config(&cluster.bootstrap_of(listener), &format!("{TOPIC}-{number}"), TOPIC) + &lines;
            Scene::run(&config, &["--until-end"])
        })
        .collect();
    for mut scene in scenes {
        assert_eq!(scene.ends(), 0, "{}", scene.service.story());
        let verdict = scene.service.checker().verdict(&acked);
        assert!(verdict.is_clean(), "{verdict:?}");
    }
}

fn refused(cluster: &Cluster) {
    const TOPIC: &str = "secured-refused";
    cluster.create_topic(TOPIC, 1, &[]).unwrap();
    let stranger = tempfile::NamedTempFile::new().unwrap();
    fs::write(stranger.path(), Authority::new("stranger").unwrap().certificate()).unwrap();
    let tls = trusting(cluster);
    let unknown = format!("\"ssl.truststore.location\" = \"{}\"\n", stranger.path().display());
    let sasl_ssl = "\"security.protocol\" = \"SASL_SSL\"\n".to_owned();
    let ssl = "\"security.protocol\" = \"SSL\"\n".to_owned();
    let wrong = by_password("SCRAM-SHA-512", "wrong");
    let cases = [
        (Listener::SaslSsl, sasl_ssl.clone() + &tls + &wrong, 77, "refused", "correct username, password"),
        (
            Listener::SaslSsl,
            sasl_ssl.clone() + &unknown + &by_password("PLAIN", PASSWORD),
            69,
            "unknown_authority",
            "kafka.ssl.truststore.location",
        ),
        (Listener::Misnamed, ssl.clone() + &tls, 69, "wrong_name", "use a name that the certificate has"),
        (Listener::Expired, ssl.clone() + &tls, 69, "expired", "have the broker's certificate renewed"),
        (Listener::Mutual, ssl + &tls, 77, "ours_refused", "kafka.ssl.keystore.location"),
    ];
    let scenes = cases.map(|(listener, lines, code, class, advice)| {
        let config = usual_config(&cluster.bootstrap_of(listener), TOPIC, TOPIC) + &lines;
        (Scene::run(&config, &["--until-end", "--start-timeout", "2s"]), code, class, advice)
    });
    for (mut scene, code, class, advice) in scenes {
        assert_eq!(scene.ends(), code, "{class}\n{}", scene.service.story());
        let is_ours = |event: &Value| event["error.type"] == class;
        let name = if class == "refused" { "authentication.failed" } else { "tls.failed" };
        let told = scene.service.wait_for(Duration::ZERO, name, is_ours).unwrap();
        assert_eq!(told.json["server.address"], "localhost", "{}", told.json);
        assert_eq!(stopped(&scene.service)["records"], 0);
        let (checked, output) = check(&scene.workplace, &[]);
        assert!(checked == code && output.contains(advice), "{checked}: {output}");
    }
}

fn corrected(cluster: &Cluster) {
    const TOPIC: &str = "secured-corrected";
    cluster.create_topic(TOPIC, 3, &[]).unwrap();
    let acked = Filling::new(&cluster.bootstrap(), TOPIC, 3, 300).write().unwrap();
    let secrets = tempfile::tempdir().unwrap();
    let password = secrets.path().join("password");
    fs::write(&password, "wrong").unwrap();
    let reference = format!("${{file:{}}}", password.display());
    let config = usual_config(&cluster.bootstrap_of(Listener::SaslSsl), TOPIC, TOPIC)
        + "\"security.protocol\" = \"SASL_SSL\"\n"
        + &trusting(cluster)
        + &by_password("SCRAM-SHA-512", &reference);
    let scene = Scene::run(&config, &[]);
    scene.service.wait_for(LIMIT, "authentication.failed", |event| event["error.type"] == "refused").unwrap();
    // The file that the configuration names, not the configuration.
    fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    let verdict = scene.service.verdict_within(LIMIT, &acked).unwrap();
    assert!(verdict.is_clean(), "{verdict:?}");
    let reloaded = scene.service.wait_for(LIMIT, "config.reloaded", |_| true).unwrap();
    assert_eq!(reloaded.json["applied"], json!(["kafka.sasl.password"]));
}

/// KIP-368: a broker ends connections whose sessions are over, which would be suspicious.
fn renewed(cluster: &Cluster) {
    const TOPIC: &str = "secured-renewed";
    cluster.create_topic(TOPIC, 3, &[]).unwrap();
    let load = Load::start(Plan {
        bootstrap: cluster.bootstrap(),
        topic: TOPIC.to_owned(),
        partitions: 3,
        per_second: 300,
    })
    .unwrap();
    let config = usual_config(&cluster.bootstrap_of(Listener::SaslSsl), TOPIC, TOPIC)
        + "\"security.protocol\" = \"SASL_SSL\"\n"
        + &trusting(cluster)
        + &by_password("SCRAM-SHA-256", PASSWORD);
    let scene = Scene::run(&config, &[]);
    scene.service.wait_until_consuming(LIMIT, 3).unwrap();
    std::thread::sleep(9 * Duration::from_millis(REAUTHENTICATION_MS) / 4);
    let acked = load.stop().unwrap();
    let verdict = scene.service.verdict_within(LIMIT, &acked).unwrap();
    assert!(verdict.is_clean(), "{verdict:?}");
    let story = scene.service.story();
    for name in ["endpoint.suspected", "authentication.failed", "service.degraded"] {
        assert!(scene.service.events_named(name).is_empty(), "{name}\n{story}");
    }
    assert_eq!(scene.service.events_named("consumer.respawned").len(), 1, "{story}");
}

/// S0.8: other ports, other protocol, and then the old ones are gone.
fn migrates(cluster: &Cluster) {
    const NAME: &str = "secured-migrates";
    let rehearsal = Opening::new(NAME).begin(cluster);
    let config = usual_config(&cluster.bootstrap_of(Listener::SaslSsl), NAME, NAME)
        + "\"security.protocol\" = \"SASL_SSL\"\n"
        + &trusting(cluster)
        + &by_password("SCRAM-SHA-512", PASSWORD);
    rehearsal.workplace.configure(&config).unwrap();
    let respawned = |event: &Value| event["reason"] == "credentials";
    rehearsal.service.wait_for(LIMIT, "consumer.respawned", respawned).unwrap();
    rehearsal.shift(Nodes::All, Old::Refuse);
    let gone = SystemTime::now();
    rehearsal.await_flow(gone);
    let story = rehearsal.service.story();
    assert_eq!(rehearsal.told("group.rebalanced"), 1, "none after the first join\n{story}");
    assert_eq!(rehearsal.told("consumer.respawned"), 2, "the first one, and one more\n{story}");
    assert_eq!(rehearsal.respawns(), 0, "no token of the budget\n{story}");
    for name in ["service.degraded", "authentication.failed", "tls.failed", "actor.restarted"] {
        assert_eq!(rehearsal.told(name), 0, "{name}\n{story}");
    }
    let since = rehearsal.service.events().into_iter().filter(|event| event.at > gone);
    let suspected: Vec<Value> =
        since.filter(|event| event.name == "endpoint.suspected").map(|event| event.json).collect();
    assert_eq!(suspected, Vec::<Value>::new(), "nothing was left on the old endpoints");
    let (verdict, service) = rehearsal.finish();
    expect_clean(&verdict, &service);
}

/// The operator's walk through a change of the security protocol, and back.
fn walked(cluster: &Cluster) {
    const NAME: &str = "secured-walk";
    cluster.create_topic(NAME, 3, &[]).unwrap();
    let workplace = Workplace::new().unwrap();
    let plain = usual_config(&cluster.bootstrap(), NAME, NAME);
    let secured = usual_config(&cluster.bootstrap_of(Listener::SaslSsl), NAME, NAME)
        + "\"security.protocol\" = \"SASL_SSL\"\n"
        + &trusting(cluster)
        + &by_password("SCRAM-SHA-512", PASSWORD);
    workplace.configure(&plain).unwrap();
    let mut service = Service::run(&workplace, &["--set", "http.listen=127.0.0.1:0"]).unwrap();
    let listening = service.wait_for(LIMIT, "http.listening", |_| true).unwrap().json;
    let http = format!("127.0.0.1:{}", listening["server.port"]);
    service.wait_until_consuming(LIMIT, 3).unwrap();

    let walk = walk::Walk::read();
    let run = |arguments: &[&str]| {
        let mut steadfast = Command::new(binary().unwrap());
        steadfast.args(arguments).current_dir(workplace.path("")).stdin(Stdio::null());
        steadfast.env("STATE_DIRECTORY", workplace.path("state")).output().unwrap()
    };
    walk.play("Before", &http, run);
    workplace.configure(&secured).unwrap();
    walk.play("Meanwhile", &http, run);
    walk.play("After", &http, run);
    workplace.configure(&plain).unwrap();
    walk.play("Back", &http, run);

    service.signal("TERM").unwrap();
    assert_eq!(service.wait(LIMIT).unwrap().code(), Some(0), "{}", service.story());
    assert_eq!(service.events_named("group.rebalanced").len(), 1, "{}", service.story());
}

/// To the cluster that is consumed, and to another one with settings of its own.
fn sink(cluster: &Cluster) {
    const TOPIC: &str = "secured-sink";
    for topic in [TOPIC, "secured-sink-same", "secured-sink-other"] {
        cluster.create_topic(topic, 3, &[]).unwrap();
    }
    let acked = Filling::new(&cluster.bootstrap(), TOPIC, 3, 300).write().unwrap();
    let secured = "\"security.protocol\" = \"SASL_SSL\"\n".to_owned()
        + &trusting(cluster)
        + &by_password("SCRAM-SHA-512", PASSWORD);
    let tls = cluster.bootstrap_of(Listener::SaslSsl);
    let to = |topic: &str, more: &str| format!("\n[sink]\ntype = \"kafka\"\ntopic = \"{topic}\"\n{more}");
    let bootstrap =
        format!("bootstrap_servers = [\"{}\"]\n\n[sink.kafka]\n{secured}", tls.replace(',', "\", \""));
    let configs = [
        usual_config(&tls, "secured-sink-same", TOPIC) + &secured + &to("secured-sink-same", ""),
        usual_config(&cluster.bootstrap(), "secured-sink-other", TOPIC)
            + &to("secured-sink-other", &bootstrap),
    ];
    for mut scene in configs.map(|config| Scene::run(&config, &["--until-end"])) {
        assert_eq!(scene.ends(), 0, "{}", scene.service.story());
    }
    for copy in ["secured-sink-same", "secured-sink-other"] {
        let config = usual_config(&cluster.bootstrap(), &format!("{copy}-read"), copy);
        let mut reader = Scene::run(&config, &["--until-end"]);
        assert_eq!(reader.ends(), 0, "{}", reader.service.story());
        let verdict = reader.service.checker().verdict(&acked);
        assert!(verdict.is_clean(), "{verdict:?}");
    }
}

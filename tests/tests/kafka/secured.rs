//! Secured connections: brokers that want TLS and credentials.

use std::fs;

use libtest_mimic::Trial;
use steadfast_tests::kafka::{Cluster, Listener, PASSWORD, USER};
use steadfast_tests::service::Workplace;
use steadfast_tests::stage::Stage;

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![stage.trial("secured::javas_tools_come_in_with_the_same_credentials", java)]
}

/// The listeners are what Java's own client takes them for.
fn java(cluster: &mut Cluster) {
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

//! How a broker is configured and its directory formatted.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::listeners::{self, Listener, Lists};
use super::ports::Port;

/// What a node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A broker that is also one of the controllers.
    Combined,
    /// A broker only.
    Broker,
}

/// One node's ports.
pub(super) struct Node {
    pub(super) id: i32,
    pub(super) role: Role,
    pub(super) listener: Port,
    pub(super) controller: Option<Port>,
    /// Those of the further listeners.
    pub(super) further: BTreeMap<Listener, Port>,
}

/// The properties of `node` in a cluster whose quorum is `voters`, with the brokers' papers for further listeners in
/// `papers`, and with `extra` overriding what stands here.
pub(super) fn of(
    node: &Node,
    voters: &[(i32, u16)],
    data: &Path,
    papers: Option<&Path>,
    extra: &[(String, String)],
) -> String {
    let (id, port) = (node.id, node.listener.number);
    let roles = if node.role == Role::Combined { "broker,controller" } else { "broker" };
    let quorum: Vec<String> = voters.iter().map(|(id, port)| format!("{id}@127.0.0.1:{port}")).collect();
    let controller = node.controller.as_ref().map(|port| format!(",CONTROLLER://127.0.0.1:{}", port.number));
    let Lists { bound, advertised, protocols } = Lists::of(&node.further);
    let copies = voters.len().min(3);
    let mut properties = format!(
        "process.roles={roles}
node.id={id}
controller.quorum.voters={quorum}
listeners=PLAINTEXT://127.0.0.1:{port}{bound}{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{protocols}
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor={copies}
min.insync.replicas=1
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=3
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=3
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.consumer.min.session.timeout.ms=6000
group.consumer.session.timeout.ms=6000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
log.cleaner.backoff.ms=500
",
        quorum = quorum.join(","),
        controller = controller.unwrap_or_default(),
        data = data.display(),
    );
    if let Some(papers) = papers {
        properties.push_str(&listeners::properties(papers));
    }
    for (key, value) in extra {
        properties.push_str(&format!("{key}={value}\n"));
    }
    properties
}

/// Formats `data` for node `id` as `formatted` is, which Kafka's own tool formatted for another node: that saves
/// a start of Java for each broker.
pub(super) fn format_like(formatted: &Path, data: &Path, id: i32) -> io::Result<()> {
    fs::create_dir_all(data)?;
    for file in fs::read_dir(formatted)? {
        let file = file?;
        if file.file_type()?.is_file() {
            fs::copy(file.path(), data.join(file.file_name()))?;
        }
    }
    let meta = data.join("meta.properties");
    let mut own = String::new();
    for line in fs::read_to_string(&meta)?.lines() {
        match line.split_once('=') {
            Some(("node.id", _)) => own.push_str(&format!("node.id={id}")),
            Some(("directory.id", like)) => own.push_str(&format!("directory.id={id:0>4}{}", &like[4..])),
            _ => own.push_str(line),
        }
        own.push('\n');
    }
    fs::write(meta, own)
}

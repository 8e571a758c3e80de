//! `steadfast proxy` as a program, in front of a cluster on loopback TCP.
#![expect(clippy::unwrap_used, reason = "a program that cannot be run fails its test")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use steadfast_core::endpoints::view::Address;
use steadfast_kafka::connection::{ConnectError, Connection, Dial};
use steadfast_kafka::transport::{SystemResolver, Tcp};
use steadfast_sim::embedded::{Embedded, Spec};
use tokio::runtime::Runtime;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);
/// What a silent address is given to show that it is.
const SILENCE: Duration = Duration::from_millis(200);

struct Proxy {
    child: Child,
    orders: Option<ChildStdin>,
    told: BufReader<ChildStdout>,
}

impl Proxy {
    fn before(cluster: &Embedded, arguments: &str) -> Proxy {
        let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
        command.args(["proxy", "--output", "json", "--upstream", &cluster.bootstrap().to_string()]);
        command.args(arguments.split_whitespace());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (orders, told) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Proxy { child, orders, told }
    }

    fn told(&mut self) -> Value {
        let mut line = String::new();
        self.told.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn order(&mut self, line: &str) -> Value {
        writeln!(self.orders.as_ref().unwrap(), "{line}").unwrap();
        self.told()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop((self.child.kill(), self.child.wait()));
    }
}

fn cluster() -> (Runtime, Embedded) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let cluster = {
        let _inside = runtime.enter();
        Embedded::on_loopback(&Spec::default()).unwrap()
    };
    (runtime, cluster)
}

async fn open(address: &str) -> Result<Connection, ConnectError> {
    let dial = Dial { connect_limit: LIMIT, answer_limit: LIMIT, ..Dial::new(address.parse().unwrap()) };
    Connection::open(&Tcp::new(SystemResolver), dial).await
}

/// Where whoever listens there says that the brokers are.
async fn named(address: &Value) -> BTreeMap<String, Address> {
    let opened = open(address.as_str().unwrap()).await.unwrap();
    let endpoints = &opened.opened().view.endpoints;
    endpoints.iter().map(|(node, endpoint)| (node.to_string(), endpoint.address.clone())).collect()
}

fn endpoints(told: &Value) -> BTreeMap<String, Address> {
    let each = told.as_object().unwrap().iter();
    each.map(|(node, at)| (node.clone(), at.as_str().unwrap().parse().unwrap())).collect()
}

#[test]
fn brokers_move_on_command_and_what_old_addresses_do_can_be_changed() {
    let (runtime, cluster) = cluster();
    let mut proxy = Proxy::before(&cluster, "");
    let began = proxy.told();
    assert_eq!(began["told"], "began", "{began}");
    let before = endpoints(&began["endpoints"]);
    assert_eq!(runtime.block_on(named(&began["bootstrap"])), before);

    let moved = proxy.order("move");
    let after = endpoints(&moved["to"]);
    assert_eq!(endpoints(&moved["from"]), before);
    assert!(before.iter().all(|(node, at)| after[node] != *at), "{moved}");
    assert_eq!(runtime.block_on(named(&began["bootstrap"])), after);
    assert!(runtime.block_on(open(moved["from"]["1"].as_str().unwrap())).is_err());

    proxy.order("blackhole");
    let old = moved["from"]["2"].as_str().unwrap();
    assert!(runtime.block_on(async { timeout(SILENCE, open(old)).await }).is_err(), "{old} has answered");

    proxy.order("heal");
    for address in moved["from"].as_object().unwrap().values() {
        assert_eq!(runtime.block_on(named(address)), after);
    }

    let one = proxy.order("move 3 grace 1h");
    assert_eq!(endpoints(&one["to"]).keys().collect::<Vec<_>>(), ["3"]);
    assert_eq!(proxy.order("move 9")["told"], "refused");
    assert_eq!(proxy.order("jump")["told"], "refused");
    let shown = proxy.order("show");
    assert_eq!(shown["old_endpoints"].as_array().unwrap().len(), 4, "{shown}");
    writeln!(proxy.orders.as_ref().unwrap(), "quit").unwrap();
    assert_eq!(proxy.child.wait().unwrap().code(), Some(0));
}

#[test]
fn it_moves_by_itself_without_any_input() {
    let (runtime, cluster) = cluster();
    let mut proxy = Proxy::before(&cluster, "--move-every 30ms --count 3 --mode blackhole");
    drop(proxy.orders.take());
    let began = proxy.told();
    let moves: Vec<Value> = (0..3).map(|_| proxy.told()).collect();
    assert!(moves.iter().all(|moved| moved["told"] == "moved" && moved["old"] == "blackhole"), "{moves:?}");
    assert_eq!(runtime.block_on(named(&began["bootstrap"])), endpoints(&moves[2]["to"]));
}

#[test]
fn what_is_no_plain_text_cluster_is_said_to_be_none() {
    let run = |upstream: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_steadfast"));
        command.args(["proxy", "--upstream", upstream]).stdin(Stdio::null()).output().unwrap()
    };
    // A TLS server's answer to what is no TLS: an alert.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        client.write_all(&[0x15, 3, 3, 0, 2, 2, 0x32]).unwrap();
        client
    });
    let output = run(&address);
    drop(server.join());
    assert_eq!(output.status.code(), Some(69));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("plain-text listener: with TLS"), "{said}");
    assert_eq!(run("127.0.0.1:1").status.code(), Some(69));
    assert_eq!(run("nowhere").status.code(), Some(64));
}

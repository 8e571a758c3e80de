//! What a running service says over HTTP.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use libtest_mimic::Trial;
use serde_json::Value;
use steadfast_tests::kafka::Cluster;
use steadfast_tests::service::{Service, Workplace, usual_config};
use steadfast_tests::stage::Stage;
use steadfast_tests::within;

use crate::proxy::load;
use crate::rehearsal::{LIMIT, proxied};

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.beside_with("promtool", "http::metrics_are_what_prometheus_reads", metrics),
        stage.beside("http::silent_brokers_are_told_and_never_have_the_process_killed", silence),
        stage.beside("http::series_end_with_their_partition_and_who_has_none_is_ready", sharing),
    ]
}

/// A service that answers on a port that the system chooses.
pub(crate) struct Answering {
    service: Service,
    at: SocketAddr,
    _workplace: Workplace,
}

impl Answering {
    fn run(bootstrap: &str, name: &str, settings: &str) -> Answering {
        Answering::of(&(usual_config(bootstrap, name, name) + settings))
    }

    /// By this configuration.
    pub(crate) fn of(config: &str) -> Answering {
        let workplace = Workplace::new().unwrap();
        workplace.configure(config).unwrap();
        let service = Service::run(&workplace, &["--set", "http.listen=127.0.0.1:0"]).unwrap();
        let listening = service.wait_for(LIMIT, "http.listening", |_| true).unwrap().json;
        let port = listening["server.port"].as_u64().unwrap();
        let at = SocketAddr::from(([127, 0, 0, 1], u16::try_from(port).unwrap()));
        Answering { service, at, _workplace: workplace }
    }

    /// The status and the body of the answer.
    pub(crate) fn get(&self, target: &str) -> (u16, String) {
        let mut stream = TcpStream::connect_timeout(&self.at, LIMIT).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        write!(stream, "GET {target} HTTP/1.1\r\nHost: {}\r\n\r\n", self.at).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    pub(crate) fn await_ready(&self) -> String {
        let ready = || match self.get("/readyz?verbose") {
            (200, evidence) => Ok(evidence),
            (status, evidence) => Err(format!("{status}: {evidence}\n{}", self.service.story())),
        };
        within(LIMIT, ready).unwrap()
    }

    /// The partitions that metrics are told of.
    fn partitions(&self) -> BTreeSet<String> {
        let (_, metrics) = self.get("/metrics");
        let label = |line: &str| {
            let (_, from) = line.split_once("messaging_destination_partition_id=\"")?;
            Some(from.split_once('"')?.0.to_owned())
        };
        metrics.lines().filter_map(label).collect()
    }

    fn end(mut self) {
        self.service.signal("TERM").unwrap();
        let status = self.service.wait(LIMIT).unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.service.story());
        assert_eq!(self.service.strange_lines(), Vec::<String>::new());
    }
}

/// What `promtool check metrics` says; nothing if it has no objection.
fn objections(metrics: &str) -> String {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    format!("{}{}", if output.status.success() { "" } else { "failed: " }, String::from_utf8_lossy(&told))
}

fn metrics(cluster: &Cluster) {
    let load = load(cluster, "http-metrics");
    let service = Answering::run(&cluster.bootstrap(), "http-metrics", "");
    service.service.wait_until_consuming(LIMIT, 12).unwrap();
    let evidence = service.await_ready();
    for check in ["cluster ok: 3 of 3 brokers verified", "heartbeat ok: ", "fetch ok: ", "metadata ok: "] {
        assert!(evidence.contains(&format!("[+]{check}")), "{check}\n{evidence}");
    }
    assert!(evidence.contains("12 partitions owned"), "{evidence}");
    let consumed = || match service.get("/metrics").1 {
        metrics if metrics.contains("steadfast_checkpoint_commits_total{outcome=\"committed\"} 0") => {
            Err(metrics)
        }
        metrics => Ok(metrics),
    };
    let metrics = within(LIMIT, consumed).unwrap();
    assert_eq!(objections(&metrics), "", "{metrics}");
    assert_ne!(objections("# TYPE polls counter\npolls 1\n"), "", "promtool objects to nothing");
    assert!(metrics.contains("\nsteadfast_ready 1.0\n"), "{metrics}");
    let all: BTreeSet<String> = (0..12).map(|partition: i32| partition.to_string()).collect();
    assert_eq!(service.partitions(), all);
    let status: Value = serde_json::from_str(&service.get("/status").1).unwrap();
    assert_eq!((&status["service"]["ready"], &status["member"]["owned"]), (&true.into(), &12.into()));
    assert_eq!(status["endpoint_differ"]["endpoints"].as_array().unwrap().len(), 3, "{status:#}");
    let partitions = status["handlers"]["partitions"].as_array().unwrap();
    assert!(partitions.len() == 12 && partitions.iter().all(|of| of["state"] == "running"), "{status:#}");
    load.stop().unwrap();
    service.end();
}

/// The proxy accepts and says nothing, as brokers behind a black hole do.
fn silence(cluster: &Cluster) {
    cluster.create_topic("http-silence", 12, &[]).unwrap();
    let (runtime, proxy) = proxied(cluster);
    let settings = "\"request.timeout.ms\" = 1000\n\n[drift]\npoll_interval = \"500ms\"\n";
    let service = Answering::run(&proxy.bootstrap().to_string(), "http-silence", settings);
    service.service.wait_until_consuming(LIMIT, 12).unwrap();
    service.await_ready();
    // It has one thread, which waits here until this sender is dropped.
    let (silent, end) = mpsc::channel::<()>();
    runtime.spawn(async move { end.recv().is_err() });
    let told = || {
        assert_eq!(service.get("/livez").0, 200, "the process turns");
        let (status, evidence) = service.get("/readyz");
        let whole = ["[-]cluster failed: degraded for ", "[-]fetch failed: http-silence-", "limit 1.5 s"]
            .iter()
            .all(|part| evidence.contains(part));
        if status == 503 && whole { Ok(evidence) } else { Err((status, evidence)) }
    };
    let evidence = within(LIMIT, told).unwrap();
    let missing = proxy.bootstrap().to_string();
    assert!(evidence.contains(&missing) || evidence.contains(" more\n"), "{missing} is missing: {evidence}");
    drop(silent);
    service.await_ready();
    service.end();
}

fn sharing(cluster: &Cluster) {
    let name = "http-sharing";
    cluster.create_topic(name, 2, &[]).unwrap();
    let join = || {
        let service = Answering::run(&cluster.bootstrap(), name, "");
        service.await_ready();
        service
    };
    let shown = |service: &Answering, wanted: usize| {
        let partitions = || match service.partitions() {
            partitions if partitions.len() == wanted => Ok(partitions),
            partitions => Err(format!("{partitions:?}\n{}", service.service.story())),
        };
        within(LIMIT, partitions).unwrap()
    };
    let first = join();
    shown(&first, 2);
    let second = join();
    let (left, taken) = (shown(&first, 1), shown(&second, 1));
    assert!(left.is_disjoint(&taken), "{left:?}, {taken:?}");
    // Who of three has none is the assignor's to say.
    let members = [first, second, join()];
    let idle = || {
        let shared: Vec<usize> = members.iter().map(|member| member.partitions().len()).collect();
        let idle = members.iter().zip(&shared).find(|(_, partitions)| **partitions == 0);
        idle.filter(|_| shared.iter().sum::<usize>() == 2).map(|(member, _)| member).ok_or(shared.clone())
    };
    let evidence = within(LIMIT, idle).unwrap().await_ready();
    assert!(evidence.contains("0 partitions owned") && evidence.contains("[+]fetch ok: "), "{evidence}");

    let workplace = Workplace::new().unwrap();
    workplace.configure(&usual_config(&cluster.bootstrap(), name, name)).unwrap();
    let taken = format!("http.listen={}", members[0].at);
    let mut refused = Service::run(&workplace, &["--set", &taken]).unwrap();
    assert_eq!(refused.wait(Duration::from_secs(30)).unwrap().code(), Some(78));
    assert!(refused.story().contains("set another address"), "{}", refused.story());
    members.into_iter().for_each(Answering::end);
}

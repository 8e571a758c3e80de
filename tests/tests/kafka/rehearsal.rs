//! A service behind the drift proxy, under load: what most suites begin with.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use steadfast_sim::proxy::{DriftProxy, Moved, Nodes, Old};
use steadfast_tests::checker::{Acked, Checker, Verdict};
use steadfast_tests::kafka::Cluster;
use steadfast_tests::load::{Load, Plan};
use steadfast_tests::service::{Service, Workplace, usual_config};
use steadfast_tests::within;
use tokio::runtime::Runtime;

pub(crate) use steadfast_tests::company::{LIMIT, PARTITIONS, RATE};

/// A proxy in front of a cluster, a load, and a service that consumes it through the proxy.
pub(crate) struct Rehearsal {
    runtime: Runtime,
    pub(crate) proxy: DriftProxy,
    pub(crate) load: Load,
    pub(crate) workplace: Workplace,
    pub(crate) service: Service,
    config: String,
}

/// What a rehearsal begins with.
pub(crate) struct Opening<'a> {
    /// Names topic and group.
    pub(crate) name: &'a str,
    /// More lines of the configuration.
    pub(crate) settings: &'a str,
    /// The addresses in `bootstrap.servers`: the proxy's stable one, or those of the first generation.
    pub(crate) stable_bootstrap: bool,
    /// Another binary than steadfast's own.
    pub(crate) binary: Option<&'a str>,
}

impl<'a> Opening<'a> {
    pub(crate) fn new(name: &'a str) -> Opening<'a> {
        Opening { name, settings: "", stable_bootstrap: true, binary: None }
    }

    pub(crate) fn with(self, settings: &'a str) -> Opening<'a> {
        Opening { settings, ..self }
    }

    pub(crate) fn run_by(self, binary: &'a str) -> Opening<'a> {
        Opening { binary: Some(binary), ..self }
    }

    pub(crate) fn only_old_addresses(self) -> Opening<'a> {
        Opening { stable_bootstrap: false, ..self }
    }

    /// Begins: the service consumes all partitions when this returns.
    pub(crate) fn begin(self, cluster: &Cluster) -> Rehearsal {
        let (runtime, proxy) = proxied(cluster);
        let topic = self.name.to_owned();
        cluster.create_topic(&topic, PARTITIONS, &[]).unwrap();
        let load = Load::start(Plan {
            bootstrap: cluster.bootstrap(),
            topic: topic.clone(),
            partitions: PARTITIONS,
            per_second: RATE,
        })
        .unwrap();
        let bootstrap = if self.stable_bootstrap {
            proxy.bootstrap().to_string()
        } else {
            // The proxy learns the brokers from their answers.
            steadfast_tests::kafka::endpoints(proxy.bootstrap()).unwrap();
            let old: Vec<String> = proxy.endpoints().values().map(ToString::to_string).collect();
            old.join(",")
        };
        let workplace = Workplace::new().unwrap();
        let config = usual_config(&bootstrap, self.name, &topic) + self.settings;
        workplace.configure(&config).unwrap();
        let service = match self.binary {
            Some(binary) => Service::start(Path::new(binary), &workplace, &[]).unwrap(),
            None => Service::run(&workplace, &[]).unwrap(),
        };
        service.wait_until_consuming(LIMIT, 12).unwrap();
        let rehearsal = Rehearsal { runtime, proxy, load, workplace, service, config };
        rehearsal.await_flow(SystemTime::UNIX_EPOCH);
        rehearsal
    }
}

/// A proxy in front of the cluster, and the runtime it lives on.
pub(crate) fn proxied(cluster: &Cluster) -> (Runtime, DriftProxy) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let proxy = runtime.block_on(DriftProxy::start(cluster.addresses().into_values().collect())).unwrap();
    (runtime, proxy)
}

impl Rehearsal {
    /// Moves endpoints.
    pub(crate) fn shift(&self, nodes: Nodes, old: Old) -> Moved {
        self.runtime.block_on(self.proxy.move_endpoints(nodes, old)).unwrap()
    }

    /// Has the proxy do something else.
    pub(crate) fn drift<T>(&self, how: impl Future<Output = io::Result<T>>) -> T {
        self.runtime.block_on(how).unwrap()
    }

    /// Writes the configuration with other bootstrap addresses; says when the file was renamed.
    pub(crate) fn reconfigure(&self, bootstrap: &str) -> SystemTime {
        let lines = self.config.lines().map(|line| match line.starts_with("\"bootstrap.servers\"") {
            true => format!("\"bootstrap.servers\" = \"{bootstrap}\"\n"),
            false => format!("{line}\n"),
        });
        self.workplace.configure(&lines.collect::<String>()).unwrap()
    }

    /// Waits until a record of every partition has come out of the sink after `since`; says how long each took.
    pub(crate) fn await_flow(&self, since: SystemTime) -> Vec<Duration> {
        let flowing = within(LIMIT, || {
            let first = self.service.checker().first_after(since);
            if first.len() == 12 { Ok(first) } else { Err(first.len()) }
        });
        match flowing {
            Ok(first) => first.into_values().collect(),
            Err(partitions) => panic!("only {partitions} partitions flow\n{}", self.service.story()),
        }
    }

    /// Waits until so many events of this name were told.
    pub(crate) fn await_told(&self, name: &str, count: usize) {
        let told = || (self.told(name) >= count).then_some(()).ok_or_else(|| self.service.story());
        within(LIMIT, told).unwrap_or_else(|story| panic!("fewer than {count} {name}\n{story}"));
    }

    /// How many events of this name were told.
    pub(crate) fn told(&self, name: &str) -> usize {
        self.service.events_named(name).len()
    }

    /// Waits until there were so many respawns because of drift, and records of every partition come out after that.
    pub(crate) fn await_respawns(&self, count: usize) {
        let respawned = || (self.respawns() >= count).then_some(()).ok_or_else(|| self.service.story());
        within(LIMIT, respawned).unwrap_or_else(|story| panic!("fewer than {count} respawns\n{story}"));
        self.await_flow(SystemTime::now());
    }

    /// How many respawns because of drift.
    pub(crate) fn respawns(&self) -> usize {
        let respawned = self.service.events_named("consumer.respawned");
        respawned.iter().filter(|event| event.json["reason"] == "drift").count()
    }

    /// Ends the load, waits for its last record, ends the service in order, and judges.
    pub(crate) fn finish(mut self) -> (Verdict, Service) {
        let acked: Acked = self.load.stop().unwrap();
        let verdict = self.service.verdict_within(LIMIT, &acked).unwrap();
        self.service.signal("TERM").unwrap();
        let status = self.service.wait(LIMIT).unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.service.story());
        assert_eq!(self.service.strange_lines(), Vec::<String>::new());
        (verdict, self.service)
    }
}

impl Rehearsal {
    /// As [`Rehearsal::finish`] for a service that had `earlier` lives: what came out of any of them is judged.
    pub(crate) fn finish_after(mut self, earlier: &[Service]) -> (Verdict, Service) {
        let acked: Acked = self.load.stop().unwrap();
        let arrived = || {
            let outstanding = everything(earlier, &self.service).outstanding(&acked);
            let Some(first) = outstanding.first() else { return Ok(()) };
            Err(format!("{} lost, first {first:?}\n{}", outstanding.len(), self.service.story()))
        };
        within(LIMIT, arrived).unwrap_or_else(|lost| panic!("{lost}"));
        self.service.signal("TERM").unwrap();
        let status = self.service.wait(LIMIT).unwrap();
        assert_eq!(status.code(), Some(0), "{}", self.service.story());
        (everything(earlier, &self.service).verdict(&acked), self.service)
    }
}

/// What came out of all lives of a service, in their order.
fn everything(earlier: &[Service], last: &Service) -> Checker {
    let mut all = Checker::default();
    for life in earlier.iter().chain([last]) {
        life.checker().delivered().iter().for_each(|delivered| all.see(*delivered));
    }
    all
}

/// Nothing was lost, nothing came twice, and the service's own counts say so too.
pub(crate) fn expect_clean(verdict: &Verdict, service: &Service) {
    assert!(verdict.is_clean(), "{verdict:?}\n{}", service.story());
    let stopped = service.events_named("service.stopped");
    assert_eq!(stopped[0].json["redelivered"], 0, "{}", service.story());
    for respawned in service.events_named("consumer.respawned") {
        assert_eq!((&respawned.json["gap"], &respawned.json["redelivered"]), (&0.into(), &0.into()));
    }
}

/// Records of two seconds: a partition that keeps up never has so many waiting.
pub(crate) const BACKLOG: u32 = 2 * RATE / PARTITIONS.unsigned_abs();

/// Asks until there is an answer; meanwhile no partition but `ill` falls behind.
pub(crate) fn keeping_up<T>(
    rehearsal: &Rehearsal,
    ill: Option<i32>,
    question: impl Fn() -> io::Result<T>,
) -> T {
    within(LIMIT, || {
        let mut waiting = backlog(rehearsal);
        waiting.retain(|partition, _| Some(*partition) != ill);
        assert!(waiting.values().all(|waiting| *waiting <= BACKLOG), "{waiting:?}");
        question()
    })
    .unwrap()
}

/// How many acknowledged records of each partition have not come out yet.
pub(crate) fn backlog(rehearsal: &Rehearsal) -> BTreeMap<i32, u32> {
    let acked = rehearsal.load.acked();
    let mut waiting: BTreeMap<i32, u32> = acked.keys().map(|partition| (*partition, 0)).collect();
    for mark in rehearsal.service.checker().outstanding(&acked) {
        *waiting.entry(mark.partition).or_default() += 1;
    }
    waiting
}

//! Trials that are played twice: on the embedded cluster, and unchanged on a real Apache Kafka.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Conclusion, Trial};
use steadfast_core::ids::{NodeId, Partition};
use steadfast_sim::consumer_group::ConsumerGroupSettings;
use steadfast_sim::embedded::{Embedded, Spec};
use steadfast_sim::group::GroupSettings;
use tokio::runtime::Runtime;

use crate::brokers::Brokers;
use crate::kafka::{Cluster, Version};
use crate::stage::without_java;
use crate::times::Times;

/// A trial by its name, `room::what_is_so`. It fails by a panic, leaves the brokers as they are, and uses topics and
/// groups of its own: others are played on the same cluster meanwhile.
pub type Scene = (&'static str, fn(&Brokers));

/// So many at a time: most of them mostly wait.
const THREADS: usize = 3;
/// No broker is given up because the machine is slow for a moment: then leaders and epochs would change. Members of
/// the consumer protocol, to whom the brokers say how often to heartbeat, do so as often as scenes are patient.
const SETTINGS: [(&str, &str); 5] = [
    ("broker.session.timeout.ms", "18000"),
    ("group.consumer.min.heartbeat.interval.ms", "500"),
    ("group.consumer.heartbeat.interval.ms", "500"),
    ("group.consumer.min.session.timeout.ms", "6000"),
    ("group.consumer.session.timeout.ms", "6000"),
];
/// The same for the embedded cluster.
const FOR_CONSUMERS: ConsumerGroupSettings = ConsumerGroupSettings {
    heartbeat_interval: Duration::from_millis(500),
    session_timeout: Duration::from_secs(6),
    ..ConsumerGroupSettings::KAFKA
};

/// Both kinds of clusters, three brokers each, started when the first trial on it begins.
#[derive(Default)]
pub struct Either {
    kafka: Arc<Mutex<Option<Cluster>>>,
    embedded: Arc<Mutex<Option<Memory>>>,
    times: Times,
}

/// What else than the cluster a scene needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// Java programs beside the cluster.
    Java,
}

/// The embedded cluster and what it runs on.
struct Memory {
    // Dropped first: its listeners end while their runtime still runs.
    cluster: Embedded,
    _runtime: Runtime,
}

impl Memory {
    fn start() -> io::Result<Memory> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let cluster = {
            let _entered = runtime.enter();
            Embedded::on_loopback(&Spec::default()).map_err(io::Error::other)?
        };
        let settings = GroupSettings { consumer: FOR_CONSUMERS, ..GroupSettings::default() };
        cluster.with(|cluster| cluster.set_group_settings(settings));
        Ok(Memory { cluster, _runtime: runtime })
    }

    fn brokers(&self) -> io::Result<Brokers> {
        let mut addresses = BTreeMap::new();
        for (node, address) in self.cluster.endpoints() {
            let address: SocketAddr = address.to_string().parse().map_err(io::Error::other)?;
            addresses.insert(node.0, address);
        }
        let cluster = self.cluster.clone();
        let elect = move |topic: &str, partition, node| {
            let moved =
                cluster.with(|cluster| cluster.move_leader(&Partition::new(topic, partition), NodeId(node)));
            moved.map_err(io::Error::other)
        };
        Ok(Brokers::at(addresses, Arc::new(elect)))
    }
}

impl Either {
    /// The scene on each of the clusters.
    pub fn trials(&self, scene: Scene, needs: Needs) -> [Trial; 2] {
        let (name, play) = scene;
        let (embedded, times, named) =
            (self.embedded.clone(), self.times.clone(), format!("embedded::{name}"));
        let embedded = Trial::ignorable_test(named.clone(), move || {
            if needs == Needs::Java
                && let Some(unable) = without_java()
            {
                return unable;
            }
            let brokers = brokers_of(&embedded, Memory::start, Memory::brokers)?;
            times.of(&named, || play(&brokers));
            Ok(Completion::Completed)
        });
        [embedded, self.on_kafka(scene)]
    }

    /// The scene on each of the clusters, on the real one if it is of this version or newer.
    pub fn trials_since(&self, since: (u32, u32), scene: Scene, needs: Needs) -> [Trial; 2] {
        let [embedded, kafka] = self.trials(scene, needs);
        let too_old = !Version::chosen().is_since(since.0, since.1);
        [embedded, kafka.with_ignored_flag(too_old)]
    }

    /// A scene that needs what only the real brokers do.
    pub fn on_kafka(&self, (name, play): Scene) -> Trial {
        let (kafka, times, named) = (self.kafka.clone(), self.times.clone(), format!("kafka::{name}"));
        Trial::ignorable_test(named.clone(), move || {
            if let Some(unable) = without_java() {
                return unable;
            }
            let brokers = |cluster: &Cluster| Ok(cluster.brokers());
            let brokers = brokers_of(&kafka, || Cluster::start(3, &SETTINGS), brokers)?;
            times.of(&named, || play(&brokers));
            Ok(Completion::Completed)
        })
    }

    /// Runs the trials and ends the clusters.
    pub fn run(self, trials: Vec<Trial>) -> Conclusion {
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert(THREADS);
        let conclusion = libtest_mimic::run(&arguments, trials);
        drop(self.kafka.lock().unwrap_or_else(PoisonError::into_inner).take());
        drop(self.embedded.lock().unwrap_or_else(PoisonError::into_inner).take());
        self.times.tell();
        conclusion
    }
}

/// The brokers of a cluster, which is started if that has not happened yet. It stays unlocked while a trial plays.
fn brokers_of<T>(
    shared: &Mutex<Option<T>>,
    start: impl FnOnce() -> io::Result<T>,
    brokers: impl FnOnce(&T) -> io::Result<Brokers>,
) -> io::Result<Brokers> {
    let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = match shared.take() {
        Some(cluster) => cluster,
        None => start()?,
    };
    brokers(shared.insert(cluster))
}

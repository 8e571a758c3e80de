//! Trials that are played twice: on the embedded cluster, and unchanged on a real Apache Kafka.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Completion, Conclusion, Trial};
use steadfast_core::ids::{NodeId, Partition};
use steadfast_sim::embedded::{Embedded, Spec};
use tokio::runtime::Runtime;

use crate::brokers::Brokers;
use crate::stage::{Stage, without_java};

/// A trial by its name, `room::what_is_so`. It fails by a panic, and uses topics and groups of its own.
pub type Scene = (&'static str, fn(&Brokers));

/// No broker is given up because the machine is slow for a moment: then leaders and epochs would change.
const CALM: [(&str, &str); 1] = [("broker.session.timeout.ms", "18000")];

/// Both kinds of clusters, three brokers each, started when the first trial on it begins.
pub struct Either {
    kafka: Stage,
    embedded: Arc<Mutex<Option<Memory>>>,
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

impl Default for Either {
    fn default() -> Either {
        Either { kafka: Stage::with(&CALM), embedded: Arc::default() }
    }
}

impl Either {
    /// The scene on each of the clusters.
    pub fn trials(&self, (name, play): Scene, needs: Needs) -> [Trial; 2] {
        let embedded = self.embedded.clone();
        let embedded = move || {
            if needs == Needs::Java
                && let Some(unable) = without_java()
            {
                return unable;
            }
            let mut shared = embedded.lock().unwrap_or_else(PoisonError::into_inner);
            let brokers = match &mut *shared {
                Some(memory) => memory.brokers()?,
                None => shared.insert(Memory::start()?).brokers()?,
            };
            play(&brokers);
            Ok(Completion::Completed)
        };
        [Trial::ignorable_test(format!("embedded::{name}"), embedded), self.on_kafka((name, play))]
    }

    /// A scene that needs what only the real brokers do.
    pub fn on_kafka(&self, (name, play): Scene) -> Trial {
        self.kafka.trial(&format!("kafka::{name}"), move |cluster| play(&cluster.brokers()))
    }

    /// Runs the trials and ends the clusters.
    pub fn run(self, trials: Vec<Trial>) -> Conclusion {
        let conclusion = self.kafka.run(trials);
        drop(self.embedded.lock().unwrap_or_else(PoisonError::into_inner).take());
        conclusion
    }
}

//! Trials that are played twice: on the embedded cluster, and unchanged on a real Apache Kafka.

use libtest_mimic::{Conclusion, Trial};

use crate::brokers::Brokers;
use crate::stage::Stage;

/// A trial by its name, `room::what_is_so`. It fails by a panic, and uses topics and groups of its own.
pub type Scene = (&'static str, fn(&Brokers));

/// Both kinds of clusters, each started when the first trial on it begins.
#[derive(Default)]
pub struct Either {
    kafka: Stage,
}

impl Either {
    /// The scene on each of the clusters.
    pub fn trials(&self, (name, play): Scene) -> Vec<Trial> {
        vec![self.kafka.trial(&format!("kafka::{name}"), move |cluster| play(&cluster.brokers()))]
    }

    /// Runs the trials and ends the clusters.
    pub fn run(self, trials: Vec<Trial>) -> Conclusion {
        self.kafka.run(trials)
    }
}

//! What every measurement stands on: the drift proxy in front of a cluster, and a load on a topic of its own.

use std::collections::BTreeMap;
use std::io;
use std::time::SystemTime;

use steadfast_sim::proxy::{DriftProxy, Moved, Nodes, Old};
use steadfast_tests::kafka::{self, Cluster};
use steadfast_tests::load::{Load, Plan};
use tokio::runtime::Runtime;

/// Partitions of the topic.
pub const PARTITIONS: i32 = 12;
/// Records per second, over all partitions.
pub const RATE: u32 = 300;

/// A proxy in front of a cluster, and a load behind it.
pub struct Ground {
    pub(crate) runtime: Runtime,
    pub(crate) proxy: DriftProxy,
    pub(crate) load: Load,
}

impl Ground {
    /// Begins: every partition of `topic`, which is created, has a record when this returns.
    ///
    /// # Errors
    /// The proxy or the load does not start.
    pub fn begin(cluster: &Cluster, topic: &str) -> io::Result<Ground> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let proxy = runtime.block_on(DriftProxy::start(cluster.addresses().into_values().collect()))?;
        cluster.create_topic(topic, PARTITIONS, &[])?;
        let (bootstrap, topic) = (cluster.bootstrap(), topic.to_owned());
        let load = Load::start(Plan { bootstrap, topic, partitions: PARTITIONS, per_second: RATE })?;
        // The proxy learns the brokers from their answers.
        kafka::endpoints(proxy.bootstrap())?;
        Ok(Ground { runtime, proxy, load })
    }

    /// The brokers' addresses of now, as `bootstrap.servers` wants them.
    pub fn listed(&self) -> String {
        let addresses: Vec<String> = self.proxy.endpoints().values().map(ToString::to_string).collect();
        addresses.join(",")
    }

    /// Moves endpoints: what the proxy says of it, and when the old ports were closed or silent.
    ///
    /// # Errors
    /// The proxy cannot.
    pub fn shift(&self, nodes: Nodes, old: Old) -> io::Result<(Moved, SystemTime)> {
        let moved = self.runtime.block_on(self.proxy.move_endpoints(nodes, old))?;
        Ok((moved, SystemTime::now()))
    }
}

/// Whether every partition is there.
pub fn whole<T>(partitions: &BTreeMap<i32, T>) -> bool {
    i32::try_from(partitions.len()) == Ok(PARTITIONS)
}

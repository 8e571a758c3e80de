//! A service for tests, without any actor: the tests write what actors would.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use steadfast_core::cluster::{Leader, Rules, Topic};
use steadfast_core::endpoints::view::{Address, View};
use steadfast_core::group::GroupProtocol;
use steadfast_core::group::MemberId;
use steadfast_core::group::standing::{Membership, Standing};
use steadfast_core::ids::{
    ClusterId, ConsumerIncarnation, GroupGeneration, LeaderEpoch, NodeId, Offset, Partition, TopicId,
};
use steadfast_core::progress::{Claim, Lease, Start};
use steadfast_core::retry::Rule;
use steadfast_core::tick::Tick;
use steadfast_kafka::fetch::memory::Memory;
use steadfast_watch as watch;

use super::{Reading, Sources, Vitals};
use crate::config::Config;
use crate::consume::progress::ProgressTable;
use crate::drift::published::Cluster;
use crate::drift::subscribed;

/// What actors write to, and a clock that is set by hand.
pub(crate) struct Sample {
    clock: Arc<AtomicU64>,
    pub(crate) config: watch::Sender<Arc<Config>>,
    pub(crate) cluster: watch::Sender<Arc<Cluster>>,
    pub(crate) membership: watch::Sender<Option<Membership>>,
    pub(crate) standing: Arc<Mutex<Standing>>,
    pub(crate) table: Arc<ProgressTable>,
    pub(crate) memory: Memory,
    pub(crate) vitals: Vitals,
}

const CONFIG: &str = "topics = [\"orders\"]\nkafka.bootstrap.servers = \"kafka-1:9092\"\n\
                      kafka.group.id = \"billing\"\nstate.dir = \"/nowhere\"\n";

impl Sample {
    /// A service that has just begun.
    pub(crate) fn new() -> Sample {
        let clock = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&clock);
        let now = move || Tick::at(Duration::from_millis(shown.load(Ordering::Relaxed)));
        let started_with = Arc::new(Config::from_toml_str(CONFIG).unwrap());
        let (config, config_view) = watch::channel(Arc::clone(&started_with));
        let (cluster, cluster_view) = watch::channel(Arc::new(Cluster::unknown(None, Rules::default())));
        let (membership, membership_view) = watch::channel(None);
        let standing = Arc::new(Mutex::new(Standing::default()));
        let table = Arc::new(ProgressTable::new(now, Rule::default(), || 1.0));
        let memory = Memory::new(usize::try_from(started_with.fetch.buffer_bytes).unwrap());
        let sources = Sources {
            subscribed: subscribed::at_start(&started_with.topics).1,
            started_with,
            config: config_view,
            cluster: cluster_view,
            membership: membership_view,
            standing: Arc::clone(&standing),
            table: Arc::clone(&table),
            memory: memory.clone(),
            accounts: None,
        };
        let vitals = Vitals::new(sources, Tick::ZERO);
        Sample { clock, config, cluster, membership, standing, table, memory, vitals }
    }

    /// A member in its first generation that was just given all it needs, and owns these partitions of `orders`.
    pub(crate) fn well(partitions: &[i32]) -> Sample {
        let sample = Sample::new();
        sample.after(1_000);
        sample.agree();
        sample.join();
        sample.table.hand_over(ConsumerIncarnation(1));
        for index in partitions {
            sample.assign(&orders(*index));
        }
        sample.hear();
        sample
    }

    /// The time now.
    pub(crate) fn now(&self) -> Tick {
        Tick::at(Duration::from_millis(self.clock.load(Ordering::Relaxed)))
    }

    /// So many milliseconds go by.
    pub(crate) fn after(&self, millis: u64) {
        self.clock.fetch_add(millis, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Reading {
        self.vitals.read(self.now())
    }

    /// The names of the checks that fail now.
    pub(crate) fn failed(&self) -> Vec<&'static str> {
        self.read().failed().map(|check| check.name).collect()
    }

    /// Brokers 1 and 2 are agreed and verified; they lead the partitions of `orders` in turn.
    pub(crate) fn agree(&self) {
        let endpoint = |node: i32| (NodeId(node), Address::new(format!("kafka-{node}"), 9092));
        let id = ClusterId::from("MkU3OEVBNTcwNTJENDM2Qk");
        let view = View::new(Some(id.clone()), [endpoint(1), endpoint(2)]);
        let leader = |index: i32| {
            let node = Some(NodeId(1 + index % 2));
            (index, Leader { node, epoch: LeaderEpoch(5) })
        };
        let topic = Topic { id: TopicId(7), error: None, partitions: (0..12).map(leader).collect() };
        let topics = BTreeMap::from([(Arc::from("orders"), topic)]);
        let mut cluster = Cluster::clone(&self.cluster.borrow());
        cluster.leaders.observe(&Address::new("kafka-1", 9092), &topics, self.now());
        cluster.verified = view.endpoints.keys().copied().collect();
        cluster.view = Some(Arc::new(view));
        cluster.pin = Some(id);
        self.cluster.send_replace(Arc::new(cluster));
    }

    /// The membership stands.
    pub(crate) fn join(&self) {
        let member_id = MemberId("steadfast-1".into());
        let generation = GroupGeneration(3);
        let mut standing = self.standing.lock().unwrap();
        standing.member_id = Some(member_id.clone());
        standing.generation = Some(generation);
        standing.settled = true;
        drop(standing);
        let coordinator = Some(NodeId(1));
        self.membership.send_replace(Some(Membership {
            protocol: GroupProtocol::Classic,
            coordinator,
            member_id,
            generation,
            settled: true,
        }));
        self.vitals.settled(true, self.now());
    }

    /// The partition is given to us, and fetched from offset 100; Kafka has stored 90.
    pub(crate) fn assign(&self, partition: &Partition) {
        let start = Start {
            topic: TopicId(7),
            offset: Offset(100),
            leader_epoch: LeaderEpoch(5),
            committed: Some(Offset(90)),
            handed_again_below: Offset(100),
        };
        self.table.begin(partition, start);
        self.standing.lock().unwrap().owned.insert(partition.clone());
    }

    /// Everything that answers by itself has just answered; logs end at 150.
    pub(crate) fn hear(&self) {
        self.vitals.metadata_answered(self.now());
        self.standing.lock().unwrap().heard = self.now();
        for partition in self.table.owned() {
            self.table.saw_end(&partition, Offset(150));
        }
    }

    /// Records up to `next` are given to the partition's handler, and take 1000 bytes.
    pub(crate) fn deliver(&self, partition: &Partition, next: i64) -> Lease {
        let incarnation = self.table.incarnation();
        let from = self.table.fetch_from(partition, incarnation).unwrap();
        self.table.hold(partition, 1000);
        let claim = self
            .table
            .update(partition, |progress| progress.claim(incarnation, from, Offset(next), LeaderEpoch(5)));
        match claim {
            Claim::Granted(grant) => grant.lease,
            refused => panic!("{refused:?}"),
        }
    }
}

/// A partition of the topic.
pub(crate) fn orders(index: i32) -> Partition {
    Partition::new("orders", index)
}

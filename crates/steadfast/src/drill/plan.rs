//! What world is wanted, and how its services begin.

use std::path::PathBuf;
use std::time::Duration;

use tracing::Level;

use super::ear::Ear;
use super::handler::Conduct;
use super::letters::Letterbox;

/// The topic of every world.
pub const TOPIC: &str = "orders";
/// The group of every world's services, unless each has one of its own.
pub const GROUP: &str = "billing";

/// What world is wanted.
#[derive(Debug, Clone)]
pub struct Plan {
    /// All of its randomness comes from here.
    pub seed: u64,
    /// Brokers of the cluster.
    pub brokers: u16,
    /// Services that are started with the world, numbered from 1: members of one group.
    pub services: usize,
    /// Whether each of them is in a group of its own, and so reads everything.
    pub apart: bool,
    /// Partitions of the topic [`TOPIC`].
    pub partitions: usize,
    /// TOML that is added to the configuration of every service.
    pub settings: String,
    /// Settings over those, of every service, as the environment has them: `STEADFAST_DRIFT_SETTLE`.
    pub policy: Vec<(String, String)>,
    /// How handlers behave.
    pub conduct: Conduct,
    /// Where bad records go; none if they are not tolerated.
    pub letters: Option<Letterbox>,
    /// How long each message between a service and a broker takes, at least and at most.
    pub latency: (Duration, Duration),
    /// How long a coordinator loads the groups that it takes over (COORDINATOR_LOAD_IN_PROGRESS).
    pub load_time: Duration,
    /// The least important lines that the event log has.
    pub level: Level,
}

impl Plan {
    /// One service, three brokers, twelve partitions, everything at its default.
    pub fn new(seed: u64) -> Plan {
        Plan {
            seed,
            brokers: 3,
            services: 1,
            apart: false,
            partitions: 12,
            settings: String::new(),
            policy: Vec::new(),
            conduct: Conduct::default(),
            letters: None,
            latency: (Duration::ZERO, Duration::ZERO),
            load_time: Duration::ZERO,
            level: Level::INFO,
        }
    }
}

/// How a service is started, where it is not as the plan says.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// TOML that is added to its configuration, after the plan's.
    pub settings: String,
    /// The line of TOML that says what it consumes; none: [`TOPIC`].
    pub topics: Option<String>,
    /// Where it looks for the cluster; none: at the stable address.
    pub bootstrap: Option<String>,
    /// Where its configuration is written to and read again from; none: it has no file.
    pub file: Option<PathBuf>,
    /// Who is told its events.
    pub ear: Option<Ear>,
    /// How its handlers behave; none: as the plan says.
    pub conduct: Option<Conduct>,
}

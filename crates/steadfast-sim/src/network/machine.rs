//! One broker's machine as the network sees it: the link to it, and what is to befall its next answers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use steadfast_core::ids::NodeId;
use steadfast_watch as watch;
use tokio::time::Instant;

use crate::guise::Guise;
use crate::serve::Served;

/// What passes between clients and one broker, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Whether the broker's process runs. If not, connections are refused and those that stand are reset.
    pub up: bool,
    /// How long a request takes to the broker, and an answer back. Timers have a resolution of a millisecond.
    pub latency: Duration,
    /// Up to how much longer it takes, drawn anew each time.
    pub jitter: Duration,
    /// Whether requests get to the broker. Those that don't arrive when they do again, as TCP repeats them; until
    /// then nobody can connect.
    pub requests: bool,
    /// Whether answers get to the client: likewise.
    pub answers: bool,
    /// What the broker says instead of the truth, if it does.
    pub guise: Option<Arc<Guise>>,
    /// Until when the process stands still: connections are made and requests arrive, and nothing is answered.
    pub paused_until: Option<Instant>,
    /// For how long the broker is deaf on a connection after each answer, and says so in it (KIP-219).
    pub throttle: Duration,
    /// How many new connections the broker takes up in a second (KIP-612); none: all. A second's worth may come at once.
    pub new_connections: Option<u32>,
    /// How often the process was stopped: no connection outlives that.
    pub(crate) life: u64,
    /// How often the connections that stood were silenced.
    pub(crate) silences: u64,
}

impl Link {
    /// A link on which all passes at once.
    pub fn sound() -> Link {
        Link {
            up: true,
            latency: Duration::ZERO,
            jitter: Duration::ZERO,
            requests: true,
            answers: true,
            guise: None,
            paused_until: None,
            throttle: Duration::ZERO,
            new_connections: None,
            life: 0,
            silences: 0,
        }
    }

    /// Whether the broker's process stands still.
    pub(crate) fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    /// Whether both ways are open: only then can a connection be made.
    pub fn passes(&self) -> bool {
        self.requests && self.answers
    }
}

/// What befalls one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// Half of its frame is sent, then the connection is reset.
    ResetMidFrame,
    /// Half of its frame is sent, then the connection is closed in order.
    Truncated,
    /// The bytes of its frame behind the correlation id are replaced by such as no decoder takes for an answer (so that
    /// it is not mistaken for another answer, which no client could help).
    Corrupt,
    /// It is never sent, nor is anything after it on its connection.
    Withheld,
}

/// One broker behind its link.
pub struct Machine {
    served: Arc<Served>,
    node: NodeId,
    link: watch::Sender<Link>,
    fate: Mutex<Fate>,
}

struct Fate {
    damages: BTreeMap<i16, Vec<Damage>>,
    dice: StdRng,
    /// When the quota of new connections is used up to, at an even pace.
    used_until: Option<Instant>,
}

impl Machine {
    /// The machine of one broker of a cluster, behind a sound link. `seed` decides jitter and corrupt bytes.
    pub fn new(served: Arc<Served>, node: NodeId, seed: u64) -> Machine {
        let dice = StdRng::seed_from_u64(seed ^ u64::from(node.0.unsigned_abs()).rotate_left(32));
        let fate = Fate { damages: BTreeMap::new(), dice, used_until: None };
        Machine { served, node, link: watch::Sender::new(Link::sound()), fate: Mutex::new(fate) }
    }

    /// The cluster that the broker belongs to.
    pub fn served(&self) -> &Arc<Served> {
        &self.served
    }

    /// Which broker it is.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// How the link is now.
    pub fn link(&self) -> Link {
        self.link.borrow().clone()
    }

    /// Changes the link, for the connections that stand too.
    pub fn change_link(&self, change: impl FnOnce(&mut Link)) {
        self.link.send_modify(change);
    }

    /// The process ends: its connections are reset and new ones refused.
    pub fn stop(&self) {
        self.change_link(|link| {
            link.up = false;
            link.life += 1;
        });
    }

    /// The process runs again.
    pub fn start(&self) {
        self.change_link(|link| link.up = true);
    }

    /// The connections that stand fall silent for good, both ways; new ones work.
    pub fn silence(&self) {
        self.change_link(|link| link.silences += 1);
    }

    /// Damages the next answer to `api` that no earlier damage is meant for.
    pub fn damage_next(&self, api: ApiKey, damage: Damage) {
        self.fate().damages.entry(api as i16).or_default().push(damage);
    }

    /// Forgets the damages that did not happen yet.
    pub fn forget_damages(&self) {
        self.fate().damages.clear();
    }

    pub(crate) fn watch_link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// What befalls the answer to `api` that is about to be sent.
    pub(crate) fn damage(&self, api: ApiKey) -> Option<Damage> {
        let mut fate = self.fate();
        let waiting = fate.damages.get_mut(&(api as i16)).filter(|waiting| !waiting.is_empty())?;
        Some(waiting.remove(0))
    }

    /// How long one passage over the link takes.
    pub(crate) fn delay(&self, link: &Link) -> Duration {
        if link.jitter.is_zero() {
            return link.latency;
        }
        link.latency + link.jitter.mul_f64(self.fate().dice.random::<f64>())
    }

    /// When a connection that is made now is taken up: one beyond the quota is made, and then left alone for a while.
    pub(crate) fn takes_up(&self, link: &Link, now: Instant) -> Instant {
        const SECOND: Duration = Duration::from_secs(1);
        let Some(quota) = link.new_connections else { return now };
        let mut fate = self.fate();
        let used = fate.used_until.map_or(now, |until| until.max(now)) + SECOND / quota.max(1);
        fate.used_until = Some(used);
        used.checked_sub(SECOND).map_or(now, |turn| turn.max(now))
    }

    /// Replaces these bytes by such that no decoder takes for an answer: lengths are negative or huge.
    pub(crate) fn corrupt(&self, bytes: &mut [u8]) {
        let mut fate = self.fate();
        for byte in bytes {
            *byte = fate.dice.random_range(0x80..0xff);
        }
    }

    fn fate(&self) -> MutexGuard<'_, Fate> {
        self.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine").field("node", &self.node).field("link", &*self.link.borrow()).finish()
    }
}

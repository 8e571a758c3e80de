//! The account of rebalances, as actors share it: it is told what happens, and says what a finished one came to.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use steadfast_core::group::account::{Account, Certainty, Handed, Happening, Record};
use steadfast_core::ids::Partition;
use steadfast_core::tick::Tick;
use steadfast_watch as watch;

use super::advisor::Advisor;
use super::traffic::Traffic;
use crate::config::Config;
use crate::env::Env;
use crate::events::{Advised, Event, Rebalance};
use crate::ledger::ranges;
use crate::locked::locked;
use crate::observers::Events;

/// The account of the process. It survives the crash of any actor. A clone is the same account.
#[derive(Clone)]
pub(crate) struct Accounts(Arc<Books>);

struct Books {
    now: Box<dyn Fn() -> Tick + Send + Sync>,
    account: Mutex<Account>,
    traffic: Traffic,
    advisor: Advisor,
    events: Events,
}

impl Accounts {
    /// An empty account by the service's clock; advice is about the settings in `config`.
    pub(crate) fn new(env: &Env, config: watch::Receiver<Arc<Config>>, events: Events) -> Accounts {
        let clock = env.clone();
        Accounts(Arc::new(Books {
            now: Box::new(move || clock.now()),
            account: Mutex::default(),
            traffic: Traffic::default(),
            advisor: Advisor::new(config),
            events,
        }))
    }

    /// What the lines to the coordinator count into.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.0.traffic
    }

    /// What the rebalances of the last hour advise.
    pub(crate) fn advice(&self) -> Vec<Advised> {
        self.0.advisor.advice((self.0.now)())
    }

    /// Something happened. A rebalance that is over by it is told.
    pub(crate) fn note(&self, happening: Happening) {
        let (now, spent) = ((self.0.now)(), self.0.traffic.total());
        let finished = locked(&self.0.account).handle(happening, now, spent);
        let Some(record) = finished else { return };
        let rebalance = Box::new(told(&record));
        let advice = self.0.advisor.learn(&rebalance, now);
        self.0.events.emit(Event::GroupRebalanceCompleted { rebalance });
        if let Some(advice) = advice {
            self.0.events.emit(Event::GroupAdvised { advice });
        }
    }

    /// Where the partition begins is known, and what of it comes again.
    pub(crate) fn placed(&self, partition: &Partition, offsets: i64, certainty: Certainty) {
        let handed = Handed { offsets: u64::try_from(offsets).unwrap_or_default(), certainty };
        self.note(Happening::Placed { partition: partition.clone(), handed });
    }
}

/// The record as the log has it.
fn told(record: &Record) -> Rebalance {
    let took = &record.took;
    let in_ms = |duration: std::time::Duration| duration.as_secs_f64() * 1e3;
    let named = |partitions: &BTreeSet<Partition>| ranges(&partitions.iter().cloned().collect::<Vec<_>>());
    Rebalance {
        generation: record.generation.0,
        reason: record.reason.class().to_owned(),
        latest_reason: record.latest.class().to_owned(),
        trigger: record.trigger.as_ref().map(ToString::to_string),
        protocol: record.manner.name().to_owned(),
        assignor: record.assignor.to_string(),
        led: record.leader,
        led_by: record.led_by.as_ref().map(ToString::to_string),
        members: record.gathered.map(|gathered| gathered.members),
        idle_members: record.gathered.map(|gathered| gathered.idle),
        rounds: record.rounds,
        drain_ms: in_ms(took.drain),
        join_ms: in_ms(took.join),
        sync_ms: in_ms(took.sync),
        revoke_ms: took.revoke.map(in_ms),
        commit_ms: took.commit.map(in_ms),
        handlers_ms: took.handlers.map(in_ms),
        first_record_ms: took.first_record.map(in_ms),
        took_ms: in_ms(record.whole),
        taken_up: record.taken.len(),
        taken_up_partitions: named(&record.taken),
        given_up: record.given.len(),
        given_up_partitions: named(&record.given),
        kept: record.kept,
        lost: record.lost,
        undrained: record.undrained,
        unseen: record.unseen,
        unavailable_partition_seconds: record.unavailable.as_secs_f64(),
        handed_again: record.handed.offsets,
        handed_again_certainty: record.handed.certainty.name().to_owned(),
        coordinator_losses: record.coordinator_losses,
        requests: record.spent.requests,
        bytes: record.spent.bytes,
    }
}

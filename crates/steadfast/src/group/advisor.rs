//! What finished rebalances advise, by core's rules under the settings in force.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use steadfast_core::group::actions::{Manner, Reason};
use steadfast_core::group::advice::{Advice, Cause, Seen, Set, WINDOW, advise};
use steadfast_core::tick::Tick;
use steadfast_watch as watch;

use crate::config::Config;
use crate::events::{Advised, Rebalance};
use crate::locked::locked;

/// Remembers rebalances for as long as advice looks back.
pub(crate) struct Advisor {
    config: watch::Receiver<Arc<Config>>,
    past: Mutex<Past>,
}

#[derive(Default)]
struct Past {
    over: VecDeque<(Tick, Rebalance)>,
    told: BTreeSet<Cause>,
    told_at: Option<Tick>,
}

/// More of them say the same.
const REMEMBERED: usize = 500;
/// Advice that differs is told no more often.
const TOLD_AGAIN: Duration = Duration::from_secs(600);

impl Advisor {
    /// One that has seen nothing.
    pub(crate) fn new(config: watch::Receiver<Arc<Config>>) -> Advisor {
        Advisor { config, past: Mutex::default() }
    }

    /// A rebalance is over. The advice, if there is some that was not told before, and none was told just now.
    pub(crate) fn learn(&self, rebalance: &Rebalance, now: Tick) -> Option<Vec<Advised>> {
        let mut past = locked(&self.past);
        past.over.push_back((now, rebalance.clone()));
        if past.over.len() > REMEMBERED {
            past.over.pop_front();
        }
        past.over.retain(|(at, _)| now.since(*at) <= WINDOW);
        let advice = past.advice(&self.set(), now);
        let causes: BTreeSet<Cause> = advice.iter().map(|advice| advice.cause).collect();
        let just_now = past.told_at.is_some_and(|at| now.since(at) < TOLD_AGAIN);
        if causes.is_subset(&past.told) || just_now {
            return None;
        }
        past.told = causes;
        past.told_at = Some(now);
        Some(advice.iter().map(advised).collect())
    }

    /// What is advised now.
    pub(crate) fn advice(&self, now: Tick) -> Vec<Advised> {
        locked(&self.past).advice(&self.set(), now).iter().map(advised).collect()
    }

    fn set(&self) -> Set {
        set(&self.config.borrow())
    }
}

impl Past {
    fn advice(&self, set: &Set, now: Tick) -> Vec<Advice> {
        let seen = self.over.iter().filter_map(|(at, rebalance)| seen(rebalance, now.since(*at)));
        advise(&seen.collect::<Vec<Seen>>(), set)
    }
}

/// The settings that advice is about.
pub(crate) fn set(config: &Config) -> Set {
    Set {
        session: config.kafka.session_timeout,
        rebalance_timeout: config.kafka.max_poll_interval,
        drain: config.checkpoint.drain,
        checkpoint: config.checkpoint.interval,
        is_static: config.kafka.group_instance_id.is_some(),
    }
}

/// A rebalance as advice looks at it; none if it names what this version does not know.
pub(crate) fn seen(of: &Rebalance, ago: Duration) -> Option<Seen> {
    let took = |millis: f64| Duration::try_from_secs_f64(millis / 1e3).unwrap_or_default();
    let maybe = |millis: Option<f64>| millis.map(took).unwrap_or_default();
    Some(Seen {
        ago,
        reason: Reason::named(&of.reason)?,
        manner: Manner::named(&of.protocol)?,
        drain: took(of.drain_ms),
        join: took(of.join_ms),
        sync: took(of.sync_ms),
        revoke: maybe(of.revoke_ms),
        commit: maybe(of.commit_ms),
        handlers: maybe(of.handlers_ms),
        first_record: maybe(of.first_record_ms),
        taken: of.taken_up,
        kept: of.kept,
        undrained: of.undrained,
        handed_again: of.handed_again,
        coordinator_losses: of.coordinator_losses,
        idle_members: of.idle_members,
    })
}

/// Advice as events and answers have it.
pub(crate) fn advised(advice: &Advice) -> Advised {
    let (evidence, cure) = (advice.evidence.clone(), advice.cure.clone());
    Advised { cause: advice.cause.name().to_owned(), evidence, cure }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "topics = [\"orders\"]\nkafka.bootstrap.servers = \"kafka-1:9092\"\n\
                          kafka.group.id = \"billing\"\nstate.dir = \"/nowhere\"\n";

    fn at(seconds: u64) -> Tick {
        Tick::at(Duration::from_secs(seconds))
    }

    #[test]
    fn advice_is_told_when_it_is_new_and_no_more_often_than_that() {
        let config = Arc::new(Config::from_toml_str(CONFIG).unwrap());
        let (_config, in_force) = watch::channel(config);
        let advisor = Advisor::new(in_force);
        let over = |undrained: usize, idle: usize| Rebalance {
            reason: "start".to_owned(),
            protocol: "eager".to_owned(),
            undrained,
            idle_members: Some(idle),
            ..Rebalance::default()
        };
        let causes = |seconds: u64, rebalance: Rebalance| -> Vec<String> {
            let told = advisor.learn(&rebalance, at(seconds)).unwrap_or_default();
            told.into_iter().map(|advised| advised.cause).collect()
        };
        assert_eq!(causes(0, over(0, 0)), [""; 0]);
        assert_eq!(causes(1, over(1, 0)), ["undrained"]);
        assert_eq!(causes(2, over(1, 0)), [""; 0], "it was told");
        assert_eq!(causes(3, over(0, 1)), [""; 0], "something was told just now");
        assert_eq!(causes(700, over(0, 1)), ["undrained", "idle_members"]);
        assert_eq!(advisor.advice(at(701)).len(), 2);
        assert_eq!(advisor.advice(at(10_000)), [], "what it followed from is long ago");
    }

    #[test]
    fn what_another_version_wrote_is_no_evidence() {
        let strange = Rebalance { reason: "moonlight".to_owned(), ..Rebalance::default() };
        assert_eq!(seen(&strange, Duration::ZERO), None);
    }
}

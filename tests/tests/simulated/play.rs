//! How scenarios are played: a service under load, something that befalls it, and the story that is left.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use steadfast::exit::Exit;
use steadfast_core::ids::{NodeId, Offset, Partition};
use steadfast_core::tick::Tick;
use steadfast_sim::checker::{self, Limits, Summary, Violation};
use steadfast_sim::faults::{Fault, Nodes};
use steadfast_sim::notice::Notice;
use steadfast_tests::simulated::journal::{Answer, Happening, What};
use steadfast_tests::simulated::judge::Judge;
use steadfast_tests::simulated::sweep::expect_panics;
use steadfast_tests::simulated::world::{Plan, Report, World, replay, simulate};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
/// Records a second, over all partitions.
pub(crate) const RATE: f64 = 24.0;
/// Before anything befalls a world, it is calm: the member heartbeats slowly again.
const CALM: Duration = Duration::from_secs(12);
/// Whatever befell it, a world has caught up so long after the load's end.
const CATCH_UP: Duration = Duration::from_secs(60);

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn node(number: i32) -> NodeId {
    NodeId(number)
}

pub(crate) fn all() -> Nodes {
    Nodes::All
}

pub(crate) fn only(number: i32) -> Nodes {
    Nodes::one(NodeId(number))
}

/// All that happened in a world, in order.
pub(crate) struct Story {
    pub(crate) happenings: Vec<Happening>,
    pub(crate) report: Report,
    /// When the scenario began, after the calm.
    pub(crate) began: Tick,
    /// Whether all invariants held.
    pub(crate) verdict: Result<Summary, Violation>,
}

/// Plays a scenario under load, in a world that is calm when it begins, and to the end: the load is over and
/// everything is processed before the service is ended.
pub(crate) fn play(plan: Plan, scenario: impl AsyncFnOnce(&World)) -> Story {
    played(plan, true, scenario)
}

/// The same where not everything will be processed.
pub(crate) fn play_unfinished(plan: Plan, scenario: impl AsyncFnOnce(&World)) -> Story {
    played(plan, false, scenario)
}

fn played(plan: Plan, to_the_end: bool, scenario: impl AsyncFnOnce(&World)) -> Story {
    expect_panics();
    let happenings: Arc<Mutex<Vec<Happening>>> = Arc::default();
    let (heard, judge) = (Arc::clone(&happenings), judge());
    let eyes = judge.clone();
    let hear = move |world: &World, happening: &Happening| {
        eyes.see(world, happening);
        heard.lock().unwrap_or_else(PoisonError::into_inner).push(happening.clone());
    };
    let (began, report) = simulate(plan, hear, async |world| {
        let load = world.load(RATE);
        world.elapse(CALM).await;
        let began = world.now();
        scenario(world).await;
        drop(load);
        if to_the_end && !world.caught_up(CATCH_UP).await {
            let waits = judge.finish(world.now());
            panic!("lost: {:?}, {waits:?}", world.tally().missing());
        }
        began
    });
    let happenings = std::mem::take(&mut *happenings.lock().unwrap_or_else(PoisonError::into_inner));
    let verdict = judge.finish(report.ended);
    Story { happenings, report, began, verdict }
}

/// Whoever checks the invariants while a scenario is played. How fast the service recovers is stated by the scenarios
/// themselves, so for the judge something is broken all the time.
fn judge() -> Judge {
    let minute = 60 * SECOND;
    let judge = Judge::new(Limits {
        settle: 2 * SECOND,
        connect_timeout: SECOND,
        request_timeout: minute / 2,
        rebalance_timeout: 5 * minute,
        respawn_budget: 3,
        respawn_window: minute,
        respawn_drain: SECOND,
        commits: true,
        catch_up: 60 * minute,
        mend: 60 * minute,
    });
    judge.tell(Tick::ZERO, checker::Happening::Injected("a scenario".to_owned()));
    judge
}

/// Has a fault happen.
pub(crate) fn befall(world: &World, fault: Fault) {
    let injected = world.inject(fault.to_string(), |cluster| cluster.inject(&fault));
    injected.unwrap_or_else(|error| panic!("{fault}: {error}"));
}

/// A fault befalls a world of three brokers and one service; 30 s later it is healed, and 15 s later all is over.
pub(crate) fn under(seed: u64, fault: Fault) -> Story {
    play(Plan::new(seed), async |world| {
        befall(world, fault);
        world.elapse(30 * SECOND).await;
        befall(world, Fault::Heal { nodes: all() });
        world.elapse(15 * SECOND).await;
    })
}

impl Story {
    /// The events of this name, each with its time since the scenario began.
    pub(crate) fn events(&self, name: &str) -> Vec<(Duration, Value)> {
        let named = |happening: &Happening| match &happening.what {
            What::Logged(line) if line.name() == name => Some((happening.at.since(self.began), line.json())),
            _ => None,
        };
        self.happenings.iter().filter(|happening| happening.at >= self.began).filter_map(named).collect()
    }

    /// When the events of this name were told, since the scenario began.
    pub(crate) fn times(&self, name: &str) -> Vec<Duration> {
        self.events(name).into_iter().map(|(at, _)| at).collect()
    }

    /// When the coordinator stored commits, since the scenario began.
    pub(crate) fn stored(&self) -> Vec<Duration> {
        let stored = |happening: &Happening| match &happening.what {
            What::Noticed(Notice::Committed { .. }) if happening.at >= self.began => {
                Some(happening.at.since(self.began))
            }
            _ => None,
        };
        self.happenings.iter().filter_map(stored).collect()
    }

    /// Respawns because of drift.
    pub(crate) fn respawns(&self) -> usize {
        self.events("consumer.respawned").iter().filter(|(_, event)| event["reason"] == "drift").count()
    }

    /// Rounds of the group since the scenario began.
    pub(crate) fn rounds(&self) -> usize {
        self.events("group.rebalanced").len()
    }

    /// How long each record waited that was appended since the scenario began, from its append until it was processed.
    pub(crate) fn waits(&self) -> BTreeMap<(Partition, Offset), (Tick, Duration)> {
        let mut appended = BTreeMap::new();
        let mut waits = BTreeMap::new();
        for Happening { at, what } in &self.happenings {
            match what {
                What::Appended(partition, span) if *at >= self.began => {
                    let offsets = (span.from.0..span.next.0).map(Offset);
                    appended.extend(offsets.map(|offset| ((partition.clone(), offset), *at)));
                }
                What::Answered(batch, Answer::Done) => {
                    for offset in &*batch.offsets {
                        let record = (batch.partition.clone(), *offset);
                        if let Some(since) = appended.remove(&record) {
                            waits.insert(record, (since, at.since(since)));
                        }
                    }
                }
                _ => {}
            }
        }
        waits
    }

    /// The longest that a record waited.
    pub(crate) fn slowest(&self) -> Duration {
        self.waits().into_values().map(|(_, wait)| wait).max().unwrap_or_default()
    }

    /// The longest that a record of these partitions waited.
    pub(crate) fn slowest_of(&self, wanted: impl Fn(&Partition) -> bool) -> Duration {
        let waits = self.waits();
        let waits = waits.iter().filter(|((partition, _), _)| wanted(partition));
        waits.map(|(_, (_, wait))| *wait).max().unwrap_or_default()
    }

    /// Nothing was lost, nothing came twice, no record waited longer than `limit`, and the service ended in order.
    #[track_caller]
    pub(crate) fn is_clean(&self, limit: Duration) -> &Story {
        self.lost_nothing();
        assert_eq!(self.report.tally.redelivered(), BTreeMap::new(), "redelivered\n{}", self.told());
        let slowest = self.slowest();
        assert!(slowest <= limit, "a record waited for {slowest:?}, not {limit:?}\n{}", self.told());
        self
    }

    /// All invariants held.
    #[track_caller]
    pub(crate) fn broke_nothing(&self) -> &Story {
        assert!(self.verdict.is_ok(), "{:?}\n{}", self.verdict, self.told());
        self
    }

    /// Nothing was lost, all invariants held, and the services ended in order.
    #[track_caller]
    pub(crate) fn lost_nothing(&self) -> &Story {
        self.broke_nothing();
        assert_eq!(self.report.tally.missing(), BTreeMap::new(), "lost\n{}", self.told());
        let exits = &self.report.exits;
        assert!(exits.values().all(|exit| *exit == Exit::Fine), "{exits:?}\n{}", self.told());
        self
    }

    /// It took this many respawns and rounds of the group.
    #[track_caller]
    pub(crate) fn cost(&self, respawns: usize, rounds: usize) -> &Story {
        assert_eq!((self.respawns(), self.rounds()), (respawns, rounds), "respawns, rounds\n{}", self.told());
        self
    }

    /// The event log since the scenario began, and what befell the world, each with its time since then.
    pub(crate) fn told(&self) -> String {
        let mut text = String::new();
        for Happening { at, what } in self.happenings.iter().filter(|happening| happening.at >= self.began) {
            let line = match what {
                What::Logged(line) => line.text(),
                What::Injected(what) => what,
                _ => continue,
            };
            text += &format!("{:.3}s {line}\n", at.since(self.began).as_secs_f64());
        }
        text + "Replay it: " + &replay()
    }
}

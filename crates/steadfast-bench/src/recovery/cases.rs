//! The cases.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use steadfast_sim::proxy::{Nodes, Old};
use steadfast_tests::kafka::{self, Cluster};
use steadfast_tests::within;

use super::figures::{Figures, Outcome, Target};
use crate::machine::load_average;
use crate::scene::{LIMIT, Opening, PARTITIONS, Scene, Shift, whole};
use crate::seen::{Seen, first_after, first_written_after, longest_gap, longest_wait};
use crate::story;

/// What is done at each move, and measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Case {
    /// Every endpoint moves, old ports refuse.
    Refuse,
    /// Every endpoint moves, old ports are black holes.
    BlackHole,
    /// Every endpoint moves, old ports answer no SYN (on Linux).
    Drop,
    /// Every endpoint moves, old ports refuse, and the default budget of respawns is spent.
    PastBudget,
    /// Every endpoint moves, only the old ones are known, and they serve the new view for 10 s.
    Grace,
    /// Every endpoint moves, only the old ones are known, and then the configuration file names the new ones.
    Config,
    /// One of three moves, its old port refuses.
    OneOfThree,
}

/// The respawns of a benchmark are more than the default allows in ten minutes.
const BUDGET: &str = "\n[respawn]\nbudget = 100\n";
/// What the default allows in ten minutes.
const DEFAULT_BUDGET: usize = 3;
const GRACE: Duration = Duration::from_secs(10);
/// How long after the old ports' end pauses still count.
const AFTERMATH: Duration = Duration::from_secs(5);
/// How long an outage stands before the configuration file is changed.
const OUTAGE: Duration = Duration::from_secs(2);
/// The window in which the partitions that did not move are watched, and one before the move, to compare.
const WINDOW: Duration = Duration::from_secs(2);
/// Between two moves, so that one is not measured in the other's wake.
const REST: Duration = Duration::from_secs(1);

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Case {
    /// All of them, in their order.
    pub fn all() -> &'static [Case] {
        Case::value_variants()
    }

    fn opening(self) -> Opening<'static> {
        let (name, stable_bootstrap) = match self {
            Case::Refuse => ("recovery-refuse", true),
            Case::BlackHole => ("recovery-black-hole", true),
            Case::Drop => ("recovery-drop", true),
            Case::PastBudget => ("recovery-past-budget", true),
            Case::Grace => ("recovery-grace", false),
            Case::Config => ("recovery-config", false),
            Case::OneOfThree => ("recovery-one-of-three", true),
        };
        let settings = if self == Case::PastBudget { "" } else { BUDGET };
        Opening { name, settings, stable_bootstrap }
    }

    /// How many moves are made before any is measured.
    fn unmeasured(self) -> usize {
        if self == Case::PastBudget { DEFAULT_BUDGET } else { 0 }
    }

    fn name(self) -> &'static str {
        self.opening().name.trim_start_matches("recovery-")
    }

    /// What is measured at each move, with what it has to hold.
    fn figures(self) -> Vec<Figures> {
        let figures = |what, target| Figures { what, times: Vec::new(), target };
        let first = "move to the first record of every partition";
        match self {
            Case::Refuse | Case::PastBudget => {
                vec![figures(first, Some(Target { median: ms(100), all: ms(250) }))]
            }
            Case::BlackHole | Case::Drop => {
                vec![figures(first, Some(Target { median: ms(1000), all: ms(1500) }))]
            }
            Case::Grace => vec![
                figures(
                    "longest gap between records of a partition, from the move to 5 s after the old ports died",
                    Some(Target::all(ms(300))),
                ),
                figures("longest wait of a record in that time", Some(Target::all(ms(300)))),
                figures("the same, 5 s before the move", None),
            ],
            Case::Config => vec![figures(
                "the file's rename to the first record of every partition",
                Some(Target::all(ms(500))),
            )],
            Case::OneOfThree => vec![
                figures("move to the first record of its partitions", Some(Target::all(ms(300)))),
                figures(
                    "longest wait of a record of the others, 2 s from the move",
                    Some(Target::all(ms(50))),
                ),
                figures("the same, 2 s before the move", None),
                figures("longest gap between records of the others, 2 s from the move", None),
                figures("the same, 2 s before the move", None),
            ],
        }
    }

    /// Plays the case on a topic, group and service of its own.
    ///
    /// # Errors
    /// Something does not come about within a minute.
    pub fn play(self, cluster: &Cluster, moves: usize) -> io::Result<Outcome> {
        let before = load_average();
        let scene = Scene::begin(cluster, self.opening())?;
        let mut figures = self.figures();
        let moves = moves + self.unmeasured();
        for number in 1..=moves {
            // Moves fall on every phase of what the service does at intervals.
            std::thread::sleep(REST + ms(137 * number as u64 % 500));
            let (shift, times) = self.measure(&scene, number)?;
            let respawns = self.respawns(number);
            scene.until("the respawn is reported", || scene.respawns() >= respawns)?;
            println!("{}", progress(self.name(), (number, moves), &times, &scene, &shift));
            if number > self.unmeasured() {
                for (figures, time) in figures.iter_mut().zip(times) {
                    figures.times.push(time);
                }
            }
        }
        std::thread::sleep(REST);
        let (proof, service) = scene.finish()?;
        if !proof.holds() {
            eprintln!("{}", service.story());
        }
        let load = (before, load_average());
        let (case, respawns) = (self.name(), self.respawns(moves));
        Ok(Outcome { case, moves, respawns, figures, proof, load })
    }

    /// How many respawns so many moves have to cost.
    fn respawns(self, moves: usize) -> usize {
        match self {
            Case::Refuse | Case::BlackHole | Case::Drop | Case::Grace | Case::Config => moves,
            Case::PastBudget => moves.min(DEFAULT_BUDGET),
            Case::OneOfThree => 0,
        }
    }

    fn measure(self, scene: &Scene, number: usize) -> io::Result<(Shift, Vec<Duration>)> {
        match self {
            Case::Refuse | Case::PastBudget => every_endpoint(scene, Old::Refuse),
            Case::BlackHole => every_endpoint(scene, Old::BlackHole),
            Case::Drop => every_endpoint(scene, Old::Drop),
            Case::Grace => grace(scene),
            Case::Config => config(scene),
            Case::OneOfThree => one_of_three(scene, number),
        }
    }
}

fn every_endpoint(scene: &Scene, old: Old) -> io::Result<(Shift, Vec<Duration>)> {
    let shift = scene.shift(Nodes::All, old)?;
    scene.await_flow(&shift)?;
    let first = first_written_after(&scene.seen_from(shift.records), shift.closed, shift.moved.at);
    Ok((shift, vec![longest(first)]))
}

fn grace(scene: &Scene) -> io::Result<(Shift, Vec<Duration>)> {
    let records = scene.service.count();
    std::thread::sleep(AFTERMATH);
    let shift = scene.shift(Nodes::All, Old::Grace(GRACE))?;
    let (moved, until) = (shift.moved.at, shift.moved.at + GRACE + AFTERMATH);
    sleep_until(until + REST);
    let watched = Watched { scene, records: shift.records, from: moved, until };
    let before = Watched { scene, records, from: moved - AFTERMATH, until: moved };
    let all = |_: &i32| true;
    let times = vec![watched.longest_gap(all)?, watched.longest_wait(all)?, before.longest_wait(all)?];
    Ok((shift, times))
}

fn config(scene: &Scene) -> io::Result<(Shift, Vec<Duration>)> {
    let shift = scene.shift(Nodes::All, Old::Refuse)?;
    std::thread::sleep(OUTAGE);
    let records = scene.service.count();
    let renamed = scene.reconfigure()?;
    let first = || first_after(&scene.seen_from(records), renamed);
    scene.until("every partition goes on", || whole(&first()))?;
    Ok((shift, vec![longest(first())]))
}

fn one_of_three(scene: &Scene, number: usize) -> io::Result<(Shift, Vec<Duration>)> {
    let records = scene.service.count();
    std::thread::sleep(WINDOW);
    let node = i32::try_from(number % 3).unwrap_or_default() + 1;
    let its = led_by(scene, node)?;
    let shift = scene.shift(Nodes::Some(BTreeSet::from([node])), Old::Refuse)?;
    scene.await_flow(&shift)?;
    let moved = shift.moved.at;
    sleep_until(moved + WINDOW + REST);
    let first = first_written_after(&scene.seen_from(shift.records), shift.closed, moved);
    let of_its = longest(first.into_iter().filter(|(partition, _)| its.contains(partition)));
    let others = |partition: &i32| !its.contains(partition);
    let after = Watched { scene, records: shift.records, from: moved, until: moved + WINDOW };
    // What was written just before the move belongs to its wake.
    let before = Watched { scene, records, from: moved - WINDOW, until: moved - ms(100) };
    let times = vec![
        of_its,
        after.longest_wait(others)?,
        before.longest_wait(others)?,
        after.longest_gap(others)?,
        before.longest_gap(others)?,
    ];
    Ok((shift, times))
}

/// A time in which pauses are looked for.
struct Watched<'a> {
    scene: &'a Scene,
    /// How many records had come out before it.
    records: usize,
    from: SystemTime,
    until: SystemTime,
}

impl Watched<'_> {
    /// With some that came out before: a record may come out before the producer reads its acknowledgement.
    fn seen(&self) -> Vec<Seen> {
        self.scene.seen_from(self.records.saturating_sub(100))
    }

    fn longest_gap(&self, of: impl Fn(&i32) -> bool) -> io::Result<Duration> {
        let gaps = longest_gap(&self.seen(), self.from, self.until);
        self.longest(gaps, of)
    }

    fn longest_wait(&self, of: impl Fn(&i32) -> bool) -> io::Result<Duration> {
        let acked = self.scene.acked_between(self.from, self.until);
        let waits = longest_wait(&acked, &self.seen(), SystemTime::now());
        self.longest(waits, of)
    }

    fn longest(&self, times: BTreeMap<i32, Duration>, of: impl Fn(&i32) -> bool) -> io::Result<Duration> {
        if !whole(&times) {
            let (found, story) = (times.len(), self.scene.service.story());
            return Err(io::Error::other(format!("only {found} partitions flow\n{story}")));
        }
        Ok(longest(times.into_iter().filter(|(partition, _)| of(partition))))
    }
}

/// Which partitions a broker leads.
fn led_by(scene: &Scene, node: i32) -> io::Result<BTreeSet<i32>> {
    let name = Case::OneOfThree.opening().name;
    within(LIMIT, || {
        let topics = kafka::metadata(scene.bootstrap(), &[name])?.topics;
        let partitions = topics.into_iter().flat_map(|topic| topic.partitions);
        let its: BTreeSet<i32> = partitions
            .filter(|partition| partition.leader_id.0 == node)
            .map(|partition| partition.partition_index)
            .collect();
        let some = !its.is_empty() && i32::try_from(its.len()).is_ok_and(|its| its < PARTITIONS);
        some.then_some(its).ok_or_else(|| io::Error::other(format!("broker {node} leads all or none")))
    })
}

fn longest(times: impl IntoIterator<Item = (i32, Duration)>) -> Duration {
    times.into_iter().map(|(_, time)| time).max().unwrap_or_default()
}

fn sleep_until(at: SystemTime) {
    if let Ok(left) = at.duration_since(SystemTime::now()) {
        std::thread::sleep(left);
    }
}

fn progress(
    case: &str,
    (number, moves): (usize, usize),
    times: &[Duration],
    scene: &Scene,
    shift: &Shift,
) -> String {
    let times: Vec<String> = times.iter().map(|time| story::millis(*time)).collect();
    let events = scene.events_from(shift.events);
    let respawned = events.iter().rfind(|event| event.name == "consumer.respawned");
    let phases = respawned.map(|event| format!("  ({})", story::phases(&event.json))).unwrap_or_default();
    format!("{case:<13} {number:>2}/{moves}  {} ms{phases}", times.join(" | "))
}

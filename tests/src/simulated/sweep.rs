//! The sweep: for each seed a world, a load and faults drawn from it, under the eyes of the checker.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use std::time::Duration;

use steadfast::exit::Exit;
use steadfast::service::Control;
use steadfast_core::progress::Progress;
use steadfast_sim::checker::{Happening, Summary, Violation};
use steadfast_sim::group::GroupState;
use tracing::Level;

use super::deeds::{Deed, Step};
use super::drawn::Drawn;
use super::judge::Judge;
use super::rumours::Rumours;
use super::world::{GROUP, Report, World, simulate};

/// What became of one seed.
#[derive(Debug)]
pub struct Verdict {
    /// The seed.
    pub seed: u64,
    /// What was counted, or what is wrong.
    pub outcome: Result<Summary, Failure>,
}

/// A seed that failed.
#[derive(Debug)]
pub struct Failure {
    /// What is wrong.
    pub found: Found,
    /// What the world was like, and what befell it.
    pub drawn: String,
    /// The end of the event log.
    pub log: String,
}

/// What is wrong.
#[derive(Debug)]
pub enum Found {
    /// An invariant does not hold.
    Violated(Violation),
    /// A service ended by itself, or cannot be ended in order.
    Ended(BTreeMap<usize, Exit>),
    /// The world panicked, with these words.
    Panicked(String),
}

/// How many lines of the event log a failure shows.
const TAIL: usize = 60;

/// Plays one seed.
pub fn play(seed: u64) -> Verdict {
    told(Drawn::from_seed(seed), TAIL)
}

/// Plays the crowd of one seed.
pub fn play_crowd(seed: u64) -> Verdict {
    told(Drawn::crowd(seed), TAIL)
}

/// Plays one seed, and shows the whole event log, also what is meant for developers.
pub fn play_aloud(seed: u64) -> Verdict {
    aloud(Drawn::from_seed(seed))
}

/// The same with the crowd of the seed.
pub fn play_crowd_aloud(seed: u64) -> Verdict {
    aloud(Drawn::crowd(seed))
}

fn aloud(mut drawn: Drawn) -> Verdict {
    drawn.plan.level = Level::DEBUG;
    told(drawn, usize::MAX)
}

/// A panic inside a world is a finding of its seed, and not the end of the sweep.
fn told(drawn: Drawn, lines: usize) -> Verdict {
    expect_panics();
    let (seed, story) = (drawn.plan.seed, drawn.to_string());
    catch_unwind(AssertUnwindSafe(|| judged(drawn, lines))).unwrap_or_else(|payload| {
        let found = Found::Panicked(words(&*payload));
        // The world has told the end of its log as it fell.
        Verdict { seed, outcome: Err(Failure { found, drawn: story, log: String::new() }) }
    })
}

fn words(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no words".to_owned())
}

fn judged(drawn: Drawn, lines: usize) -> Verdict {
    let seed = drawn.plan.seed;
    let judge = Judge::new(drawn.limits.clone());
    let (eyes, steps) = (judge.clone(), drawn.steps.clone());
    let story = drawn.to_string();
    let (violation, report) = simulate(
        drawn.plan,
        move |world, happening| eyes.see(world, happening),
        async |world: &World| {
            tokio::select! {
                biased;
                violation = judge.violation() => Some(violation),
                () = scenario(world, &judge, &steps, drawn.rate, drawn.limits.catch_up) => None,
            }
        },
    );
    let outcome = match violation {
        Some(violation) => Err(Found::Violated(violation)),
        None => judge
            .finish(report.ended)
            .map_err(Found::Violated)
            .and_then(|summary| all_ended(summary, &report)),
    };
    let outcome = outcome.map_err(|found| Failure { found, drawn: story, log: tail(&report.log, lines) });
    Verdict { seed, outcome }
}

/// From now on a panic that a deed or a handler asked for prints no word.
pub fn expect_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let asked =
                panic.payload().downcast_ref::<&str>().is_some_and(|said| said.starts_with("asked to "));
            if !asked {
                usual(panic);
            }
        }));
    });
}

/// Who is stopped in the midst of a group's round may not get its last commit in: it says so, by 75 and by what is
/// unfinished, and the checker holds it to that.
fn all_ended(summary: Summary, report: &Report) -> Result<Summary, Found> {
    let odd = report.exits.iter().filter(|(_, exit)| !matches!(exit, Exit::Fine | Exit::DrainExceeded));
    let odd: BTreeMap<usize, Exit> = odd.map(|(number, exit)| (*number, *exit)).collect();
    if odd.is_empty() { Ok(summary) } else { Err(Found::Ended(odd)) }
}

/// Everything that is drawn, then quiet, until all is processed.
async fn scenario(world: &World, judge: &Judge, steps: &[Step], rate: f64, patience: Duration) {
    let load = world.load(rate);
    let mut rumours = Rumours::default();
    judge.tell(world.now(), rumours.told(world));
    let mut restarts = Vec::new();
    for step in steps {
        world.elapse(step.at.saturating_sub(world.now().since_start())).await;
        let at = world.now();
        rumours.before(world, &step.deed);
        match &step.deed {
            Deed::Begin(what) => judge.tell(at, Happening::Injected(what.clone())),
            Deed::End(what) => judge.tell(at, Happening::Healed(what.clone())),
            deed => restarts.extend(deed.done(world)),
        }
        judge.tell(at, rumours.told(world));
    }
    for restart in restarts {
        // One that panics is a failure of the scenario, and seen as such.
        restart.await.unwrap_or_else(|error| panic!("a restart: {error}"));
    }
    drop(load);
    // What does not catch up is the checker's to say, with the partition and the offset.
    world
        .until(patience * 2, |world| {
            world.with_tally(|tally| tally.missing().is_empty()) && all_acked(world) && is_shared(world)
        })
        .await;
    judge.tell(world.now(), Happening::Settled);
}

/// Whether the coordinator has given everybody who is there a share.
fn is_shared(world: &World) -> bool {
    let group = world.cluster().with(|cluster| cluster.group(GROUP));
    let there = world.services().into_values().flatten().count();
    group.is_some_and(|group| {
        let shares = || group.members.values().map(|member| member.assignment.len());
        let even = shares().max().unwrap_or(0) <= shares().min().unwrap_or(0) + 1;
        group.state == GroupState::Stable && group.members.len() == there && even
    })
}

/// Whether the owner of each partition has acked all of it: what was processed under a lease that had ended comes
/// again.
fn all_acked(world: &World) -> bool {
    let controls: Vec<Control> = world.services().into_values().flatten().collect();
    world.partitions().iter().all(|partition| {
        let end = world.cluster().with(|cluster| cluster.log_end(partition));
        let acked = |control: &Control| control.progress().read(partition, Progress::acked);
        end.is_ok_and(|end| controls.iter().filter_map(acked).max() >= Some(end))
    })
}

fn tail(log: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(log);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(most)..].join("\n")
}

/// Plays `seeds`, as many at a time as there are processors; tells each verdict as it comes.
pub fn sweep(
    play: impl Fn(u64) -> Verdict + Sync,
    seeds: std::ops::Range<u64>,
    tell: impl Fn(&Verdict) + Sync,
) -> Vec<Verdict> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, failed) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let verdict = play(seed);
                    tell(&verdict);
                    if verdict.outcome.is_err() {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(verdict);
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_by_key(|verdict| verdict.seed);
    failed
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Found::Violated(violation) => violation.fmt(f),
            Found::Ended(exits) => write!(f, "services ended as they should not: {exits:?}"),
            Found::Panicked(words) => write!(f, "the world panicked: {words}"),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seed = self.seed;
        match &self.outcome {
            Ok(summary) => write!(f, "seed {seed}: fine, {summary:?}"),
            Err(Failure { found, drawn, log }) => write!(
                f,
                "seed {seed}: {found}\n\n{drawn}\n\nThe end of the event log:\n{log}\n\n\
                 seed {seed}: {found}\nReplay it: just simulate --seed {seed}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use steadfast_core::ids::NodeId;
    use steadfast_sim::faults::Fault;

    use super::*;

    #[test]
    fn a_panic_inside_a_world_is_a_finding_of_its_seed() {
        let mut drawn = Drawn::from_seed(1);
        let nobody = Fault::Restart { node: NodeId(99) };
        drawn.steps = vec![Step { at: Duration::from_millis(1), deed: Deed::Fault(nobody) }];
        let failure = told(drawn, 0).outcome.unwrap_err();
        assert!(
            matches!(&failure.found, Found::Panicked(words) if words.starts_with("seed 1: ")),
            "{failure:?}"
        );
    }
}

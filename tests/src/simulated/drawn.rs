//! What a seed of the sweep draws: a world, its limits, and what befalls it.

mod crowd;

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use steadfast_core::ids::NodeId;
use steadfast_sim::checker::Limits;
use steadfast_sim::schedule::Schedule;
use tracing::Level;

use super::deeds::{Deed, Step, broken};
use super::handler::Conduct;
use super::world::Plan;

/// Everything that one seed decides.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// The world.
    pub plan: Plan,
    /// What its services are held to.
    pub limits: Limits,
    /// Records a second.
    pub rate: f64,
    /// What befalls it, in order.
    pub steps: Vec<Step>,
}

/// What is drawn of the services' configuration.
struct Settings {
    cooperative: bool,
    session: Duration,
    rebalance: Duration,
    request: Duration,
    checkpoint: Duration,
    drain: Duration,
    budget: u32,
    window: Duration,
    threshold: f64,
}

const SECOND: Duration = Duration::from_secs(1);
/// How long a world is quiet before the first fault.
const PEACE: Duration = Duration::from_secs(5);
/// What healing takes on top of a session and a round.
const CATCH_UP: Duration = Duration::from_secs(60);

impl Drawn {
    /// Draws it.
    pub fn from_seed(seed: u64) -> Drawn {
        let mut dice = StdRng::seed_from_u64(seed);
        let settings = Settings::draw(&mut dice);
        let (brokers, services) = (dice.random_range(1..=5), dice.random_range(1..=3));
        let least = Duration::from_micros(dice.random_range(100..2_000));
        let mut plan = Plan {
            brokers,
            services,
            partitions: dice.random_range(1..=16),
            settings: settings.to_string(),
            conduct: conduct(&mut dice),
            latency: (least, least + Duration::from_micros(dice.random_range(0..8_000))),
            level: Level::INFO,
            ..Plan::new(seed)
        };
        let length = Duration::from_secs(dice.random_range(30..=120));
        let steps = steps(&mut dice, &plan, length);
        let rate = dice.random_range(5.0..40.0);
        if dice.random_bool(0.4) {
            plan.load_time = Duration::from_millis(dice.random_range(10..3_000));
        }
        Drawn { rate, limits: settings.limits(), plan, steps }
    }
}

fn conduct(dice: &mut StdRng) -> Conduct {
    if dice.random_bool(0.4) {
        return Conduct::default();
    }
    let slow = Duration::from_millis(dice.random_range(1..800));
    let mut rare = |most: f64| if dice.random_bool(0.5) { dice.random_range(0.0..most) } else { 0.0 };
    Conduct {
        delay: Duration::ZERO..slow,
        failing: rare(0.03),
        dropping: rare(0.02),
        panicking: rare(0.01),
        ..Conduct::default()
    }
}

fn steps(dice: &mut StdRng, plan: &Plan, length: Duration) -> Vec<Step> {
    let schedule = Schedule { brokers: plan.brokers, ..Schedule::default() };
    let intensity = dice.random_range(1.0..8.0);
    let faults = schedule.draw(dice.random(), length, intensity);
    let faults: Vec<_> = faults.into_iter().map(|(at, fault)| (at + PEACE, fault)).collect();
    let mut steps = broken(&faults);
    steps.extend(faults.into_iter().map(|(at, fault)| Step { at, deed: Deed::Fault(fault) }));
    for _ in 0..dice.random_range(0..=3) {
        befall_services(dice, plan, length, &mut steps);
    }
    // What most brokers say is not shaken by one that lies: nothing counts as broken meanwhile.
    if plan.brokers >= 3 && dice.random_bool(0.3) {
        let at = PEACE + whole(length.mul_f64(dice.random_range(0.0..0.4)));
        let liar = NodeId(dice.random_range(1..=i32::from(plan.brokers)));
        steps.push(Step { at, deed: Deed::Lie(liar) });
    }
    steps.sort_by_key(|step| step.at);
    steps
}

/// Something that befalls one service.
fn befall_services(dice: &mut StdRng, plan: &Plan, length: Duration, steps: &mut Vec<Step>) {
    let number = dice.random_range(1..=plan.services);
    let at = PEACE + whole(length.mul_f64(dice.random_range(0.0..0.8)));
    let until = whole(at + (length + PEACE - at).mul_f64(dice.random_range(0.0..1.0)));
    let mut lasting = |begin: Deed, end: Deed| {
        let what = format!("{begin} at {} ms", at.as_millis());
        steps.push(Step { at, deed: Deed::Begin(what.clone()) });
        steps.push(Step { at, deed: begin });
        steps.push(Step { at: until, deed: end });
        steps.push(Step { at: until, deed: Deed::End(what) });
    };
    match dice.random_range(0..4) {
        0 => lasting(Deed::CutOff(number, true), Deed::CutOff(number, false)),
        1 => steps.push(Step { at, deed: Deed::Restart(number, until - at) }),
        _ => {
            let crash = Deed::Crash(number, dice.random_range(0..100));
            steps.push(Step { at, deed: crash });
        }
    }
}

fn whole(time: Duration) -> Duration {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

impl Settings {
    fn draw(dice: &mut StdRng) -> Settings {
        let session = dice.random_range(6..=20);
        Settings {
            cooperative: dice.random_bool(0.5),
            session: session * SECOND,
            // A round that gives up a member before its session ends would take partitions from one that
            // cannot know of it.
            rebalance: (session + dice.random_range(5..=30)) * SECOND,
            request: dice.random_range(5..=30) * SECOND,
            checkpoint: dice.random_range(1..=5) * SECOND,
            drain: dice.random_range(1..=5) * SECOND,
            budget: dice.random_range(1..=4),
            window: dice.random_range(30..=600) * SECOND,
            threshold: [0.0, 0.5, 0.5, 0.9][dice.random_range(0..4)],
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            connect_timeout: SECOND,
            request_timeout: self.request,
            rebalance_timeout: self.rebalance,
            respawn_budget: self.budget,
            respawn_window: self.window,
            respawn_drain: SECOND,
            settle: 2 * SECOND,
            commits: true,
            catch_up: CATCH_UP + self.session + self.rebalance,
            mend: self.request + CATCH_UP,
        }
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let assignor = if self.cooperative { "cooperative-sticky" } else { "range" };
        let seconds = |time: Duration| format!("\"{}s\"", time.as_secs());
        writeln!(f, "\"partition.assignment.strategy\" = [\"{assignor}\"]")?;
        writeln!(f, "\"session.timeout.ms\" = {}", seconds(self.session))?;
        writeln!(f, "\"max.poll.interval.ms\" = {}", seconds(self.rebalance))?;
        writeln!(f, "\"request.timeout.ms\" = {}", seconds(self.request))?;
        writeln!(f, "\n[checkpoint]\ninterval = {}", seconds(self.checkpoint))?;
        writeln!(f, "drain = {}", seconds(self.drain))?;
        writeln!(f, "\n[respawn]\nbudget = {}\nwindow = {}", self.budget, seconds(self.window))?;
        writeln!(f, "\n[drift]\nthreshold = {}", self.threshold)
    }
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { brokers, services, partitions, conduct, latency, load_time, settings, .. } = &self.plan;
        writeln!(
            f,
            "{brokers} brokers, {partitions} partitions, {services} services, {:.0} records/s, latency {latency:?}, \
             groups load for {load_time:?}",
            self.rate
        )?;
        writeln!(f, "{conduct:?}\n{settings}")?;
        for step in &self.steps {
            writeln!(f, "{:>9.3}s {}", step.at.as_secs_f64(), step.deed)?;
        }
        Ok(())
    }
}

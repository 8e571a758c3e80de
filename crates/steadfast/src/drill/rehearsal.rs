//! A scenario while it is played: what it can do to its world, and what is counted meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{NodeId, Partition};
use steadfast_core::progress::{Progress, State};
use steadfast_core::tick::Tick;
use steadfast_sim::checker;
use steadfast_sim::embedded::Embedded;
use steadfast_sim::faults::{Fault, Nodes, Old};
use steadfast_sim::network::Door;

use super::expected::seconds;
use super::figures::Figures;
use super::journal::Happening;
use super::judge::Judge;
use super::opening::Opening;
use super::policy::Policy;
use super::scenario::{Outcome, Scenario};
use super::world::{Manner, Plan, World, WorldError, simulate};
use crate::exit::Exit;
use crate::locked::locked;
use crate::service::Control;

/// A scenario while it is played.
pub struct Rehearsal {
    world: World,
    policy: Policy,
    counted: Arc<Mutex<Counted>>,
    manners: Mutex<BTreeMap<usize, Manner>>,
    bootstrap: Vec<Address>,
    directory: PathBuf,
}

#[derive(Default)]
struct Counted {
    /// None before the scenario begins.
    figures: Option<Figures>,
    bootstrap: BTreeSet<Address>,
    /// What the scenario itself has found wrong.
    found: Vec<String>,
}

/// What a message between a service and a broker takes, at least and at most.
const LATENCY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(3));
/// What a start may take.
const START: Duration = Duration::from_secs(30);
/// Before anything befalls a world it is calm: the member heartbeats slowly again.
const CALM: Duration = Duration::from_secs(12);
const SECOND: Duration = Duration::from_secs(1);
/// Whatever befell it, a world has caught up so long after the load's end.
const CATCH_UP: Duration = Duration::from_secs(60);

/// Plays a scenario to its end: the load is over and everything is processed before the services are ended.
pub(super) fn play(scenario: &Scenario, policy: &Policy, seed: u64) -> Result<Outcome, WorldError> {
    let opening = scenario.opening;
    let place =
        tempfile::tempdir().map_err(|error| WorldError::File { file: std::env::temp_dir(), error })?;
    let plan = Plan {
        brokers: opening.brokers,
        services: 0,
        apart: opening.apart,
        partitions: opening.partitions,
        policy: policy.environment(),
        latency: LATENCY,
        ..Plan::new(seed)
    };
    // It judges one group.
    let judge = (!opening.apart).then(|| judge(policy));
    let counted: Arc<Mutex<Counted>> = Arc::default();
    let (eyes, looks) = (judge.clone(), Arc::clone(&counted));
    let see = move |world: &World, happening: &Happening| {
        if let Some(judge) = &eyes {
            judge.see(world, happening);
        }
        locked(&looks).see(happening);
    };
    let (begun, report) = simulate(plan, see, async |world| {
        opening.advertised.arrange(world);
        let rehearsal = Rehearsal {
            world: world.clone(),
            policy: policy.clone(),
            counted: Arc::clone(&counted),
            manners: Mutex::default(),
            bootstrap: opening.bootstrap.addresses(world),
            directory: place.path().to_owned(),
        };
        for number in 1..=opening.services {
            rehearsal.start(number);
        }
        rehearsal.run(scenario, opening.rate).await
    })?;
    let Counted { figures, mut found, .. } = std::mem::take(&mut *locked(&counted));
    let figures = figures.unwrap_or_default();
    let expected = (scenario.expected)(policy);
    match begun {
        true => found.extend(expected.breaches(&figures, &report.tally)),
        false => found.push(format!("the service was not consuming {} after its start", seconds(START))),
    }
    let violation = judge.and_then(|judge| judge.finish(report.ended).err());
    found.extend(violation.map(|violation| violation.to_string()));
    let odd = report.exits.iter().filter(|(_, exit)| **exit != Exit::Fine);
    found.extend(odd.map(|(number, exit)| format!("service {number} ended with {exit:?}")));
    if !found.is_empty() {
        found.extend(policy.reasons(&expected, &figures, &report.tally));
    }
    let notes = expected.notes(&figures);
    Ok(Outcome { figures, tally: report.tally, exits: report.exits, found, notes, log: report.log })
}

/// Something is broken all the time: how late the services may be is for the scenario to say.
fn judge(policy: &Policy) -> Judge {
    let judge = Judge::new(policy.limits());
    judge.tell(Tick::ZERO, checker::Happening::Injected("a scenario".to_owned()));
    judge
}

impl Counted {
    fn see(&mut self, happening: &Happening) {
        if let Some(figures) = &mut self.figures {
            figures.count(happening, &self.bootstrap);
        }
    }
}

impl Rehearsal {
    /// Says whether it could begin.
    async fn run(&self, scenario: &Scenario, rate: f64) -> bool {
        if !self.world.until(START, |_| self.all_consumed(scenario)).await {
            return false;
        }
        let load = self.world.load(rate);
        // A little more, so that each seed meets the service at another moment.
        self.world.elapse(CALM + SECOND.mul_f64(self.world.dice().fraction())).await;
        {
            let mut counted = locked(&self.counted);
            counted.bootstrap = self.bootstrap.iter().cloned().collect();
            counted.figures = Some(Figures::default());
        }
        (scenario.play)(self).await;
        drop(load);
        self.world.caught_up(CATCH_UP).await;
        true
    }

    /// Whether every partition is somebody's and runs.
    fn all_consumed(&self, scenario: &Scenario) -> bool {
        let controls: Vec<Control> = self.world.services().into_values().flatten().collect();
        let runs = |control: &Control, partition: &Partition| {
            control.progress().read(partition, Progress::state) == Some(State::Running)
        };
        let Opening { services, apart, .. } = scenario.opening;
        controls.len() == services
            && self.world.partitions().iter().all(|partition| match apart {
                true => controls.iter().all(|control| runs(control, partition)),
                false => controls.iter().any(|control| runs(control, partition)),
            })
    }

    /// The world.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The policy that it is played under.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What was counted up to now.
    pub fn figures(&self) -> Figures {
        locked(&self.counted).figures.clone().unwrap_or_default()
    }

    /// Starts the service of this number, with a configuration file of its own.
    pub fn start(&self, number: usize) {
        let listed: Vec<String> = self.bootstrap.iter().map(ToString::to_string).collect();
        let usual = || Manner {
            bootstrap: Some(listed.join(",")),
            file: Some(self.directory.join(format!("service-{number}.toml"))),
            ..Manner::default()
        };
        let manner = locked(&self.manners).entry(number).or_insert_with(usual).clone();
        self.world.start_service_as(number, &manner);
    }

    /// Writes these addresses into the configuration file of the service of this number, and has it read.
    pub fn reconfigure(&self, number: usize, bootstrap: impl IntoIterator<Item = Address>) {
        self.rewrite(number, bootstrap, |_| {});
    }

    /// The same for addresses at which TLS is spoken, by whoever the authority of this certificate vouches for.
    pub fn reconfigure_secured(
        &self,
        number: usize,
        bootstrap: impl IntoIterator<Item = Address>,
        authority: &str,
    ) {
        let file = self.directory.join("authority.pem");
        if let Err(error) = fs::write(&file, authority) {
            return self.world.fail(WorldError::File { file, error });
        }
        self.rewrite(number, bootstrap, |manner| {
            manner.settings = format!(
                "\"security.protocol\" = \"SSL\"\n\"ssl.truststore.location\" = \"{}\"\n",
                file.display()
            );
        });
    }

    fn rewrite(
        &self,
        number: usize,
        bootstrap: impl IntoIterator<Item = Address>,
        change: impl FnOnce(&mut Manner),
    ) {
        let listed: Vec<String> = bootstrap.into_iter().map(|address| address.to_string()).collect();
        let mut manners = locked(&self.manners);
        let Some(manner) = manners.get_mut(&number) else { return };
        manner.bootstrap = Some(listed.join(","));
        change(manner);
        let written = self.world.reconfigure(number, manner);
        if let Err(error) = written {
            let file = manner.file.clone().unwrap_or_default();
            self.world.fail(WorldError::File { file, error });
        }
    }

    /// Has a fault happen.
    pub fn befall(&self, fault: Fault) {
        self.command(&fault.to_string(), |cluster| cluster.inject(&fault));
    }

    /// Gives the cluster a command, and notes it in these words. Without its result the scenario cannot be played.
    pub fn command<T, E: Display>(
        &self,
        what: &str,
        command: impl FnOnce(&Embedded) -> Result<T, E>,
    ) -> Option<T> {
        let done = self.deed(what, command);
        done.map_err(|error| self.world.fail(WorldError::Deed(format!("{what}: {error}")))).ok()
    }

    /// Every endpoint moves.
    pub fn move_all(&self, old: Old) {
        self.befall(Fault::MoveEndpoints { nodes: Nodes::All, old });
    }

    /// The endpoints of these brokers move.
    pub fn move_some<const N: usize>(&self, nodes: [i32; N], old: Old) {
        self.befall(Fault::MoveEndpoints { nodes: Nodes::Some(nodes.map(NodeId).into()), old });
    }

    /// Each broker is reached at another address from now on, and advertises it; its old one leads to `old`. Where the
    /// new ones lead is looked up by `door`, which is given where the old one led.
    pub fn relocate(
        &self,
        what: &str,
        to: impl Fn(NodeId) -> Address,
        door: impl Fn(Door) -> Door,
        old: &Door,
    ) {
        self.deed(what, |cluster| {
            let Some(network) = cluster.network() else { return };
            for (node, address) in cluster.endpoints() {
                network.lead(&to(node), door(network.door(&address)));
                network.lead(&address, old.clone());
                cluster.with(|cluster| cluster.advertise(node, to(node)));
            }
        });
    }

    /// Something that no figure shows is not as it should be.
    pub fn find(&self, what: impl Into<String>) {
        locked(&self.counted).found.push(what.into());
    }

    /// Does something else to the cluster, and notes it in these words.
    pub fn deed<T>(&self, what: &str, deed: impl FnOnce(&Embedded) -> T) -> T {
        self.world.inject(what, deed)
    }

    /// From now on recovery counts: a record is appended to every partition, and the time until each of them is
    /// processed is taken.
    pub fn mark(&self) {
        let ends = || {
            let end =
                |partition: &Partition| self.world.cluster().with(|cluster| cluster.log_end(partition)).ok();
            self.world.partitions().into_iter().filter_map(|at| end(&at).map(|end| (at, end))).collect()
        };
        let before: BTreeMap<_, _> = ends();
        for partition in before.keys() {
            self.world.append(partition, 1);
        }
        let after: BTreeMap<_, _> = ends();
        let readers = if self.world.plan().apart { self.world.services().len() } else { 1 };
        let readers = u32::try_from(readers).unwrap_or(u32::MAX);
        // A partition without a leader took nothing.
        let taken = |(at, end): &(Partition, _)| after.get(at).is_some_and(|now| now > end);
        let open = before.into_iter().filter(taken).map(|(at, end)| (at, (end, readers))).collect();
        if let Some(figures) = &mut locked(&self.counted).figures {
            figures.mark(self.world.now(), open);
        }
    }

    /// Lets time pass.
    pub async fn elapse(&self, time: Duration) {
        self.world.elapse(time).await;
    }

    /// Lets seconds pass.
    pub async fn seconds(&self, seconds: u64) {
        self.world.elapse(Duration::from_secs(seconds)).await;
    }

    /// Waits until it is so, at most for `limit`; otherwise the scenario cannot be played.
    pub async fn until(&self, what: &str, limit: Duration, so: impl FnMut(&World) -> bool) {
        if !self.world.until(limit, so).await {
            self.world.fail(WorldError::Deed(format!("{what} was waited for in vain")));
        }
    }

    /// Waits until the service has told one more event of this name.
    pub async fn told(&self, event: &str, limit: Duration) {
        let count = |world: &World| world.with_tally(|tally| tally.events(event));
        let before = count(&self.world);
        self.until(event, limit, |world| count(world) > before).await;
    }

    /// Waits for the service's next commit to be asked for.
    pub async fn next_commit(&self) {
        let before = self.figures().commits;
        let interval = self.policy.config().checkpoint.interval;
        self.until("a commit", interval * 2 + START, |_| self.figures().commits > before).await;
    }

    /// Makes the actor of this name panic, in the service of this number.
    pub fn crash(&self, number: usize, actor: &str) {
        let control = self.world.services().remove(&number).flatten();
        let crashed =
            self.world.inject(format!("the {actor} panics"), |_| control.is_some_and(|it| it.crash(actor)));
        if !crashed {
            self.world.fail(WorldError::Deed(format!("the {actor} of service {number} is not up")));
        }
    }
}

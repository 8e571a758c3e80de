//! Scenarios of the whole service that are written once and played twice: on a real Kafka behind the drift proxy, in
//! real time, and on the embedded cluster, under virtual time. What is on stage differs, what has to come out does not:
//! so the embedded cluster cannot drift into fantasy.
#![expect(
    async_fn_in_trait,
    reason = "a scenario is played where it begins: no future goes to another thread"
)]

pub mod consumer_protocol;
pub mod members;
pub mod recovery;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use serde_json::Value;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;
use steadfast_sim::faults::{Nodes, Old};

/// How many partitions the topic of a scenario has.
pub const PARTITIONS: usize = 12;

/// A cluster of three brokers that a service can be rehearsed on.
pub trait Stage {
    /// A service under load.
    type Rehearsal: Rehearsal;

    /// Begins a rehearsal: its service consumes all partitions when this returns.
    async fn open(&mut self, opening: Opening<'_>) -> Self::Rehearsal;

    /// Ends a broker in order.
    async fn stop_broker(&mut self, node: NodeId);

    /// Has a broker back, with all that it led.
    async fn restart_broker(&mut self, node: NodeId);
}

/// A cluster of three brokers that members of a group can gather on.
pub trait Gathering {
    /// Members of one group under load.
    type Company: Company;

    /// Makes a topic and its load. `name` names topic and group.
    async fn gather(&mut self, name: &str, endpoints: Endpoints) -> Self::Company;

    /// The topic has so many partitions from now on.
    async fn add_partitions(&mut self, topic: &str, total: usize);
}

/// Whether the endpoints of a company's cluster may move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoints {
    /// They stay where they are.
    Fixed,
    /// [`Company::shift`] moves them.
    Movable,
}

/// What a rehearsal begins with.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// Names topic and group.
    pub name: &'a str,
    /// The addresses in `bootstrap.servers`: the cluster's stable one, or those of the brokers at the begin.
    pub stable_bootstrap: bool,
}

impl<'a> Opening<'a> {
    /// With the stable address.
    pub fn new(name: &'a str) -> Opening<'a> {
        Opening { name, stable_bootstrap: true }
    }

    /// With no other addresses than those that the brokers have at the begin.
    pub fn only_old_addresses(self) -> Opening<'a> {
        Opening { stable_bootstrap: false, ..self }
    }
}

/// Endpoints that moved. Moments of a stage are times since one that it chooses.
#[derive(Debug, Clone)]
pub struct Shifted {
    /// When.
    pub at: Duration,
    /// Where the brokers that moved were.
    pub from: BTreeMap<NodeId, Address>,
    /// Where they are.
    pub to: BTreeMap<NodeId, Address>,
}

/// A service under load, behind endpoints that move on command.
pub trait Rehearsal {
    /// This moment.
    fn now(&self) -> Duration;

    /// Moves endpoints.
    async fn shift(&mut self, nodes: &Nodes, old: Old) -> Shifted;

    /// Writes the configuration file with other bootstrap addresses; says when.
    async fn reconfigure(&mut self, bootstrap: &[Address]) -> Duration;

    /// Asks until there is an answer, and fails when there is none within the stage's limit.
    async fn until<T>(&self, wanted: &str, answer: impl FnMut(&Self) -> Option<T>) -> T;

    /// Of how many partitions records came out after this moment.
    fn flowing_since(&self, since: Duration) -> usize;

    /// The service's events so far, in order.
    fn events(&self) -> Vec<Value>;

    /// Ends the load and, when its last record came out, the service. Nothing was lost and nothing came twice, and the
    /// service's own counts say so too.
    async fn finish(self);
}

/// The members of one group under one load, and the judgement over all of them together.
pub trait Company {
    /// One of them.
    type Member: Member;
    /// What is left of a member that ended: its configuration and its state directory.
    type Place;

    /// A member joins, with these settings below the usual ones of `[kafka]`.
    async fn joins(&mut self, settings: &str) -> Self::Member;

    /// A member joins, and a round has begun by that and waits for the others when this returns.
    async fn joins_into_a_round(&mut self, settings: &str) -> Self::Member;

    /// A member that ended begins again.
    async fn rejoins(&mut self, place: Self::Place) -> Self::Member;

    /// A member ends in order.
    async fn retire(&mut self, member: Self::Member) -> Self::Place;

    /// A member ends without a word to anybody.
    async fn crash(&mut self, member: Self::Member);

    /// A member ends by itself because another has taken its place.
    async fn fenced(&mut self, member: Self::Member);

    /// Begins a load on further partitions.
    async fn extend_load(&mut self, partitions: Range<usize>);

    /// Moves all endpoints; says when, in the time of the members' events.
    async fn shift(&mut self, old: Old) -> Duration;

    /// Asks until there is an answer, and fails when there is none within the stage's limit.
    async fn until<T>(&self, wanted: &str, answer: impl FnMut() -> Option<T>) -> T;

    /// Waits until each of these is given records of exactly so many partitions, no two of the same.
    async fn await_sharing(&self, members: &[(&Self::Member, usize)]);

    /// Ends the load and the last members. Nothing was lost, and nothing came again but what a member had been given
    /// that crashed or was fenced.
    async fn disband(self, last: Vec<Self::Member>);
}

/// A member of a company.
pub trait Member {
    /// Its events so far, in order.
    fn events(&self) -> Vec<Value>;

    /// When it told an event first after `since`, in the time of [`Company::shift`].
    fn first_told(&self, name: &str, since: Duration) -> Option<Duration>;
}

/// The events of this name.
fn named(events: Vec<Value>, name: &str) -> Vec<Value> {
    events.into_iter().filter(|event| event["event.name"] == name).collect()
}

/// Events as text, for the message of a scenario that fails.
fn story(events: &[Value]) -> String {
    events.iter().map(|event| format!("{event}\n")).collect()
}

/// The numbers of the partitions that an event names.
pub fn partitions(event: &Value) -> BTreeSet<i64> {
    let named = event["partitions"].as_array().into_iter().flatten();
    named.filter_map(|partition| partition["index"].as_i64()).collect()
}

//! What if: how a group's partitions are shared by each assignor, and what would move if it changed.
//!
//! A partition has moved if it has another owner afterwards than before. One that nobody had before, or nobody has
//! afterwards, has not. All of this is about the assignors that a group's leader runs; under the consumer protocol
//! the broker assigns, by its own `uniform` and `range`, of which nothing is said here.

use serde::{Serialize, Serializer};

use crate::group::assign::{Assignor, PartitionCounts, Protocol};

mod balance;
mod group;
mod moves;
mod pays;
mod stage;
mod target;

pub use balance::Balance;
pub use group::{Group, MOST_MEMBERS, MOST_PARTITIONS, MOST_SUBSCRIPTIONS, Refused};
pub use moves::{Grown, Moved, Restarts};
pub use pays::Pays;
pub use target::{Capacity, Target};

use stage::Stage;

/// What is asked beside what any group is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// How many partitions topics get in addition.
    pub partitions: PartitionCounts,
    /// What shall be processed.
    pub target: Option<Target>,
}

/// A group, and what would become of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// How many members it has.
    pub members: usize,
    /// How many partitions its members want.
    pub partitions: usize,
    /// Of each topic that a member wants.
    pub topics: PartitionCounts,
    /// What members hold, where that is known.
    pub now: Option<Balance>,
    /// What has to be there for the target.
    pub target: Option<Capacity>,
    /// By assignor, in the order of [`Assignor::ALL`].
    pub assignors: Vec<Outlook>,
}

/// What becomes of a group under one assignor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outlook {
    /// Which.
    #[serde(serialize_with = "by_name")]
    pub assignor: Assignor,
    /// Whether each of its rounds stops all partitions (eager), or only those that move (cooperative).
    #[serde(serialize_with = "by_manner")]
    pub protocol: Protocol,
    /// How it shares.
    pub balance: Balance,
    /// What moves from what members hold now until it has shared; none where that is not known.
    pub switch: Option<usize>,
    /// What moves if one more member joins, that wants all topics.
    pub join: Moved,
    /// What moves if a member leaves; none if nobody remains.
    pub leave: Option<Moved>,
    /// What moves if all members are restarted, one after another.
    pub restart: Restarts,
    /// What new partitions change; none if there are none.
    pub new_partitions: Option<Grown>,
    /// How many members pay.
    pub pays: Pays,
    /// Members needed for the target; none if there is no target, or no number of members is enough under this
    /// assignor.
    pub needed: Option<u64>,
}

/// Plans for a group.
///
/// # Errors
/// If a topic shall get partitions that no member wants, or there would be too many.
pub fn plan(group: &Group, changes: &Changes) -> Result<Plan, Refused> {
    let grown = group.grown(&changes.partitions)?;
    let now = group.held().map(|held| Balance::of(held, group.members()));
    let stages: Vec<(Stage<'_>, usize)> =
        Assignor::ALL.map(|assignor| Stage::settled(assignor, group)).into();
    let most =
        now.map_or_else(|| stages.iter().map(|(stage, _)| stage.balance().most).min(), |now| Some(now.most));
    let target = changes.target.and_then(|target| target.sized(grown.topics(), most.unwrap_or_default()));
    let outlook = |(stage, switch): (Stage<'_>, usize)| Outlook {
        assignor: stage.assignor(),
        protocol: stage.assignor().protocol(),
        balance: stage.balance(),
        switch: now.map(|_| switch),
        join: moves::join(&stage),
        leave: moves::leave(&stage),
        restart: moves::restart(stage.assignor(), group),
        new_partitions: (!changes.partitions.is_empty()).then(|| moves::grow(&stage, &grown)),
        pays: Pays::of(stage.assignor(), group),
        needed: target.as_ref().and_then(|target| target.members(stage.assignor())),
    };
    let assignors = stages.into_iter().map(outlook).collect();
    let (members, topics) = (group.members().len(), group.topics().clone());
    Ok(Plan { members, partitions: group.partitions(), topics, now, target, assignors })
}

fn by_name<S: Serializer>(assignor: &Assignor, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(assignor.name())
}

fn by_manner<S: Serializer>(protocol: &Protocol, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(match protocol {
        Protocol::Eager => "eager",
        Protocol::Cooperative => "cooperative",
    })
}

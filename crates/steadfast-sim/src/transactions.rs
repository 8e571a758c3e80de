//! Transactional producers (KIP-98): who is one, what is in its open transaction, and how that ends. Any broker
//! coordinates them all.
//!
//! ```text
//! Idle --partition or offsets added--> Open --EndTxn, deadline, a successor--> Idle
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use steadfast_core::ids::{GroupGeneration, Partition};
use steadfast_core::tick::Tick;

use crate::cluster::Cluster;
use crate::notice::Notice;
use crate::offsets::CommittedOffset;

/// `transaction.max.timeout.ms`.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// The transactional producers of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Transactions(BTreeMap<Arc<str>, Transactional>);

#[derive(Debug)]
struct Transactional {
    session: Session,
    timeout: Duration,
    state: State,
}

/// One life of a transactional producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) producer_id: i64,
    pub(crate) epoch: i16,
}

impl Session {
    /// No session is named.
    pub(crate) const NONE: Session = Session { producer_id: -1, epoch: -1 };
}

#[derive(Debug)]
enum State {
    /// Nothing is open; how the last transaction ended, if the producer itself ended one.
    Idle {
        committed: Option<bool>,
    },
    Open(Open),
}

/// An open transaction.
#[derive(Debug)]
struct Open {
    deadline: Tick,
    partitions: BTreeSet<Partition>,
    /// What is to be committed with it, by group.
    offsets: BTreeMap<Arc<str>, BTreeMap<Partition, CommittedOffset>>,
}

impl Transactions {
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        let deadlines = self.0.values().filter_map(|known| match &known.state {
            State::Open(open) => Some(open.deadline),
            State::Idle { .. } => None,
        });
        deadlines.min()
    }

    /// Whether this producer may write transactional records to the partition now.
    pub(crate) fn may_write(&self, session: Session, partition: &Partition) -> bool {
        self.0.values().any(|known| match &known.state {
            State::Open(open) => known.session == session && open.partitions.contains(partition),
            State::Idle { .. } => false,
        })
    }

    /// Whether an open transaction may still change what the group has committed of the partition.
    pub(crate) fn is_unstable(&self, group: &str, partition: &Partition) -> bool {
        self.0.values().any(|known| match &known.state {
            State::Open(open) => {
                open.offsets.get(group).is_some_and(|offsets| offsets.contains_key(partition))
            }
            State::Idle { .. } => false,
        })
    }

    /// The id of the producer with this producer id.
    pub(crate) fn id_of(&self, producer_id: i64) -> Option<&Arc<str>> {
        self.0.iter().find(|(_, known)| known.session.producer_id == producer_id).map(|(id, _)| id)
    }

    fn known(&mut self, id: &str, session: Session) -> Result<&mut Transactional, ResponseError> {
        let known = self.0.get_mut(id).filter(|known| known.session.producer_id == session.producer_id);
        let known = known.ok_or(ResponseError::InvalidProducerIdMapping)?;
        if known.session.epoch == session.epoch { Ok(known) } else { Err(ResponseError::ProducerFenced) }
    }

    fn open(&mut self, id: &str, session: Session, now: Tick) -> Result<&mut Open, ResponseError> {
        let known = self.known(id, session)?;
        if let State::Idle { .. } = known.state {
            let deadline = now + known.timeout;
            let (partitions, offsets) = (BTreeSet::new(), BTreeMap::new());
            known.state = State::Open(Open { deadline, partitions, offsets });
        }
        match &mut known.state {
            State::Open(open) => Ok(open),
            State::Idle { .. } => Err(ResponseError::InvalidTxnState),
        }
    }
}

/// A producer begins under this id: what its predecessor left open is aborted, and the predecessor fenced. One that
/// names the session it had (KIP-360) goes on only if nobody came in between.
pub(crate) fn begin_session(
    cluster: &mut Cluster,
    id: &str,
    timeout: Duration,
    before: Session,
) -> Result<Session, ResponseError> {
    if timeout.is_zero() || timeout > LONGEST {
        return Err(ResponseError::InvalidTransactionTimeout);
    }
    let known = cluster.transactions.0.get(id).map(|known| known.session);
    if before != Session::NONE && known != Some(before) {
        return Err(ResponseError::ProducerFenced);
    }
    let session = match known {
        Some(known) => succeed(cluster, id, known),
        None => Session { producer_id: cluster.producers.fresh_id(), epoch: 0 },
    };
    let state = State::Idle { committed: None };
    cluster.transactions.0.insert(id.into(), Transactional { session, timeout, state });
    Ok(session)
}

/// The next session after `known`, whose transaction is aborted under the new epoch, so that it is fenced in the logs
/// too.
fn succeed(cluster: &mut Cluster, id: &str, known: Session) -> Session {
    let Some(epoch) = known.epoch.checked_add(1) else {
        finish(cluster, id, known, false);
        return Session { producer_id: cluster.producers.fresh_id(), epoch: 0 };
    };
    let next = Session { epoch, ..known };
    finish(cluster, id, next, false);
    next
}

/// Adds partitions to the producer's transaction, which begins by that if none is open.
pub(crate) fn add_partitions(
    cluster: &mut Cluster,
    id: &str,
    session: Session,
    partitions: impl IntoIterator<Item = Partition>,
) -> Result<(), ResponseError> {
    let now = cluster.now();
    cluster.transactions.open(id, session, now)?.partitions.extend(partitions);
    Ok(())
}

/// Adds offsets that a group commits with the producer's transaction. They count from its end on.
pub(crate) fn add_offsets(
    cluster: &mut Cluster,
    id: &str,
    session: Session,
    group: &str,
    offsets: impl IntoIterator<Item = (Partition, CommittedOffset)>,
) -> Result<(), ResponseError> {
    let now = cluster.now();
    let open = cluster.transactions.open(id, session, now)?;
    open.offsets.entry(group.into()).or_default().extend(offsets);
    Ok(())
}

/// The producer ends its transaction. Asked again, the same end is confirmed.
pub(crate) fn end(
    cluster: &mut Cluster,
    id: &str,
    session: Session,
    commit: bool,
) -> Result<(), ResponseError> {
    match &cluster.transactions.known(id, session)?.state {
        State::Idle { committed } if *committed == Some(commit) => Ok(()),
        State::Idle { .. } => Err(ResponseError::InvalidTxnState),
        State::Open(_) => {
            finish(cluster, id, session, commit);
            Ok(())
        }
    }
}

/// Aborts the transactions whose producers took too long, and fences them.
pub(crate) fn advance(cluster: &mut Cluster) {
    let now = cluster.now();
    let late: Vec<(Arc<str>, Session)> = cluster
        .transactions
        .0
        .iter()
        .filter(|(_, known)| matches!(&known.state, State::Open(open) if open.deadline <= now))
        .map(|(id, known)| (id.clone(), known.session))
        .collect();
    for (id, session) in late {
        let next = succeed(cluster, &id, session);
        if let Some(known) = cluster.transactions.0.get_mut(&id) {
            known.session = next;
        }
    }
}

/// Whatever is open ends: markers in the logs, and, of a committed one, offsets in the groups.
fn finish(cluster: &mut Cluster, id: &str, session: Session, commit: bool) {
    let Some(known) = cluster.transactions.0.get_mut(id) else { return };
    let ended = State::Idle { committed: Some(commit) };
    let State::Open(open) = std::mem::replace(&mut known.state, ended) else { return };
    cluster.mark_transaction(session, commit);
    for (group, offsets) in open.offsets.into_iter().filter(|_| commit) {
        for (partition, offset) in offsets {
            commit_offset(cluster, &group, partition, offset);
        }
    }
}

fn commit_offset(cluster: &mut Cluster, group: &Arc<str>, partition: Partition, offset: CommittedOffset) {
    let before = cluster.groups.get_or_create(group).offsets.commit(partition.clone(), offset.clone());
    cluster.notice(Notice::Committed {
        group: group.clone(),
        member: "".into(),
        generation: GroupGeneration(-1),
        partition,
        offset: offset.offset,
        before: before.map(|before| before.offset),
        metadata: offset.metadata,
    });
}

#[cfg(test)]
mod tests;

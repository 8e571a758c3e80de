//! What is owned: partitions that come, that are drained and given up, and that are lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use steadfast_core::checkpoint::{Event, Occasion};
use steadfast_core::group::account::Happening;
use steadfast_core::group::standing::Standing;
use steadfast_core::ids::Partition;
use steadfast_core::progress::Progress;
use steadfast_core::tick::Tick;

use super::{Checkpointer, RECONCILE, Revocation};
use crate::events::Event as Told;
use crate::messages::{OwnershipChanged, Released};

/// What the commit of given-up partitions may take on top of their drain: less than the member waits for it.
const COMMIT_GRACE: Duration = Duration::from_secs(4);

impl Checkpointer {
    /// What is owned already was found by [`Self::reconcile`] before the message came.
    pub(super) fn assigned(
        &mut self,
        mut partitions: BTreeMap<Partition, u64>,
        generation: i32,
        ctx: &mut Context<Self>,
    ) {
        let told = partitions.len();
        partitions.retain(|partition, _| !self.seat.is_owned(partition));
        if partitions.is_empty() && told > 0 {
            return;
        }
        for (partition, losses) in &partitions {
            self.seat.table.assign(partition);
            self.losses().insert(partition.clone(), *losses);
        }
        let owned = self.seat.table.owned().len();
        let partitions = partitions.into_keys().collect();
        self.seat.events.emit(Told::PartitionsAssigned { partitions, generation, owned });
        drop(self.seat.handlers.send(OwnershipChanged));
        self.resolve(ctx);
    }

    /// What was told while nobody listened is made up for: the member's standing is the truth. It is ahead of the
    /// member's messages, so each of these may find done what it asks for.
    pub(super) fn reconcile(&mut self, ctx: &mut Context<Self>) {
        let standing = self.seat.standing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut owned: BTreeSet<Partition> = self.seat.table.owned().into_iter().collect();
        let gone: BTreeSet<Partition> =
            owned.iter().filter(|partition| self.is_gone(partition, &standing)).cloned().collect();
        if !gone.is_empty() {
            self.forget(&gone);
            owned.retain(|partition| !gone.contains(partition));
        }
        let counted = |partition: &Partition| (partition.clone(), standing.losses_of(partition));
        let fresh: BTreeMap<Partition, u64> = standing.kept().difference(&owned).map(counted).collect();
        if let Some(generation) = standing.generation.filter(|_| !fresh.is_empty()) {
            self.assigned(fresh, generation.0, ctx);
        }
        let forgotten = standing.releasing.into_iter().filter(|partition| self.seat.is_owned(partition));
        let forgotten: BTreeSet<Partition> = forgotten.collect();
        self.revoked(forgotten, self.seat.env.now() + self.seat.drain, ctx);
    }

    /// Whether the partition is not ours any more, or was lost and given to us again since it was assigned here.
    fn is_gone(&self, partition: &Partition, standing: &Standing) -> bool {
        !standing.still_holds(partition, self.losses().get(partition).copied().unwrap_or_default())
    }

    fn losses(&self) -> MutexGuard<'_, BTreeMap<Partition, u64>> {
        self.seat.losses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep_reconciling(&mut self, ctx: &mut Context<Self>) {
        self.reconcile(ctx);
        self.seat.accounts.note(Happening::Looked);
        ctx.run_later(RECONCILE, Self::keep_reconciling);
    }

    /// What is being given up already is not given up twice.
    pub(super) fn revoked(
        &mut self,
        mut partitions: BTreeSet<Partition>,
        deadline: Tick,
        ctx: &mut Context<Self>,
    ) {
        for revocation in &*self.seat.revocations() {
            partitions.retain(|partition| !revocation.partitions.contains(partition));
        }
        if partitions.is_empty() {
            return;
        }
        for partition in &partitions {
            self.seat.table.update(partition, |progress| progress.drain());
        }
        self.seat.accounts.note(Happening::Stopped { partitions: partitions.clone() });
        let revocation = Revocation { partitions, deadline, began: self.seat.env.now(), drained: false };
        self.seat.revocations().push(revocation.clone());
        self.await_drain(revocation, ctx);
    }

    /// Waits until the handlers have acked what they hold, or the limit is reached; then commits.
    pub(super) fn await_drain(&mut self, revocation: Revocation, ctx: &mut Context<Self>) {
        let (table, until) = (Arc::clone(&self.seat.table), self.seat.env.instant(revocation.deadline));
        let drained = async move {
            let mut changes = table.changes();
            loop {
                changes.mark_unchanged();
                let is_drained = |partition| table.read(partition, |progress| progress.is_drained());
                if revocation.partitions.iter().all(|partition| is_drained(partition).unwrap_or(true)) {
                    return revocation;
                }
                tokio::select! {
                    biased;
                    _ = changes.changed() => {}
                    () = tokio::time::sleep_until(until) => return revocation,
                }
            }
        };
        let done = drained.into_actor(self).map(|revocation, checkpointer, ctx| {
            checkpointer.mark_drained(&revocation.partitions);
            let partitions = revocation.partitions.clone();
            checkpointer.seat.accounts.note(Happening::Drained { partitions });
            checkpointer.tell(Event::Flush(Occasion::Revoke), ctx);
            // The commit too has its limit: a coordinator that cannot be reached must not hold the partitions.
            let limit = revocation.deadline + COMMIT_GRACE;
            let grace = limit.since(checkpointer.seat.env.now());
            ctx.run_later(grace, move |checkpointer, ctx| checkpointer.release(&revocation.partitions, ctx));
        });
        ctx.spawn(done);
    }

    pub(super) fn mark_drained(&self, partitions: &BTreeSet<Partition>) {
        let mut revocations = self.seat.revocations();
        for revocation in revocations.iter_mut().filter(|revocation| revocation.partitions == *partitions) {
            revocation.drained = true;
        }
    }

    /// Releases what is drained and committed.
    pub(super) fn release_drained(&mut self, ctx: &mut Context<Self>) {
        let table = &self.seat.table;
        let committed = |partition: &Partition| {
            let stored = table.read(partition, |progress| progress.to_commit().is_none()).unwrap_or(true);
            stored || !self.seat.enabled
        };
        let revocations = self.seat.revocations();
        let settled = revocations
            .iter()
            .filter(|revocation| revocation.drained && revocation.partitions.iter().all(committed))
            .map(|revocation| revocation.partitions.clone());
        let settled: Vec<BTreeSet<Partition>> = settled.collect();
        drop(revocations);
        for partitions in settled {
            self.release(&partitions, ctx);
        }
    }

    /// The leases end, and the member is told; once.
    pub(super) fn release(&mut self, partitions: &BTreeSet<Partition>, _: &mut Context<Self>) {
        let mut revocations = self.seat.revocations();
        let Some(at) = revocations.iter().position(|revocation| revocation.partitions == *partitions) else {
            return;
        };
        let revocation = revocations.remove(at);
        drop(revocations);
        let drained = |partition: &&Partition| {
            self.seat.table.read(partition, |progress| progress.is_drained()).unwrap_or(true)
        };
        let undrained = partitions.len() - partitions.iter().filter(drained).count();
        let finished = |progress: &Progress| {
            progress.is_drained() && (!self.seat.enabled || progress.to_commit().is_none())
        };
        let unfinished = partitions
            .iter()
            .filter(|partition| self.seat.table.read(partition, finished) == Some(false))
            .count();
        self.seat.table.counts.unfinished.fetch_add(unfinished, Ordering::Relaxed);
        self.end(partitions);
        self.seat.events.emit(Told::PartitionsRevoked {
            partitions: partitions.iter().cloned().collect(),
            took_ms: self.seat.env.now().since(revocation.began).as_secs_f64() * 1e3,
            undrained,
        });
        self.seat.accounts.note(Happening::GivenUp { partitions: partitions.clone(), undrained });
        drop(self.seat.member.send(Released::Partitions(partitions.clone())));
    }

    /// Ends the leases of what is not ours any more. A revocation that was under way must not end what is
    /// assigned after it: its other partitions, if any, are found again by [`Self::reconcile`].
    pub(super) fn forget(&self, partitions: &BTreeSet<Partition>) {
        self.seat.revocations().retain(|revocation| revocation.partitions.is_disjoint(partitions));
        self.end(partitions);
    }

    pub(super) fn end(&self, partitions: &BTreeSet<Partition>) {
        for partition in partitions {
            self.seat.table.update(partition, |progress| progress.release());
        }
        drop(self.seat.handlers.send(OwnershipChanged));
    }
}

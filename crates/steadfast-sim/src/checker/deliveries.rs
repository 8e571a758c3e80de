//! What handlers are given and ack, and how the service's table stands.

use steadfast_core::acked::Span;
use steadfast_core::ids::{Offset, Partition};
use steadfast_core::progress::{Lease, State};
use steadfast_core::tick::Tick;

use super::Checker;
use super::happening::{Delivery, Service, Standing};
use super::history::{Entry, Handed};
use super::violation::{Broken, Invariant, ensure};

/// What one service has done with one partition.
#[derive(Debug, Default)]
pub(super) struct Served {
    /// The newest lease that was delivered under, and the end of what was delivered under it.
    newest: Option<(Lease, Offset)>,
    standing: Option<Standing>,
    /// When the living lease was seen to be another one, or none.
    turned: Tick,
    /// The newest lease that was seen to live and to be over, and when it was.
    over: Option<(Lease, Tick)>,
    /// Records seen to be delivered again by the one that delivered them before, and those that the service counted.
    again: u64,
    counted: u64,
}

impl Checker {
    pub(super) fn delivered(
        &mut self,
        service: Service,
        delivery: &Delivery,
        at: Tick,
    ) -> Result<(), Broken> {
        self.is_in_order(service, delivery)?;
        self.is_intact(service, delivery)?;
        if delivery.live != Some(delivery.lease) {
            return self.lived_just_now(service, delivery, at);
        }
        self.is_of_owner(service, &delivery.partition)?;
        self.skips_nothing(service, delivery)?;
        self.hand(service, delivery, at)
    }

    /// What is delivered was claimed under a living lease, and is in its handler's mailbox from then on: no time
    /// passes until it gets there, but the lease may end. Then it is the handler's to leave alone, its ack changes
    /// nothing, and it is judged when it is delivered again.
    fn lived_just_now(&self, service: Service, delivery: &Delivery, at: Tick) -> Result<(), Broken> {
        let Delivery { partition, lease, live, span, .. } = delivery;
        let served = self.served.get(&(service, partition.clone()));
        let (turned, over) = served.map_or((Tick::ZERO, None), |served| (served.turned, served.over));
        let just_now = match over {
            Some((over, since)) if over == *lease => since == at,
            // It came and went since the table was looked at last.
            Some((over, _)) => turned == at && over.generation < lease.generation,
            None => turned == at,
        };
        ensure(just_now, Invariant::LeaseLives, || {
            format!(
                "{} delivers {partition} from {} under {lease:?}; living is {live:?}, over {over:?}",
                name(service),
                span.from
            )
        })
    }

    fn is_in_order(&mut self, service: Service, delivery: &Delivery) -> Result<(), Broken> {
        let Delivery { partition, span, lease, records, .. } = delivery;
        let served = self.served.entry((service, partition.clone())).or_default();
        let before = served.newest.replace((*lease, span.next));
        let mut last = span.from;
        for (offset, _) in records {
            let fine = *offset >= last && *offset < span.next;
            ensure(fine, Invariant::OncePerLease, || {
                format!("{partition} offset {offset} in [{}, {}) comes after {last}", span.from, span.next)
            })?;
            last = offset.next();
        }
        let Some((newest, end)) = before else { return Ok(()) };
        ensure(newest.generation <= lease.generation, Invariant::LeaseLives, || {
            format!(
                "{} delivers {partition} from {} under {lease:?} after {newest:?}",
                name(service),
                span.from
            )
        })?;
        ensure(newest != *lease || end <= span.from, Invariant::OncePerLease, || {
            let (from, next) = (span.from, span.next);
            format!(
                "{} delivers {partition} [{from}, {next}) under {lease:?} though it delivered up to {end}",
                name(service)
            )
        })
    }

    fn is_intact(&self, service: Service, delivery: &Delivery) -> Result<(), Broken> {
        let partition = &delivery.partition;
        for (offset, content) in &delivery.records {
            let known = self.log.get(partition).is_some_and(|history| history.holds(*offset, *content));
            ensure(known, Invariant::ContentIntact, || {
                format!("{} delivers {partition} offset {offset} with foreign {content:?}", name(service))
            })?;
        }
        Ok(())
    }

    fn is_of_owner(&self, service: Service, partition: &Partition) -> Result<(), Broken> {
        let owner = self.group.owner(partition).filter(|owner| *owner != service);
        ensure(owner.is_none(), Invariant::OneOwner, || {
            format!("{} delivers {partition}, which the coordinator gave to {owner:?}", name(service))
        })
    }

    fn skips_nothing(&self, service: Service, delivery: &Delivery) -> Result<(), Broken> {
        let Delivery { partition, span, lease, records, .. } = delivery;
        let Some(history) = self.log.get(partition) else { return Ok(()) };
        let awaited = |_: Offset, entry: &Entry| {
            let handed = entry.handed.map(|handed| (handed.service, handed.generation));
            handed == Some((service, lease.generation))
        };
        let skipped = history.first_open(Span::new(Offset(0), span.from), awaited);
        ensure(skipped.is_none(), Invariant::NothingSkipped, || {
            format!("{} delivers {partition} from {} before {skipped:?} is acked", name(service), span.from)
        })?;
        let given = |offset: Offset, _: &Entry| records.iter().any(|(given, _)| *given == offset);
        let left_out = history.first_open(*span, given);
        ensure(left_out.is_none(), Invariant::NothingSkipped, || {
            let (from, next) = (span.from, span.next);
            format!("{} delivers {partition} [{from}, {next}) without {left_out:?}", name(service))
        })
    }

    fn hand(&mut self, service: Service, delivery: &Delivery, at: Tick) -> Result<(), Broken> {
        let Delivery { partition, lease, records, .. } = delivery;
        let handed = Handed { service, assignment: lease.assignment, generation: lease.generation, at };
        let Some(history) = self.log.get_mut(partition) else { return Ok(()) };
        for (offset, content) in records {
            let Some(entry) = history.entry(*offset, *content) else { continue };
            if let Some(before) = entry.handed.replace(handed) {
                let allowed = self.excuses.allow(partition, before, service, lease.assignment);
                let acked = entry.acked_by == Some((service, lease.assignment))
                    && !self.excuses.log_since(partition, before.at);
                ensure(allowed && !acked, Invariant::RedeliveryAllowed, || {
                    let acked = if acked { ", and it was acked" } else { "" };
                    let (former, when) = (name(before.service), before.at);
                    format!(
                        "{} delivers {partition} offset {offset} again: {former} did at {when}{acked}",
                        name(service)
                    )
                })?;
                let served = self.served.entry((service, partition.clone())).or_default();
                served.again += u64::from(before.service == service);
                self.summary.redelivered += 1;
            }
            self.summary.delivered += 1;
        }
        Ok(())
    }

    /// An ack counts if its lease lives.
    pub(super) fn acked(
        &mut self,
        service: Service,
        partition: &Partition,
        span: Span,
        (lease, live): (Lease, Option<Lease>),
    ) {
        if live == Some(lease)
            && let Some(history) = self.log.get_mut(partition)
        {
            history.ack(span, (service, lease.assignment));
        }
    }

    /// A bad record is where the dead letters go: only after its handler failed, and then it counts as processed.
    pub(super) fn dead_lettered(
        &mut self,
        service: Service,
        partition: &Partition,
        span: Span,
    ) -> Result<(), Broken> {
        let earned = self.excuses.ever(service, partition);
        ensure(earned, Invariant::QuarantineEarned, || {
            format!("{} calls {partition} offset {} bad, and nothing has failed", name(service), span.from)
        })?;
        let served = self.served.get(&(service, partition.clone()));
        let living = served.and_then(|served| served.standing).and_then(|standing| standing.lease);
        if let Some(lease) = living {
            self.acked(service, partition, span, (lease, Some(lease)));
        }
        Ok(())
    }

    pub(super) fn counted(&mut self, service: Service, partition: Partition, records: u64) {
        self.served.entry((service, partition)).or_default().counted += records;
    }

    /// At the end: what was seen to be delivered again was counted.
    pub(super) fn redeliveries_are_counted(&self) -> Result<(), Broken> {
        for ((service, partition), Served { again, counted, .. }) in &self.served {
            ensure(again <= counted, Invariant::RedeliveryCounted, || {
                format!(
                    "{} delivered {again} records of {partition} again, counted {counted}",
                    name(*service)
                )
            })?;
        }
        Ok(())
    }

    /// How one partition stands, against how it stood.
    pub(super) fn stands(
        &mut self,
        service: Service,
        partition: &Partition,
        now: Standing,
        at: Tick,
    ) -> Result<(), Broken> {
        let served = self.served.entry((service, partition.clone())).or_default();
        let before = served.standing.replace(now);
        if before == Some(now) {
            return Ok(());
        }
        served.turn(before.and_then(|before| before.lease), now.lease, at);
        if let Some(before) = before
            && before.incarnation != now.incarnation
        {
            self.connections.hand_over(service, partition, now.incarnation, at);
        }
        if matches!(now.state, State::Unowned | State::Resolving) {
            return Ok(());
        }
        is_ordered(service, partition, &now)?;
        let same = before.filter(|before| {
            let placed = !matches!(before.state, State::Unowned | State::Resolving);
            placed && before.assignment == now.assignment
        });
        if let Some(before) = same.filter(|before| before.generation == now.generation) {
            let forward = before.position <= now.position && before.acked <= now.acked;
            ensure(forward, Invariant::ProgressOrdered, || {
                format!("{}: {partition} goes back from {before:?} to {now:?}", name(service))
            })?;
        }
        let backwards = same.is_some_and(|before| before.generation > now.generation);
        ensure(!backwards, Invariant::LeaseLives, || {
            format!("{}: {partition} goes back to an ended generation: {before:?}, {now:?}", name(service))
        })?;
        self.acks_were_given(service, partition, same.map_or(now.acked, |before| before.acked), now.acked)?;
        self.claims_are_stored(service, partition, now.committed)
    }

    /// What the service holds for acked since it looked last, handlers have acked under leases that lived.
    fn acks_were_given(
        &self,
        service: Service,
        partition: &Partition,
        from: Offset,
        acked: Offset,
    ) -> Result<(), Broken> {
        let Some(history) = self.log.get(partition) else { return Ok(()) };
        let open = history.first_open(Span::new(from, acked), |_, _| false);
        ensure(open.is_none(), Invariant::LeaseLives, || {
            format!("{}: {partition} is acked up to {acked}, and {open:?} is not", name(service))
        })
    }
}

impl Served {
    fn turn(&mut self, before: Option<Lease>, now: Option<Lease>, at: Tick) {
        if before != now {
            self.turned = at;
            self.over = before.map(|lease| (lease, at)).or(self.over);
        }
    }
}

fn is_ordered(service: Service, partition: &Partition, now: &Standing) -> Result<(), Broken> {
    let ordered = now.committed.is_none_or(|committed| committed <= now.acked) && now.acked <= now.position;
    ensure(ordered, Invariant::ProgressOrdered, || {
        format!("{}: {partition} stands at {now:?}", name(service))
    })
}

pub(super) fn name(service: Service) -> String {
    format!("service {}", service.0)
}

//! What becomes of bad records: each is set aside where somebody looks at it, or its partition is quarantined.
//!
//! What is bad, and that everything before it is acked, the table knows; so nothing of it is lost with this actor.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, StreamHandler, WrapFuture};
use steadfast_core::endpoints::backoff::{Backoff, Jitter};
use steadfast_core::ids::Partition;
use steadfast_core::progress::Progress;
use tokio::time::{sleep, timeout};

use crate::consume::handlers::{quarantine, quarantine_under};
use crate::consume::letter::{DeadLetters, Letter, NotTaken};
use crate::consume::progress::{Aside, ProgressTable};
use crate::env::Env;
use crate::events::{Event, Failure, Place};
use crate::messages::Crash;
use crate::observers::Events;
use crate::watching::{Changed, changes};

/// How long a target may take for one letter.
const WRITE_LIMIT: Duration = Duration::from_secs(60);
/// How often it looks without being told.
const LOOK: Duration = Duration::from_secs(1);

/// What the actor is given by wiring.
pub(crate) struct Seat {
    pub(crate) env: Env,
    pub(crate) table: Arc<ProgressTable>,
    /// Where bad records go; none if they are not tolerated.
    pub(crate) target: Option<Arc<dyn DeadLetters>>,
    /// The pauses between tries while the target is away.
    pub(crate) backoff: Backoff,
    pub(crate) events: Events,
}

/// The actor.
pub(crate) struct BadRecords {
    seat: Arc<Seat>,
    /// The partitions whose record is on its way.
    at_work: BTreeSet<Partition>,
}

impl BadRecords {
    /// One that goes on with what the table says.
    pub(crate) fn new(seat: Arc<Seat>) -> BadRecords {
        BadRecords { seat, at_work: BTreeSet::new() }
    }

    fn look(&mut self, ctx: &mut Context<Self>) {
        for (partition, letter) in self.seat.table.due() {
            match &self.seat.target {
                None => self.seat.quarantine(&letter),
                Some(target) => {
                    let target = Arc::clone(target);
                    self.set_aside(partition, target, ctx);
                }
            }
        }
    }

    fn set_aside(&mut self, partition: Partition, target: Arc<dyn DeadLetters>, ctx: &mut Context<Self>) {
        if self.at_work.contains(&partition) {
            return;
        }
        let Some(aside) = self.seat.table.set_aside(&partition) else { return };
        self.at_work.insert(partition.clone());
        let seat = Arc::clone(&self.seat);
        let put = async move {
            seat.put(&*target, &aside).await;
            partition
        };
        ctx.spawn(put.into_actor(self).map(|partition, records, ctx| {
            records.at_work.remove(&partition);
            records.look(ctx);
        }));
    }

    fn keep_looking(&mut self, ctx: &mut Context<Self>) {
        self.look(ctx);
        ctx.run_later(LOOK, Self::keep_looking);
    }
}

impl Seat {
    /// Tries until the target has it, refuses it, or the lease has ended.
    async fn put(&self, target: &dyn DeadLetters, aside: &Aside) {
        let (letter, began) = (&*aside.letter, self.env.now());
        let mut tries = 0;
        while self.table.read(&letter.partition, Progress::lease).flatten() == Some(aside.lease) {
            let put = timeout(WRITE_LIMIT, target.put(letter)).await;
            let reason = match put {
                Ok(Ok(())) => {
                    self.tell_set_aside(letter);
                    return self.table.absolve(&letter.partition, aside);
                }
                Ok(Err(NotTaken::Refused(reason))) => return self.refused(aside, &reason),
                Ok(Err(NotTaken::Away(reason))) => reason,
                Err(_) => format!("no answer within {WRITE_LIMIT:?}"),
            };
            tries += 1;
            self.table.dead_letters_away(&letter.partition, began, reason.clone());
            self.tell_away(letter, &reason, tries);
            sleep(self.backoff.wait(tries - 1, Jitter::new(self.env.dice.fraction()))).await;
        }
    }

    fn quarantine(&self, letter: &Letter) {
        let reason = format!("the record at {} is bad: {}", letter.span.from, letter.cause.message);
        quarantine(&self.table, &self.events, &letter.partition, &reason);
    }

    fn refused(&self, aside: &Aside, reason: &str) {
        let letter = &*aside.letter;
        let (at, why) = (letter.span.from, &letter.cause.message);
        let reason = format!("the record at {at} is bad ({why}), and the dead letters refuse it: {reason}");
        quarantine_under(&self.table, &self.events, &letter.partition, aside.lease, &reason);
    }

    fn tell_set_aside(&self, letter: &Letter) {
        self.events.emit(Event::RecordDeadLettered {
            place: Place::from(&letter.partition),
            offset: letter.span.from,
            next: letter.span.next,
            failure: Failure::new(letter.cause.class, &letter.cause.message),
        });
    }

    fn tell_away(&self, letter: &Letter, reason: &str, tries: u32) {
        let failure = Failure::new("unavailable", reason);
        let (place, offset) = (Place::from(&letter.partition), letter.span.from);
        self.events.emit(Event::DeadLettersUnavailable { place, offset, failure, tries });
    }
}

impl Actor for BadRecords {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.add_stream(changes(self.seat.table.condemned()));
        self.keep_looking(ctx);
    }
}

impl StreamHandler<Changed<u64>> for BadRecords {
    fn handle(&mut self, _: Changed<u64>, ctx: &mut Context<Self>) {
        self.look(ctx);
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<Crash> for BadRecords {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("asked to crash");
    }
}

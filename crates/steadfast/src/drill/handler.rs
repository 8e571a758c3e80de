//! A handler that tells the journal what reaches it, and misbehaves as it is asked to.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler};
use steadfast_core::ids::Offset;

use super::content::content;
use super::journal::{Answer, Delivered, Journal, What};
use super::letters::Switch;
use crate::consume::batch::Batch;
use crate::env::Dice;

/// How handlers behave: each share is that of the batches, from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Conduct {
    /// How long a batch is held before it is answered; nothing for at once. Batches of one partition overlap, so
    /// different delays answer them out of order.
    pub delay: Range<Duration>,
    /// The share that fails.
    pub failing: f64,
    /// The share that is dropped.
    pub dropping: f64,
    /// The share over which the handler panics.
    pub panicking: f64,
    /// The records over which the handler stumbles, by partition and offset.
    pub poison: BTreeMap<(i32, i64), Stumble>,
    /// The partitions whose handlers keep what they are given, and never answer.
    pub hanging: BTreeSet<i32>,
    /// While it is on, where the records are to go is away.
    pub away: Switch,
}

/// What a handler does about a batch with a record that it cannot process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stumble {
    /// Says that it failed, not over which record.
    Fail,
    /// Says which record is bad.
    Reject,
    /// Panics.
    Panic,
}

impl Default for Conduct {
    /// Everything is processed at once.
    fn default() -> Conduct {
        Conduct {
            delay: Duration::ZERO..Duration::ZERO,
            failing: 0.0,
            dropping: 0.0,
            panicking: 0.0,
            poison: BTreeMap::new(),
            hanging: BTreeSet::new(),
            away: Switch::default(),
        }
    }
}

/// The actor.
pub struct Witness {
    service: Arc<str>,
    conduct: Arc<Conduct>,
    dice: Dice,
    journal: Journal,
    /// What it keeps.
    kept: Vec<Batch>,
}

impl Witness {
    /// A handler of the service of this name.
    pub fn new(service: Arc<str>, conduct: Arc<Conduct>, dice: Dice, journal: Journal) -> Witness {
        Witness { service, conduct, dice, journal, kept: Vec::new() }
    }

    fn delivered(&self, batch: &Batch) -> Delivered {
        Delivered {
            service: Arc::clone(&self.service),
            partition: batch.partition().clone(),
            leader: batch.leader(),
            span: batch.span(),
            offsets: batch.records().flatten().map(|record| record.offset).collect(),
            contents: batch.records().flatten().map(|record| content(record.value.unwrap_or(&[]))).collect(),
            lease: batch.lease(),
            current: batch.is_current(),
        }
    }

    /// What becomes of the next batch, and when.
    fn roll(&self) -> (Duration, Answer) {
        let Conduct { delay, failing, dropping, panicking, .. } = &*self.conduct;
        let wait = match delay.is_empty() {
            true => delay.start,
            false => delay.start + (delay.end - delay.start).mul_f64(self.dice.fraction()),
        };
        let fate = self.dice.fraction();
        let answer = match () {
            () if fate < *failing => Answer::Failed,
            () if fate < failing + dropping => Answer::Dropped,
            () if fate < failing + dropping + panicking => Answer::Panicked,
            () => Answer::Done,
        };
        (wait, answer)
    }

    /// What it cannot do otherwise about this batch.
    fn must(&self, batch: &Delivered) -> Option<Answer> {
        if self.conduct.away.is_on() {
            return Some(Answer::Unavailable);
        }
        let poison = |offset: &Offset| {
            let stumble = self.conduct.poison.get(&(batch.partition.index, offset.0));
            stumble.map(|stumble| (*offset, *stumble))
        };
        batch.offsets.iter().find_map(poison).map(|(offset, stumble)| match stumble {
            Stumble::Fail => Answer::Failed,
            Stumble::Reject => Answer::Rejected(offset),
            Stumble::Panic => Answer::Panicked,
        })
    }

    fn answer(&self, batch: Batch, mut delivered: Delivered, answer: Answer) {
        delivered.current = batch.is_current();
        self.journal.note(What::Answered(delivered, answer));
        match answer {
            Answer::Done => batch.done(),
            Answer::Failed => batch.failed("asked to fail"),
            Answer::Rejected(offset) => batch.rejected(offset, "asked to reject"),
            Answer::Unavailable => batch.unavailable("asked to be away"),
            Answer::Dropped => drop(batch),
            Answer::Panicked => panic!("asked to panic"),
        }
    }
}

impl Actor for Witness {
    type Context = Context<Self>;
}

impl Handler<Batch> for Witness {
    type Result = ();

    fn handle(&mut self, batch: Batch, ctx: &mut Context<Self>) {
        let delivered = self.delivered(&batch);
        self.journal.note(What::Delivered(delivered.clone()));
        if self.conduct.hanging.contains(&batch.partition().index) {
            return self.kept.push(batch);
        }
        let (wait, answer) = self.roll();
        let answer = self.must(&delivered).unwrap_or(answer);
        if wait.is_zero() {
            return self.answer(batch, delivered, answer);
        }
        ctx.run_later(wait, move |witness, _| witness.answer(batch, delivered, answer));
    }
}

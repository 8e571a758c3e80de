//! A handler that tells the journal what reaches it, and misbehaves as it is asked to.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler};
use steadfast::consume::batch::Batch;
use steadfast::env::Dice;

use super::content::content;
use super::journal::{Answer, Delivered, Journal, What};

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
}

impl Default for Conduct {
    /// Everything is processed at once.
    fn default() -> Conduct {
        Conduct { delay: Duration::ZERO..Duration::ZERO, failing: 0.0, dropping: 0.0, panicking: 0.0 }
    }
}

/// The actor.
pub struct Witness {
    service: Arc<str>,
    conduct: Arc<Conduct>,
    dice: Dice,
    journal: Journal,
}

impl Witness {
    /// A handler of the service of this name.
    pub fn new(service: Arc<str>, conduct: Arc<Conduct>, dice: Dice, journal: Journal) -> Witness {
        Witness { service, conduct, dice, journal }
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
        let Conduct { delay, failing, dropping, panicking } = &*self.conduct;
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

    fn answer(&self, batch: Batch, mut delivered: Delivered, answer: Answer) {
        delivered.current = batch.is_current();
        self.journal.note(What::Answered(delivered, answer));
        match answer {
            Answer::Done => batch.done(),
            Answer::Failed => batch.failed("asked to fail"),
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
        let (wait, answer) = self.roll();
        if wait.is_zero() {
            return self.answer(batch, delivered, answer);
        }
        ctx.run_later(wait, move |witness, _| witness.answer(batch, delivered, answer));
    }
}

//! The `discard` sink: acks at once.

use actix::{Actor, Context, Handler};

use crate::consume::batch::Batch;

/// The handler of one partition.
#[derive(Debug, Default)]
pub struct Discard;

impl Actor for Discard {
    type Context = Context<Self>;
}

impl Handler<Batch> for Discard {
    type Result = ();

    fn handle(&mut self, batch: Batch, _: &mut Context<Self>) {
        batch.done();
    }
}

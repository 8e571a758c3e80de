//! Handlers that stand still: the keeper looks at them, by core's rule.

use std::time::Duration;

use actix::{AsyncContext, Context};
use steadfast_core::ids::Partition;
use steadfast_core::standstill::look;

use super::{Handlers, quarantine};
use crate::config::OnStall;
use crate::messages::End;

impl Handlers {
    /// Looks at the handlers now, and again when one may have stood still for too long.
    pub(super) fn watch(&mut self, ctx: &mut Context<Self>) {
        let (limit, on_stall) = self.seat.stall;
        let now = self.seat.env.now();
        let look = look(self.seat.table.busy(), limit, now);
        for (partition, stood) in &look.still {
            self.stands_still(partition, *stood, on_stall);
        }
        let wait = look.again.map_or(limit, |again| again.since(now));
        ctx.run_later(wait, Self::watch);
    }

    fn stands_still(&self, partition: &Partition, stood: Duration, on_stall: OnStall) {
        let reason = format!(
            "the handler has acked nothing of what it holds for {} s (kafka.max.poll.interval.ms)",
            stood.as_secs()
        );
        match on_stall {
            OnStall::Quarantine => quarantine(&self.seat.table, &self.seat.events, partition, &reason),
            // Without a receiver the service is ending already.
            OnStall::Leave => drop(self.seat.end.send(End::Stalled(format!("{partition}: {reason}")))),
        }
    }
}

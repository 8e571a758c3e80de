//! What follows when a position is not in its leader's log.

use steadfast_core::ids::{LeaderEpoch, Offset, Partition};
use steadfast_core::progress::Position;

use super::Consumer;
use crate::config::OutOfRange;
use crate::consume::handlers::tell_quarantined;
use crate::events::{Event, LostPosition};

impl Consumer {
    pub(super) fn out_of_range(
        &mut self,
        partition: &Partition,
        position: Position,
        shared: Option<(Offset, LeaderEpoch)>,
        (earliest, latest): (Offset, Offset),
    ) {
        let in_log = earliest <= position.offset && position.offset <= latest;
        let (to, epoch, cause) = match shared {
            Some((offset, epoch)) => (offset.max(earliest), epoch, "truncated"),
            // The leader's word of now against its word of before: it is asked again.
            None if in_log => return,
            None if position.offset > latest => (latest, LeaderEpoch::UNKNOWN, "truncated"),
            None => (earliest, LeaderEpoch::UNKNOWN, "deleted"),
        };
        let resume = self.seat.out_of_range == OutOfRange::Earliest;
        let moved = self.seat.table.update(partition, |progress| {
            if progress.position() != position {
                return None;
            }
            // What was delivered and is processed yet is not given up: the leader is asked again when it is done.
            if cause == "deleted" && !progress.is_drained() {
                return None;
            }
            // What is not acked and still there is fetched again.
            let to = if cause == "truncated" { to.min(progress.acked()).max(earliest) } else { to };
            if resume {
                progress.reset(position, to, epoch);
            } else {
                progress.quarantine();
            }
            Some((to, progress.acked()))
        });
        let Some((to, acked)) = moved else { return };
        let lost = LostPosition {
            place: partition.into(),
            position: position.offset,
            available: to,
            cause,
            action: if resume { "resume" } else { "stop" },
        };
        self.seat.events.emit(Event::OffsetsOutOfRange { lost });
        if !resume {
            let reason =
                format!("the position is not in the log ({cause}) and offsets.out_of_range is \"stop\"");
            tell_quarantined(&self.seat.table, &self.seat.events, partition, acked, &reason);
        }
    }
}

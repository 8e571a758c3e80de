//! Handlers that stand still over what they hold: such a one costs its partition, not the membership.
//!
//! Java's consumer leaves the group when its one thread has not polled for `max.poll.interval.ms`. Here heartbeats and
//! handlers have nothing to do with each other, so each partition's handler is measured by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ids::Partition;
use crate::tick::Tick;

/// What a look at the handlers shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Look {
    /// The partitions whose handlers stand still, each with for how long.
    pub still: BTreeMap<Partition, Duration>,
    /// When one that is busy now will count as such at the earliest, if it does nothing until then; none if nobody is
    /// busy. Who becomes busy later does not before the limit has passed.
    pub again: Option<Tick>,
}

/// Looks at handlers that hold something: since when each has acked nothing of it. `limit` is
/// `max.poll.interval.ms`.
pub fn look(busy: impl IntoIterator<Item = (Partition, Tick)>, limit: Duration, now: Tick) -> Look {
    let mut look = Look::default();
    for (partition, since) in busy {
        let stood = now.since(since);
        if stood >= limit {
            look.still.insert(partition, stood);
        } else {
            let due = since + limit;
            look.again = Some(look.again.map_or(due, |again| again.min(due)));
        }
    }
    look
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(300);

    fn seconds(seconds: u64) -> Tick {
        Tick::at(Duration::from_secs(seconds))
    }

    fn orders(index: i32) -> Partition {
        Partition::new("orders", index)
    }

    #[test]
    fn who_has_acked_nothing_for_the_limit_stands_still() {
        let busy = [(orders(0), seconds(100)), (orders(1), seconds(101)), (orders(2), seconds(350))];
        let look = look(busy, LIMIT, seconds(400));
        assert_eq!(look.still, BTreeMap::from([(orders(0), LIMIT)]));
        assert_eq!(look.again, Some(seconds(401)), "and nobody else before that");
    }

    #[test]
    fn where_nobody_holds_anything_nobody_stands_still() {
        assert_eq!(look([], LIMIT, seconds(9_999)), Look::default());
    }
}

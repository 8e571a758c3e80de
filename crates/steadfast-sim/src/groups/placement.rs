//! Which broker coordinates what: the partitions of `__consumer_offsets`, of which each has one leader.

use kafka_protocol::ResponseError;
use steadfast_core::ids::NodeId;
use steadfast_core::tick::Tick;

/// `offsets.topic.num.partitions`.
const SLOTS: usize = 50;

/// One partition of `__consumer_offsets`.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    leader: Option<NodeId>,
    /// The leader has not read it yet.
    loading_until: Option<Tick>,
}

/// Who coordinates what.
#[derive(Debug)]
pub(super) struct Placement {
    slots: [Slot; SLOTS],
}

impl Default for Placement {
    fn default() -> Placement {
        Placement { slots: [Slot::default(); SLOTS] }
    }
}

impl Placement {
    /// The partition that holds this group, by Kafka's rule: Java's hash of the name.
    pub(super) fn slot(group: &str) -> usize {
        let hash = group
            .encode_utf16()
            .fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)));
        // Java's `Utils.abs`: the absolute value, and zero for the one integer that has none.
        let absolute = i32::from_ne_bytes(hash.to_ne_bytes()).checked_abs().unwrap_or(0);
        usize::try_from(absolute).unwrap_or(0) % SLOTS
    }

    pub(super) fn coordinator(&self, group: &str) -> Option<NodeId> {
        self.slots[Placement::slot(group)].leader
    }

    pub(super) fn admit(&self, node: NodeId, group: &str, now: Tick) -> Result<(), ResponseError> {
        let slot = self.slots[Placement::slot(group)];
        match slot.leader {
            Some(leader) if leader == node => {
                if slot.loading_until.is_some_and(|until| now < until) {
                    return Err(ResponseError::CoordinatorLoadInProgress);
                }
                Ok(())
            }
            Some(_) | None => Err(ResponseError::NotCoordinator),
        }
    }

    /// Places anew what has no live leader; what has one stays. Gives the partitions that moved.
    pub(super) fn brokers_changed(&mut self, alive: &[NodeId], loaded_at: Tick) -> Vec<usize> {
        let mut moved = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.leader.is_some_and(|leader| alive.contains(&leader)) {
                continue;
            }
            let leader = if alive.is_empty() { None } else { Some(alive[index % alive.len()]) };
            if slot.leader.is_some() || leader.is_some() {
                *slot = Slot { leader, loading_until: leader.map(|_| loaded_at) };
                moved.push(index);
            }
        }
        moved
    }

    /// Gives the partition of this group to another broker.
    pub(super) fn move_to(&mut self, group: &str, node: NodeId, loaded_at: Tick) -> usize {
        let index = Placement::slot(group);
        self.slots[index] = Slot { leader: Some(node), loading_until: Some(loaded_at) };
        index
    }

    /// When a partition will have been read next.
    pub(super) fn next_load(&self) -> Option<Tick> {
        self.slots.iter().filter_map(|slot| slot.loading_until).min()
    }

    /// The partitions that have been read by now, told once, each with the time it was done.
    pub(super) fn loaded_by(&mut self, now: Tick) -> Vec<(usize, Tick)> {
        let slots = self.slots.iter_mut().enumerate();
        slots
            .filter_map(|(index, slot)| {
                slot.loading_until.take_if(|until| *until <= now).map(|at| (index, at))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_where_javas_hash_puts_it() {
        // "billing".hashCode() = -109829509, "test".hashCode() = 3556498.
        assert_eq!(Placement::slot("billing"), 9);
        assert_eq!(Placement::slot("test"), 48);
        assert_eq!(Placement::slot(""), 0);
    }

    #[test]
    fn the_one_hash_without_an_absolute_value_is_zero() {
        // Its hash is Integer.MIN_VALUE.
        assert_eq!(Placement::slot("polygenelubricants"), 0);
    }

    #[test]
    fn only_what_a_dead_broker_led_moves() {
        let mut placement = Placement::default();
        let all = [NodeId(1), NodeId(2), NodeId(3)];
        placement.brokers_changed(&all, Tick::ZERO);
        let before = placement.slots.map(|slot| slot.leader);
        let moved = placement.brokers_changed(&[NodeId(1), NodeId(3)], Tick::ZERO);
        for (index, leader) in before.into_iter().enumerate() {
            assert_eq!(moved.contains(&index), leader == Some(NodeId(2)));
            assert_ne!(placement.slots[index].leader, Some(NodeId(2)));
        }
        assert_eq!(placement.brokers_changed(&all, Tick::ZERO), Vec::<usize>::new());
    }
}

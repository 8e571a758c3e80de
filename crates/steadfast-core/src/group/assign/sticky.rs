//! Balanced, moving as little as can be, in one round: everybody has let go of everything, and says in its
//! user data what it was assigned before.

use super::balance::Balance;
use super::{Assignments, Candidate, PartitionCounts};

pub(super) fn assign(members: &[Candidate], counts: &PartitionCounts) -> Assignments {
    let held = Balance::of(members, counts, |subscription| {
        (&subscription.previous.partitions, subscription.previous.generation)
    });
    held.whole()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::group::MemberId;
    use crate::group::subscription::{Held, Subscription};
    use crate::ids::{GroupGeneration, Partition};

    fn member(id: &str, generation: i32, previous: &[i32]) -> Candidate {
        let previous = Held {
            partitions: previous.iter().map(|index| Partition::new("t", *index)).collect(),
            generation: Some(GroupGeneration(generation)),
        };
        let subscription =
            Subscription { topics: [Arc::from("t")].into(), previous, ..Subscription::default() };
        Candidate { id: id.into(), instance: None, subscription }
    }

    fn indexes(shares: &Assignments, id: &str) -> Vec<i32> {
        shares[&MemberId::from(id)].iter().map(|partition| partition.index).collect()
    }

    fn of_t(count: i32) -> PartitionCounts {
        [(Arc::from("t"), count)].into()
    }

    #[test]
    fn what_moves_is_given_at_once() {
        let shares = assign(&[member("a", 1, &[0, 1, 2, 3]), member("b", -1, &[])], &of_t(4));
        assert_eq!(indexes(&shares, "a"), [0, 1]);
        assert_eq!(indexes(&shares, "b"), [2, 3]);
    }

    #[test]
    fn what_one_left_behind_is_all_that_moves() {
        let shares = assign(&[member("b", 1, &[1, 4]), member("c", 1, &[2, 5])], &of_t(6));
        assert_eq!(indexes(&shares, "b"), [0, 1, 4]);
        assert_eq!(indexes(&shares, "c"), [2, 3, 5]);
    }

    #[test]
    fn who_comes_back_with_an_older_assignment_does_not_get_what_others_have_since() {
        let shares = assign(&[member("a", 4, &[0, 1]), member("b", 5, &[0, 2])], &of_t(4));
        assert_eq!(indexes(&shares, "a"), [1, 3]);
        assert_eq!(indexes(&shares, "b"), [0, 2]);
    }

    #[test]
    fn the_fixed_fields_say_nothing_of_what_it_had() {
        let mut owner = member("b", 1, &[]);
        owner.subscription.owned = [Partition::new("t", 0)].into();
        let shares = assign(&[member("a", 1, &[0]), owner], &of_t(2));
        assert_eq!(indexes(&shares, "a"), [0]);
        assert_eq!(indexes(&shares, "b"), [1]);
    }
}

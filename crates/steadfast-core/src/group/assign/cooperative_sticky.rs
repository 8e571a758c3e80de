//! Balanced, moving as little as can be, in two rounds: a partition that goes from one member to another is
//! withheld from both in the first, and given in the second, when its owner has let go of it (KIP-429). What
//! several claim to hold in the same generation goes through a round in which nobody has it.

use super::balance::Balance;
use super::{Assignments, Candidate, PartitionCounts};

pub(super) fn assign(members: &[Candidate], counts: &PartitionCounts) -> Assignments {
    Balance::of(members, counts, |subscription| (&subscription.owned, subscription.generation)).unclaimed()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::group::MemberId;
    use crate::group::subscription::Subscription;
    use crate::ids::{GroupGeneration, Partition};

    fn member(id: &str, generation: i32, owned: &[i32]) -> Candidate {
        let subscription = Subscription {
            topics: [Arc::from("t")].into(),
            owned: owned.iter().map(|index| Partition::new("t", *index)).collect(),
            generation: Some(GroupGeneration(generation)),
            ..Subscription::default()
        };
        Candidate { id: id.into(), instance: None, subscription }
    }

    fn indexes(shares: &Assignments, id: &str) -> Vec<i32> {
        shares[&MemberId::from(id)].iter().map(|partition| partition.index).collect()
    }

    fn of_t(count: i32) -> PartitionCounts {
        [(Arc::from("t"), count)].into()
    }

    #[test]
    fn what_moves_is_withheld_until_its_owner_has_let_go() {
        let first = assign(&[member("a", 1, &[0, 1, 2, 3]), member("b", -1, &[])], &of_t(4));
        assert_eq!(indexes(&first, "a").len(), 2);
        assert_eq!(indexes(&first, "b"), Vec::<i32>::new());
        let kept = indexes(&first, "a");
        let second = assign(&[member("a", 2, &kept), member("b", 2, &[])], &of_t(4));
        assert_eq!(indexes(&second, "a"), kept);
        assert_eq!(indexes(&second, "b").len(), 2);
    }

    #[test]
    fn the_highest_generation_wins_a_claim() {
        let shares = assign(&[member("a", 4, &[0]), member("b", 5, &[0, 1])], &of_t(3));
        assert!(indexes(&shares, "b").contains(&0));
        assert!(!indexes(&shares, "a").contains(&0));
    }

    #[test]
    fn equal_generations_annul_all_claimants() {
        let shares = assign(&[member("a", 5, &[0]), member("b", 5, &[0])], &of_t(2));
        let given: Vec<i32> = [indexes(&shares, "a"), indexes(&shares, "b")].concat();
        assert_eq!(given, [1], "nobody may have 0 while both may hold it");
    }

    #[test]
    fn a_claim_from_an_older_generation_stands_if_nobody_else_claims() {
        let shares = assign(&[member("a", 4, &[0, 1]), member("b", 5, &[2, 3])], &of_t(4));
        assert_eq!(indexes(&shares, "a"), [0, 1]);
        assert_eq!(indexes(&shares, "b"), [2, 3]);
    }

    #[test]
    fn what_its_owner_no_longer_wants_is_withheld_once_too() {
        let mut leaving = member("a", 5, &[0]);
        leaving.subscription.topics = [Arc::from("u")].into();
        let shares = assign(&[leaving, member("b", 5, &[1])], &of_t(2));
        assert_eq!(indexes(&shares, "b"), [1]);
    }

    #[test]
    fn claims_on_what_does_not_exist_are_ignored() {
        let shares = assign(&[member("a", 5, &[-1, 7, i32::MAX])], &of_t(2));
        assert_eq!(indexes(&shares, "a"), [0, 1]);
    }
}

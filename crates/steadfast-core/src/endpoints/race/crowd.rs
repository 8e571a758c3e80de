//! Silence in many places at once is no pause of one node.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Evidence;
use crate::tick::Tick;

/// How long a silence counts beside others.
const TOGETHER: Duration = Duration::from_secs(1);

/// The nodes that fell silent of late: of two or more, and more than half of those in use, it is as good as broken. One
/// that pauses, or hangs on one kind of request, thus never holds up what is found out about all.
#[derive(Debug, Clone)]
pub struct Crowd<N: Ord> {
    silent: BTreeMap<N, Tick>,
}

impl<N: Ord> Default for Crowd<N> {
    fn default() -> Crowd<N> {
        Crowd { silent: BTreeMap::new() }
    }
}

impl<N: Ord> Crowd<N> {
    /// What this suspicion of `node` says beside those before, `in_use` nodes being in use.
    pub fn weigh(&mut self, evidence: Evidence, node: Option<N>, in_use: usize, now: Tick) -> Evidence {
        self.silent.retain(|_, at| now.since(*at) <= TOGETHER);
        let (Evidence::Silent, Some(node)) = (evidence, node) else { return evidence };
        self.silent.insert(node, now);
        let silent = self.silent.len();
        if silent >= 2 && silent * 2 > in_use { Evidence::Broken } else { Evidence::Silent }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of three nodes these fall silent, each so many milliseconds after the beginning. What the last one says.
    fn weighed(silences: &[(u8, u64)]) -> Option<Evidence> {
        let mut crowd = Crowd::default();
        let weigh = |(node, millis): &(u8, u64)| {
            crowd.weigh(Evidence::Silent, Some(*node), 3, Tick::at(Duration::from_millis(*millis)))
        };
        silences.iter().map(weigh).last()
    }

    #[test]
    fn one_node_is_only_silent_however_often() {
        assert_eq!(weighed(&[(1, 0), (1, 500), (1, 600)]), Some(Evidence::Silent));
    }

    #[test]
    fn most_nodes_at_once_are_as_good_as_broken() {
        assert_eq!(weighed(&[(1, 0), (2, 1_000)]), Some(Evidence::Broken));
        assert_eq!(weighed(&[(1, 0), (2, 1_001)]), Some(Evidence::Silent));
        let mut crowd = Crowd::default();
        let mut weigh = |node| crowd.weigh(Evidence::Silent, Some(node), 4, Tick::ZERO);
        assert_eq!([weigh(1), weigh(2), weigh(3)], [Evidence::Silent, Evidence::Silent, Evidence::Broken]);
    }

    #[test]
    fn the_only_node_pauses_like_any_other() {
        let mut crowd = Crowd::default();
        assert_eq!(crowd.weigh(Evidence::Silent, Some(1), 1, Tick::ZERO), Evidence::Silent);
        assert_eq!(crowd.weigh(Evidence::Silent, None::<i32>, 1, Tick::ZERO), Evidence::Silent);
        assert_eq!(crowd.weigh(Evidence::Broken, Some(1), 1, Tick::ZERO), Evidence::Broken);
    }
}

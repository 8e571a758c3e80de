//! What follows when a broker says that it does not lead a partition, and who does (KIP-951).

use steadfast_core::endpoints::race::Evidence;
use steadfast_core::ids::{NodeId, Partition};
use steadfast_kafka::api::ErrorCode;
use steadfast_kafka::fetch::intake::NamedLeader;

use super::Consumer;
use crate::messages::Observed;

impl Consumer {
    /// A newer leader that is verified where it is said to be takes over at once. One that would be somewhere else
    /// is not believed: everybody is asked, as where none is named.
    pub(super) fn not_leader(
        &mut self,
        node: NodeId,
        partition: Partition,
        code: ErrorCode,
        named: Option<NamedLeader>,
    ) {
        if self.is_behind(&partition, code) {
            return;
        }
        let mut reason = format!("{partition}: {code}");
        if let Some(named) = named.filter(|named| self.is_news(&partition, named)) {
            if self.is_verified(&named) {
                let NamedLeader { topic, node, epoch, .. } = named;
                drop(self.seat.differ.send(Observed::LeaderNamed { partition, topic, node, epoch }));
                return;
            }
            reason += &format!(", and broker {} leads it now, at {}", named.node, named.address);
        }
        self.suspect(node, Evidence::Broken, reason);
    }

    /// A broker may hear of an election later than we do. What it says of that is heeded when it says so again.
    fn is_behind(&mut self, partition: &Partition, code: ErrorCode) -> bool {
        let known = self.seat.cluster.borrow().leader(partition);
        code == ErrorCode::UNKNOWN_LEADER_EPOCH && self.behind.insert(partition.clone(), known) != Some(known)
    }

    fn is_news(&self, partition: &Partition, named: &NamedLeader) -> bool {
        let known = self.seat.cluster.borrow().leader(partition);
        known.is_none_or(|(_, epoch)| named.epoch > epoch)
    }

    fn is_verified(&self, named: &NamedLeader) -> bool {
        let config = self.dialler.config.borrow();
        self.seat.cluster.borrow().address(named.node) == Some(config.reached(&named.address))
    }
}

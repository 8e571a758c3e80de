//! Owned partitions of a topic that is another one by now.

use std::sync::Arc;

use steadfast_core::ids::TopicId;

use super::Consumer;
use crate::consume::handlers::quarantine;

impl Consumer {
    /// Offsets of a topic that was deleted mean nothing in the one that has its name now: nobody but a person
    /// can say where to go on.
    pub(super) fn stop_recreated(&self) {
        let cluster = Arc::clone(&self.seat.cluster.borrow());
        for partition in self.seat.table.owned() {
            let now = cluster.topic_id(&partition.topic);
            let fetched = self.seat.table.read(&partition, |progress| progress.fetch_from(self.incarnation));
            let was = fetched.flatten().map_or(now, |position| position.topic);
            if was != now && was != TopicId::UNKNOWN && now != TopicId::UNKNOWN {
                let reason = "the topic was deleted and created again: its offsets are others";
                quarantine(&self.seat.table, &self.seat.events, &partition, reason);
            }
        }
    }
}

//! What goes to and from the group coordinator, counted by kind of request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use steadfast_core::group::account::Spent;

use crate::locked::locked;

/// Counts of the lines to the coordinator. A clone is the same counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traffic(Arc<Mutex<BTreeMap<&'static str, Spent>>>);

/// What stands before an answer's body on the wire: its length and its correlation id.
const ANSWER_HEAD: usize = 8;

impl Traffic {
    /// A request of this kind goes out.
    pub(crate) fn sent(&self, api: &'static str, bytes: usize) {
        let mut all = locked(&self.0);
        let spent = all.entry(api).or_default();
        spent.requests += 1;
        spent.bytes += bytes as u64;
    }

    /// Its answer has come, with a body of so many bytes.
    pub(crate) fn answered(&self, api: &'static str, body: usize) {
        locked(&self.0).entry(api).or_default().bytes += (body + ANSWER_HEAD) as u64;
    }

    /// By kind of request.
    pub(crate) fn by_api(&self) -> BTreeMap<&'static str, Spent> {
        locked(&self.0).clone()
    }

    /// All of it.
    pub(crate) fn total(&self) -> Spent {
        let sum = |one: Spent, other: &Spent| Spent {
            requests: one.requests + other.requests,
            bytes: one.bytes + other.bytes,
        };
        locked(&self.0).values().fold(Spent::default(), sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_bytes_are_counted_by_kind_and_in_all() {
        let traffic = Traffic::default();
        traffic.sent("Heartbeat", 60);
        traffic.answered("Heartbeat", 6);
        traffic.sent("JoinGroup", 200);
        assert_eq!(traffic.by_api()["Heartbeat"], Spent { requests: 1, bytes: 74 });
        assert_eq!(traffic.total(), Spent { requests: 2, bytes: 274 });
    }
}

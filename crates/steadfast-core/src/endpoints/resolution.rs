//! What the names of endpoints resolve to, and what our connections are made to by now.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::view::Address;
use crate::tick::Tick;

/// How long an answer of a name that rotates through its addresses is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);

/// How many addresses of one name are remembered: a resolver that makes new ones up must not grow without bound.
const MOST_REMEMBERED: usize = 256;

/// Finds connections that are made to what their endpoint's name no longer leads to.
///
/// A connected address is stale when two resolutions in a row, [`Resolutions::new`]'s `settle` apart or more, did not
/// name it. A name without an answer says nothing. Where an address was away from the answers and came back, the name
/// rotates: then whatever it answered in the last ten minutes counts as its answer, so that round-robin DNS in parts
/// does not flap.
#[derive(Debug, Clone)]
pub struct Resolutions {
    settle: Duration,
    names: BTreeMap<Address, Name>,
}

#[derive(Debug, Clone, Default)]
struct Name {
    /// When each address was last among the answers.
    seen: BTreeMap<IpAddr, Tick>,
    /// The answers of last time.
    last: BTreeSet<IpAddr>,
    /// When an address last came back.
    rotated: Option<Tick>,
    /// Connected addresses that are not among the answers, and since when.
    absent: BTreeMap<IpAddr, Tick>,
}

impl Resolutions {
    /// Nothing is resolved yet.
    pub fn new(settle: Duration) -> Resolutions {
        Resolutions { settle, names: BTreeMap::new() }
    }

    /// Forgets all names but these.
    pub fn retain(&mut self, in_use: &BTreeSet<Address>) {
        self.names.retain(|address, _| in_use.contains(address));
    }

    /// Takes in what the host of `endpoint` resolves to now, while connections to it stand at `connected`. Says which
    /// of these are stale.
    pub fn resolved(
        &mut self,
        endpoint: &Address,
        answers: &BTreeSet<IpAddr>,
        connected: &BTreeSet<IpAddr>,
        now: Tick,
    ) -> BTreeSet<IpAddr> {
        if answers.is_empty() {
            return BTreeSet::new();
        }
        let name = self.names.entry(endpoint.clone()).or_default();
        name.take_in(answers, now);
        name.stale(connected, self.settle, now)
    }
}

impl Name {
    fn take_in(&mut self, answers: &BTreeSet<IpAddr>, now: Tick) {
        self.seen.retain(|_, seen| now.since(*seen) <= REMEMBERED);
        self.rotated = self.rotated.filter(|rotated| now.since(*rotated) <= REMEMBERED);
        if answers.iter().any(|ip| self.seen.contains_key(ip) && !self.last.contains(ip)) {
            self.rotated = Some(now);
        }
        self.seen.extend(answers.iter().take(MOST_REMEMBERED).map(|ip| (*ip, now)));
        while self.seen.len() > MOST_REMEMBERED {
            let oldest = self.seen.iter().min_by_key(|(_, seen)| **seen).map(|(ip, _)| *ip);
            oldest.and_then(|oldest| self.seen.remove(&oldest));
        }
        self.last.clone_from(answers);
    }

    fn stale(&mut self, connected: &BTreeSet<IpAddr>, settle: Duration, now: Tick) -> BTreeSet<IpAddr> {
        let named =
            |ip: &IpAddr| self.last.contains(ip) || (self.rotated.is_some() && self.seen.contains_key(ip));
        let away: BTreeSet<IpAddr> = connected.iter().filter(|ip| !named(ip)).copied().collect();
        self.absent.retain(|ip, _| away.contains(ip));
        let before = self.absent.clone();
        for ip in away {
            self.absent.entry(ip).or_insert(now);
        }
        let stale = before.into_iter().filter(|(_, since)| now.since(*since) >= settle);
        stale.map(|(ip, _)| ip).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SETTLE: Duration = Duration::from_secs(2);

    fn ips(last: &[u8]) -> BTreeSet<IpAddr> {
        last.iter().map(|last| IpAddr::from([10, 0, 0, *last])).collect()
    }

    /// Resolves every 5 s, being connected to `connected` all the time. Says which were stale each time.
    fn stale(connected: &[u8], answers: &[&[u8]]) -> Vec<BTreeSet<IpAddr>> {
        let mut resolutions = Resolutions::new(SETTLE);
        let at = Address::new("kafka-1", 9092);
        let times = (0..).map(|turn| Tick::at(Duration::from_secs(5 * turn)));
        let resolve = |(answer, now)| resolutions.resolved(&at, &ips(answer), &ips(connected), now);
        answers.iter().copied().zip(times).map(resolve).collect()
    }

    #[test]
    fn a_name_that_leads_elsewhere_twice_makes_its_connections_stale() {
        let none = BTreeSet::new;
        assert_eq!(stale(&[1], &[&[1], &[2], &[2]]), [none(), none(), ips(&[1])]);
    }

    #[test]
    fn a_name_that_answers_otherwise_once_does_not() {
        assert!(stale(&[1], &[&[1], &[2], &[1], &[1]]).iter().all(BTreeSet::is_empty));
    }

    #[test]
    fn a_name_without_an_answer_says_nothing() {
        assert!(stale(&[1], &[&[1], &[], &[], &[]]).iter().all(BTreeSet::is_empty));
        assert_eq!(stale(&[1], &[&[1], &[2], &[], &[2]]).pop(), Some(ips(&[1])));
    }

    #[test]
    fn two_resolutions_within_the_settling_time_are_not_enough() {
        let mut resolutions = Resolutions::new(SETTLE);
        let at = Address::new("kafka-1", 9092);
        let mut resolve = |millis| {
            resolutions.resolved(&at, &ips(&[2]), &ips(&[1]), Tick::at(Duration::from_millis(millis)))
        };
        assert!(resolve(0).is_empty() && resolve(1_999).is_empty());
        assert_eq!(resolve(2_000), ips(&[1]));
    }

    #[test]
    fn answers_in_another_order_or_in_parts_do_not_flap() {
        assert!(stale(&[1], &[&[1, 2, 3], &[3, 1, 2], &[2, 3, 1]]).iter().all(BTreeSet::is_empty));
        let turns: Vec<&[u8]> = [&[1][..], &[2], &[1], &[3], &[2], &[2], &[3], &[3]].to_vec();
        assert!(stale(&[1], &turns).iter().all(BTreeSet::is_empty));
    }

    #[test]
    fn a_connection_that_is_replaced_is_stale_no_more() {
        let mut resolutions = Resolutions::new(SETTLE);
        let at = Address::new("kafka-1", 9092);
        let mut resolve = |connected: &[u8], seconds| {
            resolutions.resolved(&at, &ips(&[2]), &ips(connected), Tick::at(Duration::from_secs(seconds)))
        };
        resolve(&[1], 0);
        assert_eq!(resolve(&[1, 2], 5), ips(&[1]));
        assert!(resolve(&[2], 10).is_empty());
        assert!(resolve(&[1, 2], 15).is_empty(), "counted anew");
    }

    proptest! {
        /// Whatever a resolver answers: what is stale is connected, and the last two answers did not name it.
        #[test]
        fn what_is_named_is_never_stale(
            turns in proptest::collection::vec((proptest::collection::vec(0..6u8, 0..4), 0..8u64), 1..60),
            connected in proptest::collection::vec(0..6u8, 0..4),
        ) {
            let mut resolutions = Resolutions::new(SETTLE);
            let (at, connected) = (Address::new("kafka-1", 9092), ips(&connected));
            let (mut now, mut before) = (Tick::ZERO, BTreeSet::new());
            for (answers, wait) in turns {
                now = now + Duration::from_secs(wait);
                let answers = ips(&answers);
                for ip in resolutions.resolved(&at, &answers, &connected, now) {
                    prop_assert!(connected.contains(&ip) && !answers.contains(&ip) && !before.contains(&ip));
                }
                if !answers.is_empty() {
                    before = answers;
                }
            }
        }
    }
}

//! Our line to the coordinator: whether it is known, what is out, when to ask again.

use std::time::Duration;

use super::errors::Api;
use super::events::RequestId;
use crate::endpoints::backoff::{Backoff, Jitter};
use crate::ids::NodeId;
use crate::tick::Tick;

/// Kafka's `retry.backoff.ms`, doubled up to its `retry.backoff.max.ms` (KIP-580), with full jitter.
const BACKOFF: Backoff = Backoff { first: Duration::from_millis(100), limit: Duration::from_secs(1) };
/// After having been dropped time and again: each return costs all members a round.
const RELAPSE: Backoff = Backoff { first: Duration::from_millis(200), limit: Duration::from_secs(10) };
/// Who was dropped so lately has relapsed.
const LATELY: Duration = Duration::from_secs(60);

/// A request that is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) request: RequestId,
    pub(super) api: Api,
    pub(super) at: Tick,
    pub(super) limit: Tick,
}

/// The line to the coordinator. At most one heartbeat and one other request matter at a time.
#[derive(Debug, Clone, Default)]
pub(super) struct Line {
    coordinator: Option<NodeId>,
    main: Option<Sent>,
    beat: Option<Sent>,
    last: u64,
    failures: u32,
    not_before: Tick,
    /// When the group dropped us last, and how often in a row it has done so soon after we came back.
    dropped: Option<Tick>,
    relapses: u32,
    /// Where the dice stand; 0: no jitter.
    dice: u64,
}

impl Line {
    /// A line whose jitter is drawn from `seed`.
    pub(super) fn new(seed: u64) -> Line {
        Line { dice: seed, ..Line::default() }
    }

    /// Steele, Lea and Flood's splittable generator: one number from the state.
    fn draw(&mut self) -> Jitter {
        if self.dice == 0 {
            return Jitter::FULL;
        }
        self.dice = self.dice.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.dice;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Jitter::new((mixed ^ (mixed >> 31)) as f64 / u64::MAX as f64)
    }

    pub(super) fn coordinator(&self) -> Option<NodeId> {
        self.coordinator
    }

    pub(super) fn found(&mut self, coordinator: NodeId) {
        self.coordinator = Some(coordinator);
    }

    /// Forgets the coordinator and what it was asked. The first time it is sought at once.
    pub(super) fn lost(&mut self, now: Tick) {
        self.coordinator = None;
        self.main = None;
        self.beat = None;
        self.pause(now);
    }

    /// Something went wrong: ask again at once the first time, then after pauses that double.
    pub(super) fn pause(&mut self, now: Tick) {
        let wait = self.failures.checked_sub(1).map(|failures| {
            let jitter = self.draw();
            BACKOFF.wait(failures, jitter)
        });
        self.not_before = now + wait.unwrap_or_default();
        self.failures = self.failures.saturating_add(1);
    }

    /// The group has dropped us. The first time we come back at once; who is dropped again soon after waits, longer each
    /// time.
    pub(super) fn pause_dropped(&mut self, now: Tick) {
        self.pause(now);
        let lately = self.dropped.is_some_and(|dropped| now.since(dropped) < LATELY);
        self.relapses = if lately { self.relapses.saturating_add(1) } else { 0 };
        self.dropped = Some(now);
        if let Some(before) = self.relapses.checked_sub(1) {
            let jitter = self.draw();
            self.not_before = self.not_before.max(now + RELAPSE.wait(before, jitter));
        }
    }

    /// As `pause`, but never at once.
    pub(super) fn pause_longer(&mut self, now: Tick) {
        self.failures = self.failures.max(1);
        self.pause(now);
    }

    /// The coordinator took us for a member: what went wrong before is over.
    pub(super) fn thrives(&mut self) {
        self.failures = 0;
    }

    pub(super) fn send(&mut self, api: Api, now: Tick, wait: Duration) -> Sent {
        self.last += 1;
        let sent = Sent { request: RequestId(self.last), api, at: now, limit: now + wait };
        match api {
            Api::Heartbeat | Api::ConsumerGroupHeartbeat => self.beat = Some(sent),
            Api::FindCoordinator
            | Api::JoinGroup
            | Api::SyncGroup
            | Api::LeaveGroup
            | Api::OffsetCommit
            | Api::OffsetFetch => self.main = Some(sent),
        }
        sent
    }

    /// The request of this id, if its answer still matters; it is not out any more.
    pub(super) fn answered(&mut self, request: RequestId) -> Option<Sent> {
        let wanted = |sent: &mut Sent| sent.request == request;
        self.main.take_if(wanted).or_else(|| self.beat.take_if(wanted))
    }

    /// A request whose time is over; it is not out any more.
    pub(super) fn overdue(&mut self, now: Tick) -> Option<Sent> {
        let over = |sent: &mut Sent| sent.limit <= now;
        self.main.take_if(over).or_else(|| self.beat.take_if(over))
    }

    /// Answers to what is out do not matter any more.
    pub(super) fn abandon(&mut self) {
        self.main = None;
        self.beat = None;
    }

    /// Until when nothing is asked.
    pub(super) fn paused_until(&self) -> Tick {
        self.not_before
    }

    pub(super) fn waits_for_heartbeat(&self) -> bool {
        self.beat.is_some()
    }

    /// Whether a request other than a heartbeat is out.
    pub(super) fn waits_for_main(&self) -> bool {
        self.main.is_some()
    }

    /// How often in a row something went wrong.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Whether the next request other than a heartbeat may go out.
    pub(super) fn free(&self, now: Tick) -> bool {
        self.main.is_none() && self.not_before <= now
    }

    /// When something of this line is due: a request's limit or, if one `wants` to go out, the pause's end.
    pub(super) fn next_deadline(&self, wants: bool) -> Option<Tick> {
        let main = self.main.map(|sent| sent.limit).or(wants.then_some(self.not_before));
        main.into_iter().chain(self.beat.map(|sent| sent.limit)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Tick {
        Tick::at(Duration::from_millis(millis))
    }

    #[test]
    fn the_first_repetition_is_at_once_the_next_ones_wait_longer_and_longer() {
        let mut line = Line::default();
        let mut waits = Vec::new();
        for _ in 0..7 {
            line.lost(at(0));
            waits.push(line.not_before.since_start().as_millis());
        }
        assert_eq!(waits, [0, 100, 200, 400, 800, 1000, 1000]);
        line.thrives();
        line.lost(at(5));
        assert_eq!(line.not_before, at(5));
    }

    #[test]
    fn who_is_dropped_again_and_again_comes_back_later_and_later() {
        let mut line = Line::default();
        let mut waits = Vec::new();
        for relapse in 0..9 {
            line.thrives();
            line.pause_dropped(at(relapse * 1_000));
            waits.push(line.not_before.since(at(relapse * 1_000)).as_millis());
        }
        assert_eq!(waits, [0, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        line.thrives();
        line.pause_dropped(at(100_000));
        assert_eq!(line.not_before, at(100_000), "after a quiet minute it is the first time again");
    }

    #[test]
    fn members_of_different_seeds_do_not_come_back_in_step() {
        let waits = |seed: u64| -> Vec<u128> {
            let mut line = Line::new(seed);
            let mut dropped = |relapse| {
                line.thrives();
                line.pause_dropped(at(relapse));
                line.not_before.since(at(relapse)).as_millis()
            };
            (0..8).map(&mut dropped).collect()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
        assert!(waits(1).into_iter().zip(waits(0)).all(|(drawn, full)| drawn <= full));
    }

    #[test]
    fn an_answer_counts_once_and_only_if_it_is_awaited() {
        let mut line = Line::default();
        let first = line.send(Api::JoinGroup, at(0), Duration::from_secs(1));
        let second = line.send(Api::JoinGroup, at(0), Duration::from_secs(1));
        assert_eq!(line.answered(first.request), None);
        assert_eq!(line.answered(second.request), Some(second));
        assert_eq!(line.answered(second.request), None);
    }

    #[test]
    fn what_is_overdue_is_out_no_more() {
        let mut line = Line::default();
        let beat = line.send(Api::Heartbeat, at(0), Duration::from_secs(1));
        assert_eq!(line.overdue(at(999)), None);
        assert_eq!(line.overdue(at(1000)), Some(beat));
        assert!(!line.waits_for_heartbeat());
    }
}

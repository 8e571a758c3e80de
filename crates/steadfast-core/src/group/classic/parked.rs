//! What is done while the coordinator holds a JoinGroup or a SyncGroup back: it is deaf on that connection meanwhile, so
//! whether it lives shows on another one, and whether the connection itself lives shows nowhere.
//!
//! Three things may be dead. The coordinator: a heartbeat goes out at least every 200 ms, whatever
//! `heartbeat.interval.ms` says, and one that is unanswered for 750 ms gives the coordinator up. Both connections: the
//! shell finds that out by the same heartbeat and a fresh connection, before that. The parked one alone: the request is
//! asked again on a fresh connection, soon when a heartbeat's answer says that the round has gone on without us, else
//! after 1, 3, 7 s and so on. To ask again costs nothing: a coordinator that has the request parked answers the later one
//! in its place, and one that has answered repeats it.

use std::time::Duration;

use super::{ClassicMember, State};
use crate::group::actions::Action;
use crate::group::coordinator::Sent;
use crate::group::errors::Api;
use crate::tick::Tick;

/// At most so far apart are the heartbeats that show whether the coordinator lives.
const PROBE: Duration = Duration::from_millis(200);
/// What such a heartbeat may take at a coordinator that answers at once; it grows with what its answers take.
const PROBE_LIMIT: Duration = Duration::from_millis(750);
/// The first time that the request is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// What an answer that must be on its way may take.
const ON_ITS_WAY: Duration = Duration::from_millis(400);

/// What a coordinator usually takes, and when what it holds back is asked again.
#[derive(Debug, Clone, Default)]
pub(super) struct Parked {
    /// The most that answers to heartbeats took of late.
    usual: Duration,
    /// When the request is asked again, and after how long the next time.
    again: Option<(Tick, Duration)>,
    /// Whether it was asked sooner than that, which happens once: an answer may also be slow.
    hastened: bool,
}

impl ClassicMember {
    /// A request went out that may be parked.
    pub(super) fn park(&mut self) {
        // Who names an instance without its member id takes the instance over: a second one would fence the first.
        let safe = self.standing.member_id.is_some();
        self.parked.again = safe.then(|| (self.now + ASK_AGAIN, ASK_AGAIN * 2));
        self.parked.hastened = false;
        self.next_beat = self.next_beat.min(self.now + PROBE);
    }

    /// Whether a JoinGroup or SyncGroup is out.
    fn is_parked(&self) -> bool {
        matches!(self.state, State::Joining | State::Syncing { .. }) && self.line.waits_for_main()
    }

    /// When a heartbeat follows one that goes out now.
    pub(super) fn beat_after(&self) -> Tick {
        let next = self.settings.pace.next(self.signs, self.now);
        if self.is_parked() { next.min(self.now + PROBE) } else { next }
    }

    pub(super) fn interval(&self) -> Duration {
        self.settings.pace.interval(self.signs, self.now)
    }

    /// What a heartbeat may take that goes out now. A coordinator that answers slowly is not given up for that; each time
    /// that one was given up in vain, the next one has twice as long.
    pub(super) fn probe_limit(&self) -> Duration {
        let all = self.settings.answer_limit;
        if !self.is_parked() {
            return all;
        }
        let doubled = 1_u32 << self.line.failures().min(8);
        (PROBE_LIMIT + self.parked.usual * 4).saturating_mul(doubled).min(all)
    }

    /// A heartbeat was answered, whatever the answer.
    pub(super) fn probed(&mut self, sent: Sent) {
        if sent.api == Api::Heartbeat {
            self.parked.usual = self.now.since(sent.at).max(self.parked.usual * 3 / 4);
        }
    }

    /// The coordinator has gone on to another generation while our JoinGroup is out: its answer is on its way, or lost
    /// with its connection.
    pub(super) fn round_went_on(&mut self) {
        let soon = self.now + ON_ITS_WAY;
        if let Some((again, _)) = &mut self.parked.again
            && self.standing.generation.is_some()
            && !std::mem::replace(&mut self.parked.hastened, true)
        {
            *again = soon.min(*again);
        }
    }

    /// Asks again what has been parked for a while.
    pub(super) fn ask_again(&mut self) {
        let Some((again, pause)) = self.parked.again else { return };
        if !self.is_parked() {
            self.parked.again = None;
        } else if again <= self.now {
            self.parked.again = Some((self.now + pause, pause * 2));
            self.actions.push(Action::AskAgain);
        }
    }

    pub(super) fn asks_again_at(&self) -> Option<Tick> {
        self.parked.again.map(|(again, _)| again).filter(|_| self.is_parked())
    }
}

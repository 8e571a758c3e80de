//! The member's side of the classic group protocol, eager and cooperative (KIP-429), as a machine.
//!
//! Events bring in what is so; then, in this order, what time has ended ends, what follows follows, and what
//! is due goes out. A coordinator that is lost and found again costs no round: membership is bound to no
//! connection.
//!
//! Its shell keeps one timer at `next_deadline()`, and after each event stores `standing()` before it carries
//! the actions out. Actions say what changes; who begins anew takes `standing().owned` for what is.

mod leaving;
mod parked;
mod requests;
mod steps;

use std::collections::BTreeSet;
use std::sync::Arc;

use super::GroupProtocol;
use super::actions::{Action, LostReason, Reason};
use super::assign::{Assignments, Assignor, Candidate, PartitionCounts};
use super::coordinator::{Line, Sent};
use super::errors::{Api, ErrorCode, Reaction, react};
use super::events::{Event, LossReason};
use super::pace::Signs;
use super::round::Round;
use super::settings::Settings;
use super::standing::{Membership, Standing};
use crate::tick::Tick;
use leaving::Farewell;
use parked::Parked;

/// Where a member stands. The line to the coordinator is another matter: it is lost and found in any state.
///
/// ```text
///  Idle ──► Joining ──► Counting ──► Syncing ──► Stable ─┐
///            ▲ ▲ ▲ └── not leader ───▲ │                 │ a round begins
///            │ │ │                     ▼                 │
///            │ │ └──────────────── Releasing             │
///            │ │           (cooperative, some go)        │
///            │ ├─── cooperative, or holding nothing ─────┤
///            │ └────────── Draining ◄──── eager ─────────┘
///            │
///  any ──────┘    the generation, the member id or the session is gone: what was held is lost
///  Idle ──► Stable, Releasing, Draining    built anew from a standing
///  any ──► Leaving ──► Ended               told to leave: holding partitions in mid-round, after the round
///  any ──► Ended                           refused for good
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Not started.
    Idle,
    /// Eager: everything is given up before the join.
    Draining { limit: Tick },
    /// JoinGroup is due or out.
    Joining,
    /// We lead, and ask how many partitions the topics of the others have.
    Counting { assignor: Assignor, members: Vec<Candidate>, again: Tick, limit: Tick },
    /// SyncGroup is due or out.
    Syncing { assignor: Assignor, assignments: Assignments },
    /// A member, with its partitions.
    Stable,
    /// Cooperative: what goes to others is given up in the new generation, then we join again.
    Releasing { limit: Tick },
    /// Everything is given up, then LeaveGroup.
    Leaving { reason: Arc<str>, limit: Tick },
    /// Left, or refused for good.
    Ended,
}

/// Every state between `Idle` and `Ended`.
macro_rules! member {
    () => {
        Draining { .. }
            | Joining
            | Counting { .. }
            | Syncing { .. }
            | Stable
            | Releasing { .. }
            | Leaving { .. }
    };
}

/// A member of a classic group.
#[derive(Debug, Clone)]
pub struct ClassicMember {
    settings: Settings,
    state: State,
    standing: Standing,
    topics: BTreeSet<Arc<str>>,
    /// The pattern that these match, if they were not named.
    pattern: Option<Arc<str>>,
    /// Why these are others than before.
    resubscribed: Reason,
    counts: PartitionCounts,
    line: Line,
    parked: Parked,
    round: Option<Round>,
    farewell: Option<Farewell>,
    next_beat: Tick,
    signs: Signs,
    now: Tick,
    actions: Vec<Action>,
}

impl ClassicMember {
    /// A member that wants `topics` and goes on from `standing`, which is the default one when it has never
    /// been a member before.
    pub fn new(settings: Settings, topics: BTreeSet<Arc<str>>, standing: Standing) -> ClassicMember {
        let line = Line::new(settings.seed);
        ClassicMember {
            settings,
            state: State::Idle,
            standing,
            topics,
            pattern: None,
            resubscribed: Reason::SubscriptionChanged,
            counts: PartitionCounts::new(),
            line,
            parked: Parked::default(),
            round: None,
            farewell: None,
            next_beat: Tick::ZERO,
            signs: Signs::default(),
            now: Tick::ZERO,
            actions: Vec::new(),
        }
    }

    /// Takes `event` in, at `now`, and says what to do.
    pub fn handle(&mut self, event: Event, now: Tick) -> Vec<Action> {
        self.now = self.now.max(now);
        let before = self.membership();
        let sent = event.request().map(|request| self.line.answered(request));
        if let Some(Some(sent)) = sent {
            self.probed(sent);
        }
        match sent {
            Some(None) => {} // an answer that does not matter any more
            Some(sent @ Some(_)) => self.apply(event, sent),
            None => self.apply(event, None),
        }
        self.expire();
        self.follow();
        self.send();
        self.ask_again();
        let mut actions = std::mem::take(&mut self.actions);
        let membership = self.membership();
        if membership != before {
            // first, so that a revocation commits under the generation that asks for it
            actions.insert(0, Action::Publish(membership));
        }
        actions
    }

    /// When `DeadlineReached` is due at the latest. None only before the start and after the end.
    pub fn next_deadline(&self) -> Option<Tick> {
        match &self.state {
            State::Idle | State::Ended => None,
            State::Draining { limit } | State::Releasing { limit } | State::Leaving { limit, .. } => {
                self.deadlines().chain([*limit]).min()
            }
            State::Counting { again, limit, .. } => self.deadlines().chain([*again, *limit]).min(),
            State::Joining | State::Syncing { .. } | State::Stable => self.deadlines().min(),
        }
    }

    /// What must outlive a crash of whoever runs this machine.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// What commits are made under; none outside of a generation.
    pub fn membership(&self) -> Option<Membership> {
        self.standing.membership(GroupProtocol::Classic, self.line.coordinator())
    }

    /// Whether a round is going on, or partitions are being given up.
    pub fn is_rebalancing(&self) -> bool {
        self.round.is_some() || !self.standing.releasing.is_empty()
    }

    /// What `event` means in each state; `sent` is the request that it answers.
    fn apply(&mut self, event: Event, sent: Option<Sent>) {
        use State::*;
        match (&self.state, event) {
            (Idle, Event::Start) => self.start(),
            (Idle | member!(), Event::SubscriptionChanged { topics, pattern }) => {
                self.resubscribe(topics, pattern)
            }
            (Idle | member!(), Event::PartitionsChanged { counts }) => self.counts.extend(counts),
            (Idle, Event::Leave { .. }) => self.end(Action::Left),
            // nothing was asked and nothing is held: whatever comes is of the past
            (Idle | Ended, _) => {}

            (member!(), Event::CoordinatorFound { coordinator, .. }) => self.found(coordinator),
            (member!(), Event::CoordinatorLost { reason }) => self.coordinator_lost(reason),
            (member!(), Event::Unanswered { .. } | Event::OutcomeUnknown { .. }) => {
                self.lose_coordinator(LossReason::Silent)
            }
            (member!(), Event::HeartbeatAccepted { .. }) => self.heard(sent),
            (member!(), Event::Refused { code, .. }) => self.refused(sent, code),
            (member!(), Event::Revoked { partitions }) => self.released(&partitions),

            (Joining, Event::Joined { answer, .. }) => self.joined(sent, answer),
            (Joining, Event::MemberIdRequired { member_id, .. }) => {
                self.standing.member_id = Some(member_id);
            }
            (Syncing { assignor, .. }, Event::Synced { assignment, .. }) => {
                let assignor = *assignor;
                self.synced(sent, assignor, assignment);
            }
            (Leaving { .. }, Event::LeaveAccepted { .. }) => self.end(Action::Left),
            // requests are abandoned with the state that asked: an answer of another kind is none, and the
            // question is asked again
            (
                Draining { .. }
                | Counting { .. }
                | Syncing { .. }
                | Stable
                | Releasing { .. }
                | Leaving { .. },
                Event::Joined { .. } | Event::MemberIdRequired { .. },
            ) => {}
            (
                Draining { .. } | Joining | Counting { .. } | Stable | Releasing { .. } | Leaving { .. },
                Event::Synced { .. },
            ) => {}
            (
                Draining { .. } | Joining | Counting { .. } | Syncing { .. } | Stable | Releasing { .. },
                Event::LeaveAccepted { .. },
            ) => {}

            (Draining { .. } | Stable | Releasing { .. }, Event::CommitRefused { generation, code }) => {
                self.commit_refused(generation, code);
            }
            // a join that is out may have ended the generation already, and its answer says more
            (Joining | Counting { .. } | Syncing { .. } | Leaving { .. }, Event::CommitRefused { .. }) => {}

            (Joining | Counting { .. } | Syncing { .. }, Event::Leave { reason }) => {
                self.leave_after_round(reason);
            }
            (Draining { .. } | Stable | Releasing { .. }, Event::Leave { reason }) => self.leave(reason),
            (Leaving { .. }, Event::Leave { .. }) => {}
            (member!(), Event::Start | Event::DeadlineReached) => {}
            // of the other protocol
            (member!(), Event::ConsumerHeartbeatAccepted { .. } | Event::TopicsNamed { .. }) => {}
        }
    }

    /// What a refusal means in each state: what the error asks for says the table in `errors`.
    fn refused(&mut self, sent: Option<Sent>, code: ErrorCode) {
        use State::*;
        let Some(sent) = sent else { return };
        let reaction = react(sent.api, code);
        let probe = sent.api == Api::Heartbeat;
        self.note(sent.api, code, reaction);
        match (&self.state, reaction) {
            (Idle | Ended, _) => {}
            (Leaving { .. }, _) if sent.api == Api::LeaveGroup && reaction != Reaction::FindCoordinator => {
                self.end(Action::Left);
            }
            // a static member's first heartbeat names no member id yet, and an instance that is known: fenced. If
            // we are, the join's answer says so
            (Joining, Reaction::Fatal(_)) if probe => {}
            (member!(), Reaction::Fatal(cause)) => self.fatal(sent.api, code, cause),
            (member!(), Reaction::FindCoordinator) => self.lose_coordinator(LossReason::NotCoordinator),
            (Counting { .. } | Syncing { .. } | Stable, Reaction::Rejoin) => {
                self.heard(Some(sent));
                self.begin_round(Reason::RoundBegan);
            }
            // what has to be done before that join is being done
            (Draining { .. } | Releasing { .. } | Leaving { .. }, Reaction::Rejoin) => self.heard(Some(sent)),
            // while a JoinGroup is out its answer decides; of a heartbeat's refusals only this one means that
            // the coordinator counts our session anew
            (Joining, Reaction::Rejoin) if probe => self.heard(Some(sent)),
            (Joining, Reaction::RejoinLost) if probe => self.round_went_on(),
            (Joining, Reaction::RejoinAnew) if probe => {}
            (Joining, Reaction::Rejoin) => self.line.pause_longer(self.now),
            (member!(), Reaction::RejoinLost) => {
                self.lose_membership(LostReason::IllegalGeneration, Reason::IllegalGeneration);
            }
            (member!(), Reaction::RejoinAnew) => {
                self.standing.member_id = None;
                self.lose_membership(LostReason::UnknownMember, Reason::UnknownMember);
            }
            (member!(), Reaction::Retry | Reaction::GiveUp | Reaction::AfterRound) if probe => {}
            (member!(), Reaction::Accept | Reaction::JoinWithGivenId | Reaction::Retry) => {
                self.line.pause_longer(self.now);
            }
            (member!(), Reaction::GiveUp | Reaction::AfterRound) => self.line.pause_longer(self.now),
        }
    }
}

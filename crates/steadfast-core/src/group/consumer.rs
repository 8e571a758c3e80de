//! The member's side of the consumer protocol (KIP-848), as a machine.
//!
//! One request does everything: a heartbeat says what has changed with us, its answer what has changed for us. The
//! coordinator computes who is to own what; each member gives up what it owns no longer, says so, and is given the rest
//! as others give it up. There are no rounds: whatever is kept flows on.
//!
//! Its shell does what the classic machine's does, and names topics: assignments name them by id.

mod beats;
mod ends;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::actions::Action;
use super::coordinator::{Line, Sent};
use super::errors::{Api, Cause, ErrorCode, Reaction, react};
use super::events::{Event, LossReason, RequestId};
use super::round::{Reason, Round};
use super::settings::Settings;
use super::standing::{Membership, Standing};
use super::subscription::ById;
use super::{GroupProtocol, MemberId};
use crate::ids::{GroupGeneration, TopicId};
use crate::tick::Tick;

/// Where a member stands. The line to the coordinator is another matter: it is lost and found in any state.
///
/// ```text
///  Idle ──► Joining ──► Stable ◄────► Reconciling
///   │          ▲           │   some of what is owned is to be given up;
///   │          │           │   once it is, a heartbeat says so at once
///   │          └───────────┴── fenced, forgotten, or the session is over: what was held is lost
///   └──► Stable, Reconciling   built anew from a standing
///  any ──► Leaving ──► Ended   told to leave: everything is given up, then the last heartbeat
///  any ──► Ended               refused for good
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not started.
    Idle,
    /// A heartbeat of epoch 0 is due or out.
    Joining { claim: Claim },
    /// A member: what is owned is ours, and what is given is taken up.
    Stable,
    /// The same, but some of what is owned is being given up.
    Reconciling { limit: Tick },
    /// Everything is given up, then a heartbeat says that we leave.
    Leaving { limit: Tick },
    /// Left, or refused for good.
    Ended,
}

/// A static member's claim to its `group.instance.id`. A join whose answer was lost, or a session that was over for us
/// alone, leaves the name with us, and the coordinator refuses to give it to us again until we give it back.
///
/// ```text
///  Fresh ──► GivingBack ──► GivenBack     refused now, it is another's
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// Nothing has been refused.
    Fresh,
    /// It was refused as unreleased: a heartbeat of epoch -2 is due or out.
    GivingBack,
    /// It is not ours.
    GivenBack,
}

/// Every state between `Idle` and `Ended`.
macro_rules! member {
    () => {
        Joining { .. } | Stable | Reconciling { .. } | Leaving { .. }
    };
}

/// What the coordinator was told last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Told {
    topics: BTreeSet<Arc<str>>,
    owned: ById,
}

/// A member of a group under the consumer protocol.
#[derive(Debug, Clone)]
pub struct ConsumerMember {
    settings: Settings,
    state: State,
    standing: Standing,
    member_id: MemberId,
    topics: BTreeSet<Arc<str>>,
    /// The pattern that these match, if they were not named.
    pattern: Option<Arc<str>>,
    names: BTreeMap<TopicId, Arc<str>>,
    /// When the cluster may be asked again which topics there are.
    names_again: Tick,
    /// What the coordinator says may be ours; none until it has said so to this machine.
    assignment: Option<ById>,
    /// None if the coordinator may know something else of us: then it is told everything.
    told: Option<Told>,
    /// Whether the coordinator may take us for a member.
    known: bool,
    /// The heartbeat that says that we leave.
    parting: Option<RequestId>,
    line: Line,
    round: Option<Round>,
    next_beat: Tick,
    /// What the coordinator wants.
    interval: Option<Duration>,
    changed: Option<Tick>,
    now: Tick,
    actions: Vec<Action>,
}

impl ConsumerMember {
    /// A member that wants `topics` and goes on from `standing`, which is the default one when it has never been a
    /// member before. It takes `fresh` for its id, unless it has one.
    pub fn new(
        settings: Settings,
        topics: BTreeSet<Arc<str>>,
        standing: Standing,
        fresh: MemberId,
    ) -> ConsumerMember {
        let member_id = standing.member_id.clone().unwrap_or(fresh);
        let known = standing.generation.is_some();
        let line = Line::new(settings.seed);
        ConsumerMember {
            settings,
            state: State::Idle,
            standing: Standing { member_id: Some(member_id.clone()), ..standing },
            member_id,
            topics,
            pattern: None,
            names: BTreeMap::new(),
            names_again: Tick::ZERO,
            assignment: None,
            told: None,
            known,
            parting: None,
            line,
            round: None,
            next_beat: Tick::ZERO,
            interval: None,
            changed: None,
            now: Tick::ZERO,
            actions: Vec::new(),
        }
    }

    /// Takes `event` in, at `now`, and says what to do.
    pub fn handle(&mut self, event: Event, now: Tick) -> Vec<Action> {
        self.now = self.now.max(now);
        let before = self.membership();
        let sent = event.request().map(|request| self.line.answered(request));
        match sent {
            Some(None) => {} // an answer that does not matter any more
            Some(sent @ Some(_)) => self.apply(event, sent),
            None => self.apply(event, None),
        }
        self.expire();
        self.reconcile();
        self.send();
        let mut actions = std::mem::take(&mut self.actions);
        let membership = self.membership();
        if membership != before {
            // first, so that a revocation commits under the epoch that asks for it
            actions.insert(0, Action::Publish(membership));
        }
        actions
    }

    /// When `DeadlineReached` is due at the latest. None only before the start and after the end.
    pub fn next_deadline(&self) -> Option<Tick> {
        match self.state {
            State::Idle | State::Ended => None,
            State::Joining { .. } | State::Stable => self.deadlines().min(),
            State::Reconciling { limit } | State::Leaving { limit } => self.deadlines().chain([limit]).min(),
        }
    }

    /// What must outlive a crash of whoever runs this machine.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// What commits are made under; none outside of an epoch.
    pub fn membership(&self) -> Option<Membership> {
        self.standing.membership(GroupProtocol::Consumer, self.line.coordinator())
    }

    /// What `event` means in each state; `sent` is the request that it answers.
    fn apply(&mut self, event: Event, sent: Option<Sent>) {
        use State::*;
        match (self.state, event) {
            (Idle, Event::Start) => self.start(),
            (Idle | member!(), Event::SubscriptionChanged { topics, pattern }) => {
                self.subscribe(topics, pattern);
            }
            (Idle | member!(), Event::TopicsNamed { names }) => self.names = names,
            (Idle, Event::Leave { .. }) => self.end(Action::Left),
            // nothing was asked and nothing is held: whatever comes is of the past
            (Idle | Ended, _) => {}

            (member!(), Event::CoordinatorFound { coordinator, .. }) => self.found(coordinator),
            (member!(), Event::CoordinatorLost { reason }) => self.coordinator_lost(reason),
            (member!(), Event::Unanswered { .. }) => self.lose_coordinator(LossReason::Silent),
            (member!(), Event::OutcomeUnknown { .. }) => self.doubt(),
            (member!(), Event::ConsumerHeartbeatAccepted { answer, .. }) => self.accepted(sent, answer),
            (member!(), Event::Refused { code, .. }) => self.refused(sent, code),
            (member!(), Event::Revoked { partitions }) => self.released(&partitions),
            (Stable | Reconciling { .. } | Leaving { .. }, Event::CommitRefused { generation, code }) => {
                self.commit_refused(generation, code);
            }
            // it was made under an epoch that has ended
            (Joining { .. }, Event::CommitRefused { .. }) => {}
            (Joining { .. } | Stable | Reconciling { .. }, Event::Leave { .. }) => self.leave(),
            (Leaving { .. }, Event::Leave { .. }) => {}
            (member!(), Event::Start | Event::DeadlineReached) => {}
            // the coordinator counts partitions itself
            (member!(), Event::PartitionsChanged { .. }) => {}
            // of the other protocol: no answer to what was asked
            (member!(), Event::Joined { .. } | Event::MemberIdRequired { .. } | Event::Synced { .. }) => {
                self.doubt();
            }
            (member!(), Event::HeartbeatAccepted { .. } | Event::LeaveAccepted { .. }) => self.doubt(),
        }
    }

    /// What a refusal means in each state: what the error asks for says the table in `errors`.
    fn refused(&mut self, sent: Option<Sent>, code: ErrorCode) {
        use State::*;
        let Some(sent) = sent else { return };
        let reaction = react(sent.api, code);
        self.actions.push(Action::Noted { api: sent.api, code, reaction });
        self.told = None;
        match (self.state, reaction) {
            (Idle | Ended, _) => {}
            (member!(), Reaction::FindCoordinator) => self.lose_coordinator(LossReason::NotCoordinator),
            (Leaving { .. }, Reaction::Retry) => {
                self.parting = None;
                self.line.pause_longer(self.now);
            }
            (Leaving { .. }, _) if self.parting == Some(sent.request) => self.end(Action::Left),
            (Joining { claim: Claim::Fresh }, Reaction::Fatal(_)) if self.may_be_ours(code) => {
                self.state = Joining { claim: Claim::GivingBack };
            }
            (Joining { claim: Claim::GivingBack }, Reaction::RejoinAnew | Reaction::RejoinLost) => {
                self.state = Joining { claim: Claim::GivenBack };
            }
            (Joining { .. }, _) if code == ErrorCode::GROUP_ID_NOT_FOUND => {
                self.fatal(sent.api, code, Cause::Inconvertible);
            }
            (Joining { .. }, Reaction::RejoinLost | Reaction::RejoinAnew) => self.line.pause_longer(self.now),
            (member!(), Reaction::Fatal(cause)) => self.fatal(sent.api, code, cause),
            (Stable | Reconciling { .. } | Leaving { .. }, Reaction::RejoinLost | Reaction::RejoinAnew) => {
                self.lose_as(reaction);
            }
            (member!(), Reaction::Accept | Reaction::Retry | Reaction::JoinWithGivenId) => {
                self.line.pause_longer(self.now);
            }
            (member!(), Reaction::Rejoin | Reaction::GiveUp | Reaction::AfterRound) => {
                self.line.pause_longer(self.now);
            }
        }
    }

    /// The commit's answer says that we are no member, or not of that epoch.
    fn commit_refused(&mut self, epoch: GroupGeneration, code: ErrorCode) {
        if self.standing.generation != Some(epoch) {
            return; // it was on its way when the epoch changed
        }
        let reaction = react(Api::OffsetCommit, code);
        self.actions.push(Action::Noted { api: Api::OffsetCommit, code, reaction });
        match reaction {
            // the coordinator has bumped the epoch: its next answer names it
            Reaction::AfterRound => self.next_beat = self.now,
            Reaction::RejoinLost | Reaction::RejoinAnew => self.lose_as(reaction),
            Reaction::Fatal(cause) => self.fatal(Api::OffsetCommit, code, cause),
            Reaction::FindCoordinator => self.lose_coordinator(LossReason::NotCoordinator),
            // the commit's own business
            Reaction::Accept | Reaction::Retry | Reaction::JoinWithGivenId | Reaction::Rejoin => {}
            Reaction::GiveUp => {}
        }
    }

    /// Whether what refuses us our name may be ourselves.
    fn may_be_ours(&self, code: ErrorCode) -> bool {
        code == ErrorCode::UNRELEASED_INSTANCE_ID && self.settings.instance.is_some()
    }

    fn subscribe(&mut self, topics: BTreeSet<Arc<str>>, pattern: Option<Arc<str>>) {
        if topics != self.topics && self.standing.generation.is_some() {
            let same_pattern = pattern.is_some() && pattern == self.pattern;
            self.sign_of_change(if same_pattern {
                Reason::MatchesChanged
            } else {
                Reason::SubscriptionChanged
            });
        }
        (self.topics, self.pattern) = (topics, pattern);
    }

    /// Something is about to change, or has: heartbeats follow each other quickly for a while.
    fn sign_of_change(&mut self, reason: Reason) {
        self.changed = Some(self.now);
        if self.round.is_none() {
            self.actions.push(Action::Rebalancing { reason });
        }
        self.round.get_or_insert(Round::new(reason, self.now)).latest = reason;
    }
}

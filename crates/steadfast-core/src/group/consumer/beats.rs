//! What a heartbeat says, and when the next one is due.

use std::time::Duration;

use super::{Claim, ConsumerMember, State, Told};
use crate::group::actions::{Action, ConsumerHeartbeat, Terms};
use crate::group::errors::Api;
use crate::group::pace::{Pace, Signs};
use crate::group::settings::LeaveOnStop;
use crate::group::subscription::ById;
use crate::ids::GroupGeneration;
use crate::tick::Tick;

const JOINS: GroupGeneration = GroupGeneration(0);
const LEAVES: GroupGeneration = GroupGeneration(-1);
const LEAVES_FOR_A_WHILE: GroupGeneration = GroupGeneration(-2);

/// However quickly the coordinator wants heartbeats, it gets no more than this.
const QUICKEST: Duration = Duration::from_millis(100);

impl ConsumerMember {
    /// Sends what is due.
    pub(super) fn send(&mut self) {
        if self.has_left_partitions() && (!self.known || self.leaves_silently()) {
            return self.end(Action::Left);
        }
        if self.line.coordinator().is_none() {
            if self.is_running() && self.line.free(self.now) {
                let sent = self.line.send(Api::FindCoordinator, self.now, self.settings.answer_limit);
                let (request, deadline) = (sent.request, sent.limit);
                self.actions.push(Action::FindCoordinator { request, deadline });
            }
        } else if self.due().is_some_and(|due| due <= self.now) {
            self.send_heartbeat();
        }
    }

    /// Its partitions wait until its session ends; of a static member they do if it says that it comes back.
    fn leaves_silently(&self) -> bool {
        self.settings.leave_on_stop == LeaveOnStop::Never && self.settings.instance.is_none()
    }

    fn is_running(&self) -> bool {
        match self.state {
            State::Idle | State::Ended => false,
            State::Joining { .. } | State::Stable | State::Reconciling { .. } | State::Leaving { .. } => true,
        }
    }

    fn has_left_partitions(&self) -> bool {
        matches!(self.state, State::Leaving { .. }) && self.standing.releasing.is_empty()
    }

    /// When the next heartbeat is due. None while one is out, or the coordinator is not known.
    fn due(&self) -> Option<Tick> {
        if !self.is_running() || self.line.coordinator().is_none() || self.line.waits_for_heartbeat() {
            return None;
        }
        let due = if self.is_urgent() { self.line.paused_until() } else { self.next_beat };
        Some(due.max(self.line.paused_until()))
    }

    /// Whether there is something to say that others wait for, or that we wait for an answer to.
    pub(super) fn is_urgent(&self) -> bool {
        match self.state {
            State::Idle | State::Ended => false,
            State::Joining { .. } => true,
            State::Leaving { .. } if self.has_left_partitions() => true,
            State::Stable | State::Reconciling { .. } | State::Leaving { .. } => match &self.told {
                None => true,
                Some(told) => told.topics != self.topics || self.has_given_up(told),
            },
        }
    }

    /// Whether the coordinator takes something for ours that we have given up.
    fn has_given_up(&self, told: &Told) -> bool {
        let owned = self.owned();
        let still = |topic, index| owned.get(topic).is_some_and(|indexes| indexes.contains(index));
        told.owned.iter().any(|(topic, indexes)| indexes.iter().any(|index| !still(topic, index)))
    }

    /// What we own, as the coordinator names it.
    fn owned(&self) -> ById {
        let mut owned = ById::new();
        for partition in &self.standing.owned {
            if let Some(topic) = self.standing.topics.get(&partition.topic) {
                owned.entry(*topic).or_default().insert(partition.index);
            }
        }
        owned
    }

    fn send_heartbeat(&mut self) {
        let epoch = self.epoch_to_name();
        let sent = self.line.send(Api::ConsumerGroupHeartbeat, self.now, self.settings.answer_limit);
        let news = if epoch.0 < 0 { News::default() } else { self.news(epoch) };
        if self.has_left_partitions() {
            self.parting = Some(sent.request);
        }
        self.known |= epoch == JOINS;
        self.next_beat = self.now + self.interval();
        self.actions.push(Action::ConsumerHeartbeat(ConsumerHeartbeat {
            request: sent.request,
            deadline: sent.limit,
            member_id: self.member_id.clone(),
            epoch,
            terms: news.terms,
            topics: news.told.as_ref().map(|told| told.topics.clone()).filter(|_| news.topics),
            owned: news.told.map(|told| told.owned).filter(|_| news.owned),
        }));
    }

    fn epoch_to_name(&self) -> GroupGeneration {
        let for_good = self.settings.instance.is_none() || self.settings.leave_on_stop == LeaveOnStop::Always;
        let gone = if for_good { LEAVES } else { LEAVES_FOR_A_WHILE };
        match self.state {
            State::Joining { claim: Claim::GivingBack } => LEAVES_FOR_A_WHILE,
            State::Leaving { .. } if self.has_left_partitions() => gone,
            State::Joining { .. } | State::Idle | State::Ended => JOINS,
            State::Stable | State::Reconciling { .. } | State::Leaving { .. } => {
                self.standing.generation.unwrap_or(JOINS)
            }
        }
    }

    /// What differs from what the coordinator was told; from now on it counts as told.
    fn news(&mut self, epoch: GroupGeneration) -> News {
        let told = Told { topics: self.topics.clone(), owned: self.owned() };
        let before = self.told.replace(told.clone()).filter(|_| epoch != JOINS);
        self.standing.joined_with = self.topics.clone();
        News {
            terms: before.is_none().then(|| Terms {
                rebalance_timeout: self.settings.rebalance_timeout,
                rack: self.settings.rack.clone(),
                assignor: self.settings.remote_assignor.clone(),
            }),
            topics: before.as_ref().is_none_or(|before| before.topics != told.topics),
            owned: before.is_none_or(|before| before.owned != told.owned),
            told: Some(told),
        }
    }

    /// As often as the coordinator wants or as we would by ourselves, whichever is more often.
    pub(super) fn interval(&self) -> Duration {
        let pace = match self.settings.pace {
            Pace::Every(interval) => Pace::Every(self.wanted(interval)),
            Pace::Adaptive { calm, alert, lasting } => {
                Pace::Adaptive { calm: self.wanted(calm), alert: self.wanted(alert), lasting }
            }
        };
        pace.interval(Signs { changed: self.changed, ..Signs::default() }, self.now)
    }

    fn wanted(&self, ours: Duration) -> Duration {
        self.interval.map_or(ours, |wanted| ours.min(wanted.max(QUICKEST)))
    }

    /// What is due in every state between start and end.
    pub(super) fn deadlines(&self) -> impl Iterator<Item = Tick> {
        let seeks = self.is_running() && self.line.coordinator().is_none();
        let line = self.line.next_deadline(seeks);
        let session = self.standing.generation.map(|_| self.session_end());
        let reconciles = matches!(self.state, State::Stable | State::Reconciling { .. });
        let names = (reconciles && self.awaits_names()).then_some(self.names_again);
        [line, self.due(), session, names].into_iter().flatten()
    }
}

/// What one heartbeat says.
#[derive(Default)]
struct News {
    terms: Option<Terms>,
    told: Option<Told>,
    topics: bool,
    owned: bool,
}

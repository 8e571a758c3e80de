//! How a member comes to its share: what follows from what the coordinator gives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Claim, ConsumerMember, State};
use crate::group::actions::{Action, Manner, Reason, Rebalance};
use crate::group::coordinator::Sent;
use crate::group::events::{ConsumerAnswer, LossReason};
use crate::ids::{NodeId, Partition, TopicId};
use crate::tick::Tick;

/// What the ledger names if the coordinator was left the choice of its assignor.
const COORDINATORS_CHOICE: &str = "coordinator's choice";

impl ConsumerMember {
    /// Goes on from the standing that we were built with. What the coordinator gives us by now says the answer to a
    /// heartbeat that carries everything.
    pub(super) fn start(&mut self) {
        if self.standing.generation.is_none() {
            self.join(Reason::Start);
        } else if self.standing.releasing.is_empty() {
            self.state = State::Stable;
        } else {
            // the crash may have come before the order to revoke was carried out
            self.sign_of_change(Reason::Restarted);
            let limit = self.revoke(self.standing.releasing.clone());
            self.state = State::Reconciling { limit };
        }
    }

    pub(super) fn join(&mut self, reason: Reason) {
        self.sign_of_change(reason);
        self.state = State::Joining { claim: Claim::Fresh };
    }

    pub(super) fn found(&mut self, coordinator: NodeId) {
        self.line.found(coordinator);
        self.told = None;
        self.changed = Some(self.now);
    }

    /// Its connections are of no use any more. While it is being sought that says nothing new.
    pub(super) fn coordinator_lost(&mut self, reason: LossReason) {
        if self.line.coordinator().is_some() {
            self.lose_coordinator(reason);
        }
    }

    pub(super) fn lose_coordinator(&mut self, reason: LossReason) {
        if self.line.coordinator().is_some() {
            self.actions.push(Action::CoordinatorLost { reason });
        }
        self.told = None;
        self.parting = None;
        self.line.lost(self.now);
    }

    /// The coordinator may have taken what it was told, and answered: it is told everything again.
    pub(super) fn doubt(&mut self) {
        self.told = None;
        self.parting = None;
        self.line.pause(self.now);
    }

    /// The coordinator has taken a heartbeat.
    pub(super) fn accepted(&mut self, sent: Option<Sent>, answer: ConsumerAnswer) {
        let Some(sent) = sent else { return };
        self.line.thrives();
        match self.state {
            State::Idle | State::Ended => {}
            State::Leaving { .. } if self.parting == Some(sent.request) => self.end(Action::Left),
            State::Joining { claim: Claim::GivingBack } => {
                self.state = State::Joining { claim: Claim::GivenBack };
            }
            // no epoch that a member can have
            State::Joining { .. } | State::Stable | State::Reconciling { .. } | State::Leaving { .. }
                if answer.epoch.0 <= 0 =>
            {
                self.told = None;
                self.line.pause_longer(self.now);
            }
            State::Joining { .. } => {
                self.state = State::Stable;
                self.take(sent, answer);
            }
            State::Stable | State::Reconciling { .. } | State::Leaving { .. } => self.take(sent, answer),
        }
    }

    /// Takes over what an answer says.
    fn take(&mut self, sent: Sent, answer: ConsumerAnswer) {
        self.standing.heard = self.standing.heard.max(sent.at);
        self.interval = Some(answer.interval);
        let moved_on = self.standing.generation.replace(answer.epoch) != Some(answer.epoch);
        self.standing.settled = true;
        self.standing.rejoin = false;
        let given_anew = answer.assignment.is_some() && answer.assignment != self.assignment;
        self.assignment = answer.assignment.or(self.assignment.take());
        if moved_on || given_anew {
            self.changed = Some(self.now);
        }
        self.next_beat = self.next_beat.min(self.now + self.interval());
    }

    /// Takes up what is given, and gives up what is not ours any more.
    pub(super) fn reconcile(&mut self) {
        let given_up = self.standing.releasing.is_empty();
        match self.state {
            State::Reconciling { .. } if given_up => {
                self.state = State::Stable;
                if let Some(round) = &mut self.round {
                    round.drained(self.now);
                    round.joined(self.now);
                }
            }
            State::Stable | State::Reconciling { .. } => {}
            State::Idle | State::Joining { .. } | State::Leaving { .. } | State::Ended => return,
        }
        self.ask_for_names();
        let Some(target) = self.target() else { return };
        let ours: BTreeSet<Partition> = target.keys().cloned().collect();
        let gone: BTreeSet<Partition> = self.standing.kept().difference(&ours).cloned().collect();
        self.take_up(target);
        if !gone.is_empty() {
            self.sign_of_change(Reason::RoundBegan);
            let limit = self.revoke(gone);
            self.state = State::Reconciling { limit };
        }
        self.complete(&ours);
    }

    /// What is given to us, topics that nobody has named yet left out. A topic that was created again is another one:
    /// its partitions are taken up when those of the one before have been given up.
    fn target(&self) -> Option<BTreeMap<Partition, TopicId>> {
        let assignment = self.assignment.as_ref()?;
        let mut target = BTreeMap::new();
        for (topic, indexes) in assignment {
            let Some(name) = self.name(*topic) else { continue };
            if self.standing.topics.get(&name).is_some_and(|before| before != topic) {
                continue;
            }
            let ours = indexes.iter().filter(|index| **index >= 0);
            target.extend(ours.map(|index| (Partition::new(Arc::clone(&name), *index), *topic)));
        }
        Some(target)
    }

    /// The topic's name: as what we own of it was given to us, or by the cluster.
    fn name(&self, topic: TopicId) -> Option<Arc<str>> {
        let held = self.standing.topics.iter().find(|(_, id)| **id == topic).map(|(name, _)| name);
        held.or_else(|| self.names.get(&topic)).cloned()
    }

    /// Whether topics are given to us that nobody has named yet.
    pub(super) fn awaits_names(&self) -> bool {
        let given = self.assignment.iter().flat_map(|assignment| assignment.keys());
        given.into_iter().any(|topic| self.name(*topic).is_none())
    }

    /// The coordinator may know a topic before we do.
    fn ask_for_names(&mut self) {
        if self.awaits_names() && self.names_again <= self.now {
            self.names_again = self.now + self.settings.answer_limit;
            self.actions.push(Action::CountPartitions { topics: self.topics.clone() });
        }
    }

    fn take_up(&mut self, target: BTreeMap<Partition, TopicId>) {
        let Some(generation) = self.standing.generation else { return };
        let mut added = BTreeMap::new();
        for (partition, topic) in target {
            if self.standing.owned.insert(partition.clone()) {
                self.standing.topics.insert(Arc::clone(&partition.topic), topic);
                let losses = self.standing.losses_of(&partition);
                added.insert(partition, losses);
            }
        }
        if !added.is_empty() {
            self.sign_of_change(Reason::RoundBegan);
            self.actions.push(Action::Assign { partitions: added, generation });
        }
    }

    /// What is ours is what is given to us, and the coordinator has heard of it: for the ledger.
    fn complete(&mut self, ours: &BTreeSet<Partition>) {
        let Some(generation) = self.standing.generation else { return };
        let heard = !self.is_urgent() && !self.line.waits_for_heartbeat();
        if self.standing.owned != *ours || self.awaits_names() || !heard {
            return;
        }
        let Some(round) = self.round.take() else { return };
        let assignor = self.settings.remote_assignor.clone();
        self.actions.push(Action::Rebalanced(Rebalance {
            reason: round.reason,
            latest: round.latest,
            trigger: None,
            took: round.phases(self.now),
            generation,
            manner: Manner::Consumer,
            assignor: assignor.unwrap_or_else(|| Arc::from(COORDINATORS_CHOICE)),
            leader: false,
            led_by: None,
            gathered: None,
            assigned: ours.clone(),
            releasing: BTreeSet::new(),
        }));
    }

    /// Asks for the release of `partitions`; the moment at which it has to be done.
    pub(super) fn revoke(&mut self, partitions: BTreeSet<Partition>) -> Tick {
        self.standing.releasing.extend(partitions.iter().cloned());
        self.actions.push(Action::Revoke { partitions, deadline: self.now + self.settings.drain() });
        self.now + self.settings.release()
    }

    pub(super) fn released(&mut self, partitions: &BTreeSet<Partition>) {
        for partition in partitions {
            if self.standing.releasing.remove(partition) {
                self.standing.owned.remove(partition);
            }
        }
        self.forget_topics();
    }

    /// Of topics of which nothing is owned it does not matter under which id it was.
    pub(super) fn forget_topics(&mut self) {
        let owned: BTreeSet<Arc<str>> =
            self.standing.owned.iter().map(|partition| Arc::clone(&partition.topic)).collect();
        self.standing.topics.retain(|topic, _| owned.contains(topic));
    }

    /// When the coordinator may have given our partitions away: counted from when we sent what it answered, so that it
    /// is never later than the coordinator's own count.
    pub(super) fn session_end(&self) -> Tick {
        self.standing.heard + self.settings.session_timeout
    }
}

//! A member under either protocol.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::actions::Action;
use super::classic::ClassicMember;
use super::consumer::ConsumerMember;
use super::events::Event;
use super::settings::Settings;
use super::standing::{Membership, Standing};
use super::{GroupProtocol, MemberId};
use crate::tick::Tick;

/// The member's side of the group's protocol. Both machines are told the same events and say the same actions.
#[derive(Debug, Clone)]
pub enum Machine {
    /// Of the classic protocol.
    Classic(ClassicMember),
    /// Of the consumer protocol (KIP-848).
    Consumer(ConsumerMember),
}

impl Machine {
    /// A member that wants `topics` and goes on from `standing`, under the protocol that the settings name. A member of
    /// the consumer protocol takes `fresh` for its id, unless it has one.
    pub fn new(
        settings: Settings,
        topics: BTreeSet<Arc<str>>,
        standing: Standing,
        fresh: MemberId,
    ) -> Machine {
        match settings.group_protocol {
            GroupProtocol::Classic => Machine::Classic(ClassicMember::new(settings, topics, standing)),
            GroupProtocol::Consumer => {
                Machine::Consumer(ConsumerMember::new(settings, topics, standing, fresh))
            }
        }
    }

    /// Takes `event` in, at `now`, and says what to do.
    pub fn handle(&mut self, event: Event, now: Tick) -> Vec<Action> {
        match self {
            Machine::Classic(member) => member.handle(event, now),
            Machine::Consumer(member) => member.handle(event, now),
        }
    }

    /// When `DeadlineReached` is due at the latest. None only before the start and after the end.
    pub fn next_deadline(&self) -> Option<Tick> {
        match self {
            Machine::Classic(member) => member.next_deadline(),
            Machine::Consumer(member) => member.next_deadline(),
        }
    }

    /// What must outlive a crash of whoever runs this machine.
    pub fn standing(&self) -> &Standing {
        match self {
            Machine::Classic(member) => member.standing(),
            Machine::Consumer(member) => member.standing(),
        }
    }

    /// What commits are made under; none outside of a generation or epoch.
    pub fn membership(&self) -> Option<Membership> {
        match self {
            Machine::Classic(member) => member.membership(),
            Machine::Consumer(member) => member.membership(),
        }
    }
}

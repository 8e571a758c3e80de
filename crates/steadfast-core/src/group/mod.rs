//! Group membership: who reads which partitions, as Kafka's group protocols settle it.
//!
//! [`classic::ClassicMember`] is the member's side of the classic protocol, [`consumer::ConsumerMember`] that of the
//! consumer protocol, and [`member::Machine`] either: it is told what happens ([`events::Event`]) and says what to do
//! ([`actions::Action`]). The assignors stand in [`assign`], the reaction to every error in [`errors`].

pub mod account;
pub mod actions;
pub mod advice;
pub mod assign;
pub mod classic;
pub mod consumer;
mod coordinator;
pub mod errors;
pub mod events;
pub mod member;
pub mod pace;
mod round;
pub mod settings;
pub mod standing;
pub mod subscription;
pub mod trigger;

use std::fmt;
use std::sync::Arc;

/// `group.protocol`: how members of a group come to their partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum GroupProtocol {
    /// Members meet in rounds, and one of them assigns (KIP-62, KIP-429).
    #[default]
    Classic,
    /// The coordinator assigns, and each member comes to its share by itself (KIP-848).
    Consumer,
}

/// A member's id, as the coordinator gave it or, under the consumer protocol, as the member made it. It outlives
/// connections and rounds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberId(pub Arc<str>);

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for MemberId {
    fn from(id: &str) -> MemberId {
        MemberId(id.into())
    }
}

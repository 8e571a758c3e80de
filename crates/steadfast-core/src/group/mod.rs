//! Group membership: who reads which partitions, as Kafka's group protocols settle it.
//!
//! [`classic::ClassicMember`] is the member's side of the classic protocol: it is told what happens
//! ([`events::Event`]) and says what to do ([`actions::Action`]). The assignors stand in [`assign`], the
//! reaction to every error in [`errors`].

pub mod account;
pub mod actions;
pub mod advice;
pub mod assign;
pub mod classic;
mod coordinator;
pub mod errors;
pub mod events;
pub mod pace;
mod round;
pub mod settings;
pub mod standing;
pub mod subscription;
pub mod trigger;

use std::fmt;
use std::sync::Arc;

/// A member's id, as the coordinator gave it. It outlives connections and rounds.
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

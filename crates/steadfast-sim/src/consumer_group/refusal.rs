//! A request that is refused, and the words for it.

use kafka_protocol::ResponseError;

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// As a code.
    pub(crate) error: ResponseError,
    /// In words: brokers say them beside the code.
    pub(crate) message: String,
}

impl Refusal {
    pub(super) fn invalid(message: &str) -> Refusal {
        Refusal { error: ResponseError::InvalidRequest, message: message.to_owned() }
    }

    pub(super) fn unknown(member: &str) -> Refusal {
        Refusal {
            error: ResponseError::UnknownMemberId,
            message: format!("expected a member, found {member}"),
        }
    }

    pub(super) fn fenced_epoch(found: i32, expected: i32) -> Refusal {
        Refusal {
            error: ResponseError::FencedMemberEpoch,
            message: format!("expected the member epoch {expected}, found {found}: join again with nothing"),
        }
    }

    pub(super) fn fenced_instance(instance: &str, owner: &str) -> Refusal {
        Refusal {
            error: ResponseError::FencedInstanceId,
            message: format!("instance {instance} is member {owner} by now"),
        }
    }
}

impl From<ResponseError> for Refusal {
    fn from(error: ResponseError) -> Refusal {
        Refusal { error, message: error.to_string() }
    }
}

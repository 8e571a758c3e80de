//! What every error of the group's APIs asks of us: one table, [`react`].

use std::fmt;

/// An error code as it stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub i16);

macro_rules! codes {
    ($($name:ident = $code:literal),+ $(,)?) => {
        #[allow(missing_docs)] // Kafka's own names, documented by Kafka
        impl ErrorCode {
            $(pub const $name: ErrorCode = ErrorCode($code);)+

            /// Kafka's name of this code; none for a code that this table does not know.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(ErrorCode::$name => Some(stringify!($name)),)+
                    ErrorCode(_) => None,
                }
            }
        }

        #[cfg(test)]
        const KNOWN: &[ErrorCode] = &[$(ErrorCode::$name),+];
    };
}

codes! {
    UNKNOWN_SERVER_ERROR = -1,
    NONE = 0,
    UNKNOWN_TOPIC_OR_PARTITION = 3,
    LEADER_NOT_AVAILABLE = 5,
    NOT_LEADER_OR_FOLLOWER = 6,
    REQUEST_TIMED_OUT = 7,
    OFFSET_METADATA_TOO_LARGE = 12,
    NETWORK_EXCEPTION = 13,
    COORDINATOR_LOAD_IN_PROGRESS = 14,
    COORDINATOR_NOT_AVAILABLE = 15,
    NOT_COORDINATOR = 16,
    INVALID_TOPIC_EXCEPTION = 17,
    NOT_ENOUGH_REPLICAS = 19,
    NOT_ENOUGH_REPLICAS_AFTER_APPEND = 20,
    ILLEGAL_GENERATION = 22,
    INCONSISTENT_GROUP_PROTOCOL = 23,
    INVALID_GROUP_ID = 24,
    UNKNOWN_MEMBER_ID = 25,
    INVALID_SESSION_TIMEOUT = 26,
    REBALANCE_IN_PROGRESS = 27,
    INVALID_COMMIT_OFFSET_SIZE = 28,
    TOPIC_AUTHORIZATION_FAILED = 29,
    GROUP_AUTHORIZATION_FAILED = 30,
    CLUSTER_AUTHORIZATION_FAILED = 31,
    UNSUPPORTED_SASL_MECHANISM = 33,
    ILLEGAL_SASL_STATE = 34,
    UNSUPPORTED_VERSION = 35,
    INVALID_REQUEST = 42,
    KAFKA_STORAGE_ERROR = 56,
    SASL_AUTHENTICATION_FAILED = 58,
    GROUP_ID_NOT_FOUND = 69,
    MEMBER_ID_REQUIRED = 79,
    GROUP_MAX_SIZE_REACHED = 81,
    FENCED_INSTANCE_ID = 82,
    UNSTABLE_OFFSET_COMMIT = 88,
    THROTTLING_QUOTA_EXCEEDED = 89,
    UNKNOWN_TOPIC_ID = 100,
    FENCED_MEMBER_EPOCH = 110,
    UNRELEASED_INSTANCE_ID = 111,
    UNSUPPORTED_ASSIGNOR = 112,
    STALE_MEMBER_EPOCH = 113,
    INVALID_REGULAR_EXPRESSION = 128,
    REBOOTSTRAP_REQUIRED = 129,
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.0),
            None => write!(f, "error {}", self.0),
        }
    }
}

/// An API that speaks for or with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Api {
    /// Who coordinates the group.
    FindCoordinator,
    /// Enter, or enter again: the first half of a round.
    JoinGroup,
    /// Receive the assignment: the second half of a round.
    SyncGroup,
    /// Stay a member, and hear of rounds that begin.
    Heartbeat,
    /// Go.
    LeaveGroup,
    /// Join, stay, give up and leave under the consumer protocol (KIP-848).
    ConsumerGroupHeartbeat,
    /// Write what was acked.
    OffsetCommit,
    /// Read what was committed.
    OffsetFetch,
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What an error asks of us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reaction {
    /// Nothing is wrong, or what we asked for is so already.
    Accept,
    /// Ask the same again after a pause. For OffsetFetch: never a reason to reset an offset.
    Retry,
    /// This broker does not coordinate the group (any more): find out who does, then ask again.
    FindCoordinator,
    /// Join again with the member id that the answer carries (KIP-394).
    JoinWithGivenId,
    /// A round has begun: join it. Membership and partitions stand until then.
    Rejoin,
    /// The generation has passed without us: the partitions are lost; join with the same member id.
    RejoinLost,
    /// The coordinator has forgotten us: the partitions are lost; join without a member id.
    RejoinAnew,
    /// Keep the commit (or the read) and ask again when the round, or the next epoch, is there.
    AfterRound,
    /// This partition's commit or read will never succeed as it stands; the others may.
    GiveUp,
    /// Nothing that we do by ourselves helps.
    Fatal(Cause),
}

/// Why a group cannot be used, so that the process's end says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Another process runs with the same `group.instance.id`.
    Fenced,
    /// An ACL or the credentials forbid it.
    Unauthorized,
    /// The members share no assignor, or the group is of another type.
    Inconsistent,
    /// A setting is outside of what the broker allows.
    Misconfigured,
    /// The group has as many members as the broker allows.
    Full,
    /// The broker does not speak our versions.
    Unsupported,
    /// The broker does not have the consumer protocol, or has it switched off.
    NoConsumerProtocol,
    /// The group is a classic one, and the broker does not convert it.
    Inconvertible,
    /// The broker does not have the assignor that was asked for.
    Assignor,
    /// The broker cannot read the pattern.
    Pattern,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Fenced => "another member runs with the same group.instance.id",
            Cause::Unauthorized => "READ on the group and on its topics, and valid credentials, are needed",
            Cause::Inconsistent => "all members of a group need one assignor in common",
            Cause::Misconfigured => {
                "the broker does not allow this group.id or this session.timeout.ms \
                 (group.min.session.timeout.ms, group.max.session.timeout.ms)"
            }
            Cause::Full => "the group has as many members as group.max.size allows",
            Cause::Unsupported => "the broker does not serve the versions of this client",
            Cause::NoConsumerProtocol => {
                "group.protocol = consumer needs Kafka 4.0 with its feature group.version on: \
                 set group.protocol = classic for this broker"
            }
            Cause::Inconvertible => {
                "the group is a classic one and the broker does not convert it \
                 (group.consumer.migration.policy): stop its members, or set group.protocol = classic"
            }
            Cause::Assignor => {
                "group.remote.assignor is to name one of the broker's group.consumer.assignors"
            }
            Cause::Pattern => "the broker reads patterns in the syntax of RE2, and not this one",
        })
    }
}

/// What an answer of `api` with `code` asks of us.
///
/// A code that is unknown is retried after a pause: newer brokers add retriable codes (KIP-1050), and the
/// session's limit ends what does not heal.
pub fn react(api: Api, code: ErrorCode) -> Reaction {
    match code {
        ErrorCode::NONE => Reaction::Accept,
        ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR => of_coordinator(api),
        ErrorCode::REQUEST_TIMED_OUT
        | ErrorCode::NETWORK_EXCEPTION
        | ErrorCode::KAFKA_STORAGE_ERROR
        | ErrorCode::REBOOTSTRAP_REQUIRED => of_coordinator(api),
        ErrorCode::MEMBER_ID_REQUIRED if api == Api::JoinGroup => Reaction::JoinWithGivenId,
        ErrorCode::UNKNOWN_MEMBER_ID
        | ErrorCode::FENCED_MEMBER_EPOCH
        | ErrorCode::ILLEGAL_GENERATION
        | ErrorCode::REBALANCE_IN_PROGRESS
        | ErrorCode::STALE_MEMBER_EPOCH => of_membership(api, code),
        // only of the consumer protocol's group does it say that the group, and with it our membership, is gone
        ErrorCode::GROUP_ID_NOT_FOUND if api == Api::ConsumerGroupHeartbeat => Reaction::RejoinAnew,
        ErrorCode::OFFSET_METADATA_TOO_LARGE | ErrorCode::INVALID_COMMIT_OFFSET_SIZE => of_commit(api),
        _ => fatal(api, code).map_or(Reaction::Retry, Reaction::Fatal),
    }
}

/// Who answered is not, or not reliably, the coordinator.
fn of_coordinator(api: Api) -> Reaction {
    match api {
        Api::FindCoordinator => Reaction::Retry,
        Api::JoinGroup
        | Api::SyncGroup
        | Api::Heartbeat
        | Api::LeaveGroup
        | Api::ConsumerGroupHeartbeat
        | Api::OffsetCommit
        | Api::OffsetFetch => Reaction::FindCoordinator,
    }
}

/// The coordinator sees our membership otherwise than we do.
fn of_membership(api: Api, code: ErrorCode) -> Reaction {
    match (api, code) {
        (Api::FindCoordinator, _) => Reaction::Retry,
        // gone is what we asked to be
        (Api::LeaveGroup, _) => Reaction::Accept,
        (Api::OffsetCommit | Api::OffsetFetch, ErrorCode::REBALANCE_IN_PROGRESS) => Reaction::AfterRound,
        (Api::OffsetCommit | Api::OffsetFetch, ErrorCode::STALE_MEMBER_EPOCH) => Reaction::AfterRound,
        (_, ErrorCode::REBALANCE_IN_PROGRESS | ErrorCode::STALE_MEMBER_EPOCH) => Reaction::Rejoin,
        (_, ErrorCode::ILLEGAL_GENERATION | ErrorCode::FENCED_MEMBER_EPOCH) => Reaction::RejoinLost,
        (_, _) => Reaction::RejoinAnew,
    }
}

/// The commit itself is too large.
fn of_commit(api: Api) -> Reaction {
    match api {
        Api::OffsetCommit => Reaction::GiveUp,
        Api::FindCoordinator
        | Api::JoinGroup
        | Api::SyncGroup
        | Api::Heartbeat
        | Api::LeaveGroup
        | Api::ConsumerGroupHeartbeat
        | Api::OffsetFetch => Reaction::Retry,
    }
}

/// The cause, if `code` is one that no repetition heals.
fn fatal(api: Api, code: ErrorCode) -> Option<Cause> {
    match code {
        ErrorCode::FENCED_INSTANCE_ID | ErrorCode::UNRELEASED_INSTANCE_ID => Some(Cause::Fenced),
        ErrorCode::GROUP_AUTHORIZATION_FAILED
        | ErrorCode::CLUSTER_AUTHORIZATION_FAILED
        | ErrorCode::TOPIC_AUTHORIZATION_FAILED
        | ErrorCode::UNSUPPORTED_SASL_MECHANISM
        | ErrorCode::ILLEGAL_SASL_STATE
        | ErrorCode::SASL_AUTHENTICATION_FAILED => Some(Cause::Unauthorized),
        ErrorCode::INCONSISTENT_GROUP_PROTOCOL => Some(Cause::Inconsistent),
        ErrorCode::INVALID_GROUP_ID | ErrorCode::INVALID_SESSION_TIMEOUT => Some(Cause::Misconfigured),
        ErrorCode::GROUP_MAX_SIZE_REACHED if matches!(api, Api::JoinGroup | Api::ConsumerGroupHeartbeat) => {
            Some(Cause::Full)
        }
        ErrorCode::UNSUPPORTED_ASSIGNOR => Some(Cause::Assignor),
        ErrorCode::INVALID_REGULAR_EXPRESSION => Some(Cause::Pattern),
        ErrorCode::UNSUPPORTED_VERSION if api == Api::ConsumerGroupHeartbeat => {
            Some(Cause::NoConsumerProtocol)
        }
        ErrorCode::UNSUPPORTED_VERSION | ErrorCode::INVALID_REQUEST => Some(Cause::Unsupported),
        _ => None,
    }
}

/// A group refused us for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("group {group}: {api} was answered with {code}: {cause}")]
pub struct Refusal {
    /// The group's id.
    pub group: String,
    /// What was asked.
    pub api: Api,
    /// What was answered.
    pub code: ErrorCode,
    /// What that means.
    pub cause: Cause,
}

#[cfg(test)]
mod tests {
    use super::*;

    const APIS: [Api; 8] = [
        Api::FindCoordinator,
        Api::JoinGroup,
        Api::SyncGroup,
        Api::Heartbeat,
        Api::LeaveGroup,
        Api::ConsumerGroupHeartbeat,
        Api::OffsetCommit,
        Api::OffsetFetch,
    ];
    const WITH_COORDINATOR: [Api; 7] = [
        Api::JoinGroup,
        Api::SyncGroup,
        Api::Heartbeat,
        Api::LeaveGroup,
        Api::ConsumerGroupHeartbeat,
        Api::OffsetCommit,
        Api::OffsetFetch,
    ];

    #[test]
    fn no_error_is_accepted_and_no_real_one_but_at_leaving() {
        for api in APIS {
            assert_eq!(react(api, ErrorCode::NONE), Reaction::Accept);
            for code in KNOWN.iter().filter(|code| **code != ErrorCode::NONE) {
                let accepted = react(api, *code) == Reaction::Accept;
                assert!(!accepted || api == Api::LeaveGroup, "{api} accepts {code}");
            }
        }
    }

    #[test]
    fn a_coordinator_that_moved_is_found_again() {
        for code in [ErrorCode::NOT_COORDINATOR, ErrorCode::COORDINATOR_NOT_AVAILABLE] {
            assert_eq!(react(Api::FindCoordinator, code), Reaction::Retry);
            for api in WITH_COORDINATOR {
                assert_eq!(react(api, code), Reaction::FindCoordinator, "{api} {code}");
            }
        }
    }

    #[test]
    fn a_coordinator_that_loads_is_waited_for() {
        for api in APIS {
            assert_eq!(react(api, ErrorCode::COORDINATOR_LOAD_IN_PROGRESS), Reaction::Retry);
        }
    }

    #[test]
    fn an_illegal_generation_keeps_the_member_id_and_an_unknown_member_drops_it() {
        for api in [Api::JoinGroup, Api::SyncGroup, Api::Heartbeat, Api::OffsetCommit] {
            assert_eq!(react(api, ErrorCode::ILLEGAL_GENERATION), Reaction::RejoinLost);
            assert_eq!(react(api, ErrorCode::UNKNOWN_MEMBER_ID), Reaction::RejoinAnew);
        }
    }

    #[test]
    fn a_round_is_joined_but_a_commit_waits_for_it() {
        for api in [Api::JoinGroup, Api::SyncGroup, Api::Heartbeat] {
            assert_eq!(react(api, ErrorCode::REBALANCE_IN_PROGRESS), Reaction::Rejoin);
        }
        assert_eq!(react(Api::OffsetCommit, ErrorCode::REBALANCE_IN_PROGRESS), Reaction::AfterRound);
        assert_eq!(react(Api::OffsetCommit, ErrorCode::STALE_MEMBER_EPOCH), Reaction::AfterRound);
        assert_eq!(react(Api::OffsetFetch, ErrorCode::STALE_MEMBER_EPOCH), Reaction::AfterRound);
    }

    #[test]
    fn a_member_id_is_given_only_by_a_join() {
        assert_eq!(react(Api::JoinGroup, ErrorCode::MEMBER_ID_REQUIRED), Reaction::JoinWithGivenId);
        assert_eq!(react(Api::Heartbeat, ErrorCode::MEMBER_ID_REQUIRED), Reaction::Retry);
    }

    #[test]
    fn who_is_fenced_or_forbidden_stops() {
        for api in APIS {
            assert_eq!(react(api, ErrorCode::FENCED_INSTANCE_ID), Reaction::Fatal(Cause::Fenced));
            assert_eq!(
                react(api, ErrorCode::GROUP_AUTHORIZATION_FAILED),
                Reaction::Fatal(Cause::Unauthorized)
            );
        }
        let inconsistent = react(Api::JoinGroup, ErrorCode::INCONSISTENT_GROUP_PROTOCOL);
        assert_eq!(inconsistent, Reaction::Fatal(Cause::Inconsistent));
        let session = react(Api::JoinGroup, ErrorCode::INVALID_SESSION_TIMEOUT);
        assert_eq!(session, Reaction::Fatal(Cause::Misconfigured));
    }

    #[test]
    fn what_is_unknown_or_unstable_is_retried() {
        for code in [ErrorCode(-1), ErrorCode(1234), ErrorCode::UNSTABLE_OFFSET_COMMIT, ErrorCode(i16::MIN)] {
            for api in APIS {
                assert_eq!(react(api, code), Reaction::Retry, "{api} {code}");
            }
        }
    }

    #[test]
    fn a_member_of_the_consumer_protocol_that_is_unknown_or_fenced_joins_again() {
        let beat = |code| react(Api::ConsumerGroupHeartbeat, code);
        assert_eq!(beat(ErrorCode::FENCED_MEMBER_EPOCH), Reaction::RejoinLost);
        assert_eq!(beat(ErrorCode::UNKNOWN_MEMBER_ID), Reaction::RejoinAnew);
        assert_eq!(beat(ErrorCode::GROUP_ID_NOT_FOUND), Reaction::RejoinAnew);
        assert_eq!(react(Api::OffsetCommit, ErrorCode::GROUP_ID_NOT_FOUND), Reaction::Retry);
    }

    #[test]
    fn what_the_consumer_protocol_refuses_for_good_says_what_to_change() {
        let fatal = [
            (ErrorCode::UNRELEASED_INSTANCE_ID, Cause::Fenced),
            (ErrorCode::UNSUPPORTED_ASSIGNOR, Cause::Assignor),
            (ErrorCode::INVALID_REGULAR_EXPRESSION, Cause::Pattern),
            (ErrorCode::GROUP_MAX_SIZE_REACHED, Cause::Full),
            (ErrorCode::UNSUPPORTED_VERSION, Cause::NoConsumerProtocol),
        ];
        for (code, cause) in fatal {
            assert_eq!(react(Api::ConsumerGroupHeartbeat, code), Reaction::Fatal(cause));
        }
    }

    #[test]
    fn a_commit_that_is_too_large_is_given_up_alone() {
        assert_eq!(react(Api::OffsetCommit, ErrorCode::OFFSET_METADATA_TOO_LARGE), Reaction::GiveUp);
    }

    #[test]
    fn codes_are_named_for_people() {
        assert_eq!(ErrorCode::NOT_COORDINATOR.to_string(), "NOT_COORDINATOR (16)");
        assert_eq!(ErrorCode(999).to_string(), "error 999");
    }
}

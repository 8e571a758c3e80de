//! Kafka's error codes: a number on the wire, a name for people.

use std::fmt;

/// An error code as a broker sends it. Codes without a name here are kept and shown as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub i16);

macro_rules! codes {
    ($($code:literal $name:ident,)*) => {
        impl ErrorCode {
            $(
                #[doc = concat!("Kafka's ", stringify!($name), ".")]
                pub const $name: ErrorCode = ErrorCode($code);
            )*

            /// Kafka's name of this code, if it has one here.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($code => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

codes! {
    -1 UNKNOWN_SERVER_ERROR,
    0 NONE,
    1 OFFSET_OUT_OF_RANGE,
    2 CORRUPT_MESSAGE,
    3 UNKNOWN_TOPIC_OR_PARTITION,
    4 INVALID_FETCH_SIZE,
    5 LEADER_NOT_AVAILABLE,
    6 NOT_LEADER_OR_FOLLOWER,
    7 REQUEST_TIMED_OUT,
    8 BROKER_NOT_AVAILABLE,
    9 REPLICA_NOT_AVAILABLE,
    10 MESSAGE_TOO_LARGE,
    12 OFFSET_METADATA_TOO_LARGE,
    13 NETWORK_EXCEPTION,
    14 COORDINATOR_LOAD_IN_PROGRESS,
    15 COORDINATOR_NOT_AVAILABLE,
    16 NOT_COORDINATOR,
    17 INVALID_TOPIC_EXCEPTION,
    22 ILLEGAL_GENERATION,
    23 INCONSISTENT_GROUP_PROTOCOL,
    24 INVALID_GROUP_ID,
    25 UNKNOWN_MEMBER_ID,
    26 INVALID_SESSION_TIMEOUT,
    27 REBALANCE_IN_PROGRESS,
    28 INVALID_COMMIT_OFFSET_SIZE,
    29 TOPIC_AUTHORIZATION_FAILED,
    30 GROUP_AUTHORIZATION_FAILED,
    31 CLUSTER_AUTHORIZATION_FAILED,
    33 UNSUPPORTED_SASL_MECHANISM,
    34 ILLEGAL_SASL_STATE,
    35 UNSUPPORTED_VERSION,
    41 NOT_CONTROLLER,
    42 INVALID_REQUEST,
    43 UNSUPPORTED_FOR_MESSAGE_FORMAT,
    56 KAFKA_STORAGE_ERROR,
    58 SASL_AUTHENTICATION_FAILED,
    69 GROUP_ID_NOT_FOUND,
    70 FETCH_SESSION_ID_NOT_FOUND,
    71 INVALID_FETCH_SESSION_EPOCH,
    72 LISTENER_NOT_FOUND,
    74 FENCED_LEADER_EPOCH,
    75 UNKNOWN_LEADER_EPOCH,
    76 UNSUPPORTED_COMPRESSION_TYPE,
    78 OFFSET_NOT_AVAILABLE,
    79 MEMBER_ID_REQUIRED,
    81 GROUP_MAX_SIZE_REACHED,
    82 FENCED_INSTANCE_ID,
    88 UNSTABLE_OFFSET_COMMIT,
    89 THROTTLING_QUOTA_EXCEEDED,
    100 UNKNOWN_TOPIC_ID,
    103 INCONSISTENT_TOPIC_ID,
    106 FETCH_SESSION_TOPIC_ID_ERROR,
    109 OFFSET_MOVED_TO_TIERED_STORAGE,
    110 FENCED_MEMBER_EPOCH,
    111 UNRELEASED_INSTANCE_ID,
    112 UNSUPPORTED_ASSIGNOR,
    113 STALE_MEMBER_EPOCH,
    128 INVALID_REGULAR_EXPRESSION,
    129 REBOOTSTRAP_REQUIRED,
}

impl ErrorCode {
    /// Nothing went wrong.
    pub fn is_ok(self) -> bool {
        self == ErrorCode::NONE
    }

    /// The code as an error, unless nothing went wrong.
    pub fn check(self) -> Result<(), ErrorCode> {
        if self.is_ok() { Ok(()) } else { Err(self) }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "error code {}", self.0),
        }
    }
}

impl std::error::Error for ErrorCode {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_shown_by_kafkas_name_and_unknown_ones_by_number() {
        assert_eq!(ErrorCode(82).to_string(), "FENCED_INSTANCE_ID");
        assert_eq!(ErrorCode(-1).to_string(), "UNKNOWN_SERVER_ERROR");
        assert_eq!(ErrorCode(999).to_string(), "error code 999");
    }

    #[test]
    fn only_zero_is_no_error() {
        assert_eq!(ErrorCode::NONE.check(), Ok(()));
        assert_eq!(ErrorCode::UNKNOWN_SERVER_ERROR.check(), Err(ErrorCode(-1)));
    }

    #[test]
    fn names_agree_with_kafka_protocols_where_it_has_one() {
        use kafka_protocol::error::ParseResponseErrorCode;
        for code in -1..=129 {
            let (Some(name), Some(known)) = (ErrorCode(code).name(), code.err()) else { continue };
            let ours = name.replace('_', "").to_lowercase();
            let known: String = known.to_string().to_lowercase();
            assert_eq!(ours, known, "{code}");
        }
    }
}

//! Settings that are one of a few words.

use std::fmt;

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$of])* $variant),+
        }

        impl $name {
            /// Every choice, as it is written in a configuration.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// This choice, as it is written in a configuration.
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }

        impl Choice for $name {
            fn of_word(word: &str) -> Option<$name> {
                $(if word.eq_ignore_ascii_case($word) {
                    return Some($name::$variant);
                })+
                None
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

/// What a configuration may choose by a word.
pub(super) trait Choice: Sized {
    /// The choice that this word names, upper or lower case.
    fn of_word(word: &str) -> Option<Self>;
}

choice!(
    /// How a group's leader shares the partitions out.
    Assignor {
        /// Ranges per topic; everything is released at each rebalance (KIP-429 calls it eager).
        Range = "range",
        /// One partition after another to one member after another; eager too.
        RoundRobin = "roundrobin",
        /// As balanced as possible, moving as little as possible; eager too.
        Sticky = "sticky",
        /// As balanced as possible, moving as little as possible, releasing only what moves (KIP-429).
        CooperativeSticky = "cooperative-sticky",
    }
);
choice!(
    /// How members of a group come to their partitions.
    GroupProtocol {
        /// Members meet in rounds, and one of them assigns.
        Classic = "classic",
        /// The coordinator assigns (KIP-848).
        Consumer = "consumer",
    }
);
impl From<GroupProtocol> for steadfast_core::group::GroupProtocol {
    fn from(protocol: GroupProtocol) -> Self {
        match protocol {
            GroupProtocol::Classic => Self::Classic,
            GroupProtocol::Consumer => Self::Consumer,
        }
    }
}

choice!(
    /// What the coordinator assigns with.
    RemoteAssignor {
        /// As balanced as possible, moving as little as possible.
        Uniform = "uniform",
        /// Ranges per topic.
        Range = "range",
    }
);
choice!(
    /// Where a partition begins for which the group never committed an offset.
    AutoOffsetReset {
        /// At the oldest record.
        Earliest = "earliest",
        /// Behind the newest record.
        Latest = "latest",
    }
);
choice!(
    /// Whether records of open and aborted transactions are read.
    IsolationLevel {
        /// Only records that are committed or outside of any transaction (KIP-98).
        ReadCommitted = "read_committed",
        /// Every record.
        ReadUncommitted = "read_uncommitted",
    }
);
choice!(
    /// What a handler costs that stands still over what it holds.
    OnStall {
        /// Its partition: owned, not fetched, reported; the others go on.
        Quarantine = "quarantine",
        /// The membership: what others can do is theirs, and the process ends.
        Leave = "leave",
    }
);
choice!(
    /// How connections are secured.
    SecurityProtocol {
        /// Not at all.
        Plaintext = "PLAINTEXT",
        /// TLS.
        Ssl = "SSL",
        /// Credentials, in the open.
        SaslPlaintext = "SASL_PLAINTEXT",
        /// Credentials over TLS.
        SaslSsl = "SASL_SSL",
    }
);
choice!(
    /// How credentials are proven to a broker.
    SaslMechanism {
        /// Username and password as they are (RFC 4616).
        Plain = "PLAIN",
        /// A proof of the password (RFC 7677).
        ScramSha256 = "SCRAM-SHA-256",
        /// The same with a longer hash.
        ScramSha512 = "SCRAM-SHA-512",
        /// A token (RFC 7628, KIP-255).
        OauthBearer = "OAUTHBEARER",
    }
);
choice!(
    /// What happens when a partition's position is no longer, or not yet, in the log.
    OutOfRange {
        /// The partition is quarantined until a person decides: nothing is skipped, nothing repeated.
        Stop = "stop",
        /// The partition goes on at the oldest record that is left; the lost range is reported.
        Earliest = "earliest",
    }
);
choice!(
    /// Whether a member that is told to stop leaves the group, which costs the others a rebalance at once.
    LeaveOnStop {
        /// Static members stay, the others leave.
        Auto = "auto",
        /// Static members leave too.
        Always = "always",
        /// Nobody leaves: partitions wait for the member's return, or the end of its session.
        Never = "never",
    }
);
choice!(
    /// The kinds of sink.
    SinkType {
        /// JSON lines on standard output.
        Stdout = "stdout",
        /// Nothing is done with the records.
        Discard = "discard",
        /// JSON lines in a file.
        File = "file",
        /// Records of another topic.
        Kafka = "kafka",
    }
);
choice!(
    /// What happens to a bad record (Kafka Connect's `errors.tolerance`).
    Tolerance {
        /// Its partition is quarantined before it.
        None = "none",
        /// It goes to the dead letters, and its partition goes on.
        All = "all",
    }
);
choice!(
    /// The least important events that are logged.
    LogLevel {
        /// What somebody must look at.
        Error = "error",
        /// What may become a problem.
        Warn = "warn",
        /// What happened.
        Info = "info",
        /// What led to it.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }
);
choice!(
    /// What a log line looks like.
    LogFormat {
        /// Text on a terminal, JSON elsewhere.
        Auto = "auto",
        /// One JSON object a line.
        Json = "json",
        /// For people.
        Text = "text",
    }
);

impl SecurityProtocol {
    /// Whether connections speak TLS.
    pub fn has_tls(self) -> bool {
        matches!(self, SecurityProtocol::Ssl | SecurityProtocol::SaslSsl)
    }

    /// Whether brokers want credentials.
    pub fn has_sasl(self) -> bool {
        matches!(self, SecurityProtocol::SaslPlaintext | SecurityProtocol::SaslSsl)
    }
}

impl Assignor {
    /// The assignor of this word, of Java's class name, or of its last part.
    pub(super) fn of_name(name: &str) -> Option<Assignor> {
        match name.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(name) {
            "RangeAssignor" => Some(Assignor::Range),
            "RoundRobinAssignor" => Some(Assignor::RoundRobin),
            "StickyAssignor" => Some(Assignor::Sticky),
            "CooperativeStickyAssignor" => Some(Assignor::CooperativeSticky),
            word => Assignor::of_word(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_names_the_choice_that_writes_it() {
        for word in LogLevel::WORDS {
            assert_eq!(LogLevel::of_word(word).unwrap().word(), *word);
        }
        assert_eq!(SecurityProtocol::of_word("plaintext"), Some(SecurityProtocol::Plaintext));
        assert_eq!(LogLevel::of_word("loud"), None);
    }

    #[test]
    fn assignors_are_known_by_javas_names_too() {
        for name in ["range", "RangeAssignor", "org.apache.kafka.clients.consumer.RangeAssignor"] {
            assert_eq!(Assignor::of_name(name), Some(Assignor::Range), "{name}");
        }
        assert_eq!(Assignor::of_name("RoundRobinAssignor"), Some(Assignor::RoundRobin));
        assert_eq!(Assignor::of_name("StickyAssignor"), Some(Assignor::Sticky));
        assert_eq!(Assignor::of_name("CooperativeStickyAssignor"), Some(Assignor::CooperativeSticky));
        assert_eq!(Assignor::of_name("org.example.RangeAssignor"), None);
    }
}

//! How loud each event is, whether its lines may be held back, and what to do about it.
//!
//! | level | means |
//! |---|---|
//! | ERROR | a person is needed now: alarm on it |
//! | WARN | something is worse than it should be, and steadfast deals with it by itself |
//! | INFO | a change that is worth knowing |
//! | DEBUG | routine |

use tracing::Level;

use super::Event;

/// Whether each occurrence of an event is a line of the log. Observers are given every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeats {
    /// Always a line: who reconstructs what happened needs each of them.
    Told,
    /// At most ten lines a minute about the same thing; the rest is counted in a line of its own.
    Limited,
}

/// What is known of an event by its kind alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    level: Level,
    repeats: Repeats,
    advice: Option<&'static str>,
}

#[cfg(test)]
impl Entry {
    pub(super) fn level(&self) -> Level {
        self.level
    }

    pub(super) fn limited(&self) -> bool {
        self.repeats == Repeats::Limited
    }

    pub(super) fn advice(&self) -> Option<&'static str> {
        self.advice
    }
}

impl Event {
    /// How loud the event is.
    pub fn level(&self) -> Level {
        self.entry().level
    }

    /// Whether its lines in the log may be held back.
    pub fn repeats(&self) -> Repeats {
        self.entry().repeats
    }

    /// What a person can do about it, in Markdown; none if there is nothing to do.
    pub fn advice(&self) -> Option<&'static str> {
        self.entry().advice
    }
}

/// An event that is missing here does not compile.
macro_rules! catalogue {
    ($($chapter:literal { $($event:ident: $level:ident $repeats:ident $(, $advice:literal)?;)+ })+) => {
        impl Event {
            fn entry(&self) -> Entry {
                match self {
                    $($(Event::$event { .. } => entry(Level::$level, Repeats::$repeats, &[$($advice)?]),)+)+
                }
            }
        }

        /// The chapters of docs/events.md, each with its events by their names in the type.
        #[cfg(test)]
        pub(super) fn chapters() -> Vec<(&'static str, Vec<(&'static str, Entry)>)> {
            vec![$((
                $chapter,
                vec![$((stringify!($event), entry(Level::$level, Repeats::$repeats, &[$($advice)?])),)+],
            ),)+]
        }
    };
}

catalogue! {
    "The service" {
        ServiceStarted: INFO Told;
        HttpListening: INFO Told;
        ServiceDegraded: WARN Told, "see whether the addresses in `missing` should work; if the brokers moved, write \
            their new addresses into `kafka.bootstrap.servers` in the file.";
        ServiceRecovered: INFO Told;
        ServiceStopped: INFO Told, "if `unfinished` is not 0, handlers were slower than `checkpoint.drain`.";
        ActorRestarted: WARN Told, "report it; if it is a handler, look at the handler.";
        ActorFailed: ERROR Told, "report it, with the reasons in the `actor.restarted` before it.";
        ConfigReloaded: INFO Told, "restart the process for what stands in `after_restart`.";
        ConfigRejected: WARN Told, "correct the file.";
    }
    "Endpoints and recovery" {
        EndpointSuspected: INFO Limited, "nothing, unless it goes on.";
        ConnectionReplaced: WARN Limited, "if it goes on, look at what forgets connections between here and that broker \
            (NAT, a firewall, a load balancer), or at the broker's threads.";
        ViewAgreed: INFO Told;
        WitnessFailed: WARN Limited, "if it names another cluster, an address in `kafka.bootstrap.servers` or in the \
            network leads to the wrong place. If the cluster was changed on purpose: `steadfast endpoints \
            --accept-cluster`, see [operations.md](operations.md#another-cluster-on-purpose).";
        AuthenticationFailed: ERROR Limited, "correct `sasl.*` in the file, or have the brokers told of the user.";
        TlsFailed: ERROR Limited, "correct `ssl.*` in the file, or have a certificate issued that is in force and names \
            the advertised host.";
        EndpointDrifted: WARN Told;
        ConsumerRespawned: INFO Told;
        PartitionResumed: INFO Told;
        RespawnBudgetSpent: WARN Limited, "find out why the cluster's endpoints change so often.";
        ClusterRegressed: WARN Told, "find out whether the cluster was restored from a backup; records may have been \
            lost there.";
        TopicRecreated: WARN Told, "decide whether the new topic is to be read: `steadfast quarantine release` has its \
            partitions begin anew; see [operations.md](operations.md#when-offsets-were-lost).";
    }
    "The group" {
        GroupRebalanced: INFO Told;
        GroupRebalanceCompleted: INFO Told, "`steadfast groups rebalances` shows the last ones and what would make them \
            fewer and shorter; see [operations.md](operations.md#rebalances-reading-them-and-having-fewer).";
        GroupAdvised: WARN Told, "what the `cure` of each says.";
        PartitionsAssigned: INFO Told;
        PartitionsRevoked: INFO Told, "if `undrained` is not 0, records will come twice; make handlers faster or \
            `checkpoint.drain` longer.";
        PartitionsLost: WARN Told, "see whether the process or its network stood still for \
            `kafka.session.timeout.ms`.";
        MemberRefused: ERROR Told, "what `reason` says: another process has the same `group.instance.id`, READ on the \
            group is missing, or the group has no assignor in common with this member.";
        CheckpointCommitted: DEBUG Limited;
        CheckpointFailed: WARN Limited, "nothing, unless it goes on: then a crash would cost as many redeliveries as \
            have come since the last commit.";
    }
    "Partitions and records" {
        PartitionStarted: INFO Told;
        PartitionStalled: WARN Limited, "look at that broker if it comes again.";
        PartitionRefused: WARN Limited, "what the error says; for `TOPIC_AUTHORIZATION_FAILED` grant READ on the topic.";
        PartitionUndecodable: WARN Limited, "if it goes on, the log is damaged there, on that broker or on its way.";
        OffsetsOutOfRange: WARN Told, "with `deleted`, records were lost before they were read: make the topic's \
            retention longer or the consumers faster.";
        BatchReturned: WARN Limited, "what `error.message` says.";
        SinkUnavailable: WARN Limited, "what `error.message` says: a full disk, a target topic that is missing, …";
        SinkRecovered: INFO Told;
        RecordDeadLettered: WARN Told, "look at the dead letters; see [operations.md](operations.md#bad-records).";
        DeadLettersUnavailable: WARN Limited, "what `error.message` says: create the topic, make room on the disk, …";
        RecordsRedelivered: WARN Told;
        PartitionQuarantined: ERROR Told, "see [operations.md](operations.md#quarantine).";
        PartitionReleased: INFO Told;
    }
}

fn entry(level: Level, repeats: Repeats, advice: &[&'static str]) -> Entry {
    Entry { level, repeats, advice: advice.first().copied() }
}

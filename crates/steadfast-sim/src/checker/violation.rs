//! What must hold, by name, and how a breach is told.

use std::fmt;

use steadfast_core::tick::Tick;

macro_rules! invariants {
    ($($variant:ident $name:literal $rule:literal)*) => {
        /// Something that must hold whatever breaks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Invariant {
            $(#[doc = $rule] $variant,)*
        }

        impl Invariant {
            /// All of them.
            pub const ALL: &[Invariant] = &[$(Invariant::$variant),*];

            /// Its name in violations and in docs/testing.md.
            pub fn name(self) -> &'static str {
                match self {
                    $(Invariant::$variant => $name,)*
                }
            }

            /// What it says, in one line.
            pub fn rule(self) -> &'static str {
                match self {
                    $(Invariant::$variant => $rule,)*
                }
            }
        }
    };
}

invariants! {
    NothingLost "nothing-lost"
        "When all is healed and time has passed, every record is acked, and committed unless the service says not."
    NothingSkipped "nothing-skipped"
        "What is delivered comes after everything before it was acked, or delivered under the same lease."
    CatchesUp "catches-up"
        "While nothing is broken, no record stays unacked for longer than the bound."
    LeaseLives "lease-lives"
        "What is delivered was claimed under a lease that lives, or ended just then; no ack counts under an ended one."
    OneOwner "one-owner"
        "No partition is delivered by a member while the coordinator has given it to another."
    ProgressOrdered "progress-ordered"
        "Within a generation committed <= acked <= position, and neither acked nor position goes back."
    CommitOfAcked "commit-of-acked"
        "A commit covers acked records only."
    CommitOfOwner "commit-of-owner"
        "No commit is stored for a partition that the coordinator has given to another member."
    GivenOnce "given-once"
        "No member of the consumer protocol is given a partition that another has, or has not given up yet."
    Balanced "balanced"
        "In the end every partition is somebody's who lives, and no two have shares that differ by more than one."
    CommitInGeneration "commit-in-generation"
        "A commit is stored only if it names the group's generation, or the epoch of the member."
    CommitMended "commit-mended"
        "A stored offset is lowered by a late arrival only, or with its log, and is raised again within the bound."
    CommitClaimed "commit-claimed"
        "The service takes for committed only what the coordinator has stored."
    StartsAtCommitted "starts-at-committed"
        "A partition begins at a committed offset; the reset policy applies only where none was ever committed."
    RedeliveryAllowed "redelivery-allowed"
        "A record is delivered again only after its handler, its member or the log failed; never by a respawn."
    RedeliveryCounted "redelivery-counted"
        "The service counts at least the records that it is seen to deliver again."
    OncePerLease "once-per-lease"
        "Under one lease, records come in order and once."
    ContentIntact "content-intact"
        "A delivered record is the one that was appended at its offset in the pinned cluster."
    OneFetcher "one-fetcher"
        "Once another connection, or incarnation, fetches a partition, the one before stops within respawn.drain."
    RespawnBudget "respawn-budget"
        "No window sees more respawns because of drift than its budget."
    RespawnGapless "respawn-gapless"
        "A respawn skips nothing but what the logs have lost, by the service's own account."
    AnswerAwaited "answer-awaited"
        "No dial of the service, and no request on an open connection, is waited for longer than its limit."
    HeartbeatApart "heartbeat-apart"
        "No connection carries heartbeats and fetches, or heartbeats and requests that are parked."
    ViewTrue "view-true"
        "What is agreed is the truth of the last 35 s; what one broker says only while no majority tells the truth."
    ViewWitnessed "view-witnessed"
        "A view is agreed after most addresses that it names have answered, or one has and it stood for drift.settle."
    ClusterPinned "cluster-pinned"
        "No view of another cluster is agreed than of the one that was agreed first."
    QuarantineEarned "quarantine-earned"
        "A partition is quarantined only after its handler or the log failed."
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An invariant does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{invariant} is violated at {at}: {found}\n  the rule: {}", invariant.rule())]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// When it was noticed.
    pub at: Tick,
    /// What was found: which partition, offset, member, connection, and what was expected.
    pub found: String,
}

/// A violation, before the time is added.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) invariant: Invariant,
    pub(super) found: String,
}

/// Fails with `invariant` unless `holds`.
pub(super) fn ensure(
    holds: bool,
    invariant: Invariant,
    found: impl FnOnce() -> String,
) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken { invariant, found: found() }) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_invariant_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = Invariant::ALL.iter().map(|invariant| invariant.name()).collect();
        assert_eq!(names.len(), Invariant::ALL.len());
    }
}

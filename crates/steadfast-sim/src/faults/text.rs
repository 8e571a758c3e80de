//! Faults as lines of text, and back: `move-endpoints nodes=1,2 old=grace:5000ms`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use kafka_protocol::messages::ApiKey;
use steadfast_core::ids::NodeId;

use super::{Fault, Nodes, Old, Way};
use crate::api::SERVED;

/// A line is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultTextError {
    /// No fault has this name.
    #[error("expected the name of a fault, found {found:?}")]
    Kind {
        /// What stands there.
        found: String,
    },
    /// A part is missing, or is not what it should be.
    #[error("expected {part}={expected}, found {found:?}")]
    Part {
        /// The part's name.
        part: &'static str,
        /// What it looks like.
        expected: &'static str,
        /// What stands there; nothing when it is missing.
        found: Option<String>,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Fault::MoveEndpoints { nodes, old } => write!(f, "{name} nodes={nodes} old={old}"),
            Fault::SwapAddresses { a, b } => write!(f, "{name} a={a} b={b}"),
            Fault::Isolate { node, way } => write!(f, "{name} node={node} way={way}"),
            Fault::Slow { node, by } => write!(f, "{name} node={node} by={}", Millis(*by)),
            Fault::Pause { node, during } => write!(f, "{name} node={node} during={}", Millis(*during)),
            Fault::Throttle { nodes, by } => write!(f, "{name} nodes={nodes} by={}", Millis(*by)),
            Fault::LimitConnections { nodes, per_second } => {
                write!(f, "{name} nodes={nodes} per-second={per_second}")
            }
            Fault::MoveLeaders { from } => write!(f, "{name} from={from}"),
            Fault::Heal { nodes }
            | Fault::SilenceConnections { nodes }
            | Fault::AnswerWithNoBrokers { nodes }
            | Fault::AnswerWithHalfOfTheBrokers { nodes } => write!(f, "{name} nodes={nodes}"),
            Fault::Kill { node }
            | Fault::Restart { node }
            | Fault::AddBroker { node }
            | Fault::RemoveBroker { node }
            | Fault::AnswerAsOtherCluster { node }
            | Fault::AddressTakenByOtherCluster { node } => write!(f, "{name} node={node}"),
            Fault::CoordinatorUnavailable { during } | Fault::LagMetadata { during } => {
                write!(f, "{name} during={}", Millis(*during))
            }
            Fault::MoveCoordinator => f.write_str(name),
            Fault::HangCommits { during, stored } => {
                write!(f, "{name} during={} stored={stored}", Millis(*during))
            }
            Fault::ResetMidFrame { node, api }
            | Fault::TruncateFrame { node, api }
            | Fault::CorruptFrame { node, api }
            | Fault::WithholdAnswer { node, api } => write!(f, "{name} node={node} api={api:?}"),
            Fault::ChangeDns { name: host, hosts } => {
                write!(f, "{name} name={host} hosts={}", hosts.join(","))
            }
            Fault::RestoreDns { name: host } => write!(f, "{name} name={host}"),
        }
    }
}

impl Fault {
    /// The fault's name in text.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::MoveEndpoints { .. } => "move-endpoints",
            Fault::SwapAddresses { .. } => "swap-addresses",
            Fault::Kill { .. } => "kill",
            Fault::Restart { .. } => "restart",
            Fault::Isolate { .. } => "isolate",
            Fault::SilenceConnections { .. } => "silence-connections",
            Fault::Pause { .. } => "pause",
            Fault::Throttle { .. } => "throttle",
            Fault::LimitConnections { .. } => "limit-connections",
            Fault::Slow { .. } => "slow",
            Fault::Heal { .. } => "heal",
            Fault::MoveLeaders { .. } => "move-leaders",
            Fault::AddBroker { .. } => "add-broker",
            Fault::RemoveBroker { .. } => "remove-broker",
            Fault::AnswerAsOtherCluster { .. } => "answer-as-other-cluster",
            Fault::AnswerWithNoBrokers { .. } => "answer-with-no-brokers",
            Fault::AnswerWithHalfOfTheBrokers { .. } => "answer-with-half-of-the-brokers",
            Fault::LagMetadata { .. } => "lag-metadata",
            Fault::CoordinatorUnavailable { .. } => "coordinator-unavailable",
            Fault::MoveCoordinator => "move-coordinator",
            Fault::HangCommits { .. } => "hang-commits",
            Fault::ResetMidFrame { .. } => "reset-mid-frame",
            Fault::TruncateFrame { .. } => "truncate-frame",
            Fault::CorruptFrame { .. } => "corrupt-frame",
            Fault::WithholdAnswer { .. } => "withhold-answer",
            Fault::ChangeDns { .. } => "change-dns",
            Fault::RestoreDns { .. } => "restore-dns",
            Fault::AddressTakenByOtherCluster { .. } => "address-taken-by-other-cluster",
        }
    }
}

impl FromStr for Fault {
    type Err = FaultTextError;

    fn from_str(line: &str) -> Result<Fault, FaultTextError> {
        let mut words = line.split_whitespace();
        let name = words.next().unwrap_or_default();
        let parts = Parts(words.filter_map(|word| word.split_once('=')).collect());
        Ok(match name {
            "move-endpoints" => Fault::MoveEndpoints { nodes: parts.nodes()?, old: parts.old()? },
            "swap-addresses" => Fault::SwapAddresses { a: parts.node("a")?, b: parts.node("b")? },
            "kill" => Fault::Kill { node: parts.node("node")? },
            "restart" => Fault::Restart { node: parts.node("node")? },
            "isolate" => Fault::Isolate { node: parts.node("node")?, way: parts.way()? },
            "silence-connections" => Fault::SilenceConnections { nodes: parts.nodes()? },
            "pause" => Fault::Pause { node: parts.node("node")?, during: parts.millis("during")? },
            "throttle" => Fault::Throttle { nodes: parts.nodes()?, by: parts.millis("by")? },
            "limit-connections" => {
                let per_second = parts.part("per-second", "a number", |text| text.parse().ok())?;
                Fault::LimitConnections { nodes: parts.nodes()?, per_second }
            }
            "slow" => Fault::Slow { node: parts.node("node")?, by: parts.millis("by")? },
            "heal" => Fault::Heal { nodes: parts.nodes()? },
            "move-leaders" => Fault::MoveLeaders { from: parts.node("from")? },
            "add-broker" => Fault::AddBroker { node: parts.node("node")? },
            "remove-broker" => Fault::RemoveBroker { node: parts.node("node")? },
            "answer-as-other-cluster" => Fault::AnswerAsOtherCluster { node: parts.node("node")? },
            "answer-with-no-brokers" => Fault::AnswerWithNoBrokers { nodes: parts.nodes()? },
            "answer-with-half-of-the-brokers" => Fault::AnswerWithHalfOfTheBrokers { nodes: parts.nodes()? },
            "lag-metadata" => Fault::LagMetadata { during: parts.millis("during")? },
            "coordinator-unavailable" => Fault::CoordinatorUnavailable { during: parts.millis("during")? },
            "move-coordinator" => Fault::MoveCoordinator,
            "hang-commits" => {
                let stored = parts.part("stored", "true or false", |text| text.parse().ok())?;
                Fault::HangCommits { during: parts.millis("during")?, stored }
            }
            "reset-mid-frame" => Fault::ResetMidFrame { node: parts.node("node")?, api: parts.api()? },
            "truncate-frame" => Fault::TruncateFrame { node: parts.node("node")?, api: parts.api()? },
            "corrupt-frame" => Fault::CorruptFrame { node: parts.node("node")?, api: parts.api()? },
            "withhold-answer" => Fault::WithholdAnswer { node: parts.node("node")?, api: parts.api()? },
            "change-dns" => Fault::ChangeDns { name: parts.text("name")?, hosts: parts.hosts()? },
            "restore-dns" => Fault::RestoreDns { name: parts.text("name")? },
            "address-taken-by-other-cluster" => {
                Fault::AddressTakenByOtherCluster { node: parts.node("node")? }
            }
            found => return Err(FaultTextError::Kind { found: found.to_owned() }),
        })
    }
}

/// The parts of a line behind the fault's name.
struct Parts<'a>(BTreeMap<&'a str, &'a str>);

impl Parts<'_> {
    fn part<T>(
        &self,
        part: &'static str,
        expected: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, FaultTextError> {
        let found = self.0.get(part).copied();
        let wrong = || FaultTextError::Part { part, expected, found: found.map(str::to_owned) };
        found.and_then(read).ok_or_else(wrong)
    }

    fn node(&self, part: &'static str) -> Result<NodeId, FaultTextError> {
        self.part(part, "a node id", node)
    }

    fn nodes(&self) -> Result<Nodes, FaultTextError> {
        self.part("nodes", "all, or node ids with commas", |text| match text {
            "all" => Some(Nodes::All),
            "" => Some(Nodes::Some([].into())),
            some => some.split(',').map(node).collect::<Option<_>>().map(Nodes::Some),
        })
    }

    fn old(&self) -> Result<Old, FaultTextError> {
        self.part("old", "refuse, black-hole, drop, stale:TIME or grace:TIME", |text| {
            Some(match (text, text.split_once(':')) {
                ("refuse", _) => Old::Refuse,
                ("black-hole", _) => Old::BlackHole,
                ("drop", _) => Old::Drop,
                (_, Some(("stale", time))) => Old::Stale(millis(time)?),
                (_, Some(("grace", time))) => Old::Grace(millis(time)?),
                _ => return None,
            })
        })
    }

    fn way(&self) -> Result<Way, FaultTextError> {
        self.part("way", "both, requests or answers", |text| {
            [Way::Both, Way::Requests, Way::Answers].into_iter().find(|way| way.to_string() == text)
        })
    }

    fn millis(&self, part: &'static str) -> Result<Duration, FaultTextError> {
        self.part(part, "milliseconds, as in 1500ms", millis)
    }

    fn api(&self) -> Result<ApiKey, FaultTextError> {
        self.part("api", "the name of an API that is served", |text| {
            SERVED.iter().map(|(api, _)| *api).find(|api| format!("{api:?}") == text)
        })
    }

    fn text(&self, part: &'static str) -> Result<String, FaultTextError> {
        self.part(part, "text without spaces", |text| Some(text.to_owned()))
    }

    fn hosts(&self) -> Result<Vec<String>, FaultTextError> {
        let hosts = self.text("hosts")?;
        Ok(hosts.split(',').filter(|host| !host.is_empty()).map(str::to_owned).collect())
    }
}

fn node(text: &str) -> Option<NodeId> {
    text.parse().ok().map(NodeId)
}

fn millis(text: &str) -> Option<Duration> {
    text.strip_suffix("ms")?.parse().ok().map(Duration::from_millis)
}

/// Times in text have whole milliseconds: timers know nothing finer.
struct Millis(Duration);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ms", self.0.as_millis())
    }
}

impl fmt::Display for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nodes::All => f.write_str("all"),
            Nodes::Some(nodes) => {
                let nodes: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
                f.write_str(&nodes.join(","))
            }
        }
    }
}

impl fmt::Display for Old {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Old::Refuse => f.write_str("refuse"),
            Old::BlackHole => f.write_str("black-hole"),
            Old::Drop => f.write_str("drop"),
            Old::Stale(time) => write!(f, "stale:{}", Millis(*time)),
            Old::Grace(time) => write!(f, "grace:{}", Millis(*time)),
        }
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Both => "both",
            Way::Requests => "requests",
            Way::Answers => "answers",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_text_is_the_fault_that_it_was_written_from() {
        for line in [
            "move-endpoints nodes=all old=refuse",
            "move-endpoints nodes=1,3 old=black-hole",
            "move-endpoints nodes=2 old=drop",
            "move-endpoints nodes= old=stale:10000ms",
            "move-endpoints nodes=all old=grace:1ms",
            "swap-addresses a=1 b=2",
            "kill node=1",
            "restart node=1",
            "isolate node=1 way=both",
            "isolate node=1 way=requests",
            "isolate node=1 way=answers",
            "silence-connections nodes=all",
            "pause node=2 during=2000ms",
            "throttle nodes=1,2 by=500ms",
            "limit-connections nodes=1,2 per-second=20",
            "slow node=2 by=250ms",
            "heal nodes=all",
            "move-leaders from=3",
            "add-broker node=4",
            "remove-broker node=4",
            "answer-as-other-cluster node=1",
            "answer-with-no-brokers nodes=1,2",
            "answer-with-half-of-the-brokers nodes=all",
            "lag-metadata during=5000ms",
            "coordinator-unavailable during=3000ms",
            "move-coordinator",
            "hang-commits during=3000ms stored=true",
            "reset-mid-frame node=1 api=ApiVersions",
            "truncate-frame node=1 api=ApiVersions",
            "corrupt-frame node=1 api=ApiVersions",
            "withhold-answer node=1 api=ApiVersions",
            "change-dns name=kafka hosts=10.0.0.1,10.0.0.2",
            "change-dns name=kafka hosts=",
            "restore-dns name=kafka",
            "address-taken-by-other-cluster node=2",
        ] {
            assert_eq!(line.parse::<Fault>().unwrap().to_string(), line);
        }
    }

    #[test]
    fn what_is_wrong_in_a_line_is_named() {
        let found = |line: &str| line.parse::<Fault>().unwrap_err().to_string();
        assert_eq!(found("explode"), "expected the name of a fault, found \"explode\"");
        assert_eq!(found(""), "expected the name of a fault, found \"\"");
        assert_eq!(found("kill"), "expected node=a node id, found None");
        assert_eq!(found("slow node=1 by=3s"), "expected by=milliseconds, as in 1500ms, found Some(\"3s\")");
    }
}

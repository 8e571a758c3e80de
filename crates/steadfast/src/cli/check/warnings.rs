//! What works now and will hurt later: settings of the session that do not fit (S1.7, S1.8), bootstrap addresses that
//! all go when the brokers go, names that do not resolve from here.

use std::collections::BTreeSet;
use std::time::Duration;

use humantime::format_duration;
use steadfast_core::endpoints::view::{Address, View};
use steadfast_core::ids::NodeId;

use super::{Outcome, Row, failed, resolve, warning};
use crate::config::Config;

/// What brokers allow unless they are told otherwise: `group.min.session.timeout.ms`, `group.max.session.timeout.ms`.
const SESSIONS: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(30 * 60));
/// Between heartbeats, when nothing is set.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// A heartbeat may be lost twice before the session ends.
const HEARTBEATS: u32 = 3;
/// A later one makes every rebalance as late.
const LATE_HEARTBEAT: Duration = Duration::from_secs(5);
/// What a process takes to be started again.
const RESTART: Duration = Duration::from_secs(30);
/// For how long a crash may leave partitions to nobody.
const LONG_SESSION: Duration = Duration::from_secs(120);

/// What of the group's times does not fit.
pub(super) fn of_settings(config: &Config) -> Vec<Row> {
    let kafka = &config.kafka;
    let (session, static_member) = (kafka.session_timeout, kafka.group_instance_id.is_some());
    let shown = format_duration(session);
    let mut rows = Vec::new();
    let mut warn = |check: &str, detail: String, advice: &str| rows.push(warning(check, detail, advice));
    if session < SESSIONS.0 || session > SESSIONS.1 {
        warn(
            "session timeout",
            format!(
                "{shown} is not between 6s and 30m, which is what brokers allow by default: the join is refused"
            ),
            "set kafka.session.timeout.ms within, or the brokers' group.min and group.max.session.timeout.ms",
        );
    } else if kafka.heartbeat_interval.is_none() && session < HEARTBEAT * HEARTBEATS {
        warn(
            "session timeout",
            format!(
                "{shown} leaves room for fewer than three heartbeats, one each 3s: a moment of jitter ends it"
            ),
            "set kafka.session.timeout.ms to 10s or more, or kafka.heartbeat.interval.ms to a third of it",
        );
    }
    if static_member && session < RESTART {
        warn(
            "static membership",
            format!("{shown} is shorter than most restarts: its partitions go to others before it is back"),
            "set kafka.session.timeout.ms above what a restart takes, or leave kafka.group.instance.id out",
        );
    }
    if !static_member && session > LONG_SESSION {
        warn(
            "session timeout",
            format!("after a crash of the process nobody reads its partitions for {shown}"),
            "set kafka.session.timeout.ms lower: 45s is usual",
        );
    }
    if let Some(interval) = kafka.heartbeat_interval.filter(|interval| *interval > LATE_HEARTBEAT) {
        warn(
            "heartbeat interval",
            format!("members hear of a rebalance at a heartbeat: up to {} late", format_duration(interval)),
            "leave kafka.heartbeat.interval.ms out: steadfast chooses it, and goes faster around a rebalance",
        );
    }
    if config.checkpoint.drain * 2 > kafka.max_poll_interval {
        warn(
            "rebalance time",
            format!(
                "handlers may take {} of the {} that the group waits for this member",
                format_duration(config.checkpoint.drain),
                format_duration(kafka.max_poll_interval)
            ),
            "set kafka.max.poll.interval.ms to more than twice checkpoint.drain",
        );
    }
    rows
}

/// Whether nothing but the brokers' own addresses is known.
pub(super) fn of_bootstrap(config: &Config, view: &View<NodeId>) -> Option<Row> {
    let lower = |address: &Address| Address::new(address.host.to_lowercase(), address.port);
    let advertised = view.endpoints.values().map(|endpoint| &endpoint.address);
    let reached = advertised.clone().filter_map(|address| config.endpoint_overrides.get(address));
    let own: BTreeSet<Address> = advertised.chain(reached).map(lower).collect();
    config.kafka.bootstrap_servers.iter().all(|address| own.contains(&lower(address))).then(|| {
        warning(
            "bootstrap addresses",
            "each is a broker's own address: if all brokers move at once, only a new configuration helps",
            "put a name or a load balancer that outlives the brokers into kafka.bootstrap.servers",
        )
    })
}

/// What is wrong with the name of the address at which a broker would be reached.
pub(super) async fn unresolved(node: &NodeId, advertised: &Address, reached: &Address) -> Option<Row> {
    let row = resolve(reached).await;
    if row.result == Outcome::Ok {
        return None;
    }
    let advice = if advertised == reached {
        format!(
            "have the DNS here know it, correct the broker's advertised.listeners, or map it: \
             [endpoints.override] \"{advertised}\" = \"HOST:PORT\""
        )
    } else {
        format!("[endpoints.override] maps {advertised} to it: correct that")
    };
    let detail = format!("{} does not resolve from here: {}", reached.host, row.detail);
    Some(failed(format!("broker {node} at {reached}"), detail, advice))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(more: &str) -> Config {
        let text = format!(
            "topics = [\"t\"]\nstate.dir = \"/tmp\"\nkafka.\"group.id\" = \"g\"\n\
             kafka.\"bootstrap.servers\" = \"lb:9092,Kafka-1:9092\"\n{more}"
        );
        Config::from_toml_str(&text).unwrap()
    }

    fn warned(more: &str) -> Vec<String> {
        of_settings(&config(more)).into_iter().map(|row| row.check).collect()
    }

    #[test]
    fn times_that_fit_are_not_warned_of() {
        for more in [
            "",
            "kafka.\"session.timeout.ms\" = 10000",
            "kafka.\"session.timeout.ms\" = 6000\nkafka.\"heartbeat.interval.ms\" = 1000",
            "kafka.\"group.instance.id\" = \"a\"\nkafka.\"session.timeout.ms\" = \"10m\"",
        ] {
            assert_eq!(warned(more), Vec::<String>::new(), "{more}");
        }
    }

    #[test]
    fn each_time_that_does_not_fit_is_warned_of() {
        for (more, check) in [
            ("kafka.\"session.timeout.ms\" = 3000", "session timeout"),
            (
                "kafka.\"session.timeout.ms\" = \"31m\"\nkafka.\"group.instance.id\" = \"a\"",
                "session timeout",
            ),
            ("kafka.\"session.timeout.ms\" = 8000", "session timeout"),
            ("kafka.\"session.timeout.ms\" = \"5m\"", "session timeout"),
            (
                "kafka.\"session.timeout.ms\" = \"20s\"\nkafka.\"group.instance.id\" = \"a\"",
                "static membership",
            ),
            ("kafka.\"heartbeat.interval.ms\" = \"10s\"", "heartbeat interval"),
            ("kafka.\"max.poll.interval.ms\" = \"8s\"", "rebalance time"),
        ] {
            assert_eq!(warned(more), [check], "{more}");
        }
    }

    fn view(hosts: &[&str]) -> View<NodeId> {
        let endpoints = (1..).zip(hosts).map(|(node, host)| (NodeId(node), Address::new(*host, 9092)));
        View::new(None, endpoints)
    }

    #[test]
    fn addresses_that_all_go_with_the_brokers_are_warned_of() {
        let config = config("[endpoints.override]\n\"kafka-9:9092\" = \"lb:9092\"");
        assert_eq!(of_bootstrap(&config, &view(&["kafka-1", "kafka-2"])), None);
        let own = of_bootstrap(&config, &view(&["kafka-1", "LB"])).unwrap();
        assert_eq!((own.result, own.check.as_str()), (Outcome::Warning, "bootstrap addresses"));
        assert!(
            of_bootstrap(&config, &view(&["kafka-1", "kafka-9"])).is_some(),
            "the override leads to a broker"
        );
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_told_with_what_would_map_it() {
        let (here, nowhere) = (Address::new("127.0.0.1", 1), Address::new("kafka.invalid", 9092));
        assert_eq!(unresolved(&NodeId(1), &nowhere, &here).await, None);
        let row = unresolved(&NodeId(1), &nowhere, &nowhere).await.unwrap();
        assert_eq!((row.result, row.check.as_str()), (Outcome::Failed, "broker 1 at kafka.invalid:9092"));
        assert!(row.advice.contains("[endpoints.override] \"kafka.invalid:9092\""), "{row:?}");
        let mapped = unresolved(&NodeId(1), &here, &nowhere).await.unwrap();
        assert!(mapped.advice.contains("maps 127.0.0.1:1 to it"), "{mapped:?}");
    }
}

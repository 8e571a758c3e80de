//! The configuration as parts of it are told.

use std::sync::Arc;

use steadfast_core::group::assign::Assignor;
use steadfast_core::group::pace::Pace;
use steadfast_core::group::settings::{LeaveOnStop, Settings as MemberSettings};
use steadfast_kafka::fetch::leader::Settings as FetchSettings;

use super::{DECOMPRESSED_LIMIT, isolation};
use crate::config::{self, Config};

/// How leaders are asked for records.
pub(super) fn fetch_settings(config: &Config) -> FetchSettings {
    let kafka = &config.kafka;
    FetchSettings {
        isolation: isolation(config),
        max_wait: kafka.fetch_max_wait,
        min_bytes: kafka.fetch_min_bytes,
        max_bytes: kafka.fetch_max_bytes,
        partition_max_bytes: kafka.max_partition_fetch_bytes,
        request_timeout: kafka.request_timeout,
        decompressed_limit: DECOMPRESSED_LIMIT,
    }
}

/// How the group is taken part in; `luck` keeps members apart.
pub(super) fn member_settings(config: &Config, luck: f64) -> MemberSettings {
    let kafka = &config.kafka;
    let assignor = |assignor: &config::Assignor| match assignor {
        config::Assignor::Range => Assignor::Range,
        config::Assignor::RoundRobin => Assignor::RoundRobin,
        config::Assignor::Sticky => Assignor::Sticky,
        config::Assignor::CooperativeSticky => Assignor::CooperativeSticky,
    };
    let mut settings = MemberSettings::new(kafka.group_id.as_str());
    settings.instance = kafka.group_instance_id.as_deref().map(Arc::from);
    settings.group_protocol = kafka.group_protocol.into();
    settings.remote_assignor = kafka.group_remote_assignor.map(|assignor| Arc::from(assignor.word()));
    settings.session_timeout = kafka.session_timeout;
    settings.rebalance_timeout = kafka.max_poll_interval;
    settings.pace = kafka.heartbeat_interval.map_or(Pace::ADAPTIVE, Pace::Every);
    settings.assignors = kafka.partition_assignment_strategy.iter().map(assignor).collect();
    settings.drain_limit = config.checkpoint.drain;
    settings.leave_on_stop = match config.group.leave_on_stop {
        config::LeaveOnStop::Auto => LeaveOnStop::Auto,
        config::LeaveOnStop::Always => LeaveOnStop::Always,
        config::LeaveOnStop::Never => LeaveOnStop::Never,
    };
    settings.seed = luck.to_bits();
    settings
}

/// The topics' names, or the pattern.
pub(super) fn consumed(config: &Config) -> Vec<String> {
    let named = config.topics.names().iter().map(ToString::to_string);
    named.chain(config.topics.pattern().map(ToString::to_string)).collect()
}

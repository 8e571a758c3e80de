//! `steadfast groups reset`: where a group that nobody is in shall begin.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clap::{ArgGroup, Args};
use serde::Serialize;
use steadfast_core::group::GroupProtocol;
use steadfast_core::ids::{GroupGeneration, LeaderEpoch, Offset, Partition};
use steadfast_kafka::api::list_offsets::LogEnd;
use steadfast_kafka::api::offset_commit::{CommittedOffset, OffsetCommit};
use steadfast_kafka::api::offsets_for_times::{OffsetsForTimes, OffsetsForTimesAnswer};
use steadfast_kafka::api::{ErrorCode, Isolation};

use super::super::client::ClientArgs;
use super::asker::{Asker, Failure, call};
use super::cells::{Side, columns, shown};
use super::described::{ByTopic, Group, Member, find};
use super::offsets::{committed, log_ends};
use super::table::or_dash;
use crate::cli::Output;
use crate::config::Config;
use crate::exit::Exit;
use moment::Moment;
use target::{Known, Target};
use topics::Wanted;

mod moment;
mod target;
mod topics;

/// Arguments of `steadfast groups reset`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(
    group = ArgGroup::new("which").required(true).multiple(false).args(["topic", "all_topics"]),
    group = ArgGroup::new("where").required(true).multiple(false).args([
        "to_earliest", "to_latest", "to_offset", "shift_by", "to_datetime", "to_current",
    ]),
    after_help = "Refused while anybody is in the group. An offset that is not in the log becomes the nearest one that is. \
                  Exits with 0 if everything could be done (or, without --execute, could have been), with 1 if not."
)]
pub struct ResetArgs {
    /// The group's id. One that is not there yet comes to be.
    #[arg(value_name = "GROUP")]
    pub group: Arc<str>,
    /// Which cluster.
    #[command(flatten)]
    pub client: ClientArgs,
    /// Of this topic all partitions, or these; may be repeated.
    #[arg(long, value_name = "TOPIC[:PARTITION,...]")]
    pub topic: Vec<Wanted>,
    /// All partitions of all topics that the group has committed anything for.
    #[arg(long)]
    pub all_topics: bool,
    /// To the first record that is kept.
    #[arg(long)]
    pub to_earliest: bool,
    /// Behind the last record.
    #[arg(long)]
    pub to_latest: bool,
    /// To this offset.
    #[arg(long, value_name = "OFFSET", value_parser = clap::value_parser!(i64).range(0..))]
    pub to_offset: Option<i64>,
    /// By so many records forward, or back if negative.
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub shift_by: Option<i64>,
    /// To the first record that is not older than this, or behind the last one: 2026-11-22T05:30:00[.000], in UTC unless
    /// Z or an offset such as +01:00 follows.
    #[arg(long, value_name = "DATETIME")]
    pub to_datetime: Option<Moment>,
    /// To what is committed, or behind the last record where nothing is.
    #[arg(long)]
    pub to_current: bool,
    /// Do it.
    #[arg(long)]
    pub execute: bool,
    /// How the result is printed.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

impl ResetArgs {
    fn target(&self) -> Target {
        match (self.to_offset, self.shift_by, self.to_datetime) {
            (Some(offset), _, _) => Target::Offset(Offset(offset)),
            (_, Some(by), _) => Target::Shift(by),
            (_, _, Some(moment)) => Target::Moment(moment),
            _ if self.to_earliest => Target::Earliest,
            _ if self.to_latest => Target::Latest,
            _ => Target::Current,
        }
    }
}

/// What was done, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Report {
    /// `done`, `dry_run`, `refused` (nothing was changed) or `failed` (some partitions were changed, and some not).
    result: &'static str,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    group: Arc<str>,
    state: Arc<str>,
    /// Who is in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    members: Vec<Inside>,
    partitions: Vec<Row>,
}

/// A member that keeps a group from being reset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Inside {
    member: Arc<str>,
    client: Arc<str>,
    host: Arc<str>,
    assigned: ByTopic,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Row {
    topic: Arc<str>,
    partition: i32,
    old: Option<Offset>,
    new: Option<Offset>,
    /// What was asked for, if it is not in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<i64>,
    /// Why there is no new offset, or why it was not taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
}

/// Runs the command.
pub(super) async fn reset(args: &ResetArgs, config: Arc<Config>) -> Exit {
    let done = async { attempt(&mut Asker::reach(config).await?, args).await };
    match done.await {
        Ok(report) => {
            args.output.print(&report, told);
            if matches!(report.result, "done" | "dry_run") { Exit::Fine } else { Exit::Found }
        }
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit()
        }
    }
}

async fn attempt(asker: &mut Asker, args: &ResetArgs) -> Result<Report, Failure> {
    let found = find(asker, &args.group).await?;
    let mut report = Report::of(&args.group, found.as_ref());
    if let Some(active) = found.filter(|group| !group.is_inactive()) {
        report.refuse(format!("group {} is {}: stop its members first", active.group, active.state));
        return Ok(report);
    }
    let committed = committed(asker, &args.group).await?;
    let wanted = topics::partitions(asker, &args.topic, args.all_topics, &committed).await?;
    report.partitions = rows(asker, args.target(), wanted, &committed).await?;
    if report.partitions.is_empty() {
        report.refuse(format!("group {} has committed nothing: name topics with --topic", args.group));
    } else if report.partitions.iter().any(|row| row.problem.is_some()) {
        report.refuse("not every partition can be reset: leave out those that cannot".to_owned());
    } else if args.execute {
        commit(asker, &mut report).await?;
    }
    Ok(report)
}

/// What becomes of each partition.
async fn rows(
    asker: &mut Asker,
    target: Target,
    partitions: BTreeSet<Partition>,
    committed: &super::offsets::Committed,
) -> Result<Vec<Row>, Failure> {
    let earliest = log_ends(asker, &partitions, LogEnd::Earliest).await?;
    let latest = log_ends(asker, &partitions, LogEnd::Latest).await?;
    let at_moment = match target {
        Target::Moment(moment) => at_moment(asker, &partitions, moment).await?,
        _ => BTreeMap::new(),
    };
    let row = |partition: Partition| {
        let end = |ends: &super::offsets::Ends| match ends.get(&partition) {
            Some(Ok(offset)) => Ok(*offset),
            Some(Err(why)) => Err(why.clone()),
            None => Err("it is not known where it begins and ends".to_owned()),
        };
        let old = committed.get(&partition).cloned().unwrap_or(Ok(None));
        let known = || {
            Ok::<_, String>(Known {
                committed: old.clone()?,
                earliest: end(&earliest)?,
                latest: end(&latest)?,
                at_moment: at_moment.get(&partition).cloned().transpose()?.flatten(),
            })
        };
        let moved = known().and_then(|known| target.in_log(&known));
        Row {
            topic: Arc::clone(&partition.topic),
            partition: partition.index,
            old: old.ok().flatten(),
            new: moved.as_ref().ok().map(|moved| moved.to),
            asked: moved.as_ref().ok().and_then(|moved| moved.asked),
            problem: moved.err(),
        }
    };
    Ok(partitions.into_iter().map(row).collect())
}

async fn at_moment(
    asker: &mut Asker,
    partitions: &BTreeSet<Partition>,
    moment: Moment,
) -> Result<BTreeMap<Partition, Result<Option<Offset>, String>>, Failure> {
    let question = |led: &BTreeSet<Partition>| OffsetsForTimes {
        isolation: Isolation::ReadUncommitted,
        partitions: led.iter().map(|partition| (partition.clone(), moment.millis())).collect(),
    };
    let take = |answer: OffsetsForTimesAnswer| {
        let found = answer.partitions.into_iter();
        found.map(|(at, found)| (at, found.map(|found| found.map(|listed| listed.offset)))).collect()
    };
    asker.ask_leaders(partitions, question, take).await
}

/// Commits as nobody's member, which the coordinator takes only while the group is empty: who joined meanwhile is safe.
async fn commit(asker: &mut Asker, report: &mut Report) -> Result<(), Failure> {
    let (_, line) = asker.coordinator(&report.group).await?;
    let offset = |row: &Row| {
        let stored =
            CommittedOffset { offset: row.new?, leader_epoch: LeaderEpoch::UNKNOWN, metadata: "".into() };
        Some((Partition::new(Arc::clone(&row.topic), row.partition), stored))
    };
    let question = OffsetCommit {
        group: Arc::clone(&report.group),
        protocol: GroupProtocol::Classic,
        generation: GroupGeneration(-1),
        member: "".into(),
        instance: None,
        offsets: report.partitions.iter().filter_map(offset).collect(),
    };
    let answer = call(&line, question).await?;
    let code =
        |row: &Row| answer.partitions.get(&Partition::new(Arc::clone(&row.topic), row.partition)).copied();
    for row in &mut report.partitions {
        row.problem = match code(row) {
            Some(ErrorCode::NONE) => None,
            Some(ErrorCode::UNKNOWN_MEMBER_ID) => {
                Some("not committed: somebody is in the group by now".to_owned())
            }
            Some(code) => Some(format!("not committed: {code}")),
            None => Some("not known whether it is committed: the answer does not mention it".to_owned()),
        };
    }
    let failed = report.partitions.iter().filter(|row| row.problem.is_some()).count();
    report.result = match failed {
        0 => "done",
        all if all == report.partitions.len() => "refused",
        _ => "failed",
    };
    Ok(())
}

impl Report {
    fn of(name: &Arc<str>, group: Option<&Group>) -> Report {
        let inside = |member: &Member| Inside {
            member: Arc::clone(&member.member),
            client: Arc::clone(&member.client),
            host: Arc::clone(&member.host),
            assigned: member.assigned.clone(),
        };
        Report {
            result: "dry_run",
            reason: None,
            group: Arc::clone(name),
            // As brokers call one that is not there.
            state: group.map_or("Dead".into(), |group| Arc::clone(&group.state)),
            members: group.iter().flat_map(|group| &group.members).map(inside).collect(),
            partitions: Vec::new(),
        }
    }

    fn refuse(&mut self, reason: String) {
        (self.result, self.reason) = ("refused", Some(reason));
    }
}

/// All of it, for people. Ends with a newline.
fn told(report: &Report) -> String {
    let mut text = String::new();
    if !report.members.is_empty() {
        let row = |one: &Inside| vec![one.member.to_string(), one.client.to_string(), one.host.to_string()];
        let heading = [("MEMBER", Side::Left), ("CLIENT", Side::Left), ("HOST", Side::Left)];
        text += &columns(&heading, &report.members.iter().map(row).collect::<Vec<_>>());
    }
    if !report.partitions.is_empty() {
        text += &partitions(&report.partitions);
    }
    let reason = report.reason.as_deref().map(shown).unwrap_or_default();
    text + &match report.result {
        "done" => "done\n".to_owned(),
        "dry_run" => "nothing is changed: --execute does it\n".to_owned(),
        "failed" => "some partitions were reset, and some were not\n".to_owned(),
        _ if reason.is_empty() => "refused, and nothing is changed\n".to_owned(),
        _ => format!("refused, and nothing is changed: {reason}\n"),
    }
}

fn partitions(rows: &[Row]) -> String {
    let row = |row: &Row| {
        let asked = row.asked.map(|asked| format!("{asked} is not in the log"));
        vec![
            row.topic.to_string(),
            row.partition.to_string(),
            or_dash(&row.old),
            or_dash(&row.new),
            row.problem.clone().or(asked).unwrap_or_default(),
        ]
    };
    let heading = [
        ("TOPIC", Side::Left),
        ("PARTITION", Side::Right),
        ("OLD", Side::Right),
        ("NEW", Side::Right),
        ("", Side::Left),
    ];
    columns(&heading, &rows.iter().map(row).collect::<Vec<_>>())
}

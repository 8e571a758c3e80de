//! `steadfast groups list`: the groups of all brokers.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use serde::Serialize;
use steadfast_core::ids::NodeId;
use steadfast_kafka::api::ErrorCode;
use steadfast_kafka::api::list_groups::{ListGroups, ListedGroup};

use super::asker::{Asker, Failure, call};
use super::{ListArgs, repeat, table};
use crate::config::Config;
use crate::exit::Exit;

/// The groups, by their ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Listed {
    pub(super) groups: Vec<Row>,
    /// Brokers whose groups are not listed, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) missing: BTreeMap<NodeId, String>,
}

/// One group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Row {
    pub(super) group: Arc<str>,
    /// `classic`, `consumer` or another one; none from brokers before 3.8.
    #[serde(rename = "type")]
    pub(super) kind: Option<Arc<str>>,
    /// What its members are; empty if it has offsets only.
    pub(super) protocol_type: Arc<str>,
    /// None from brokers before 2.6.
    pub(super) state: Option<Arc<str>>,
    /// The broker that coordinates it.
    pub(super) coordinator: NodeId,
}

/// Runs the command.
pub(super) async fn list(args: &ListArgs, config: Arc<Config>) -> Exit {
    let question = ListGroups { states: args.state.clone(), types: args.types.clone() };
    let exit = |listed: &Listed| if listed.missing.is_empty() { Exit::Fine } else { Exit::Found };
    repeat::repeat(&args.how, config, async |asker| ask(asker, &question).await, table::listed, exit).await
}

/// Each broker lists what it coordinates.
async fn ask(asker: &mut Asker, question: &ListGroups) -> Result<Listed, Failure> {
    let lines = asker.lines(asker.brokers()).await;
    let answers = join_all(lines.into_iter().map(|(node, line)| async move {
        let answer = match line {
            Ok(line) => call(&line, question.clone()).await.map_err(Failure::from),
            Err(failure) => Err(failure),
        };
        let groups = answer.and_then(|answer| match answer.error {
            ErrorCode::NONE => Ok(answer.groups),
            code => Err(Failure::code(format!("broker {node}"), code)),
        });
        (node, groups)
    }));
    let (mut groups, mut missing, mut answered) = (Vec::new(), BTreeMap::new(), false);
    let mut last = Failure::Unreachable("the cluster lists no brokers".to_owned());
    for (node, answer) in answers.await {
        match answer {
            Ok(listed) => {
                answered = true;
                groups.extend(listed.into_iter().map(|group| row(node, group)));
            }
            Err(failure) => {
                missing.insert(node, failure.to_string());
                last = failure;
            }
        }
    }
    groups.sort();
    if answered { Ok(Listed { groups, missing }) } else { Err(last) }
}

fn row(coordinator: NodeId, group: ListedGroup) -> Row {
    let ListedGroup { group, protocol_type, state, kind } = group;
    Row { group, kind, protocol_type, state, coordinator }
}

//! A plan, for people.

use std::borrow::Borrow;
use std::fmt::Display;
use std::sync::Arc;

use steadfast_core::group::assign::{PartitionCounts, Protocol};
use steadfast_core::plan::{Balance, Capacity, Grown, Outlook, Plan};

use super::Told;
use crate::cli::groups::cells::{Side, columns, shown};
use crate::cli::groups::described::Kind;
use crate::cli::groups::snapshot::Name;

use Side::{Left, Right};

/// Topics that are named before the rest is counted.
const NAMED: usize = 8;

/// What is explained below the tables.
const NOTES: &str = "\
SWITCH, JOIN, LEAVE, RESTARTS, STATIC, MOVED: partitions that have another owner afterwards than before. JOIN, LEAVE: of
one member; which one leaves, and where the new one stands, is chance. RESTARTS: all members one after another, each
leaving and joining. STATIC: the same, each with a group.instance.id: 0 where each is back within its session timeout, as
it was. In an eager group each round stops all other partitions too. USEFUL: the most members that have something to do.
ENOUGH: the fewest under which the fullest has no more. Under the consumer protocol brokers assign, by their own `uniform`
or `range`, which are not planned here.
";

/// The plan. Ends with a newline.
pub(super) fn plan(told: &Told) -> String {
    let plan = &told.plan;
    let mut text = told.name.as_ref().map(name).unwrap_or_default();
    text += &format!(
        "{}, {}: {}\n\n{}",
        counted(plan.members, "member"),
        counted(plan.partitions, "partition"),
        topics(plan.topics.iter()),
        outlooks(plan)
    );
    if !told.added.is_empty() {
        text += &format!("\n{}", grown(plan, &told.added));
    }
    if let Some(target) = &plan.target {
        text += &format!("\n{}", capacity(plan, target));
    }
    text += "\n";
    if plan.assignors.iter().any(|outlook| outlook.restart.dynamic.is_none()) {
        text += "RESTARTS and STATIC are not tried in a group of this size.\n";
    }
    text + NOTES
}

fn name(of: &Name) -> String {
    let (kind, brokers) = match of.kind {
        Kind::Classic => ("classic", ""),
        Kind::Consumer => ("consumer", ", which the broker applies"),
    };
    let assignor = of.assignor.as_deref().map(shown).unwrap_or_else(|| "unknown".to_owned());
    format!("group {}, {kind}, {}, assignor {assignor}{brokers}\n", shown(&of.group), of.state)
}

fn outlooks(plan: &Plan) -> String {
    let mut heading =
        vec![("ASSIGNOR", Left), ("PROTOCOL", Left), ("LEAST", Right), ("MOST", Right), ("IDLE", Right)];
    if plan.now.is_some() {
        heading.push(("SWITCH", Right));
    }
    let rest = ["JOIN", "LEAVE", "RESTARTS", "STATIC", "USEFUL", "ENOUGH"];
    heading.extend(rest.map(|name| (name, Right)));
    let now = plan.now.map(|now| [vec!["(now)".to_owned(), String::new()], balance(&now)].concat());
    let rows: Vec<Vec<String>> =
        now.into_iter().chain(plan.assignors.iter().map(|one| outlook(one, plan.now.is_some()))).collect();
    columns(&heading, &rows)
}

fn outlook(of: &Outlook, is_live: bool) -> Vec<String> {
    let protocol = match of.protocol {
        Protocol::Eager => "eager",
        Protocol::Cooperative => "cooperative",
    };
    let mut cells = [vec![of.assignor.to_string(), protocol.to_owned()], balance(&of.balance)].concat();
    if is_live {
        cells.push(or_dash(&of.switch));
    }
    cells.extend([
        of.join.to_string(),
        or_dash(&of.leave),
        or_dash(&of.restart.dynamic),
        or_dash(&of.restart.fixed),
        or_dash(&of.pays.useful),
        or_dash(&of.pays.enough),
    ]);
    cells
}

fn balance(of: &Balance) -> Vec<String> {
    vec![of.least.to_string(), of.most.to_string(), of.idle.to_string()]
}

fn grown(plan: &Plan, added: &PartitionCounts) -> String {
    let then =
        added.iter().map(|(topic, more)| (topic, plan.topics.get(topic).unwrap_or(&0).saturating_add(*more)));
    let row = |of: &Outlook| {
        let Grown { moved, balance: then } = of.new_partitions?;
        Some([vec![of.assignor.to_string(), moved.to_string()], balance(&then)].concat())
    };
    let heading = [("ASSIGNOR", Left), ("MOVED", Right), ("LEAST", Right), ("MOST", Right), ("IDLE", Right)];
    let rows: Vec<Vec<String>> = plan.assignors.iter().filter_map(row).collect();
    format!("with more partitions: {}\n{}", topics(then), columns(&heading, &rows))
}

fn capacity(plan: &Plan, target: &Capacity) -> String {
    let mut text = format!(
        "for {} records/s, at {} a partition and {} a member: {} partitions ({}), {} a member\n",
        target.rate,
        target.per_partition,
        target.per_member,
        target.partitions,
        topics(target.topics.iter()),
        target.partitions_per_member
    );
    let needed = |of: &Outlook| vec![of.assignor.to_string(), or_dash(&of.needed)];
    let rows: Vec<Vec<String>> = plan.assignors.iter().map(needed).collect();
    text += &columns(&[("ASSIGNOR", Left), ("MEMBERS", Right)], &rows);
    if plan.assignors.iter().any(|outlook| outlook.needed.is_none()) {
        text +=
            "-: no number of members is enough, since the first ones are given a partition of each topic\n";
    }
    text
}

fn topics<N: Display>(of: impl ExactSizeIterator<Item = (impl Borrow<Arc<str>>, N)>) -> String {
    let all = of.len();
    let named: Vec<String> =
        of.take(NAMED).map(|(topic, count)| format!("{} {count}", shown(topic.borrow()))).collect();
    let more = all.saturating_sub(NAMED);
    let rest = if more > 0 { format!(" and {} more", counted(more, "topic")) } else { String::new() };
    named.join(", ") + &rest
}

fn counted(number: usize, of: &str) -> String {
    format!("{number} {of}{}", if number == 1 { "" } else { "s" })
}

fn or_dash(value: &Option<impl Display>) -> String {
    value.as_ref().map_or("-".to_owned(), ToString::to_string)
}

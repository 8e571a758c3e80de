//! What was found, for people.

use std::fmt::Display;

use super::cells::{Side, columns, shown};
use super::described::{ByTopic, Group, Kind, Member};
use super::lag::Lag;
use super::list::Listed;
use super::offsets::{Row, WithOffsets};

use Side::{Left, Right};

/// All groups. Ends with a newline.
pub(super) fn listed(listed: &Listed) -> String {
    let rows: Vec<Vec<String>> = listed
        .groups
        .iter()
        .map(|row| {
            let protocol =
                if row.protocol_type.is_empty() { "-".to_owned() } else { row.protocol_type.to_string() };
            vec![
                row.group.to_string(),
                or_dash(&row.kind),
                protocol,
                or_dash(&row.state),
                row.coordinator.to_string(),
            ]
        })
        .collect();
    let heading =
        [("GROUP", Left), ("TYPE", Left), ("PROTOCOL", Left), ("STATE", Left), ("COORDINATOR", Right)];
    let mut text = if rows.is_empty() { "no groups\n".to_owned() } else { columns(&heading, &rows) };
    for (node, why) in &listed.missing {
        text += &format!("the groups of broker {node} are missing: {}\n", shown(why));
    }
    text
}

/// A group, its members and its partitions. Ends with a newline.
pub(super) fn described(found: &WithOffsets) -> String {
    let group = &found.group;
    let mut text = heading(group);
    if group.members.is_empty() {
        text += "\nno members\n";
    } else {
        text += &format!("\n{}", members(group));
    }
    if found.partitions.is_empty() {
        return text + "\nno offsets are committed, and no partitions are held\n";
    }
    text += &format!("\n{}", partitions(&found.partitions, false));
    text + &format!("total lag {}\n", found.total_lag)
}

fn heading(group: &Group) -> String {
    let kind = match group.kind {
        Kind::Classic => "classic",
        Kind::Consumer => "consumer",
    };
    let mut text = format!("group {}, {kind}, {}", shown(&group.group), group.state);
    if let Some(of) = &group.protocol_type {
        text += &format!(", of {} members", shown(of));
    }
    if let Some(assignor) = &group.assignor {
        text += &format!(", assignor {}", shown(assignor));
    }
    if let (Some(epoch), Some(assigned)) = (group.epoch, group.assignment_epoch) {
        text += &format!(", epoch {epoch}, assigned up to epoch {assigned}");
    }
    let at = &group.coordinator;
    format!("{text}\ncoordinator: broker {} at {}\n", at.broker, at.address)
}

fn members(group: &Group) -> String {
    let consumer = group.kind == Kind::Consumer;
    let row = |member: &Member| {
        let mut cells = vec![
            member.member.to_string(),
            or_dash(&member.instance),
            member.client.to_string(),
            member.host.to_string(),
        ];
        if consumer {
            cells.push(or_dash(&member.epoch));
        }
        cells.push(held(member));
        cells
    };
    let mut heading = vec![("MEMBER", Left), ("INSTANCE", Left), ("CLIENT", Left), ("HOST", Left)];
    if consumer {
        heading.push(("EPOCH", Right));
    }
    heading.push(("HOLDS", Left));
    columns(&heading, &group.members.iter().map(row).collect::<Vec<_>>())
}

fn held(member: &Member) -> String {
    let mut text = in_a_row(&member.assigned);
    if let Some(target) = &member.target {
        text += &format!(", shall hold {}", in_a_row(target));
    }
    if member.classic == Some(true) {
        text += ", speaks the classic protocol";
    }
    member.unreadable.iter().fold(text, |text, what| format!("{text}, unreadable {what}"))
}

fn in_a_row(partitions: &ByTopic) -> String {
    if partitions.is_empty() {
        return "nothing".to_owned();
    }
    let of_topic = |(topic, indexes): (&_, &Vec<i32>)| {
        let indexes = indexes.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        format!("{topic}: {indexes}")
    };
    partitions.iter().map(of_topic).collect::<Vec<_>>().join("; ")
}

/// A group's lag. Ends with a newline.
pub(super) fn lag(lag: &Lag) -> String {
    let mut text = match lag.partitions.is_empty() {
        true => "no offsets are committed, and no partitions are held\n".to_owned(),
        false => partitions(&lag.partitions, true),
    };
    let verdict = lag.verdict.map_or("no verdict".to_owned(), |verdict| verdict.to_string());
    let samples = if lag.samples == 1 { "sample" } else { "samples" };
    text += &format!(
        "{verdict}: group {}, {}, total lag {}, {} {samples}, the window {:.1} s\n",
        shown(&lag.group),
        lag.state,
        lag.total_lag,
        lag.samples,
        lag.window_s
    );
    text
}

fn partitions(rows: &[Row], judged: bool) -> String {
    let cells = |row: &Row| {
        let mut cells = vec![
            row.topic.to_string(),
            row.partition.to_string(),
            or_dash(&row.committed),
            or_dash(&row.end),
            or_dash(&row.lag),
        ];
        if judged {
            cells.push(or_dash(&row.verdict));
        }
        cells.push(or_dash(&row.member));
        cells.push(or_dash(&row.host));
        cells.push(row.problem.clone().unwrap_or_default());
        cells
    };
    let mut heading =
        vec![("TOPIC", Left), ("PARTITION", Right), ("COMMITTED", Right), ("END", Right), ("LAG", Right)];
    if judged {
        heading.push(("VERDICT", Left));
    }
    heading.extend([("MEMBER", Left), ("HOST", Left), ("", Left)]);
    columns(&heading, &rows.iter().map(cells).collect::<Vec<_>>())
}

pub(super) fn or_dash(value: &Option<impl Display>) -> String {
    value.as_ref().map_or("-".to_owned(), ToString::to_string)
}

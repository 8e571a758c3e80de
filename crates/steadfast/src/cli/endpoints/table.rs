//! A report for people.

use std::collections::BTreeMap;
use std::fmt::Display;

use steadfast_core::endpoints::drift::Change;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::NodeId;

use super::report::{Agreed, Drifted, Outcome, Report, Row};

/// All of it. Ends with a newline.
pub(super) fn table(report: &Report) -> String {
    let mut text = table_of_witnesses(report) + &elsewhere(report);
    if let (Some(with), Some(drift)) = (&report.compared_with, &report.drift) {
        let saved = with.saved_at.as_ref().map(|at| format!(", saved at {at}")).unwrap_or_default();
        text += &format!("compared with {}{saved}\n", with.file);
        if with.cluster != report.agreed.as_ref().and_then(|agreed| agreed.cluster.clone()) {
            text += &format!("  that was cluster {}\n", or_unnamed(&with.cluster));
        }
        text += &drifted(drift);
    }
    text += &conclusion(report);
    text
}

/// What each says, and what it amounts to.
pub(super) fn table_of_witnesses(report: &Report) -> String {
    let amounts_to = match &report.agreed {
        Some(agreed) => told("agreed", agreed),
        None => nothing_agreed(report),
    };
    witnesses(&report.witnesses) + "\n" + &amounts_to
}

/// What a migration looks like while both clusters are there.
fn elsewhere(report: &Report) -> String {
    let Some(agreed) = &report.agreed else { return String::new() };
    let line = |(id, addresses): (&String, &Vec<Address>)| {
        let addresses = addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        format!(
            "not cluster {} but {id}: {addresses} (a change on purpose is --accept-cluster)\n",
            or_unnamed(&agreed.cluster)
        )
    };
    report.elsewhere.iter().map(line).collect()
}

fn witnesses(rows: &[Row]) -> String {
    let name = |row: &Row| match &row.name {
        Some(name) => format!("{} ({name})", row.address),
        None => row.address.to_string(),
    };
    let peer = |row: &Row| row.peer.map_or("-".to_owned(), |peer| peer.to_string());
    let width = |text: &dyn Fn(&Row) -> String| rows.iter().map(|row| text(row).len()).max().unwrap_or(0);
    let (wide, peers) = (width(&name), width(&peer));
    let line = |row: &Row| {
        let time = row.round_trip_ms.map_or("-".to_owned(), |ms| format!("{ms:.1} ms"));
        format!("{:<wide$}  {:<9}  {:<peers$}  {time:>9}  {}\n", name(row), row.source, peer(row), says(row))
    };
    rows.iter().map(line).collect()
}

fn says(row: &Row) -> String {
    match (&row.failure, &row.endpoints) {
        (Some(failure), _) => format!("no voice: {failure}"),
        (None, _) if row.agrees => "the agreed view".to_owned(),
        (None, endpoints) => {
            let listed = endpoints.as_ref().map(in_a_row).unwrap_or_default();
            format!("another view: cluster {}, {listed}", or_unnamed(&row.cluster))
        }
    }
}

fn in_a_row(endpoints: &BTreeMap<i32, Address>) -> String {
    endpoints.iter().map(|(node, at)| format!("{node}={at}")).collect::<Vec<_>>().join(" ")
}

fn or_unnamed(cluster: &Option<impl Display>) -> String {
    cluster.as_ref().map_or("without an id".to_owned(), ToString::to_string)
}

fn told(what: &str, agreed: &Agreed) -> String {
    let Agreed { cluster, endpoints, verified, support, electorate } = agreed;
    let mut text = format!(
        "{what}: cluster {}, {support} of the {electorate} addresses that it lists stand behind it\n",
        or_unnamed(cluster)
    );
    for (node, at) in endpoints {
        let unverified =
            if verified.contains(&NodeId(*node)) { "" } else { "  not verified: it would not be used" };
        text += &format!("  broker {node}  {at}{unverified}\n");
    }
    text
}

fn nothing_agreed(report: &Report) -> String {
    let mut text = "nothing is agreed\n".to_owned();
    for (address, why) in &report.missing {
        text += &format!("  {address} would have to confirm what others say of it: {why}\n");
    }
    if let (Some(pin), Some(other)) = (&report.pin, &report.other_cluster) {
        text += &format!("  pinned is cluster {} ({})\n", pin.cluster, pin.from);
        let said_by: Vec<String> = other.said_by.iter().map(ToString::to_string).collect();
        text += &format!(
            "  cluster {} is what {} belongs to, whose brokers would be\n",
            other.cluster,
            said_by.join(", ")
        );
        for (node, at) in &other.endpoints {
            text += &format!("    broker {node}  {at}\n");
        }
    }
    text
}

fn drifted(drift: &Drifted) -> String {
    let mut text: String = drift.changes.iter().map(changed).collect();
    let Drifted { score, threshold, action, .. } = drift;
    text += &format!("  score {score:.2}, drift.threshold {threshold:.2}: ");
    text += match *action {
        "none" => "nothing to do\n",
        "adapt" => "a service that uses it adapts in place\n",
        "respawn" => "a service that uses it replaces its consumer (respawn)\n",
        _ => "a service that is pinned to that cluster refuses this one\n",
    };
    text
}

fn changed(change: &Change<NodeId>) -> String {
    match change {
        Change::Moved { node, from, to } => format!("  broker {node}  moved  {from} -> {to}\n"),
        Change::Gone { node, from } => format!("  broker {node}  gone   {from}\n"),
        Change::Added { node, to } => format!("  broker {node}  added  {to}\n"),
        Change::Resolved { node, address, from, to } => {
            format!("  broker {node}  {address} resolves to {to}, not to {from}\n")
        }
    }
}

fn conclusion(report: &Report) -> String {
    match report.result {
        Outcome::NoDrift => "no drift\n".to_owned(),
        Outcome::Drift => "drift\n".to_owned(),
        Outcome::NoBaseline => {
            "there is nothing to compare it with: no --baseline, and no service has stored a view here yet\n"
                .into()
        }
        Outcome::Saved => "saved\n".to_owned(),
        Outcome::OtherCluster => {
            let id = report.other_cluster.as_ref().map_or("ID", |other| &other.cluster.0);
            format!(
                "another cluster: if that is no accident, stop the service and say so with --accept-cluster {id}\n"
            )
        }
        Outcome::NotAgreed => "whether there is drift cannot be said\n".to_owned(),
        Outcome::Denied => "the brokers refuse us: see `steadfast check`\n".to_owned(),
        Outcome::Unreachable => {
            "nobody answers: see that one of these addresses leads to the cluster, or correct \
             kafka.bootstrap.servers\n"
                .to_owned()
        }
    }
}

//! A deliberate change of cluster: the pin is moved once the witnesses agree on the cluster that is named.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{ClusterId, NodeId};
use steadfast_kafka::transport::SystemResolver;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::offsets::{OfTopic, starts};
use super::report::{Agreed, Outcome, Pin, Report, Standards};
use super::{Exit, Here, Output, table};
use crate::control_socket;
use crate::drift::last_known_good::LAST_KNOWN_GOOD;
use crate::env::Store;
use crate::env::real::{self, Directory};
use crate::ledger;
use crate::sinks::rotation::RotatingFile;

/// What `endpoints.json` said before it was replaced.
const BEFORE: &str = "endpoints.before.json";
/// The line of the history.
const ACCEPTED: &str = "cluster.accepted";
/// How long a service may take to let a connection in.
const LIMIT: Duration = Duration::from_secs(2);

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Change {
    /// `accepted`, `already_pinned` or `refused`.
    result: &'static str,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    cluster: ClusterId,
    /// The cluster that was pinned here.
    was: Option<ClusterId>,
    /// Where what was stored before is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<String>,
    /// Where the group begins there.
    offsets: Vec<OfTopic>,
    /// Where it begins in a partition for which it has committed nothing there.
    auto_offset_reset: &'static str,
    /// What the witnesses say.
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<Report>,
}

/// Moves the pin to `id`, or says why not.
pub(super) async fn accept(here: &Here, id: &ClusterId, output: Output) -> Exit {
    let mut change = Change::to(here, id);
    let exit = match attempt(here, &mut change).await {
        Ok(()) => Exit::Fine,
        Err((exit, reason)) => {
            (change.result, change.reason) = ("refused", Some(reason));
            exit
        }
    };
    let group = &here.config.kafka.group_id;
    output.print(&change, |change| told(change, group));
    exit
}

async fn attempt(here: &Here, change: &mut Change) -> Result<(), (Exit, String)> {
    let id = change.cluster.clone();
    if let Some(configured) = here.config.drift.cluster_id.as_ref().filter(|configured| **configured != id) {
        let reason =
            format!("drift.cluster_id in the configuration is {configured}: change it, or remove it");
        return Err((Exit::Configuration, reason));
    }
    refuse_beside_a_service(&here.directory).await?;
    let survey = here.survey(&SystemResolver, Some(id.clone()), None).await;
    let pin = Some(Pin { cluster: id.clone(), from: "--accept-cluster".to_owned() });
    let threshold = here.config.drift.threshold;
    let report = Report::of(survey, &Standards { pin, baseline: None, threshold, saving: false });
    let (result, agreed) = (report.result, report.agreed.clone());
    change.found = Some(report);
    let Some(agreed) = agreed else {
        return Err(match result {
            Outcome::Unreachable => (Exit::Unreachable, "nobody answers".to_owned()),
            Outcome::Denied => (Exit::Denied, "the brokers refuse us".to_owned()),
            _ => (Exit::Found, format!("cluster {id} is not what the witnesses agree on")),
        });
    };
    if let Some(broker) = any_verified(&agreed) {
        change.offsets = starts(here, broker, &id).await;
    }
    // It may have been started meanwhile.
    refuse_beside_a_service(&here.directory).await?;
    if change.was.as_ref() == Some(&id) {
        change.result = "already_pinned";
        return Ok(());
    }
    change.kept = move_pin(&here.directory, &agreed).map_err(|error| {
        (Exit::StateDirectory, format!("{} cannot be written: {error}", here.directory.display()))
    })?;
    note(here, change);
    Ok(())
}

/// A service that runs would go on as it is pinned, and overwrite what is written here.
async fn refuse_beside_a_service(directory: &Path) -> Result<(), (Exit, String)> {
    let socket = directory.join(control_socket::NAME);
    let refused = |what: String| Err((Exit::Found, format!("{what}: {}", socket.display())));
    match timeout(LIMIT, UnixStream::connect(&socket)).await {
        Ok(Err(error))
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) =>
        {
            Ok(())
        }
        Ok(Ok(_)) | Err(_) => refused("a service runs on this state directory, stop it first".to_owned()),
        Ok(Err(error)) => refused(format!("whether a service runs here cannot be found out ({error})")),
    }
}

fn any_verified(agreed: &Agreed) -> Option<(NodeId, Address)> {
    let node = agreed.verified.first()?;
    Some((*node, agreed.endpoints.get(&node.0)?.clone()))
}

/// Replaces the state file in one step. What was there before is kept beside it, if anything was.
fn move_pin(directory: &Path, agreed: &Agreed) -> io::Result<Option<String>> {
    let store = Directory(directory.to_owned());
    let before = store.load(LAST_KNOWN_GOOD)?;
    if let Some(before) = &before {
        store.save(BEFORE, before)?;
    }
    agreed.to_keep().store(&store)?;
    Ok(before.map(|_| directory.join(BEFORE).display().to_string()))
}

/// A line in the history. It is written while no service runs, by nobody else.
fn note(here: &Here, change: &Change) {
    let was = change.was.as_ref().map_or("none".to_owned(), ToString::to_string);
    let line = json!({
        "timestamp": real::wall_clock().rfc3339(),
        "level": "INFO",
        "event.name": ACCEPTED,
        "message": format!("cluster {} accepted by a person's command, pinned before: {was}", change.cluster),
        "service.instance.id": here.config.instance(),
        "cluster": change.cluster,
        "was": change.was,
    });
    let written = RotatingFile::open(here.directory.join(ledger::FILE), ledger::MOST_BYTES, 1)
        .and_then(|mut file| file.append(format!("{line}\n").as_bytes()));
    if let Err(error) = written {
        eprintln!("the change stands, and the history does not say so: {error}");
    }
}

impl Change {
    fn to(here: &Here, id: &ClusterId) -> Change {
        Change {
            result: "accepted",
            reason: None,
            cluster: id.clone(),
            was: here.stored.as_ref().and_then(|good| good.cluster.clone()),
            kept: None,
            offsets: Vec::new(),
            auto_offset_reset: here.config.kafka.auto_offset_reset.word(),
            found: None,
        }
    }
}

fn told(change: &Change, group: &str) -> String {
    let mut text = match &change.found {
        Some(found) => table::table_of_witnesses(found) + "\n",
        None => String::new(),
    };
    let was = change.was.as_ref().map_or("no cluster".to_owned(), |was| format!("cluster {was}"));
    text += &format!("pinned until now: {was}\n");
    if let Some(reason) = &change.reason {
        return text + &format!("refused, and nothing is changed: {reason}\n");
    }
    text += &format!("where group {group} begins in cluster {}:\n", change.cluster);
    text += &change.offsets.iter().map(|topic| of_topic(topic, change.auto_offset_reset)).collect::<String>();
    text += &match change.result {
        "already_pinned" => "it is pinned already: nothing is changed\n".to_owned(),
        _ => format!(
            "Offsets committed in another cluster mean nothing in this one. Set them here, with Kafka's own tools, \
             before the service is started, if these are not the ones that you want.\nthe pin is moved to {}\n",
            change.cluster
        ),
    };
    match &change.kept {
        Some(kept) => text + &format!("what was stored before is kept in {kept}\n"),
        None => text,
    }
}

fn of_topic(topic: &OfTopic, reset: &str) -> String {
    let name = &topic.topic;
    if let Some(problem) = &topic.problem {
        return format!("  {name}  cannot be told: {problem}\n");
    }
    let line = |start: &super::offsets::Start| {
        let begins = match (&start.problem, start.committed) {
            (Some(problem), _) => format!("cannot be told: {problem}"),
            (None, Some(offset)) => format!("at {offset}, which it has committed there"),
            (None, None) => {
                format!("at the {reset} offset: nothing is committed there, auto.offset.reset applies")
            }
        };
        format!("  {name}/{}  {begins}\n", start.partition)
    };
    topic.partitions.iter().map(line).collect()
}

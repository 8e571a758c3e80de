//! `steadfast check`: configuration, names, connections, cluster, topics and group coordinator, each a row with
//! result and advice.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use steadfast_core::endpoints::view::Address;
use steadfast_kafka::api::ErrorCode;
use steadfast_kafka::api::find_coordinator::FindCoordinator;
use steadfast_kafka::api::metadata::Metadata;
use steadfast_kafka::connection::{ConnectFailure, Connection, Dial};
use steadfast_kafka::transport::{Resolver, SystemResolver, Tcp};
use tokio::time::{Instant, sleep, timeout};

use super::run::load;
use super::{CheckArgs, Exit, Output};
use crate::config::Config;

/// One row of the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Row {
    check: String,
    result: Outcome,
    detail: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    advice: String,
}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Ok,
    Failed,
}

/// What each network step may take.
const LIMIT: Duration = Duration::from_secs(5);

/// How soon a coordinator that is not there yet is asked for again.
const AGAIN: Duration = Duration::from_millis(200);

/// Runs the command.
pub fn check(args: &CheckArgs) -> Exit {
    let config = match load(&args.config) {
        Ok((config, _)) => config,
        Err(error) => {
            let row = failed("configuration", error.one_line(), "correct the settings named");
            print(args.output, &[row]);
            if args.output == Output::Text {
                eprintln!("{error}");
            }
            return Exit::Configuration;
        }
    };
    let valid = format!("{} is valid", args.config.config.display());
    let mut rows = vec![ok("configuration", valid)];
    let mut exit = Exit::Fine;
    if !args.offline {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => {
                eprintln!("no runtime: {error}");
                return Exit::Internal;
            }
        };
        exit = runtime.block_on(online(&config, &mut rows));
    }
    print(args.output, &rows);
    let found = rows.iter().any(|row| row.result == Outcome::Failed);
    if exit == Exit::Fine && found { Exit::Found } else { exit }
}

fn ok(check: impl Into<String>, detail: impl Into<String>) -> Row {
    Row { check: check.into(), result: Outcome::Ok, detail: detail.into(), advice: String::new() }
}

fn failed(check: impl Into<String>, detail: impl Into<String>, advice: impl Into<String>) -> Row {
    Row { check: check.into(), result: Outcome::Failed, detail: detail.into(), advice: advice.into() }
}

async fn online(config: &Config, rows: &mut Vec<Row>) -> Exit {
    let mut connected = None;
    for address in &config.kafka.bootstrap_servers {
        rows.push(resolve(address).await);
        let (row, connection) = connect(config, address).await;
        rows.push(row);
        connected = connected.or(connection);
    }
    let Some(connection) = connected else { return Exit::Unreachable };
    brokers(config, &connection, rows).await;
    topics(config, &connection, rows).await;
    rows.push(coordinator(config, &connection).await);
    Exit::Fine
}

async fn resolve(address: &Address) -> Row {
    let check = format!("name {}", address.host);
    match timeout(LIMIT, SystemResolver.resolve(&address.host, address.port)).await {
        Ok(Ok(found)) if !found.is_empty() => {
            let found: Vec<String> = found.iter().map(|at| at.ip().to_string()).collect();
            ok(check, found.join(", "))
        }
        Ok(Ok(_)) => failed(check, "resolves to no address", "correct the name or the DNS"),
        Ok(Err(error)) => failed(check, error.to_string(), "correct the name or the DNS"),
        Err(_) => {
            failed(check, format!("no answer within {LIMIT:?}"), "see whether the DNS server is reached")
        }
    }
}

async fn connect(config: &Config, address: &Address) -> (Row, Option<Connection>) {
    let check = format!("broker {address}");
    let dial = Dial {
        client_id: Arc::from(config.kafka.client_id.as_str()),
        expect_cluster: config.drift.cluster_id.clone(),
        connect_limit: LIMIT,
        answer_limit: LIMIT,
        ..Dial::new(address.clone())
    };
    match Connection::open(&Tcp::new(SystemResolver), dial).await {
        Ok(connection) => {
            let view = &connection.opened().view;
            let cluster = view.cluster.as_ref().map_or("unnamed".to_owned(), ToString::to_string);
            let detail = format!("cluster {cluster}, {} brokers", view.endpoints.len());
            (ok(check, detail), Some(connection))
        }
        Err(error) => {
            let advice = match &error.failure {
                ConnectFailure::WrongCluster { .. } | ConnectFailure::ClusterNotReported { .. } => {
                    "this is not the cluster of drift.cluster_id: correct one of them"
                }
                ConnectFailure::Io(_) | ConnectFailure::Timeout { .. } => {
                    "see whether a broker listens there and no firewall is between"
                }
                ConnectFailure::Tls { .. } | ConnectFailure::SpeaksTls => {
                    "see security.protocol and the certificates on both sides"
                }
                ConnectFailure::Authentication { .. } => {
                    "see the credentials, and which mechanisms the listener offers"
                }
                ConnectFailure::Handshake { .. }
                | ConnectFailure::Refused { .. }
                | ConnectFailure::NoBrokers { .. } => {
                    "see whether that port is a Kafka listener of this security.protocol"
                }
            };
            (failed(check, error.failure.to_string(), advice), None)
        }
    }
}

/// Each broker of the cluster at its advertised address: bootstrap alone is not enough to consume.
async fn brokers(config: &Config, connection: &Connection, rows: &mut Vec<Row>) {
    for (node, endpoint) in &connection.opened().view.endpoints {
        let advertised = &endpoint.address;
        let reached = config.endpoint_overrides.get(advertised).unwrap_or(advertised);
        let (row, _) = connect(config, reached).await;
        let advice = if row.result == Outcome::Failed {
            format!(
                "the broker advertises {advertised}: correct its advertised.listeners, or map it under [endpoints.override]"
            )
        } else {
            String::new()
        };
        rows.push(Row { check: format!("broker {node} at {reached}"), advice, ..row });
    }
}

async fn topics(config: &Config, connection: &Connection, rows: &mut Vec<Row>) {
    let question = Metadata { topics: Some(config.topics.clone()) };
    let answer = match connection.call(question, LIMIT).await {
        Ok(answer) => answer,
        Err(error) => return rows.push(failed("topics", error.to_string(), "try again")),
    };
    for topic in answer.topics {
        let check = format!("topic {}", topic.name);
        rows.push(match topic.error {
            ErrorCode::NONE => {
                let leaderless =
                    topic.partitions.iter().filter(|partition| partition.leader.is_none()).count();
                match leaderless {
                    0 => ok(check, format!("{} partitions", topic.partitions.len())),
                    some => {
                        failed(check, format!("{some} partitions have no leader"), "see the brokers' logs")
                    }
                }
            }
            ErrorCode::UNKNOWN_TOPIC_OR_PARTITION => {
                failed(check, "does not exist", "create it, or correct `topics`; steadfast creates none")
            }
            ErrorCode::TOPIC_AUTHORIZATION_FAILED => {
                failed(check, "may not be described", "grant READ and DESCRIBE on it")
            }
            other => failed(check, other.to_string(), "see the brokers' logs"),
        });
    }
}

async fn coordinator(config: &Config, connection: &Connection) -> Row {
    let check = format!("group {}", config.kafka.group_id);
    let question = FindCoordinator { group: Arc::from(config.kafka.group_id.as_str()) };
    let until = Instant::now() + LIMIT;
    let mut answer = connection.call(question.clone(), LIMIT).await.map(|answer| answer.coordinator);
    // The first question of a cluster's life makes it create the topic that coordinators need.
    while let Ok(Err(ErrorCode::COORDINATOR_NOT_AVAILABLE)) = answer
        && Instant::now() < until
    {
        sleep(AGAIN).await;
        answer = connection.call(question.clone(), LIMIT).await.map(|answer| answer.coordinator);
    }
    match answer {
        Ok(Ok(found)) => ok(check, format!("coordinated by broker {} at {}", found.node, found.address)),
        Ok(Err(ErrorCode::GROUP_AUTHORIZATION_FAILED)) => {
            failed(check, "not authorized", "grant READ on the group")
        }
        Ok(Err(code)) => failed(check, code.to_string(), "the coordinator may still be starting: try again"),
        Err(error) => failed(check, error.to_string(), "try again"),
    }
}

fn print(output: Output, rows: &[Row]) {
    match output {
        Output::Json => {
            // Rows of plain text always serialise.
            println!("{}", serde_json::to_string(rows).unwrap_or_default());
        }
        Output::Text => {
            let width = rows.iter().map(|row| row.check.len()).max().unwrap_or(0);
            for row in rows {
                let result = match row.result {
                    Outcome::Ok => "ok",
                    Outcome::Failed => "FAILED",
                };
                println!("{result:<6}  {:<width$}  {}", row.check, row.detail);
                if !row.advice.is_empty() {
                    println!("        {:<width$}  -> {}", "", row.advice);
                }
            }
        }
    }
}

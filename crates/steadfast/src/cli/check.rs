//! `steadfast check`: configuration, names, connections, cluster, topics and group coordinator, each a row with
//! result and advice.

mod warnings;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use steadfast_core::endpoints::view::Address;
use steadfast_kafka::api::ErrorCode;
use steadfast_kafka::api::find_coordinator::FindCoordinator;
use steadfast_kafka::api::metadata::Metadata;
use steadfast_kafka::connection::{ConnectError, ConnectFailure, Connection};
use steadfast_kafka::security::{AuthenticationFailure, TlsFailure};
use steadfast_kafka::transport::{Resolver, SystemResolver};
use tokio::time::{Instant, sleep, timeout};

use super::run::load;
use super::{CheckArgs, Exit, Output};
use crate::config::Config;
use crate::dialler::open_once;

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
    /// It works now. It is no reason to exit with 1.
    Warning,
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
            args.output.print([row].as_slice(), table);
            if args.output == Output::Text {
                eprintln!("{error}");
            }
            return Exit::Configuration;
        }
    };
    let valid = format!("{} is valid", args.config.config.display());
    let mut rows = vec![ok("configuration", valid)];
    rows.extend(warnings::of_settings(&config));
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
    args.output.print(rows.as_slice(), table);
    let found = rows.iter().any(|row| row.result == Outcome::Failed);
    if exit == Exit::Fine && found { Exit::Found } else { exit }
}

fn ok(check: impl Into<String>, detail: impl Into<String>) -> Row {
    Row { check: check.into(), result: Outcome::Ok, detail: detail.into(), advice: String::new() }
}

fn warning(check: impl Into<String>, detail: impl Into<String>, advice: impl Into<String>) -> Row {
    Row { result: Outcome::Warning, ..failed(check, detail, advice) }
}

fn failed(check: impl Into<String>, detail: impl Into<String>, advice: impl Into<String>) -> Row {
    Row { check: check.into(), result: Outcome::Failed, detail: detail.into(), advice: advice.into() }
}

async fn online(config: &Config, rows: &mut Vec<Row>) -> Exit {
    let (mut connected, mut denied) = (None, false);
    for address in &config.kafka.bootstrap_servers {
        rows.push(resolve(address).await);
        let (row, connection) = connect(config, address).await;
        rows.push(row);
        denied |= matches!(&connection, Err(error) if error.is_denied());
        connected = connected.or(connection.ok());
    }
    let Some(connection) = connected else {
        return if denied { Exit::Denied } else { Exit::Unreachable };
    };
    rows.extend(warnings::of_bootstrap(config, &connection.opened().view));
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

async fn connect(config: &Config, address: &Address) -> (Row, Result<Connection, ConnectError>) {
    let check = format!("broker {address}");
    let security = config.kafka.security.security();
    match open_once(config, address, LIMIT).await {
        Ok(connection) => {
            let view = &connection.opened().view;
            let cluster = view.cluster.as_ref().map_or("unnamed".to_owned(), ToString::to_string);
            let mechanism = security.sasl.as_ref().map(|sasl| format!(" by {}", sasl.mechanism()));
            let mechanism = mechanism.unwrap_or_default();
            let detail =
                format!("cluster {cluster}, {} brokers, {security}{mechanism}", view.endpoints.len());
            (ok(check, detail), Ok(connection))
        }
        Err(error) => {
            let advice = match &error.failure {
                ConnectFailure::WrongCluster { .. } | ConnectFailure::ClusterNotReported { .. } => {
                    "this is not the cluster of drift.cluster_id: correct one of them"
                }
                ConnectFailure::Io(_) | ConnectFailure::Timeout { .. } => {
                    "see whether a broker listens there and no firewall is between"
                }
                ConnectFailure::Tls { failure, .. } => advice_on_tls(failure),
                ConnectFailure::SpeaksTls => {
                    "write kafka.security.protocol = \"SSL\", or SASL_SSL where it wants credentials"
                }
                ConnectFailure::Authentication { reason, .. } => advice_on_credentials(reason),
                ConnectFailure::Handshake { .. }
                | ConnectFailure::Refused { .. }
                | ConnectFailure::NoBrokers { .. } => {
                    "see whether that port is a Kafka listener of this security.protocol"
                }
            };
            (failed(check, error.failure.to_string(), advice), Err(error))
        }
    }
}

fn advice_on_tls(failure: &TlsFailure) -> &'static str {
    match failure {
        TlsFailure::WrongName { .. } | TlsFailure::BadName(_) => {
            "use a name that the certificate has, or have the broker's certificate name this one (its SANs)"
        }
        TlsFailure::Expired { .. } | TlsFailure::NotYetValid { .. } => {
            "have the broker's certificate renewed, and see that both clocks are right"
        }
        TlsFailure::UnknownAuthority | TlsFailure::Certificate(_) => {
            "name the authority that issued the brokers' certificates with kafka.ssl.truststore.location"
        }
        TlsFailure::OursRefused { .. } => {
            "name a certificate that the broker's truststore vouches for with kafka.ssl.keystore.location"
        }
        TlsFailure::NotTls | TlsFailure::Ended(_) | TlsFailure::Protocol(_) | TlsFailure::Timeout { .. } => {
            "see whether that port is a listener with TLS; one without is PLAINTEXT or SASL_PLAINTEXT"
        }
    }
}

fn advice_on_credentials(failure: &AuthenticationFailure) -> &'static str {
    match failure {
        AuthenticationFailure::Refused { .. } => {
            "correct username, password or token, or have the brokers told of the user"
        }
        AuthenticationFailure::NotOffered { .. } => {
            "write one of the mechanisms that it offers as kafka.sasl.mechanism"
        }
        AuthenticationFailure::NotAsked => "write kafka.security.protocol = \"SSL\" or \"PLAINTEXT\"",
        AuthenticationFailure::Missing => {
            "write kafka.security.protocol = \"SASL_SSL\" (or SASL_PLAINTEXT), a mechanism and credentials"
        }
        AuthenticationFailure::Token(_) | AuthenticationFailure::TokenTimeout { .. } => {
            "see kafka.sasl.oauthbearer.token.*: the file has to hold a token, the command to print one"
        }
        AuthenticationFailure::Unsendable(_) => "correct the username or the password",
        AuthenticationFailure::Untrusted(_) => "see who listens there: it does not know the password",
    }
}

/// Each broker of the cluster at its advertised address: bootstrap alone is not enough to consume.
async fn brokers(config: &Config, connection: &Connection, rows: &mut Vec<Row>) {
    for (node, endpoint) in &connection.opened().view.endpoints {
        let advertised = &endpoint.address;
        let reached = config.reached(advertised);
        if let Some(row) = warnings::unresolved(node, advertised, reached).await {
            rows.push(row);
            continue;
        }
        let (row, connection) = connect(config, reached).await;
        let advice = match connection.map_err(|error| error.failure) {
            Err(ConnectFailure::Io(_) | ConnectFailure::Timeout { .. }) => format!(
                "the broker advertises {advertised}: correct its advertised.listeners, or map it under [endpoints.override]"
            ),
            Ok(_) | Err(_) => row.advice.clone(),
        };
        rows.push(Row { check: format!("broker {node} at {reached}"), advice, ..row });
    }
}

async fn topics(config: &Config, connection: &Connection, rows: &mut Vec<Row>) {
    let question = Metadata { topics: config.topics.question() };
    let answer = match connection.call(question, LIMIT).await {
        Ok(answer) => answer,
        Err(error) => return rows.push(failed("topics", error.to_string(), "try again")),
    };
    let meant: Vec<_> = answer.topics.into_iter().filter(|topic| config.topics.take(topic)).collect();
    if let (Some(pattern), true) = (config.topics.pattern(), meant.is_empty()) {
        let advice = "the whole name has to match: write `orders-.*`, not `^orders-`";
        rows.push(failed("topics", format!("no topic's name matches `{pattern}`"), advice));
    }
    for topic in meant {
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

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.check.len()).max().unwrap_or(0);
    let line = |row: &Row| {
        let result = match row.result {
            Outcome::Ok => "ok",
            Outcome::Warning => "warn",
            Outcome::Failed => "FAILED",
        };
        let advice = match row.advice.is_empty() {
            true => String::new(),
            false => format!("        {:<width$}  -> {}\n", "", row.advice),
        };
        format!("{result:<6}  {:<width$}  {}\n{advice}", row.check, row.detail)
    };
    rows.iter().map(line).collect()
}

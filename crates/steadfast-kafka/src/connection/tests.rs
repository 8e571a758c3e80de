use std::io;

use kafka_protocol::messages::{ApiVersionsResponse, HeartbeatResponse};
use steadfast_core::ids::{ClusterId, GroupGeneration};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use super::scripted::{self, Script, broker_address, listen, opened, versions_offered};
use super::*;
use crate::api::ErrorCode;
use crate::api::fetch::Fetch;
use crate::api::heartbeat::{Heartbeat, HeartbeatAnswer};
use crate::frame::DEFAULT_LIMIT;
use crate::transport::Memory;

mod renewal;
mod sasl;
mod tls;

const SECOND: Duration = Duration::from_secs(1);

fn heartbeat() -> Heartbeat {
    Heartbeat { group: "g".into(), generation: GroupGeneration(1), member: "m".into(), instance: None }
}

/// Which answer arrived: the script marks each by an error code.
fn mark(answer: Result<HeartbeatAnswer, CallError>) -> i16 {
    answer.unwrap().error.0
}

async fn open_with(dial: Dial, script: impl AsyncFnOnce(Script)) -> Result<Connection, ConnectFailure> {
    let (network, mut listener) = listen();
    let broker = async { script(Script::accept(&mut listener).await).await };
    let (connection, ()) = tokio::join!(Connection::open(&network, dial), broker);
    connection.map_err(|error| error.failure)
}

fn pinned(cluster: &str) -> Dial {
    Dial { expect_cluster: Some(cluster.into()), ..Dial::new(broker_address()) }
}

#[tokio::test(start_paused = true)]
async fn an_opened_connection_knows_the_view_and_the_versions() {
    let (connection, _broker) = opened().await;
    let opened = connection.opened();
    assert_eq!(opened.view.cluster, Some(ClusterId::from("pinned")));
    assert_eq!(opened.view.address(&NodeId(2)), Some(&Address::new("broker-2", 9092)));
    assert_eq!(opened.view.endpoints[&NodeId(1)].rack.as_deref(), Some("eu-1"));
    assert_eq!(opened.versions.for_request(&heartbeat()), Ok(4));
    assert_eq!((connection.address(), connection.peer()), (&broker_address(), None));
}

#[tokio::test(start_paused = true)]
async fn the_client_says_its_name_and_version() {
    let (network, mut listener) = listen();
    let broker = async {
        let mut script = Script::accept(&mut listener).await;
        let asked = script.answer_versions().await;
        script.answer_metadata().await;
        asked
    };
    let dial = Dial { client_id: "billing-1".into(), ..Dial::new(broker_address()) };
    let (connection, asked) = tokio::join!(Connection::open(&network, dial), broker);
    connection.unwrap();
    assert_eq!(asked.header.client_id.as_deref(), Some("billing-1"));
    assert_eq!(asked.header.request_api_version, 4);
    assert_eq!(&asked.body[..], b"\x0asteadfast\x060.1.0\0");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_know_our_api_versions_is_asked_in_its_own() {
    let outcome = open_with(pinned("pinned"), async |mut script: Script| {
        let first = script.asked().await;
        let own = versions_offered().api_keys.into_iter().take(1).map(|offer| offer.with_max_version(2));
        let refusal = ApiVersionsResponse::default().with_error_code(35).with_api_keys(own.collect());
        script.answer_in(0, &first, &refusal).await;
        let second = script.answer_versions().await;
        assert_eq!((first.header.request_api_version, second.header.request_api_version), (4, 2));
        script.answer_metadata().await;
    });
    assert!(outcome.await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn another_cluster_is_refused() {
    let outcome = open_with(pinned("other"), async |mut script: Script| script.greet().await).await;
    let Err(ConnectFailure::WrongCluster { expected, found }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((expected, found), ("other".into(), "pinned".into()));
}

#[tokio::test(start_paused = true)]
async fn with_a_pin_a_broker_without_a_cluster_id_is_refused() {
    let anonymous = async |mut script: Script| {
        script.cluster = None;
        script.greet().await;
    };
    let outcome = open_with(pinned("pinned"), anonymous).await;
    assert!(matches!(outcome, Err(ConnectFailure::ClusterNotReported { .. })), "{outcome:?}");
    assert!(open_with(Dial::new(broker_address()), anonymous).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_lists_no_brokers_is_refused() {
    let outcome = open_with(pinned("pinned"), async |mut script: Script| {
        script.brokers = 0;
        script.greet().await;
    });
    assert!(matches!(outcome.await, Err(ConnectFailure::NoBrokers { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_accepts_and_stays_silent_is_given_up_at_the_limit() {
    let start = Instant::now();
    let (network, _listener) = listen();
    let error = Connection::open(&network, Dial::new(broker_address())).await.unwrap_err();
    let ConnectFailure::Handshake { api: "ApiVersions", failure } = error.failure else { panic!("{error}") };
    assert_eq!(failure, CallFailure::Timeout { limit: SECOND });
    assert_eq!(start.elapsed(), SECOND);
}

#[tokio::test]
async fn an_address_that_refuses_is_named() {
    let error = Connection::open(&Memory::default(), Dial::new(broker_address())).await.unwrap_err();
    assert_eq!(error.address, broker_address());
    let ConnectFailure::Io(error) = error.failure else { panic!("{error}") };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test(start_paused = true)]
async fn requests_are_pipelined_and_each_gets_its_own_answer() {
    let (connection, mut broker) = opened().await;
    let first = connection.send(&heartbeat(), SECOND).unwrap();
    let second = connection.send(&heartbeat(), SECOND).unwrap();
    let (one, two) = (broker.asked().await, broker.asked().await);
    broker.answer_heartbeat(&one, 11).await;
    broker.answer_heartbeat(&two, 22).await;
    assert_eq!((mark(second.answer().await), mark(first.answer().await)), (22, 11));
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_thrown_away_and_the_connection_goes_on() {
    let (connection, mut broker) = opened().await;
    let start = Instant::now();
    let error = connection.call(heartbeat(), SECOND).await.unwrap_err();
    assert_eq!(error.failure, CallFailure::Timeout { limit: SECOND });
    assert_eq!(start.elapsed(), SECOND);
    let late = broker.asked().await;
    broker.answer_heartbeat(&late, 11).await;
    let next = connection.send(&heartbeat(), SECOND).unwrap();
    let asked = broker.asked().await;
    broker.answer_heartbeat(&asked, 22).await;
    assert_eq!(mark(next.answer().await), 22);
    assert!(!connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_the_connection_consistent() {
    let (connection, mut broker) = opened().await;
    assert!(timeout(SECOND / 2, connection.call(heartbeat(), SECOND)).await.is_err());
    let dropped = broker.asked().await;
    let next = connection.send(&heartbeat(), SECOND).unwrap();
    let asked = broker.asked().await;
    broker.answer_heartbeat(&dropped, 11).await;
    broker.answer_heartbeat(&asked, 22).await;
    assert_eq!(mark(next.answer().await), 22);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_nobody_waits_for_any_more_is_not_sent() {
    let (connection, mut broker) = opened().await;
    drop(connection.send(&heartbeat(), SECOND).unwrap());
    let kept = connection.send(&Heartbeat { member: "kept".into(), ..heartbeat() }, SECOND).unwrap();
    let asked = broker.asked().await;
    assert!(asked.body.windows(4).any(|window| window == b"kept"));
    broker.answer_heartbeat(&asked, 22).await;
    assert_eq!(mark(kept.answer().await), 22);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_stalls_past_its_deadline_closes_the_connection() {
    let (connection, _broker_reads_nothing) = opened().await;
    let start = Instant::now();
    let large = Heartbeat { member: "m".repeat(100_000).into(), ..heartbeat() };
    let error = connection.call(large, SECOND).await.unwrap_err();
    assert!(matches!(error.failure, CallFailure::Timeout { .. } | CallFailure::Closed(_)), "{error}");
    assert_eq!(connection.closed().await, CloseReason::WriteStalled);
    assert_eq!(start.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn when_the_peer_closes_the_waiting_learn_it_at_once() {
    let (connection, broker) = opened().await;
    let start = Instant::now();
    let pending = connection.send(&heartbeat(), SECOND).unwrap();
    drop(broker);
    let error = pending.answer().await.unwrap_err();
    assert!(matches!(error.failure, CallFailure::Closed(_)), "{error}");
    assert_eq!((error.api, &error.address), ("Heartbeat", &broker_address()));
    assert_eq!(start.elapsed(), Duration::ZERO);
    let error = connection.call(heartbeat(), SECOND).await.unwrap_err();
    assert_eq!(error.failure, CallFailure::Closed(connection.closed().await));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_within_an_answer_is_named_as_that() {
    let (connection, mut broker) = opened().await;
    let pending = connection.send(&heartbeat(), SECOND).unwrap();
    broker.asked().await;
    broker.io.write_all(&[0, 0, 0, 20, 0, 0]).await.unwrap();
    drop(broker);
    let error = pending.answer().await.unwrap_err();
    let CallFailure::Closed(CloseReason::BadFrame(text)) = error.failure else { panic!("{error}") };
    assert_eq!(text, "the stream ended within a frame: 2 of 20 bytes arrived");
}

#[tokio::test(start_paused = true)]
async fn an_oversized_answer_closes_the_connection() {
    let (connection, mut broker) = opened().await;
    broker.io.write_all(&(DEFAULT_LIMIT as i32 + 1).to_be_bytes()).await.unwrap();
    let CloseReason::BadFrame(text) = connection.closed().await else { panic!() };
    assert_eq!(text, "expected a frame of at most 67108864 bytes, found one of 67108865");
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_asked_for_closes_the_connection() {
    let (connection, mut broker) = opened().await;
    broker.io.write_all(&scripted::framed(0, 77, &ApiVersionsResponse::default())).await.unwrap();
    assert_eq!(connection.closed().await, CloseReason::Unasked { found: 77 });
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_a_correlation_id_closes_the_connection() {
    let (connection, mut broker) = opened().await;
    broker.io.write_all(&[0, 0, 0, 2, 0, 0]).await.unwrap();
    assert!(matches!(connection.closed().await, CloseReason::BadFrame(_)));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_fails_its_call_only() {
    let (connection, mut broker) = opened().await;
    let pending = connection.send(&heartbeat(), SECOND).unwrap();
    let id = broker.asked().await.header.correlation_id;
    broker.io.write_all(&[0, 0, 0, 5, 0, 0, 0, id as u8, 0]).await.unwrap();
    let error = pending.answer().await.unwrap_err();
    assert!(matches!(error.failure, CallFailure::Decode(_)), "{error}");
    assert!(!connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn an_api_that_the_broker_does_not_offer_is_not_sent() {
    let (connection, _broker) = opened().await;
    let request = Fetch {
        max_wait: SECOND,
        min_bytes: 1,
        max_bytes: 1,
        isolation: Default::default(),
        rack: "".into(),
        topics: Vec::new(),
    };
    let error = connection.call(request, SECOND).await.unwrap_err();
    assert!(matches!(error.failure, CallFailure::Version(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn unanswered_requests_are_bounded() {
    let (connection, _broker) = opened().await;
    let waiting: Vec<_> =
        (0..MOST_UNANSWERED).map(|_| connection.send(&heartbeat(), SECOND).unwrap()).collect();
    let error = connection.send(&heartbeat(), SECOND).unwrap_err();
    assert_eq!(error.failure, CallFailure::Busy { found: waiting.len() });
}

#[tokio::test(start_paused = true)]
async fn closing_gives_the_first_reason_to_everybody() {
    let (connection, mut broker) = opened().await;
    let pending = connection.send(&heartbeat(), SECOND).unwrap();
    connection.close(CloseReason::Requested("the endpoint moved"));
    connection.close(CloseReason::Requested("again"));
    let error = pending.answer().await.unwrap_err();
    assert_eq!(error.failure, CallFailure::Closed(CloseReason::Requested("the endpoint moved")));
    let mut rest = Vec::new();
    broker.io.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_last_handle_closes_the_stream_but_not_before_its_pending_answer() {
    let (connection, mut broker) = opened().await;
    let pending = connection.clone().send(&heartbeat(), SECOND).unwrap();
    drop(connection);
    let asked = broker.asked().await;
    broker.answer_heartbeat(&asked, 22).await;
    assert_eq!(mark(pending.answer().await), 22);
    assert_eq!(broker.io.read(&mut [0]).await.unwrap(), 0, "closed");
}

#[tokio::test(start_paused = true)]
async fn activity_is_whatever_arrives() {
    let (connection, mut broker) = opened().await;
    let before = connection.last_activity();
    sleep(SECOND).await;
    let pending = connection.send(&heartbeat(), SECOND).unwrap();
    let asked = broker.asked().await;
    broker.answer_heartbeat(&asked, 0).await;
    assert_eq!(pending.answer().await.unwrap().error, ErrorCode::NONE);
    assert_eq!(connection.last_activity() - before, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_raw_answer_is_decoded_from_the_bytes_that_it_was_wrapped_in() {
    let (connection, mut broker) = opened().await;
    let pending = connection.send(&heartbeat(), SECOND).unwrap();
    let asked = broker.asked().await;
    broker.answer_heartbeat(&asked, 22).await;
    let raw = pending.raw().await.unwrap().wrapped(|body| Bytes::from_owner(body.to_vec()));
    assert_eq!((raw.version(), mark(raw.decode())), (4, 22));
}

/// Asks, and has the broker answer after `late` that it holds back `throttle_ms`.
async fn asked_and_answered(
    connection: &Connection,
    script: &mut Script,
    late: Duration,
    throttle_ms: i32,
) -> Result<HeartbeatAnswer, CallError> {
    let answering = async {
        let asked = script.asked().await;
        sleep(late).await;
        script.answer(&asked, &HeartbeatResponse::default().with_throttle_time_ms(throttle_ms)).await;
    };
    tokio::join!(connection.call(heartbeat(), SECOND), answering).0
}

#[tokio::test(start_paused = true)]
async fn what_any_answer_says_is_held_back_makes_the_next_limits_longer() {
    let (connection, mut script) = opened().await;
    assert_eq!(connection.held_back(), Duration::ZERO);
    asked_and_answered(&connection, &mut script, Duration::ZERO, 3000).await.unwrap();
    assert_eq!(connection.held_back(), 3 * SECOND);
    sleep(SECOND).await;
    asked_and_answered(&connection, &mut script, 5 * SECOND / 2, 0).await.unwrap();
    assert_eq!(connection.held_back(), Duration::ZERO);
    let failure = asked_and_answered(&connection, &mut script, 5 * SECOND / 2, 0).await.unwrap_err().failure;
    assert_eq!(failure, CallFailure::Timeout { limit: SECOND });
}

#[tokio::test(start_paused = true)]
async fn no_broker_is_believed_that_it_holds_back_answers_for_ever() {
    let (connection, mut script) = opened().await;
    asked_and_answered(&connection, &mut script, Duration::ZERO, i32::MAX).await.unwrap();
    assert_eq!(connection.held_back(), 30 * SECOND);
}

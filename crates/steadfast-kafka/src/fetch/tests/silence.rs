//! A broker that owes an answer: when it is told, and when a fresh connection takes over.

use std::time::Duration;

use steadfast_core::endpoints::race::Evidence;
use tokio::time::{Instant, sleep};

use super::broker::{BY_NAME, Wire, batch, brought, part};
use super::stage::{MAX_WAIT, REQUEST_TIMEOUT, Setting, Stage};
use crate::fetch::intake::Note;

const SECOND: Duration = Duration::from_secs(1);

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn an_overdue_answer_is_noted_once_and_taken_when_it_comes() {
    let (stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    stage.table.complaints();
    wire.hears_nothing_for(millis(599)).await;
    assert!(stage.table.complaints().is_empty());
    wire.hears_nothing_for(millis(1001)).await;
    assert_eq!(stage.table.complaints(), [Note::Silent { waited: MAX_WAIT + millis(100) }]);
    // A fresh connection is not answered either, nor the one after it: more is not said.
    wire.hears_nothing_for(20 * SECOND).await;
    let notes = stage.table.complaints();
    let gone = |note: &Note| matches!(note, Note::Broken { evidence: Evidence::Broken, stood: true, .. });
    assert!(notes.len() == 1 && notes.iter().all(gone), "{notes:?}");
    wire.answer(&asked, &brought([part(0, batch(0, 2))])).await;
    assert_eq!(wire.fetch().await.offsets(), [(0, 2)]);
    assert_eq!(stage.table.delivered(), [(0, vec![0, 1])]);
}

/// How long the next fetch is unanswered until the loop complains.
async fn patience(stage: &Stage, wire: &mut Wire) -> Duration {
    let asked = wire.fetch().await;
    wire.hears_nothing_for(20 * SECOND).await;
    wire.answer(&asked, &brought([part(0, "")])).await;
    let mut waited = stage.table.complaints().into_iter().map(|note| match note {
        Note::Silent { waited } => waited,
        other => panic!("expected silence to be noted, found {other:?}"),
    });
    waited.next().expect("a note")
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_usually_slow_is_given_four_times_as_long() {
    let (stage, mut wire) = Setting::of(1).proven().await;
    for _ in 0..3 {
        let asked = wire.fetch().await;
        sleep(MAX_WAIT + millis(80)).await;
        wire.answer(&asked, &brought([part(0, "")])).await;
    }
    assert!(stage.table.complaints().is_empty());
    assert_eq!(patience(&stage, &mut wire).await, MAX_WAIT + millis(320));
}

#[tokio::test(start_paused = true)]
async fn one_answer_that_was_held_up_does_not_hide_the_next_silence() {
    let (stage, mut wire) = Setting::of(1).proven().await;
    assert_eq!(patience(&stage, &mut wire).await, MAX_WAIT + millis(100));
    assert_eq!(patience(&stage, &mut wire).await, MAX_WAIT + millis(400));
}

#[tokio::test(start_paused = true)]
async fn a_throttled_broker_is_given_as_much_longer_as_it_says() {
    let (stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([part(0, batch(0, 1))]).with_throttle_time_ms(3000)).await;
    assert_eq!(patience(&stage, &mut wire).await, MAX_WAIT + millis(3100));
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([part(0, batch(1, 1))]).with_throttle_time_ms(i32::MAX)).await;
    wire.fetch().await;
    sleep(REQUEST_TIMEOUT + SECOND).await;
    assert_eq!(stage.table.complaints(), [Note::Silent { waited: REQUEST_TIMEOUT + MAX_WAIT + millis(350) }]);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_connection_takes_the_place_of_a_silent_one_and_fetches_from_the_position() {
    let (mut stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([part(0, batch(0, 3))])).await;
    let asked = wire.fetch().await;
    let mut fresh = stage.accept().await;
    let again = fresh.fetch().await;
    assert_eq!(again.at - asked.at, MAX_WAIT + millis(100));
    assert_eq!((again.offsets(), again.max_wait()), (asked.offsets(), Duration::ZERO));
    wire.closed().await;
    let waited = MAX_WAIT + millis(100);
    assert_eq!(stage.table.complaints(), [Note::Silent { waited }, Note::Replaced { waited }]);
    fresh.answer(&again, &brought([part(0, batch(3, 2))])).await;
    assert_eq!(fresh.fetch().await.offsets(), [(0, 5)]);
    assert_eq!(stage.table.delivered(), [(0, vec![0, 1, 2]), (0, vec![3, 4])]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_while_the_fresh_connection_is_opened_is_taken_and_that_one_dropped() {
    let (mut stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    let mut fresh = stage.listener.accept().await.expect("a listener");
    wire.answer(&asked, &brought([part(0, batch(0, 3))])).await;
    assert_eq!(wire.fetch().await.offsets(), [(0, 3)]);
    assert_eq!(stage.table.delivered(), [(0, vec![0, 1, 2])]);
    let mut said = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut fresh, &mut said).await.expect("an end");
    assert_eq!(stage.table.complaints(), [Note::Silent { waited: MAX_WAIT + millis(100) }]);
}

#[tokio::test(start_paused = true)]
async fn where_no_fresh_connection_can_be_had_the_silent_one_is_left_at_the_request_timeout() {
    let (stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    // Whoever connects is never answered.
    wire.closed().await;
    assert_eq!(Instant::now() - asked.at, MAX_WAIT + REQUEST_TIMEOUT);
    let notes = stage.table.complaints();
    let [
        Note::Silent { .. },
        Note::Broken { evidence: gone, .. },
        Note::Broken { evidence, stood: true, .. },
    ] = &notes[..]
    else {
        panic!("{notes:?}");
    };
    assert_eq!((*gone, *evidence), (Evidence::Broken, Evidence::Silent));
}

/// Answers each fetch after `takes` beyond its wait. How often a fresh connection takes over before one is answered.
async fn answered_after(takes: Duration, stage: &mut Stage, wire: &mut Wire) -> u32 {
    let mut replaced = 0;
    loop {
        let asked = wire.fetch().await;
        let answers = asked.at + asked.max_wait() + takes;
        match tokio::time::timeout_at(answers, stage.listener.accept()).await {
            Ok(dialled) => {
                let fresh = Wire::over(dialled.expect("a listener"), BY_NAME).await.expect("a connection");
                std::mem::replace(wire, fresh).closed().await;
                replaced += 1;
            }
            Err(_) => {
                wire.answer(&asked, &brought([part(0, "")])).await;
                return replaced;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_answers_slowly_but_surely_is_left_a_few_times_and_never_again() {
    let (mut stage, mut wire) = Setting::of(1).proven().await;
    let slow = 3 * SECOND;
    assert_eq!(answered_after(slow, &mut stage, &mut wire).await, 5);
    for _ in 0..50 {
        assert_eq!(answered_after(slow, &mut stage, &mut wire).await, 0);
    }
    let replaced = stage.table.complaints().into_iter().filter(|note| matches!(note, Note::Replaced { .. }));
    assert_eq!(replaced.count(), 5);
}

/// The time between two bytes of an answer that trickles in: less than makes one overdue.
const TRICKLE: Duration = millis(80);

#[tokio::test(start_paused = true)]
async fn an_answer_that_trickles_in_over_a_slow_link_is_waited_for() {
    let (stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    let frame = asked.frame(&brought([part(0, batch(0, 3))]));
    sleep(MAX_WAIT).await;
    for byte in frame.chunks(1) {
        sleep(TRICKLE).await;
        assert!(wire.says(byte).await);
    }
    assert!(frame.len() > 100, "it took {} bytes", frame.len());
    assert_eq!(wire.fetch().await.offsets(), [(0, 3)]);
    assert_eq!(stage.table.delivered(), [(0, vec![0, 1, 2])]);
    assert_eq!(stage.table.complaints(), []);
}

#[tokio::test(start_paused = true)]
async fn what_a_large_answer_took_to_arrive_does_not_hide_the_next_silence() {
    let (stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    for byte in asked.frame(&brought([part(0, batch(0, 3))])).chunks(1) {
        sleep(TRICKLE / 4).await;
        assert!(wire.says(byte).await);
    }
    assert_eq!(patience(&stage, &mut wire).await, MAX_WAIT + millis(100));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_stops_halfway_is_overdue_from_its_last_byte_on() {
    let (mut stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    let frame = asked.frame(&brought([part(0, batch(0, 3))]));
    sleep(MAX_WAIT + TRICKLE).await;
    wire.says(&frame[..frame.len() / 2]).await;
    let mut fresh = stage.accept().await;
    assert_eq!(fresh.fetch().await.at - asked.at, MAX_WAIT + TRICKLE + millis(100));
    wire.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_drips_for_ever_is_left_at_the_request_timeout() {
    let (stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    let endless = (1_i32 << 20).to_be_bytes();
    for drop in endless.into_iter().chain(std::iter::repeat(0)) {
        if !wire.says(&[drop]).await {
            break;
        }
        assert!(asked.at.elapsed() <= MAX_WAIT + REQUEST_TIMEOUT + TRICKLE);
        sleep(TRICKLE).await;
    }
    assert!(asked.at.elapsed() >= MAX_WAIT + REQUEST_TIMEOUT);
    let notes = stage.table.complaints();
    assert!(matches!(notes[..], [Note::Broken { evidence: Evidence::Silent, .. }]), "{notes:?}");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_silent_about_where_to_begin_is_asked_over_a_fresh_connection() {
    let (mut stage, mut wire) = Setting { placed: false, ..Setting::of(1) }.open().await;
    wire.asked::<kafka_protocol::messages::ListOffsetsRequest>(2).await;
    let mut fresh = stage.accept().await;
    fresh.asked::<kafka_protocol::messages::ListOffsetsRequest>(2).await;
    wire.closed().await;
}

//! Each check: what passes it, and what does not.

use std::sync::PoisonError;

use steadfast_core::acked::Span;
use steadfast_core::ids::Offset;
use steadfast_core::progress::Progress;

use super::sample::{Sample, orders};
use super::*;
use crate::observers::Events;

fn message(sample: &Sample, check: &str) -> String {
    sample.read().check(check).unwrap().message.clone()
}

/// Time goes by and everything answers but what is told not to.
fn wait_but(sample: &Sample, millis: u64, silent: &str) {
    sample.after(millis);
    let heard = sample.standing.lock().unwrap_or_else(PoisonError::into_inner).heard;
    let asked = sample.vitals.0.metadata.last();
    if silent != "fetch" {
        sample.hear();
    }
    sample.vitals.metadata_answered(sample.now());
    if silent != "heartbeat" {
        sample.standing.lock().unwrap().heard = sample.now();
    } else {
        sample.standing.lock().unwrap().heard = heard;
    }
    if let ("metadata", Some(asked)) = (silent, asked) {
        sample.vitals.0.metadata.mark(asked);
    }
}

#[test]
fn a_service_that_has_just_begun_says_what_it_waits_for() {
    let sample = Sample::new();
    assert_eq!(sample.failed(), ["cluster", "metadata", "membership", "heartbeat"]);
    sample.agree();
    sample.hear();
    assert_eq!(sample.failed(), ["membership", "heartbeat"]);
    sample.after(1);
    sample.hear();
    assert_eq!(sample.failed(), ["membership"]);
    sample.join();
    assert!(sample.read().ready);
}

#[test]
fn a_member_without_partitions_is_ready() {
    let sample = Sample::well(&[]);
    let reading = sample.read();
    assert!(reading.ready, "{reading:#?}");
    assert_eq!(message(&sample, "fetch"), "no partition is owned");
    assert_eq!(message(&sample, "membership"), "generation 3, 0 partitions owned");
}

#[test]
fn what_answers_by_itself_has_a_limit() {
    for (check, fine, late) in
        [("metadata", 15_000, 15_001), ("heartbeat", 45_000, 45_001), ("fetch", 30_500, 30_501)]
    {
        let sample = Sample::well(&[0, 1]);
        wait_but(&sample, fine, check);
        assert!(sample.read().ready, "{check} after {fine} ms: {:#?}", sample.read());
        wait_but(&sample, late - fine, check);
        assert_eq!(sample.failed(), [check], "after {late} ms");
        wait_but(&sample, 0, "");
        assert!(sample.read().ready, "{check} answers again");
    }
}

#[test]
fn the_limit_of_metadata_follows_the_poll_interval() {
    let sample = Sample::well(&[]);
    wait_but(&sample, 60_000, "metadata");
    assert_eq!(sample.failed(), ["metadata"]);
    let mut config = Config::clone(&sample.config.borrow());
    config.drift.poll_interval = Duration::from_secs(20);
    sample.config.send_replace(Arc::new(config));
    assert_eq!(sample.failed(), Vec::<&str>::new());
    assert_eq!(message(&sample, "metadata"), "60 s ago, limit 60 s");
}

#[test]
fn degraded_is_said_by_each_part_and_ended_by_it() {
    let (sample, events) = (Sample::well(&[0]), Events::new("test", Vec::new()));
    let missing = ["kafka-1:9092: refused", "kafka-2:9092: refused"].map(str::to_owned).to_vec();
    sample.vitals.degraded(Part::View, missing.clone(), false, &events, sample.now());
    wait_but(&sample, 2_500, "");
    sample.vitals.degraded(Part::View, missing, false, &events, sample.now());
    sample.vitals.degraded(Part::Consumer, vec!["no leader".to_owned()], false, &events, sample.now());
    assert_eq!(
        message(&sample, "cluster"),
        "degraded for 2.5 s: kafka-1:9092: refused, kafka-2:9092: refused, no leader"
    );
    sample.vitals.recovered(Part::View, &events, sample.now());
    assert_eq!(sample.failed(), ["cluster"]);
    sample.vitals.recovered(Part::Consumer, &events, sample.now());
    assert_eq!(message(&sample, "cluster"), "2 of 2 brokers verified");
}

#[test]
fn a_round_is_part_of_a_member_s_life_as_long_as_it_ends() {
    let sample = Sample::well(&[0]);
    sample.vitals.settled(false, sample.now());
    wait_but(&sample, 3_000, "");
    sample.vitals.settled(false, sample.now());
    assert!(sample.read().ready);
    assert_eq!(message(&sample, "membership"), "the group has been rebalancing for 3 s, limit 300 s");
    wait_but(&sample, 297_001, "");
    assert_eq!(sample.failed(), ["membership"]);
    sample.vitals.settled(true, sample.now());
    assert!(sample.read().ready);
}

#[test]
fn who_holds_records_back_is_no_silent_leader() {
    let sample = Sample::well(&[0]);
    let lease = sample.deliver(&orders(0), 110);
    wait_but(&sample, 40_000, "fetch");
    assert!(sample.read().ready, "{:#?}", sample.read());
    assert_eq!(message(&sample, "fetch"), "all 1 partitions are held back by handlers");
    assert_eq!(message(&sample, "handlers"), "orders-0 has been busy for 40 s, limit 300 s");
    // The loop looks at it all the while, and asks when the handler is done.
    sample.table.held_back(&orders(0));
    sample.table.ack(&orders(0), lease, Span::new(Offset(100), Offset(110)));
    sample.table.free(&orders(0), 1000);
    assert_eq!(message(&sample, "fetch"), "0 s ago, limit 30.5 s");
    wait_but(&sample, 30_501, "fetch");
    assert_eq!(message(&sample, "fetch"), "orders-0 unanswered for 30.5 s, limit 30.5 s");
    assert_eq!(sample.failed(), ["fetch"]);
}

#[test]
fn spent_memory_is_no_silent_leader() {
    let sample = Sample::well(&[0, 1]);
    let held = sample.memory.try_reserve(sample.memory.capacity());
    wait_but(&sample, 40_000, "fetch");
    assert!(held.is_some() && sample.read().ready);
    drop(held);
    assert_eq!(sample.failed(), ["fetch"]);
}

#[test]
fn a_handler_that_never_ends_is_told() {
    let sample = Sample::well(&[0]);
    sample.deliver(&orders(0), 110);
    wait_but(&sample, 300_001, "");
    assert_eq!(sample.failed(), ["handlers"]);
}

#[test]
fn commits_may_fail_for_a_while() {
    let sample = Sample::well(&[0]);
    assert_eq!(message(&sample, "commit"), "nothing was committed yet");
    sample.vitals.committed(sample.now());
    wait_but(&sample, 3_600_000, "");
    assert_eq!(message(&sample, "commit"), "stored 3600 s ago");
    sample.vitals.commit_failed(sample.now());
    wait_but(&sample, 45_000, "");
    sample.vitals.commit_failed(sample.now());
    assert!(sample.read().ready, "an hour without anything to commit is no failure");
    wait_but(&sample, 1, "");
    assert_eq!(sample.failed(), ["commit"]);
    sample.vitals.committed(sample.now());
    assert!(sample.read().ready);
}

#[test]
fn a_quarantined_partition_is_named() {
    let sample = Sample::well(&[0, 1]);
    sample.table.update(&orders(1), Progress::quarantine);
    assert_eq!(sample.failed(), ["quarantine"]);
    assert_eq!(message(&sample, "quarantine"), "orders-1 not fetched any more");
    assert_eq!(sample.read().quarantined, [orders(1)]);
    sample.table.update(&orders(1), Progress::release);
    assert!(sample.read().ready, "what is another's is not ours to report");
}

#[test]
fn a_stalled_partition_is_named_until_it_moves() {
    let sample = Sample::well(&[0, 1]);
    wait_but(&sample, 30_000, "");
    let position = sample.table.read(&orders(0), Progress::position).unwrap();
    sample.vitals.stalled(&orders(0), position, Duration::from_secs(30), sample.now());
    wait_but(&sample, 30_000, "");
    sample.vitals.stalled(&orders(0), position, Duration::from_secs(30), sample.now());
    assert_eq!(sample.failed(), ["stall"]);
    assert_eq!(message(&sample, "stall"), "orders-0 still for 60 s, limit 30 s");
    sample.deliver(&orders(0), 110);
    assert!(sample.read().ready && sample.read().stalled.is_empty());
}

#[test]
fn who_ends_is_not_ready() {
    let sample = Sample::well(&[0]);
    sample.vitals.drain();
    assert_eq!(sample.failed(), ["service"]);
    assert!(sample.read().draining);
}

#[test]
fn leaders_are_told_with_their_last_answers() {
    let sample = Sample::well(&[0, 1, 2]);
    sample.after(2_000);
    sample.table.saw_end(&orders(1), Offset(160));
    let leaders = sample.read().leaders;
    let told: Vec<(i32, usize, Option<u64>)> =
        leaders.iter().map(|at| (at.node.0, at.partitions, at.answered.map(|ago| ago.as_secs()))).collect();
    assert_eq!(told, [(1, 2, Some(2)), (2, 1, Some(0))]);
    assert_eq!(leaders[0].address.as_ref().unwrap().to_string(), "kafka-1:9092");
}

#[test]
fn a_reading_is_json_with_seconds() {
    let sample = Sample::well(&[0]);
    wait_but(&sample, 812, "heartbeat");
    let json = serde_json::to_value(sample.read()).unwrap();
    assert_eq!(
        json["checks"][4],
        serde_json::json!({
            "name": "heartbeat",
            "ok": true,
            "age_seconds": 0.812,
            "limit_seconds": 45.0,
            "message": "0.8 s ago, limit 45 s",
        })
    );
    assert_eq!(json["incarnation"], 1);
}

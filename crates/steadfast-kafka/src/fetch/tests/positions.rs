//! What a loop asks about positions.

use std::time::Duration;

use kafka_protocol::messages::fetch_response::EpochEndOffset as Diverging;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{
    ListOffsetsRequest, ListOffsetsResponse, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
    TopicName,
};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::ids::{LeaderEpoch, Offset};

use super::broker::{Asked, Wire, batch, brought, part, refusal};
use super::stage::{EPOCH, Setting, Stage, TOPIC, partition};
use crate::api::ErrorCode;
use crate::api::list_offsets::LogEnd;
use crate::fetch::intake::Note;

const SECOND: Duration = Duration::from_secs(1);
const OUT_OF_RANGE: i16 = 1;

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

/// The next request must ask for one end (-2 or -1) of these partitions.
async fn asked_for_end(wire: &mut Wire, timestamp: i64, indexes: &[i32]) -> Asked<ListOffsetsRequest> {
    let asked: Asked<ListOffsetsRequest> = wire.asked(2).await;
    let partitions = &asked.message.topics[0].partitions;
    assert!(partitions.iter().all(|at| (at.timestamp, at.current_leader_epoch) == (timestamp, EPOCH.0)));
    assert_eq!(partitions.iter().map(|at| at.partition_index).collect::<Vec<_>>(), indexes);
    asked
}

fn end(index: i32, code: i16, offset: i64) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse::default()
        .with_partition_index(index)
        .with_error_code(code)
        .with_offset(offset)
        .with_leader_epoch(2)
}

fn ends(ends: impl IntoIterator<Item = ListOffsetsPartitionResponse>) -> ListOffsetsResponse {
    let topic = ListOffsetsTopicResponse::default().with_name(topic());
    ListOffsetsResponse::default().with_topics(vec![topic.with_partitions(ends.into_iter().collect())])
}

/// Answers the next request, which must ask for the end of the epoch of the position.
async fn answer_epoch(wire: &mut Wire, epoch: i32, code: i16, found: i32, end_offset: i64) {
    let asked: Asked<OffsetForLeaderEpochRequest> = wire.asked(23).await;
    let question = &asked.message.topics[0].partitions[0];
    assert_eq!((question.current_leader_epoch, question.leader_epoch), (EPOCH.0, epoch));
    let end =
        EpochEndOffset::default().with_error_code(code).with_leader_epoch(found).with_end_offset(end_offset);
    let result = OffsetForLeaderTopicResult::default().with_topic(topic()).with_partitions(vec![end]);
    wire.answer(&asked, &OffsetForLeaderEpochResponse::default().with_topics(vec![result])).await;
}

async fn answer_ends(wire: &mut Wire, earliest: i64, latest: i64) {
    for (timestamp, offset) in [(-2, earliest), (-1, latest)] {
        let asked = asked_for_end(wire, timestamp, &[0]).await;
        wire.answer(&asked, &ends([end(0, 0, offset)])).await;
    }
}

/// A loop whose partition 0 stands at offset 10 with the epoch 0 of its last record, and whose next fetch has
/// been sent.
async fn at_ten() -> (Stage, Wire, Asked<kafka_protocol::messages::FetchRequest>) {
    let (stage, mut wire) = Setting::of(1).open().await;
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([part(0, batch(0, 10))])).await;
    let asked = wire.fetch().await;
    stage.table.complaints();
    (stage, wire, asked)
}

fn out_of_range(stage: &Stage, shared: Option<(i64, i32)>, earliest: i64, latest: i64) -> [Note; 1] {
    [Note::OutOfRange {
        partition: partition(0),
        position: stage.table.on(0, |progress| progress.position()),
        shared: shared.map(|(offset, epoch)| (Offset(offset), LeaderEpoch(epoch))),
        earliest: Offset(earliest),
        latest: Offset(latest),
    }]
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_nobody_ever_committed_begins_where_the_leader_says() {
    let (stage, mut wire) = Setting { placed: false, ..Setting::of(2) }.open().await;
    let asked = asked_for_end(&mut wire, -2, &[0, 1]).await;
    wire.answer(&asked, &ends([end(0, 0, 17), end(1, 6, -1)])).await;
    assert_eq!(wire.fetch().await.offsets(), [(0, 17)]);
    let placed = std::mem::take(&mut *stage.table.placed.lock().unwrap());
    assert_eq!(placed, [(partition(0), LogEnd::Earliest, Offset(17), LeaderEpoch(2))]);
    let note =
        Note::NotLeader { partition: partition(1), code: ErrorCode::NOT_LEADER_OR_FOLLOWER, named: None };
    assert_eq!(stage.table.complaints(), [note]);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_does_not_say_where_to_begin_is_asked_again_later() {
    let (_stage, mut wire) = Setting { placed: false, ..Setting::of(2) }.open().await;
    let asked = asked_for_end(&mut wire, -2, &[0, 1]).await;
    wire.answer(&asked, &ends([end(1, 29, -1)])).await;
    let again = asked_for_end(&mut wire, -2, &[0, 1]).await;
    assert_eq!(again.at - asked.at, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_silent_about_where_to_begin_is_suspected_early() {
    let (stage, mut wire) = Setting { placed: false, ..Setting::of(1) }.open().await;
    let asked = asked_for_end(&mut wire, -2, &[0]).await;
    wire.hears_nothing_for(SECOND).await;
    assert_eq!(stage.table.complaints(), [Note::Silent { waited: Duration::from_millis(100) }]);
    wire.answer(&asked, &ends([end(0, 0, 4)])).await;
    assert_eq!(wire.fetch().await.offsets(), [(0, 4)]);
}

#[tokio::test(start_paused = true)]
async fn a_position_out_of_range_is_examined_before_anybody_is_told() {
    let (stage, mut wire, asked) = at_ten().await;
    wire.answer(&asked, &brought([refusal(0, OUT_OF_RANGE)])).await;
    answer_epoch(&mut wire, 0, 0, 0, 6).await;
    assert!(stage.table.complaints().is_empty());
    answer_ends(&mut wire, 2, 8).await;
    let again = wire.fetch().await;
    assert_eq!((again.offsets(), again.at - asked.at), (vec![(0, 10)], SECOND));
    assert_eq!(stage.table.complaints(), out_of_range(&stage, Some((6, 0)), 2, 8));
}

#[tokio::test(start_paused = true)]
async fn a_diverging_epoch_is_examined_too() {
    let (stage, mut wire, asked) = at_ten().await;
    let diverging = Diverging::default().with_epoch(0).with_end_offset(7);
    wire.answer(&asked, &brought([part(0, "").with_diverging_epoch(diverging)])).await;
    answer_epoch(&mut wire, 0, 0, 0, 7).await;
    answer_ends(&mut wire, 0, 7).await;
    wire.fetch().await;
    assert_eq!(stage.table.complaints(), out_of_range(&stage, Some((7, 0)), 0, 7));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_shared_past_the_leaders_end_nor_lost_before_it() {
    for (found, end_offset) in [(0, 10), (0, 12), (-1, -1)] {
        let (stage, mut wire, asked) = at_ten().await;
        wire.answer(&asked, &brought([refusal(0, OUT_OF_RANGE)])).await;
        answer_epoch(&mut wire, 0, 0, found, end_offset).await;
        answer_ends(&mut wire, 20, 30).await;
        wire.fetch().await;
        assert_eq!(stage.table.complaints(), out_of_range(&stage, None, 20, 30));
    }
}

/// After an unclean election the new leader's records of an older epoch may reach past our position.
#[tokio::test(start_paused = true)]
async fn a_log_with_an_older_epoch_at_the_position_parts_from_ours_there_at_the_latest() {
    let (stage, mut wire) = Setting::of(1).open().await;
    let asked = wire.fetch().await;
    let diverging = Diverging::default().with_epoch(2).with_end_offset(9);
    wire.answer(&asked, &brought([part(0, "").with_diverging_epoch(diverging)])).await;
    answer_epoch(&mut wire, 3, 0, 2, 9).await;
    answer_ends(&mut wire, 0, 12).await;
    wire.fetch().await;
    assert_eq!(stage.table.complaints(), out_of_range(&stage, Some((0, 2)), 0, 12));
}

#[tokio::test(start_paused = true)]
async fn what_a_leader_refuses_to_say_is_no_finding() {
    let (stage, mut wire, asked) = at_ten().await;
    wire.answer(&asked, &brought([refusal(0, OUT_OF_RANGE)])).await;
    answer_epoch(&mut wire, 0, 6, -1, -1).await;
    let again = wire.fetch().await;
    let note =
        Note::NotLeader { partition: partition(0), code: ErrorCode::NOT_LEADER_OR_FOLLOWER, named: None };
    assert_eq!(stage.table.complaints(), [note]);
    assert_eq!(again.at - asked.at, Duration::from_millis(100));
    wire.answer(&again, &brought([refusal(0, OUT_OF_RANGE)])).await;
    answer_epoch(&mut wire, 0, 0, 0, 10).await;
    let first = asked_for_end(&mut wire, -2, &[0]).await;
    wire.answer(&first, &ends([end(0, 29, -1)])).await;
    let again = wire.fetch().await;
    let note = Note::Refused { partition: partition(0), code: ErrorCode(29) };
    assert_eq!(stage.table.complaints(), [note]);
    wire.answer(&again, &brought([refusal(0, OUT_OF_RANGE)])).await;
    let asked: Asked<OffsetForLeaderEpochRequest> = wire.asked(23).await;
    wire.answer(&asked, &OffsetForLeaderEpochResponse::default()).await;
    assert_eq!(wire.fetch().await.at - again.at, SECOND);
    assert!(stage.table.complaints().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_doubts_about_a_partition_end_when_another_broker_leads_it() {
    let (mut stage, mut wire, asked) = at_ten().await;
    stage.lead([]);
    wire.answer(&asked, &brought([refusal(0, OUT_OF_RANGE)])).await;
    wire.hears_nothing_for(SECOND).await;
    assert!(stage.table.complaints().is_empty());
}

#[tokio::test(start_paused = true)]
async fn records_of_other_partitions_are_delivered_before_a_position_is_examined() {
    let (stage, mut wire) = Setting::of(2).open().await;
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([refusal(0, OUT_OF_RANGE), part(1, batch(0, 3))])).await;
    let _: Asked<OffsetForLeaderEpochRequest> = wire.asked(23).await;
    assert_eq!(stage.table.delivered(), [(1, vec![0, 1, 2])]);
}

/// A broker that does not say in a fetch that its log has parted from ours (before 2.7).
async fn reticent() -> (Stage, Wire) {
    Setting { fetch: 11, ..Setting::of(1) }.open().await
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_a_fetch_would_not_make_tell_is_asked_before_the_first_one_and_never_again() {
    let (mut stage, mut wire) = reticent().await;
    answer_epoch(&mut wire, 3, 0, 3, 100).await;
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([part(0, batch(0, 10))])).await;
    assert_eq!(wire.fetch().await.offsets(), [(0, 10)]);
    drop(wire);
    // Another connection to the same leader.
    assert_eq!(stage.accept().await.fetch().await.offsets(), [(0, 10)]);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_parted_before_the_position_is_found_before_anything_is_fetched() {
    let (stage, mut wire) = reticent().await;
    answer_epoch(&mut wire, 3, 0, 2, 0).await;
    answer_epoch(&mut wire, 3, 0, 2, 0).await;
    answer_ends(&mut wire, 0, 8).await;
    wire.hears_nothing_for(Duration::from_millis(900)).await;
    assert_eq!(stage.table.complaints(), out_of_range(&stage, Some((0, 2)), 0, 8));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_refuses_to_say_whether_its_log_parted_is_fetched_from_when_it_has_said_it() {
    let (stage, mut wire) = reticent().await;
    answer_epoch(&mut wire, 3, 6, -1, -1).await;
    answer_epoch(&mut wire, 3, 0, 3, 100).await;
    wire.fetch().await;
    let refused =
        Note::NotLeader { partition: partition(0), code: ErrorCode::NOT_LEADER_OR_FOLLOWER, named: None };
    assert_eq!(stage.table.complaints(), [refused]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_fetched_from_a_log_that_knows_nothing_of_the_epoch() {
    let (stage, mut wire) = reticent().await;
    answer_epoch(&mut wire, 3, 0, -1, -1).await;
    answer_epoch(&mut wire, 3, 0, -1, -1).await;
    answer_ends(&mut wire, 0, 100).await;
    wire.hears_nothing_for(Duration::from_millis(900)).await;
    assert_eq!(stage.table.complaints(), out_of_range(&stage, None, 0, 100));
}

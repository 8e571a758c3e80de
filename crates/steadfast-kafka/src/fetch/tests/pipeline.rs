//! The course of a loop when nothing is wrong.

use std::sync::atomic::Ordering;
use std::time::Duration;

use steadfast_core::acked::Span;
use steadfast_core::ids::{ConsumerIncarnation, HandlerIncarnation, LeaderEpoch, Offset};
use tokio::time::{Instant, timeout};

use super::broker::{batch, batch_of, brought, brought_by_id, part};
use super::stage::{EPOCH, MAX_WAIT, Setting, TOPIC_ID, partition, settle};
use crate::fetch::intake::Note;
use crate::records::compression::Compression;
use crate::records::write::{BatchSpec, NewRecord, Producer, TransactionEnd, end_of_transaction};

#[tokio::test(start_paused = true)]
async fn a_fetch_says_from_where_it_asks_and_whom_it_takes_for_the_leader() {
    let (stage, mut wire) = Setting::of(1).open().await;
    let asked = wire.fetch().await;
    let asked = &asked.message.topics[0].partitions[0];
    assert_eq!((asked.fetch_offset, asked.current_leader_epoch, asked.last_fetched_epoch), (0, EPOCH.0, 3));
    assert_eq!(asked.partition_max_bytes, 1 << 16);
    assert!(stage.table.take_notes().is_empty());
}

#[tokio::test(start_paused = true)]
async fn records_are_delivered_and_the_next_fetch_goes_on_after_them() {
    let (stage, mut wire) = Setting::of(2).proven().await;
    let asked = wire.fetch().await;
    assert_eq!((asked.offsets(), asked.max_wait()), (vec![(1, 0), (0, 0)], MAX_WAIT));
    stage.table.take_notes();
    wire.answer(&asked, &brought([part(0, batch(0, 3)), part(1, "")])).await;
    assert_eq!(wire.fetch().await.offsets(), [(0, 3), (1, 0)]);
    assert_eq!(stage.table.delivered(), [(0, vec![0, 1, 2])]);
    let accepted = |index| Note::Accepted { partition: partition(index), from: Offset(0) };
    assert_eq!(stage.table.take_notes(), [accepted(0), accepted(1)]);
    assert_eq!(stage.table.ends.lock().unwrap()[&partition(0)], Offset(900), "the end that is stable");
}

#[tokio::test(start_paused = true)]
async fn a_topic_with_an_id_is_fetched_by_its_id() {
    let (stage, mut wire) = Setting { fetch: 17, ..Setting::of(1) }.open().await;
    let asked = wire.fetch().await;
    assert_eq!(asked.message.topics[0].topic_id.as_u128(), TOPIC_ID.0);
    wire.answer(&asked, &brought_by_id(TOPIC_ID.0, [part(0, batch(0, 2))])).await;
    assert_eq!(wire.fetch().await.offsets(), [(0, 2)]);
    assert_eq!(stage.table.delivered(), [(0, vec![0, 1])]);
}

#[tokio::test(start_paused = true)]
async fn the_next_fetch_is_sent_before_the_records_of_the_last_one_are_delivered() {
    let (stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([part(0, batch(0, 3))])).await;
    assert_eq!(wire.fetch().await.offsets(), [(0, 3)]);
    let taken = stage.memory.capacity() - stage.table.free_at_delivery.load(Ordering::Relaxed);
    assert!(taken > 1 << 16, "expected the memory of the next fetch to be taken, found {taken} bytes");
}

#[tokio::test(start_paused = true)]
async fn offsets_without_records_are_claimed_and_delivered_as_an_empty_span() {
    let (stage, mut wire) = Setting::of(1).open().await;
    let asked = wire.fetch().await;
    let producer = Producer { id: 1, epoch: 0, base_sequence: 0 };
    let end = end_of_transaction(Offset(0), LeaderEpoch(4), producer, TransactionEnd::Commit, 0, 0).unwrap();
    wire.answer(&asked, &brought([part(0, end)])).await;
    let next = wire.fetch().await;
    assert_eq!(next.offsets(), [(0, 1)]);
    assert_eq!(next.message.topics[0].partitions[0].last_fetched_epoch, 4);
    let delivery = stage.table.take_deliveries().remove(0);
    assert_eq!((delivery.span, delivery.parts.len()), (Span::new(Offset(0), Offset(1)), 0));
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_after_a_handover_changes_nothing() {
    let (stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    stage.table.on(0, |progress| progress.hand_over(ConsumerIncarnation(2)));
    wire.answer(&asked, &brought([part(0, batch(0, 3))])).await;
    wire.hears_nothing_for(Duration::from_secs(5)).await;
    assert!(stage.table.take_deliveries().is_empty());
    assert_eq!(stage.table.position(0), Offset(0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_position_that_was_rewound_is_dropped_and_fetched_again_at_once() {
    let (stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([part(0, batch(0, 3))])).await;
    let ahead = wire.fetch().await;
    stage.table.on(0, |progress| progress.handler_up(HandlerIncarnation(2)));
    wire.answer(&ahead, &brought([part(0, batch(3, 3))])).await;
    let again = wire.fetch().await;
    assert_eq!((again.offsets(), again.at), (vec![(0, 0)], ahead.at));
    assert_eq!(stage.table.delivered(), [(0, vec![0, 1, 2])]);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_wants_nothing_is_left_out_and_the_others_do_not_wait_long() {
    let (stage, mut wire) = Setting::of(2).open().await;
    stage.table.hold_back(1, true);
    let first = wire.fetch().await;
    wire.answer(&first, &brought([part(0, batch(0, 1)), part(1, "")])).await;
    let asked = wire.fetch().await;
    assert_eq!((asked.offsets(), asked.max_wait()), (vec![(0, 1)], Duration::from_millis(100)));
    stage.table.hold_back(1, false);
    wire.answer(&asked, &brought([part(0, batch(1, 1))])).await;
    let asked = wire.fetch().await;
    assert_eq!((asked.offsets(), asked.max_wait()), (vec![(0, 2), (1, 0)], MAX_WAIT));
}

#[tokio::test(start_paused = true)]
async fn an_idle_loop_fetches_as_soon_as_something_is_wanted() {
    let (stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    stage.table.hold_back(0, true);
    wire.answer(&asked, &brought([part(0, batch(0, 1))])).await;
    wire.hears_nothing_for(Duration::from_secs(5)).await;
    let now = Instant::now();
    stage.table.hold_back(0, false);
    assert_eq!(wire.fetch().await.at, now);
}

#[tokio::test(start_paused = true)]
async fn an_idle_loop_sleeps_also_when_nobody_tells_of_changes_any_more() {
    let (stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    stage.table.hold_back(0, true);
    *stage.table.changes.lock().unwrap() = None;
    wire.answer(&asked, &brought([part(0, batch(0, 1))])).await;
    settle().await;
    let before = stage.table.wants.load(Ordering::Relaxed);
    wire.hears_nothing_for(Duration::from_secs(1)).await;
    let looks = stage.table.wants.load(Ordering::Relaxed) - before;
    assert!((9..=11).contains(&looks), "expected ten looks in a second, found {looks}");
}

#[tokio::test(start_paused = true)]
async fn partitions_that_are_led_no_more_are_not_fetched_and_new_ones_join_the_next_fetch() {
    let (mut stage, mut wire) = Setting::of(3).open().await;
    let first = wire.fetch().await;
    assert_eq!(first.offsets(), [(0, 0), (1, 0), (2, 0)]);
    stage.lead([2]);
    wire.answer(&first, &brought([0, 1, 2].map(|index| part(index, "")))).await;
    let parked = wire.fetch().await;
    assert_eq!(parked.offsets(), [(2, 0)]);
    stage.lead([0, 2]);
    wire.hears_nothing_for(MAX_WAIT).await;
    wire.answer(&parked, &brought([part(2, "")])).await;
    assert_eq!(wire.fetch().await.offsets(), [(0, 0), (2, 0)]);
}

#[tokio::test(start_paused = true)]
async fn when_the_owner_lets_go_the_loop_delivers_what_comes_and_ends() {
    let (mut stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    stage.led = None;
    wire.answer(&asked, &brought([part(0, batch(0, 2))])).await;
    wire.closed().await;
    stage.tasks.remove(0).await.unwrap();
    assert_eq!(stage.table.delivered(), [(0, vec![0, 1])]);
}

#[tokio::test(start_paused = true)]
async fn when_the_owner_lets_go_of_an_idle_loop_it_ends_at_once() {
    let (mut stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    stage.table.hold_back(0, true);
    wire.answer(&asked, &brought([part(0, "")])).await;
    settle().await;
    stage.led = None;
    timeout(Duration::from_millis(1), stage.tasks.remove(0)).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_was_asked_for_first_is_asked_for_last_next_time() {
    let (_stage, mut wire) = Setting::of(3).open().await;
    for turn in [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 1, 2]] {
        let asked = wire.fetch().await;
        assert_eq!(asked.offsets(), turn.map(|index| (index, 0)));
        tokio::time::advance(asked.max_wait()).await;
        wire.answer(&asked, &brought([0, 1, 2].map(|index| part(index, "")))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_for_before_memory_is_reserved_for_it() {
    let mut setting = Setting { memory: 1000, ..Setting::of(1) };
    setting.settings.partition_max_bytes = 800;
    let (stage, mut wire) = setting.open().await;
    let asked = wire.fetch().await;
    assert_eq!((asked.message.max_bytes, stage.memory.free()), (800, 200));
    wire.answer(&asked, &brought([part(0, batch(0, 30))])).await;
    wire.hears_nothing_for(Duration::from_secs(5)).await;
    let held = stage.table.take_deliveries();
    assert_eq!(held.len(), 1, "what was claimed is delivered before the loop waits for memory");
    let now = Instant::now();
    drop(held);
    let asked = wire.fetch().await;
    assert_eq!((asked.offsets(), asked.at), (vec![(0, 30)], now));
}

#[tokio::test(start_paused = true)]
async fn after_a_wait_for_memory_the_fetch_begins_where_the_position_is_then() {
    let mut setting = Setting { memory: 1000, ..Setting::of(1) };
    setting.settings.partition_max_bytes = 800;
    let (stage, mut wire) = setting.open().await;
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([part(0, batch(0, 30))])).await;
    wire.hears_nothing_for(Duration::from_secs(1)).await;
    stage.table.on(0, |progress| progress.handler_up(HandlerIncarnation(2)));
    drop(stage.table.take_deliveries());
    assert_eq!(wire.fetch().await.offsets(), [(0, 0)]);
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_leaves_half_of_the_memory_to_other_leaders() {
    let mut setting = Setting { memory: 100 << 10, ..Setting::of(4) };
    setting.settings.partition_max_bytes = 40 << 10;
    let (stage, mut wire) = setting.open().await;
    assert_eq!(wire.fetch().await.message.max_bytes, 50 << 10);
    assert_eq!(stage.memory.free(), 50 << 10);
}

#[tokio::test(start_paused = true)]
async fn a_batch_larger_than_every_limit_makes_progress() {
    let mut setting = Setting { memory: 1000, ..Setting::of(1) };
    (setting.settings.max_bytes, setting.settings.partition_max_bytes) = (900, 800);
    let (stage, mut wire) = setting.open().await;
    let asked = wire.fetch().await;
    let large = BatchSpec::at(Offset(0)).write(&[NewRecord::new(Offset(0), 0, vec![7; 200_000])]).unwrap();
    wire.answer(&asked, &brought([part(0, large)])).await;
    settle().await;
    let delivery = stage.table.take_deliveries().remove(0);
    assert_eq!(delivery.parts[0].plain().len() / 1000, 200);
    drop(delivery);
    assert_eq!(wire.fetch().await.offsets(), [(0, 1)]);
}

#[tokio::test(start_paused = true)]
async fn decompressed_records_count_until_they_are_let_go() {
    let (stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    let spec = BatchSpec { compression: Compression::Lz4, ..BatchSpec::at(Offset(0)) };
    stage.table.hold_back(0, true);
    wire.answer(&asked, &brought([part(0, batch_of(spec, 500))])).await;
    settle().await;
    let held = stage.table.take_deliveries();
    let plain = held[0].parts[0].plain().len();
    assert!(stage.memory.capacity() - stage.memory.free() >= plain);
    drop(held);
    assert_eq!(stage.memory.free(), stage.memory.capacity());
}

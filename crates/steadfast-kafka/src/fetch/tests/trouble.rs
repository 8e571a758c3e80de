//! Silence, broken connections, refusals, damage.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kafka_protocol::messages::FetchResponse;
use kafka_protocol::messages::fetch_response::{LeaderIdAndEpoch, NodeEndpoint};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::acked::Span;
use steadfast_core::endpoints::backoff::Jitter;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{LeaderEpoch, NodeId, Offset, Partition};
use tokio::time::{Instant, sleep};

use super::broker::{batch, batch_of, brought, brought_by_id, part, refusal};
use super::stage::{Setting, TOPIC_ID, partition, settle};
use crate::api::ErrorCode;
use crate::fetch::intake::{NamedLeader, Note};
use crate::records::compression::Compression;
use crate::records::write::{BatchSpec, NewRecord};

const SECOND: Duration = Duration::from_secs(1);
const REST: Duration = Duration::from_millis(100);
const NOT_LEADER: i16 = 6;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn after_a_broken_connection_the_loop_goes_on_from_its_position() {
    let (mut stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([part(0, batch(0, 3))])).await;
    let asked = wire.fetch().await;
    drop(wire);
    let mut wire = stage.accept().await;
    let again = wire.fetch().await;
    assert_eq!((again.offsets(), again.max_wait()), (vec![(0, 3)], Duration::ZERO));
    assert_eq!(again.at - asked.at, millis(25));
    let notes = stage.table.complaints();
    assert!(matches!(&notes[..], [Note::Broken { stood: true, .. }]), "{notes:?}");
}

#[tokio::test(start_paused = true)]
async fn an_idle_loop_notices_that_its_connection_broke() {
    let (stage, mut wire) = Setting::of(1).proven().await;
    let asked = wire.fetch().await;
    stage.table.hold_back(0, true);
    wire.answer(&asked, &brought([part(0, "")])).await;
    wire.hears_nothing_for(SECOND).await;
    assert!(stage.table.complaints().is_empty());
    drop(wire);
    settle().await;
    let notes = stage.table.complaints();
    assert!(matches!(&notes[..], [Note::Broken { stood: true, .. }]), "{notes:?}");
}

#[tokio::test(start_paused = true)]
async fn records_that_were_claimed_as_the_connection_broke_are_delivered_all_the_same() {
    for held_back in [false, true] {
        let (mut stage, mut wire) = Setting::of(1).proven().await;
        let asked = wire.fetch().await;
        stage.table.hold_back(0, held_back);
        wire.answer(&asked, &brought([part(0, batch(0, 3))])).await;
        drop(wire);
        stage.table.hold_back(0, false);
        let mut wire = stage.accept().await;
        assert_eq!(wire.fetch().await.offsets(), [(0, 3)]);
        assert_eq!(stage.table.delivered(), [(0, vec![0, 1, 2])]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_refuses_connections_is_dialled_less_and_less_often() {
    let (mut stage, wire) = Setting::of(1).proven().await;
    drop(stage.listener);
    stage.listener = crate::transport::Memory::default().listen(Setting::address());
    drop(wire);
    sleep(10 * SECOND).await;
    let notes = stage.table.complaints();
    let refused = notes.iter().filter(|note| matches!(note, Note::Broken { stood: false, .. })).count();
    assert_eq!((refused, notes.len()), (14, 15), "{notes:?}");
    stage.listen_again();
    let now = Instant::now();
    let mut wire = stage.accept().await;
    wire.fetch().await;
    assert!(now.elapsed() <= SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_hangs_up_when_it_is_asked_for_records_is_dialled_less_and_less_often() {
    let mut stage = Setting::of(1).start();
    let began = Instant::now();
    for _ in 0..8 {
        stage.accept().await.fetch().await;
    }
    assert_eq!(began.elapsed(), millis(25 + 50 + 100 + 200 + 400 + 800 + 1000));
}

#[tokio::test(start_paused = true)]
async fn how_long_it_is_not_dialled_is_drawn_from_the_second_time_on() {
    let jitter = Arc::new(|| Jitter::new(0.5));
    let mut stage = Setting { jitter, ..Setting::of(1) }.start();
    let began = Instant::now();
    for _ in 0..5 {
        stage.accept().await.fetch().await;
    }
    assert_eq!(began.elapsed(), millis(25 + 25 + 50 + 100));
}

#[tokio::test(start_paused = true)]
async fn a_partition_with_another_leader_rests_and_the_others_go_on() {
    let (stage, mut wire) = Setting::of(2).open().await;
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([refusal(0, NOT_LEADER), part(1, batch(0, 1))])).await;
    let next = wire.fetch().await;
    assert_eq!((next.offsets(), next.at), (vec![(1, 1)], asked.at));
    let note =
        Note::NotLeader { partition: partition(0), code: ErrorCode::NOT_LEADER_OR_FOLLOWER, named: None };
    assert_eq!(stage.table.complaints(), [note]);
    sleep(next.max_wait()).await;
    wire.answer(&next, &brought([part(1, "")])).await;
    let all = wire.fetch().await;
    assert_eq!((all.offsets().len(), all.at - asked.at), (2, REST));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_named_instead_is_told_with_its_address() {
    let (stage, mut wire) = Setting { fetch: 17, ..Setting::of(1) }.open().await;
    let current = LeaderIdAndEpoch::default().with_leader_id(2.into()).with_leader_epoch(9);
    let refused = || brought_by_id(TOPIC_ID.0, [refusal(0, NOT_LEADER).with_current_leader(current.clone())]);
    let at = NodeEndpoint::default()
        .with_node_id(2.into())
        .with_host(StrBytes::from_static_str("elsewhere"))
        .with_port(9093);
    let address = Address::new("elsewhere", 9093);
    let named = NamedLeader { topic: TOPIC_ID, node: NodeId(2), epoch: LeaderEpoch(9), address };
    for (answer, named) in [
        (refused().with_node_endpoints(vec![at.clone()]), Some(named)),
        // Nobody says where that is.
        (refused(), None),
        (refused().with_node_endpoints(vec![at.with_node_id(3.into())]), None),
    ] {
        let asked = wire.fetch().await;
        wire.answer(&asked, &answer).await;
        settle().await;
        let note =
            Note::NotLeader { partition: partition(0), code: ErrorCode::NOT_LEADER_OR_FOLLOWER, named };
        assert_eq!(stage.table.complaints(), [note]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_refused_for_another_reason_rests_longer() {
    let (stage, mut wire) = Setting::of(1).open().await;
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([refusal(0, 29)])).await;
    assert_eq!(wire.fetch().await.at - asked.at, SECOND);
    assert_eq!(stage.table.complaints(), [Note::Refused { partition: partition(0), code: ErrorCode(29) }]);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_whole_answer_is_an_error_of_each_partition() {
    let (stage, mut wire) = Setting::of(2).open().await;
    let asked = wire.fetch().await;
    wire.answer(&asked, &FetchResponse::default().with_error_code(-1)).await;
    assert_eq!(wire.fetch().await.at - asked.at, SECOND);
    let note = |index| Note::Refused { partition: partition(index), code: ErrorCode(-1) };
    assert_eq!(stage.table.complaints(), [note(0), note(1)]);
}

fn undecodable(notes: Vec<Note>) -> Vec<(Partition, Offset, String)> {
    let details = |note| match note {
        Note::Undecodable { partition, position, error } => (partition, position, error),
        other => panic!("expected damage to be noted, found {other:?}"),
    };
    notes.into_iter().map(details).collect()
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_an_answer_leaves_out_rests() {
    let (stage, mut wire) = Setting::of(2).open().await;
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([part(0, batch(0, 1)), part(7, batch(0, 1))])).await;
    assert_eq!(wire.fetch().await.offsets(), [(0, 1)]);
    let notes = undecodable(stage.table.complaints());
    assert_eq!(notes, [(partition(1), Offset(0), "the answer leaves the partition out".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn damaged_records_are_noted_and_asked_for_again_once_a_second() {
    let (stage, mut wire) = Setting::of(1).open().await;
    let mut damaged = batch(0, 3).to_vec();
    damaged[70] ^= 1;
    let mut asked = wire.fetch().await;
    for _ in 0..3 {
        wire.answer(&asked, &brought([part(0, damaged.clone())])).await;
        let again = wire.fetch().await;
        assert_eq!((again.offsets(), again.at - asked.at), (vec![(0, 0)], SECOND));
        let notes = undecodable(stage.table.complaints());
        assert!(notes.len() == 1 && notes[0].2.contains("checksum"), "{notes:?}");
        asked = again;
    }
    assert!(stage.table.take_deliveries().is_empty());
}

#[tokio::test(start_paused = true)]
async fn records_before_the_position_make_no_progress_and_no_hurry() {
    let (_stage, mut wire) = Setting::of(1).open().await;
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([part(0, batch(0, 9))])).await;
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([part(0, batch(0, 9))])).await;
    assert_eq!(wire.fetch().await.at - asked.at, REST);
}

#[tokio::test(start_paused = true)]
async fn answers_without_records_that_come_at_once_are_not_asked_for_in_a_spin() {
    let (_stage, mut wire) = Setting::of(1).proven().await;
    let began = Instant::now();
    for _ in 0..10 {
        let asked = wire.fetch().await;
        wire.answer(&asked, &brought([part(0, "")])).await;
    }
    assert_eq!(began.elapsed(), 9 * REST);
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_is_over_does_not_keep_an_idle_loop_awake() {
    let (stage, mut wire) = Setting::of(1).open().await;
    let asked = wire.fetch().await;
    stage.table.hold_back(0, true);
    wire.answer(&asked, &brought([refusal(0, NOT_LEADER)])).await;
    wire.hears_nothing_for(SECOND).await;
    let before = stage.table.wants.load(Ordering::Relaxed);
    wire.hears_nothing_for(SECOND).await;
    let looks = stage.table.wants.load(Ordering::Relaxed) - before;
    assert!((9..=11).contains(&looks), "expected ten looks in a second, found {looks}");
}

/// A batch of one record at `offset` that unfolds to `size` zeros.
fn folded(offset: i64, size: usize) -> Vec<u8> {
    let spec = BatchSpec { compression: Compression::Zstd, ..BatchSpec::at(Offset(offset)) };
    spec.write(&[NewRecord::new(Offset(offset), 0, vec![0; size])]).unwrap().to_vec()
}

#[tokio::test(start_paused = true)]
async fn batches_that_unfold_to_too_much_together_are_delivered_one_by_one() {
    let (stage, mut wire) = Setting::of(1).open().await;
    let log = [folded(0, 40_000), folded(1, 40_000), folded(2, 40_000)].concat();
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([part(0, log.clone())])).await;
    let ahead = wire.fetch().await;
    assert_eq!(ahead.offsets(), [(0, 3)]);
    wire.answer(&ahead, &brought([part(0, batch(3, 1))])).await;
    for offset in 0..3 {
        let asked = wire.fetch().await;
        assert_eq!(asked.offsets(), [(0, offset)]);
        wire.answer(&asked, &brought([part(0, log.clone())])).await;
    }
    assert_eq!(wire.fetch().await.offsets(), [(0, 3)]);
    assert_eq!(stage.table.delivered(), [(0, vec![0]), (0, vec![1]), (0, vec![2])]);
    assert!(stage.table.complaints().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_cannot_be_decompressed_is_noted_and_costs_the_handler_its_lease_once() {
    let (stage, mut wire) = Setting::of(1).open().await;
    let log = [folded(0, 10), folded(1, 1 << 20)].concat();
    let asked = wire.fetch().await;
    let generation = stage.table.on(0, |progress| progress.position().generation.0);
    wire.answer(&asked, &brought([part(0, log.clone())])).await;
    let ahead = wire.fetch().await;
    wire.answer(&ahead, &brought([part(0, batch(2, 1))])).await;
    let asked = wire.fetch().await;
    assert_eq!(asked.offsets(), [(0, 0)], "what was claimed is given back");
    wire.answer(&asked, &brought([part(0, log.clone())])).await;
    let mut asked = wire.fetch().await;
    assert_eq!(stage.table.delivered(), [(0, vec![0])], "what is before it gets through");
    for _ in 0..3 {
        wire.answer(&asked, &brought([part(0, folded(1, 1 << 20))])).await;
        let again = wire.fetch().await;
        assert_eq!((again.offsets(), again.at - asked.at), (vec![(0, 1)], SECOND));
        let notes = undecodable(stage.table.complaints());
        assert_eq!((&notes[0].0, notes[0].1, notes.len()), (&partition(0), Offset(1), 1));
        let told = std::mem::take(&mut *stage.table.unreadable.lock().unwrap());
        let size = folded(1, 1 << 20).len();
        assert_eq!(told, [(0, Span::new(Offset(1), Offset(2)), size)], "it is its owner's to decide");
        asked = again;
    }
    assert_eq!(stage.table.on(0, |progress| progress.position().generation.0), generation + 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_past_the_end_of_a_grant_is_not_delivered() {
    let (stage, mut wire) = Setting::of(1).open().await;
    let log = [folded(0, 10), folded(1, 10), folded(2, 1 << 20)].concat();
    *stage.table.granted_to.lock().unwrap() = Some(Offset(2));
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([part(0, log)])).await;
    assert_eq!(wire.fetch().await.offsets(), [(0, 2)], "and fetched again");
    let spans: Vec<Span> = stage.table.take_deliveries().iter().map(|delivery| delivery.span).collect();
    assert_eq!(spans, [Span::new(Offset(0), Offset(2))]);
    assert!(stage.table.complaints().is_empty(), "nor decompressed");
}

#[tokio::test(start_paused = true)]
async fn whatever_stands_before_damage_is_delivered() {
    let (stage, mut wire) = Setting::of(1).open().await;
    let mut damaged = batch_of(BatchSpec::at(Offset(3)), 2).to_vec();
    damaged[70] ^= 1;
    let asked = wire.fetch().await;
    wire.answer(&asked, &brought([part(0, [batch(0, 3).to_vec(), damaged].concat())])).await;
    assert_eq!(wire.fetch().await.offsets(), [(0, 3)]);
    assert_eq!(stage.table.delivered(), [(0, vec![0, 1, 2])]);
    assert!(stage.table.complaints().is_empty());
}

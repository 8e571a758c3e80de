//! Partitions that a leader is given while a fetch is parked at it.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::messages::FetchRequest;
use tokio::time::{Instant, sleep};

use super::broker::{Asked, Wire, batch, brought, part};
use super::stage::{MAX_WAIT, Setting};

/// The time after which a connection may be left for a wider fetch.
const STOOD: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn a_partition_that_is_led_while_a_fetch_is_parked_is_fetched_over_a_fresh_connection_at_once() {
    let (mut stage, mut wire) = Setting::of(2).open().await;
    stage.lead([0]);
    parked_for(STOOD, &mut wire).await;
    let asked = wire.fetch().await;
    sleep(Duration::from_millis(100)).await;
    stage.lead([0, 1]);
    let mut fresh = stage.accept().await;
    let wider = fresh.fetch().await;
    let both = |asked: &Asked<FetchRequest>| asked.offsets().into_iter().collect::<BTreeMap<_, _>>();
    assert_eq!((both(&wider), wider.max_wait()), ([(0, 0), (1, 0)].into(), Duration::ZERO));
    assert_eq!(wider.at - asked.at, Duration::from_millis(100));
    wire.closed().await;
    assert_eq!(stage.table.complaints(), []);
    fresh.answer(&wider, &brought([part(0, batch(0, 2)), part(1, batch(0, 1))])).await;
    assert_eq!(both(&fresh.fetch().await), [(0, 2), (1, 1)].into());
}

#[tokio::test(start_paused = true)]
async fn partitions_that_are_led_one_after_another_cost_no_connection_each() {
    let (mut stage, mut wire) = Setting::of(3).open().await;
    stage.lead([0]);
    let first = wire.fetch().await;
    wire.answer(&first, &brought([part(0, "")])).await;
    let asked = wire.fetch().await;
    stage.lead([0, 1]);
    wire.hears_nothing_for(MAX_WAIT).await;
    wire.answer(&asked, &brought([part(0, "")])).await;
    assert_eq!(wire.fetch().await.offsets(), [(0, 0), (1, 0)]);
}

#[tokio::test(start_paused = true)]
async fn where_no_fresh_connection_can_be_had_the_parked_fetch_is_waited_for() {
    let (mut stage, mut wire) = Setting::of(2).open().await;
    stage.lead([0]);
    parked_for(STOOD, &mut wire).await;
    let asked = wire.fetch().await;
    // Whoever connects is never answered.
    stage.lead([0, 1]);
    wire.hears_nothing_for(MAX_WAIT).await;
    wire.answer(&asked, &brought([part(0, "")])).await;
    assert_eq!(wire.fetch().await.offsets(), [(0, 0), (1, 0)]);
    assert_eq!(stage.table.complaints(), []);
}

/// Answers fetches with nothing, each at the end of its wait, until the connection has stood for so long.
async fn parked_for(how_long: Duration, wire: &mut Wire) {
    let until = Instant::now() + how_long;
    while Instant::now() < until {
        let asked = wire.fetch().await;
        sleep(asked.max_wait()).await;
        let parts = asked.offsets().into_iter().map(|(index, _)| part(index, ""));
        wire.answer(&asked, &brought(parts)).await;
    }
}

//! Many partitions that begin at once.

use std::collections::BTreeSet;
use std::time::Duration;

use super::broker::{brought, part};
use super::stage::{MAX_WAIT, Setting};

#[tokio::test(start_paused = true)]
async fn many_that_begin_are_asked_for_in_growing_bursts_and_none_waits_for_records_of_the_others() {
    let (_stage, mut wire) = Setting::of(100).open().await;
    let (mut begun, mut bursts) = (BTreeSet::new(), Vec::new());
    while begun.len() < 100 {
        let asked = wire.fetch().await;
        let indexes: BTreeSet<i32> = asked.offsets().into_iter().map(|(index, _)| index).collect();
        assert!(begun.is_subset(&indexes), "what has begun goes on");
        bursts.push(indexes.len() - begun.len());
        let last = indexes.len() == 100;
        assert_eq!(asked.max_wait(), if last { MAX_WAIT } else { Duration::ZERO });
        begun.extend(indexes.iter().copied());
        wire.answer(&asked, &brought(indexes.into_iter().map(|index| part(index, "")))).await;
    }
    assert_eq!(bursts, [16, 32, 52]);
}

#[tokio::test(start_paused = true)]
async fn a_few_that_begin_are_all_in_the_first_fetch() {
    let (_stage, mut wire) = Setting::of(16).open().await;
    assert_eq!(wire.fetch().await.offsets().len(), 16);
}

#[tokio::test(start_paused = true)]
async fn what_was_given_up_and_comes_back_begins_anew() {
    let (mut stage, mut wire) = Setting::of(40).open().await;
    for fetched in [16, 40] {
        let asked = wire.fetch().await;
        assert_eq!(asked.offsets().len(), fetched);
        if fetched == 40 {
            stage.lead(0..1);
        }
        let parts = asked.offsets().into_iter().map(|(index, _)| part(index, ""));
        wire.answer(&asked, &brought(parts)).await;
    }
    let asked = wire.fetch().await;
    assert_eq!(asked.offsets().len(), 1);
    stage.lead(0..40);
    wire.answer(&asked, &brought([part(0, "")])).await;
    // The one that was kept rests: it was answered early, with nothing.
    assert_eq!(wire.fetch().await.offsets().len(), 16);
}

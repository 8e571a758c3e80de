//! Burrow's examples, and what holds for all samples.

use proptest::prelude::*;

use super::*;

const SPAN: Duration = Duration::from_secs(12);

/// A window of one sample a second: committed offset and end of each.
fn window(held: bool, samples: &[(i64, i64)]) -> Window {
    let mut window = Window::new(SPAN);
    for (second, (committed, end)) in (0..).zip(samples) {
        let at = Tick::at(Duration::from_secs(second));
        window.push(Sample { at, committed: Offset(*committed), end: Offset(*end), held });
    }
    window
}

fn held(samples: &[(i64, i64)]) -> Option<Verdict> {
    window(true, samples).verdict()
}

fn left(samples: &[(i64, i64)]) -> Option<Verdict> {
    window(false, samples).verdict()
}

#[test]
fn no_lag_now_or_in_the_window_is_fine() {
    assert_eq!(held(&[(7, 7)]), Some(Verdict::Ok));
    assert_eq!(held(&[(10, 10), (10, 20), (10, 30)]), Some(Verdict::Ok));
    assert_eq!(left(&[(5, 20), (6, 20), (20, 20)]), Some(Verdict::Ok));
    assert_eq!(held(&[(0, 0), (0, 0)]), Some(Verdict::Ok), "nothing was ever written");
}

#[test]
fn one_sample_with_lag_says_nothing_yet_and_none_says_nothing_at_all() {
    assert_eq!(held(&[(5, 9)]), None);
    assert_eq!(Window::new(SPAN).verdict(), None);
}

#[test]
fn lag_that_shrinks_is_fine_however_large() {
    assert_eq!(held(&[(0, 1_000_000), (400, 1_000_100), (800, 1_000_200)]), Some(Verdict::Ok));
}

#[test]
fn lag_that_grows_from_commit_to_commit_is_a_warning() {
    assert_eq!(held(&[(0, 100), (10, 150), (20, 200)]), Some(Verdict::Warn));
    assert_eq!(held(&[(0, 100), (10, 110), (20, 120)]), Some(Verdict::Warn), "neither does lag that stays");
}

#[test]
fn lag_between_commits_does_not_hide_that_it_falls_behind() {
    // Commits at seconds 3 and 8; 100 records a second are written, 60 processed. The lag at the first sample, 3 s
    // after its commit, is larger than at the commit that follows.
    let samples: Vec<(i64, i64)> = (0..12)
        .map(|second| (if second < 3 { 0 } else { 300 * ((second - 3) / 5 + 1) }, 450 + 100 * second))
        .collect();
    assert!(samples[2].1 - samples[2].0 > samples[3].1 - samples[3].0);
    assert_eq!(held(&samples), Some(Verdict::Warn));
}

#[test]
fn an_offset_that_stands_still_under_a_member_is_a_stall() {
    assert_eq!(held(&[(5, 20), (5, 30), (5, 40)]), Some(Verdict::Stall));
    assert_eq!(held(&[(5, 20), (5, 20)]), Some(Verdict::Stall), "also if nothing more is written");
}

#[test]
fn commits_that_ceased_with_nobody_there_are_a_stop() {
    assert_eq!(left(&[(5, 20), (5, 30), (5, 40)]), Some(Verdict::Stop));
    assert_eq!(left(&[(5, 20), (6, 30), (6, 40), (6, 50)]), Some(Verdict::Stop));
}

#[test]
fn whoever_commits_without_being_a_member_has_not_stopped() {
    assert_eq!(left(&[(5, 20), (6, 22), (7, 24)]), Some(Verdict::Warn));
    assert_eq!(left(&[(5, 20), (9, 22), (13, 24), (13, 25)]), Some(Verdict::Ok));
}

#[test]
fn an_offset_that_goes_back_is_a_rewind_whoever_holds_it() {
    for verdict in [held(&[(9, 20), (5, 30), (6, 40)]), left(&[(9, 20), (5, 30), (5, 40), (5, 50)])] {
        assert_eq!(verdict, Some(Verdict::Rewind));
    }
}

#[test]
fn what_is_older_than_the_window_is_forgotten() {
    let mut samples = vec![(9, 20), (5, 30)];
    samples.extend((0..13).map(|second| (5, 31 + second)));
    assert_eq!(held(&samples[..4]), Some(Verdict::Rewind));
    assert_eq!(held(&samples), Some(Verdict::Stall));
    assert_eq!(window(true, &samples).covered(), SPAN);
}

#[test]
fn what_is_committed_past_the_end_is_no_lag() {
    assert_eq!(held(&[(9, 5), (9, 5)]), Some(Verdict::Ok));
}

#[test]
fn a_group_is_as_well_as_its_worst_partition() {
    assert_eq!(worst([Verdict::Ok, Verdict::Stall, Verdict::Stop]), Some(Verdict::Stall));
    assert_eq!(worst([]), None);
    assert!(!Verdict::Warn.is_error() && Verdict::Stop.is_error());
}

fn samples() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::vec((0..20i64, 0..40i64), 2..20)
}

/// Committed and end only grow, and there is always lag.
fn growing() -> impl Strategy<Value = Vec<(i64, i64)>> {
    prop::collection::vec((0..5i64, 0..5i64), 2..12).prop_map(|steps| {
        let grown = steps.into_iter().scan((0, 100), |(committed, end), (more, written)| {
            (*committed, *end) = (*committed + more, *end + written);
            Some((*committed, *end))
        });
        grown.collect()
    })
}

proptest! {
    #[test]
    fn there_is_a_verdict_and_lag_behind_all_but_the_best(samples in samples(), held: bool) {
        let window = window(held, &samples);
        let verdict = window.verdict().unwrap();
        let within = samples.iter().rev().take(13);
        let caught_up = within.clone().any(|(committed, end)| committed >= end);
        prop_assert_eq!(caught_up && verdict != Verdict::Ok, false);
        prop_assert!(verdict != Verdict::Stop || !held);
        prop_assert!(window.samples.len() <= 13);
    }

    #[test]
    fn nothing_that_only_grows_is_a_rewind(samples in growing(), held: bool) {
        prop_assert_ne!(window(held, &samples).verdict(), Some(Verdict::Rewind));
    }

    #[test]
    fn it_is_a_stall_only_if_nothing_moved(samples in growing()) {
        let moved = samples.iter().any(|(committed, _)| *committed != samples[0].0);
        let verdict = window(true, &samples).verdict().unwrap();
        prop_assert_eq!(verdict == Verdict::Stall, !moved);
    }

    #[test]
    fn other_offsets_of_the_same_distance_say_the_same(samples in growing(), by in 0..1_000i64, held: bool) {
        let moved: Vec<_> = samples.iter().map(|(committed, end)| (committed + by, end + by)).collect();
        prop_assert_eq!(window(held, &samples).verdict(), window(held, &moved).verdict());
    }

    #[test]
    fn a_faster_consumer_is_never_judged_worse_than_one_that_stands_still(samples in growing(), held: bool) {
        let still: Vec<_> = samples.iter().map(|(_, end)| (0, *end)).collect();
        prop_assert!(window(held, &samples).verdict() <= window(held, &still).verdict());
    }
}

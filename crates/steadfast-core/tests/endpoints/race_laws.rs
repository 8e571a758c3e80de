//! How often discoveries begin, for any sequence of events: Recovery 1.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;
use steadfast_core::endpoints::race::{Action, Event, Evidence, Limits, Race, Rate};
use steadfast_core::tick::Tick;

use crate::race::{BROKEN, SILENT};

/// What may happen to a race, and after how many milliseconds.
fn happenings() -> impl Strategy<Value = Vec<(Option<Event<i32>>, u64)>> {
    let settled = |found| Event::Settled { unverified: BTreeSet::new(), found };
    let event = prop_oneof![
        3 => Just(Some(BROKEN)),
        6 => Just(Some(SILENT)),
        4 => Just(Some(settled(false))),
        1 => Just(Some(settled(true))),
        1 => Just(None),
    ];
    let wait = prop_oneof![4 => 0..300u64, 1 => 0..6_000u64];
    proptest::collection::vec((event, wait), 1..200)
}

/// What a race was told and what it began, on which evidence.
#[derive(Default)]
struct Rated {
    begun: Vec<(Tick, bool)>,
    found: Vec<Tick>,
}

impl Rated {
    /// Plays all of it, and checks that no suspicion waits for longer than it may.
    fn play(happenings: Vec<(Option<Event<i32>>, u64)>) -> Rated {
        let mut race = Race::new(Limits::default(), Rate::default(), None);
        let (mut rated, mut now) = (Rated::default(), Tick::ZERO);
        let mut open: [Option<Tick>; 2] = [None, None];
        for (event, wait) in happenings {
            let until = now + Duration::from_millis(wait);
            while let Some(due) = race.next_deadline().filter(|due| *due <= until) {
                now = now.max(due);
                rated.feed(&mut race, Event::Elapsed, now, &mut open);
            }
            now = until;
            if let Some(event) = event {
                rated.feed(&mut race, event, now, &mut open);
            }
        }
        rated
    }

    fn feed(&mut self, race: &mut Race, event: Event<i32>, now: Tick, open: &mut [Option<Tick>; 2]) {
        match &event {
            Event::Suspected { evidence: Evidence::Broken } => drop(open[0].get_or_insert(now)),
            Event::Suspected { evidence: Evidence::Silent } => drop(open[1].get_or_insert(now)),
            Event::Settled { found: true, .. } => self.found.push(now),
            _ => {}
        }
        let begins = race.handle(event, now).iter().any(|action| matches!(action, Action::Begin { .. }));
        let limits = [Duration::from_secs(1), Duration::from_secs(5)];
        for (since, limit) in open.iter().zip(limits).filter_map(|(since, limit)| Some(((*since)?, limit))) {
            assert!(now.since(since) <= limit, "suspected at {since}, and nothing began until {now}");
        }
        if begins {
            self.begun.push((now, open[0].is_none()));
        }
        if race.is_running() {
            *open = [None, None];
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever happens: five discoveries a second at most; of those that silence alone began, one in five seconds
    /// or after one that found something; and every suspicion is looked into within a second, within five if it is
    /// silence, whatever came before.
    #[test]
    fn discoveries_are_bounded_and_no_suspicion_is_lost(happenings in happenings()) {
        let rated = Rated::play(happenings);
        for run in rated.begun.windows(6) {
            prop_assert!(run[5].0.since(run[0].0) >= Duration::from_secs(1));
        }
        let silent: Vec<Tick> = rated.begun.iter().filter(|(_, silent)| *silent).map(|(at, _)| *at).collect();
        for two in silent.windows(2) {
            let found = rated.found.iter().any(|at| (two[0]..=two[1]).contains(at));
            prop_assert!(found || two[1].since(two[0]) >= Duration::from_secs(5));
        }
    }
}

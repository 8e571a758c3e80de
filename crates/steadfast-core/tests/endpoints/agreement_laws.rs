//! What holds of the agreement whatever the witnesses say.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use steadfast_core::endpoints::agreement::Verdict;
use steadfast_core::endpoints::view::{Address, View};

use crate::scene::{OLD, Scene, at};

/// One word of one witness: an answer (cluster, endpoints) or silence.
type Word = (usize, Option<(bool, BTreeMap<i32, usize>)>);

const HOSTS: [&str; 5] = ["a", "b", "c", "d", "e"];

/// Witnesses choose among few views, so that they agree now and then.
fn words() -> impl Strategy<Value = Vec<Word>> {
    let endpoints = proptest::collection::btree_map(1..4i32, 0..HOSTS.len(), 0..4);
    let views = proptest::collection::vec((proptest::bool::weighted(0.9), endpoints), 1..4);
    let word = (0..HOSTS.len(), proptest::option::weighted(0.8, any::<prop::sample::Index>()));
    (views, proptest::collection::vec(word, 0..12)).prop_map(|(views, words)| {
        let choose = |choice: prop::sample::Index| choice.get(&views).clone();
        words.into_iter().map(|(host, choice)| (host, choice.map(choose))).collect()
    })
}

fn spoken((ours, endpoints): &(bool, BTreeMap<i32, usize>)) -> View<i32> {
    let id = if *ours { "pinned" } else { "other" };
    View::new(Some(id.into()), endpoints.iter().map(|(node, host)| (*node, at(HOSTS[*host]))))
}

fn hear(scene: &mut Scene, (host, said): &Word) {
    match said {
        Some(answer) => drop(scene.hears(HOSTS[*host], spoken(answer))),
        None => scene.silent(HOSTS[*host]),
    }
}

/// The last word of each address.
fn last_words(words: &[Word]) -> BTreeMap<usize, &Word> {
    words.iter().map(|word| (word.0, word)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_is_agreed_is_of_the_pinned_cluster_and_stood_behind_where_it_points(
        words in words(), wait in 0..4_000u64,
    ) {
        let mut scene = Scene::pinned();
        words.iter().for_each(|word| hear(&mut scene, word));
        scene.after(wait);
        let last = last_words(&words);
        let voice = |address: &Address| {
            let host = HOSTS.iter().position(|host| *host == address.host)?;
            let view = spoken(last.get(&host)?.1.as_ref()?);
            (view.cluster == Some("pinned".into()) && !view.endpoints.is_empty()).then_some(view)
        };
        if let Verdict::Agreed { view, verified, support, electorate } = scene.verdict() {
            let listed: BTreeSet<_> = view.endpoints.values().map(|at| at.address.clone()).collect();
            let votes = listed.iter().filter(|address| voice(address).as_ref() == Some(&view)).count();
            let heard = listed.iter().filter(|address| voice(address).is_some()).count();
            prop_assert_eq!(view.cluster.as_ref(), Some(&"pinned".into()));
            prop_assert_eq!((support, electorate), (votes, listed.len()));
            let others = HOSTS.iter().map(|host| at(host)).filter(|address| {
                voice(address).is_some_and(|own| own != view && own.endpoints.values().any(|e| e.address == *address))
            });
            let settled = votes > 0 && votes == heard && others.count() == 0 && wait >= 2_000;
            prop_assert!(votes * 2 > listed.len() || settled);
            for (node, at) in &view.endpoints {
                let own = voice(&at.address).is_some_and(|own| own.address(node) == Some(&at.address));
                prop_assert_eq!(verified.contains(node), own);
            }
            prop_assert!(!verified.is_empty());
        }
    }

    #[test]
    fn the_order_in_which_witnesses_are_heard_does_not_matter(
        (words, shuffled) in words().prop_map(|words| last_words(&words).into_values().cloned().collect::<Vec<_>>())
            .prop_flat_map(|words| (Just(words.clone()), Just(words).prop_shuffle())),
    ) {
        let verdict = |words: &[Word]| {
            let mut scene = Scene::using("1=a 2=b 3=c");
            words.iter().for_each(|word| hear(&mut scene, word));
            scene.verdict()
        };
        prop_assert_eq!(verdict(&words), verdict(&shuffled));
    }

    #[test]
    fn a_failed_witness_changes_nothing_that_silence_would_not(words in words(), wait in 0..4_000u64) {
        let silenced: Vec<Word> = words.iter().cloned().map(|(host, said)| {
            (host, said.filter(|(ours, endpoints)| *ours && !endpoints.is_empty()))
        }).collect();
        let verdict = |words: &[Word]| {
            let mut scene = Scene::pinned();
            words.iter().for_each(|word| hear(&mut scene, word));
            scene.after(wait);
            match scene.verdict() {
                Verdict::Undecided { ask, missing, .. } => Verdict::Undecided { ask, missing, failed: BTreeMap::new() },
                decided @ (Verdict::Agreed { .. } | Verdict::Settling { .. }) => decided,
            }
        };
        prop_assert_eq!(verdict(&words), verdict(&silenced));
    }

    #[test]
    fn the_view_in_use_stays_as_long_as_a_majority_stands_behind_it(words in words(), wait in 0..4_000u64) {
        let mut scene = Scene::using(OLD);
        words.iter().for_each(|word| hear(&mut scene, word));
        scene.all_say("a c", OLD);
        scene.after(wait);
        scene.agrees_on(OLD);
    }

    #[test]
    fn once_all_its_addresses_were_asked_a_deadline_leads_to_a_decision(words in words()) {
        let mut scene = Scene::pinned();
        words.iter().for_each(|word| hear(&mut scene, word));
        if let Verdict::Settling { until, .. } = scene.verdict() {
            prop_assert_eq!(scene.agreement.next_deadline(), Some(until));
            scene.now = until;
            let decided = matches!(scene.verdict(), Verdict::Agreed { .. });
            prop_assert!(decided, "{words:?}");
        } else {
            prop_assert_eq!(scene.agreement.next_deadline(), None);
        }
    }
}

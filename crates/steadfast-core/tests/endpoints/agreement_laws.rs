//! What holds of the agreement whatever the witnesses say.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use steadfast_core::endpoints::agreement::Verdict;
use steadfast_core::endpoints::view::{Address, Observation, View};

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
        if let Verdict::Agreed { view, verified, support, electorate, .. } = scene.verdict() {
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

/// What a witness may say that is not the truth about `brokers` brokers, number n at `nodeN`.
#[derive(Debug, Clone)]
enum Lie {
    /// Only this many of the brokers, itself among them: a half-empty view.
    Half(usize),
    /// All brokers are where it is: what a proxy in front of them would say.
    Everybody,
    /// Itself, and for the others where they once were.
    Stale,
    /// The others' addresses are swapped.
    Swapped,
    /// Brokers that nobody else knows, beside itself.
    Invented(usize),
    /// Another cluster.
    Other,
    /// Nobody.
    Empty,
}

fn lies() -> impl Strategy<Value = Lie> {
    prop_oneof![
        (1..4usize).prop_map(Lie::Half),
        Just(Lie::Everybody),
        Just(Lie::Stale),
        Just(Lie::Swapped),
        (1..4usize).prop_map(Lie::Invented),
        Just(Lie::Other),
        Just(Lie::Empty),
    ]
}

fn own(node: usize) -> String {
    format!("node{node}")
}

fn of(id: &str, endpoints: impl IntoIterator<Item = (usize, String)>) -> View<i32> {
    View::new(Some(id.into()), endpoints.into_iter().map(|(node, host)| (node as i32, at(&host))))
}

fn truth(brokers: usize) -> View<i32> {
    of("pinned", (0..brokers).map(|node| (node, own(node))))
}

/// What `liar` says. The liars are the lowest numbers, and may say the same.
fn told(lie: &Lie, liar: usize, brokers: usize) -> View<i32> {
    let all = 0..brokers;
    match lie {
        Lie::Half(some) => of("pinned", all.filter(|node| node == &liar || node < some).map(|n| (n, own(n)))),
        Lie::Everybody => of("pinned", all.map(|node| (node, own(liar)))),
        Lie::Stale => of("pinned", all.map(|n| (n, if n == liar { own(n) } else { format!("old{n}") }))),
        Lie::Swapped => of("pinned", all.map(|node| (node, own(brokers - 1 - node)))),
        Lie::Invented(some) => {
            let invented = (0..*some).map(|n| (brokers + n, format!("nobody{n}")));
            of("pinned", (0..=liar).map(|n| (n, own(n))).chain(invented))
        }
        Lie::Other => of("other", all.map(|node| (node, own(node)))),
        Lie::Empty => of("pinned", []),
    }
}

/// A cluster in which a minority lies; the order in which all of them answer.
fn lied_to() -> impl Strategy<Value = (usize, usize, Lie, Vec<usize>)> {
    (3..9usize).prop_flat_map(|brokers| (Just(brokers), 0..=(brokers - 1) / 2, lies())).prop_flat_map(
        |(brokers, liars, lie)| {
            (Just(brokers), Just(liars), Just(lie), Just((0..brokers).collect::<Vec<_>>()).prop_shuffle())
        },
    )
}

fn says(scene: &mut Scene, node: usize, view: View<i32>) {
    drop(scene.hears(&own(node), view));
    for dead in ["old", "nobody"] {
        (0..9).for_each(|n| scene.silent(&format!("{dead}{n}")));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A minority of stale or lying witnesses never wins against the view in use, also when it answers first and
    /// whatever it agrees on among itself: not with another cluster's view, an empty or a half-empty one.
    #[test]
    fn a_lying_minority_never_wins_against_the_view_in_use(
        (brokers, liars, lie, order) in lied_to(), pause in 0..3_000u64,
    ) {
        let mut scene = Scene { in_use: Some(truth(brokers)), ..Scene::pinned() };
        for node in order {
            let said = if node < liars { told(&lie, node, brokers) } else { truth(brokers) };
            says(&mut scene, node, said);
            scene.after(pause);
            if let Verdict::Agreed { view, .. } = scene.verdict() {
                prop_assert_eq!(view, truth(brokers));
            }
        }
        let agreed = matches!(scene.verdict(), Verdict::Agreed { view, .. } if view == truth(brokers));
        prop_assert!(agreed);
    }

    /// At a first start the first to answer may be believed when it knows only itself; once the majority was heard
    /// the majority's view is used, whatever was used until then.
    #[test]
    fn a_lying_minority_at_a_first_start_is_corrected_by_the_majority((brokers, liars, lie, order) in lied_to()) {
        let mut scene = Scene::pinned();
        for node in order {
            let said = if node < liars { told(&lie, node, brokers) } else { truth(brokers) };
            says(&mut scene, node, said);
            if let Verdict::Agreed { view, .. } = scene.verdict() {
                scene.in_use = Some(view);
            }
        }
        prop_assert_eq!(scene.in_use, Some(truth(brokers)));
    }

    /// Brokers that are dead and still listed hold nobody up: with a majority alive the view is agreed at once, with
    /// fewer once it has settled, with none never. So it is with one broker and with two.
    #[test]
    fn dead_brokers_that_are_still_listed_hold_nobody_up(brokers in 1..9usize, dead in 0..9usize) {
        let dead = dead.min(brokers);
        let mut scene = Scene { in_use: Some(truth(brokers)), ..Scene::pinned() };
        (0..dead).for_each(|node| scene.silent(&own(node)));
        (dead..brokers).for_each(|node| says(&mut scene, node, truth(brokers)));
        let alive = brokers - dead;
        let at_once = matches!(scene.verdict(), Verdict::Agreed { support, .. } if support == alive);
        prop_assert_eq!(at_once, alive * 2 > brokers);
        scene.after(2_000);
        let later = matches!(scene.verdict(), Verdict::Agreed { support, .. } if support == alive);
        prop_assert_eq!(later, alive > 0);
    }

    /// A proxy that gives all brokers one host with several ports is as many votes as ports; one that gives all of
    /// them one host and port is one vote, and enough: nobody else is to be asked.
    #[test]
    fn a_proxy_has_as_many_votes_as_addresses(brokers in 1..9usize, ports in 1..9u16, used: bool) {
        let port = |node: usize| 9000 + (node as u16) % ports;
        let endpoints = (0..brokers).map(|node| (node as i32, Address::new("proxy", port(node))));
        let view = View::new(Some("pinned".into()), endpoints);
        let addresses: BTreeSet<Address> = view.endpoints.values().map(|at| at.address.clone()).collect();
        let mut scene = Scene { in_use: used.then(|| view.clone()), ..Scene::pinned() };
        for (answered, witness) in addresses.iter().enumerate() {
            let observation = Observation { witness: witness.clone(), view: view.clone(), at: scene.now };
            prop_assert_eq!(scene.agreement.answered(observation, scene.now), None);
            let support = answered + 1;
            let agreed = matches!(scene.verdict(), Verdict::Agreed { support: found, electorate, .. }
                if found == support && electorate == addresses.len());
            prop_assert_eq!(agreed, support * 2 > addresses.len());
        }
    }

    /// A zone-aware service tells every client its own way to the others: its witnesses disagree for ever, and that
    /// leaves the endpoints in use untouched.
    #[test]
    fn zones_that_disagree_for_ever_change_nothing(brokers in 2..9usize, rounds in 1..20usize, pause in 0..5_000u64) {
        let zoned = |zone: usize| {
            let seen = |node| if node == zone { own(node) } else { format!("far{zone}-{node}") };
            of("pinned", (0..brokers).map(|node| (node, seen(node))))
        };
        let mut scene = Scene { in_use: Some(truth(brokers)), ..Scene::pinned() };
        for zone in (0..rounds).flat_map(|_| 0..brokers) {
            says(&mut scene, zone, zoned(zone));
            (0..brokers).for_each(|node| scene.silent(&format!("far{zone}-{node}")));
            scene.after(pause / brokers as u64);
            let undecided = matches!(scene.verdict(), Verdict::Undecided { .. });
            prop_assert!(undecided);
        }
    }
}

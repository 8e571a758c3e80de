//! The catalogue that `steadfast drill` plays: each scenario under the default policy, from several seeds.

use std::collections::BTreeSet;

use steadfast::config::Config;
use steadfast::drill::policy::Policy;
use steadfast::drill::row::Row;
use steadfast::drill::scenario::Outcome;
use steadfast::drill::scenarios::{self, ALL};
use steadfast_tests::simulated::sweep::expect_panics;

const SEEDS: [u64; 3] = [1, 2, 3];

/// Everything at its default.
fn default_policy() -> Policy {
    policy("")
}

fn policy(settings: &str) -> Policy {
    let text = format!(
        "topics = [\"t\"]\n[state]\ndir = \"/nowhere\"\n[kafka]\n\"bootstrap.servers\" = \"a:1\"\n\"group.id\" = \"g\"\n{settings}"
    );
    Policy::new(Config::from_toml_str(&text).unwrap())
}

fn played(name: &str, policy: &Policy, seed: u64) -> (Row, Outcome) {
    expect_panics();
    let scenario = scenarios::named(name).unwrap();
    let outcome = scenario.play(policy, seed).unwrap();
    (Row::of(scenario, &outcome), outcome)
}

fn passes(name: &str, seeds: &[u64]) {
    for seed in seeds {
        let (row, outcome) = played(name, &default_policy(), *seed);
        assert!(
            outcome.passed(),
            "{}\n{}\nseed {seed}: replay it with steadfast drill --scenario {name} --seed {seed} --log FILE",
            Row::heading(),
            row.text()
        );
    }
}

macro_rules! pass {
    ($($test:ident $name:literal)*) => {
        $(#[test]
        fn $test() {
            passes($name, &SEEDS);
        })*

        /// The scenarios above.
        const PASSED: &[&str] = &[$($name),*];
    };
}

pass! {
    all_endpoints_replaced_at_once "all-replaced"
    brokers_that_move_one_after_another "rolling"
    names_that_resolve_to_new_addresses "dns-new-addresses"
    addresses_behind_a_stable_name "stable-name"
    addresses_recycled_between_brokers "recycled"
    ports_of_one_host_that_are_swapped "port-swap"
    listeners_that_go_from_plain_text_to_tls "plaintext-to-tls"
    a_load_balancer_that_leads_elsewhere "load-balancer"
    another_cluster_at_an_old_address "other-cluster"
    a_stale_broker_that_answers_first "stale-broker"
    empty_and_half_empty_metadata "half-metadata"
    metadata_that_lags_the_move "lagging-metadata"
    a_part_of_the_brokers "partial"
    brokers_that_come_and_go "scale"
    endpoints_that_flap_for_an_hour "flapping"
    brokers_that_nobody_reaches "unreachable"
    commits_and_closes_that_hang "hung-close"
    black_holes_of_both_kinds "black-hole"
    a_bootstrap_list_that_is_dead "dead-bootstrap"
    a_start_from_what_is_stored "cold-start"
    a_move_in_the_middle_of_a_round "mid-rebalance"
    a_move_in_the_middle_of_a_commit "mid-commit"
    a_move_in_the_middle_of_a_recovery "twice"
    actors_that_panic_in_the_middle_of_a_recovery "panics"
    a_grace_of_ten_seconds "grace"
    connections_that_fall_silent "silent-connections"
    a_change_of_configuration_at_the_same_instant "config-and-drift"
    brokers_that_pause_and_throttle "throttled"
}

/// It takes as long as all others together.
#[test]
fn five_hundred_clients_at_once() {
    passes("storm", &SEEDS[..1]);
}

#[test]
fn every_scenario_is_there_once_by_number_and_name_and_is_tested() {
    let numbers: Vec<u8> = ALL.iter().map(|scenario| scenario.number).collect();
    assert_eq!(numbers, (1..=29).collect::<Vec<u8>>());
    let names: BTreeSet<&str> = ALL.iter().map(|scenario| scenario.name).collect();
    assert_eq!(names.len(), ALL.len());
    let tested: BTreeSet<&str> = PASSED.iter().copied().chain(["storm"]).collect();
    assert_eq!(tested, names);
    let page = include_str!("../../../docs/drill.md");
    for scenario in ALL {
        let row = format!("| {} | `{}` | {} |\n", scenario.number, scenario.name, scenario.happens);
        assert!(page.contains(&row), "docs/drill.md has no row {row}");
        assert!(scenario.happens.ends_with('.') && scenario.happens.len() <= 120, "{scenario:?}");
    }
}

#[test]
fn a_drill_is_the_same_whenever_its_seed_is() {
    let log = |seed| played("all-replaced", &default_policy(), seed).1.log;
    assert!(!log(4).is_empty());
    assert_eq!(log(4), log(4));
    assert_ne!(log(4), log(5));
}

#[test]
fn a_policy_that_never_replaces_the_consumer_takes_all_in_place() {
    let (row, outcome) = played("all-replaced", &policy("[drift]\nthreshold = 1.0\n"), 1);
    assert!(outcome.passed(), "{}", row.text());
    assert_eq!((row.respawns, row.adaptations), (0, 1));
}

#[test]
fn a_policy_that_commits_nothing_fails_where_the_service_begins_anew_and_is_told_why() {
    let (row, outcome) = played("cold-start", &policy("[checkpoint]\nenabled = false\n"), 1);
    assert!(!outcome.passed() && row.redelivered > 0, "{}", row.text());
    assert!(row.why.iter().any(|why| why.contains("checkpoint.enabled is off")), "{}", row.text());
}

#[test]
fn a_failing_row_blames_of_a_policy_only_what_it_shows() {
    let settings = "[drift]\npoll_interval = \"60s\"\n\n[checkpoint]\nenabled = false\n";
    let (row, _) = played("grace", &policy(settings), 1);
    let blamed: Vec<&String> = row.why.iter().filter(|why| why.starts_with("your policy")).collect();
    assert!(matches!(&blamed[..], [why] if why.contains("drift.poll_interval is 60")), "{}", row.text());
}

//! FindCoordinator: every broker names the same one.

use std::collections::BTreeSet;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::FindCoordinatorRequest;
use steadfast_tests::brokers::Brokers;
use steadfast_tests::either::Scene;
use steadfast_tests::kafka::ask;

use crate::group::{Group, coordinator};
use crate::topic::{error, text};

pub(crate) const SCENES: &[Scene] = &[
    ("coordinator::every_broker_names_the_same_for_a_group", for_one),
    ("coordinator::several_groups_are_asked_for_at_once", for_several),
    ("coordinator::transactions_have_theirs", for_transactions),
    ("coordinator::an_unknown_kind_of_key_is_refused", unknown_kind),
];

fn for_one(brokers: &Brokers) {
    let group = Group::new(brokers, "coordinator-one");
    for at in brokers.addresses().values() {
        for version in [0, 1, 3] {
            let request = FindCoordinatorRequest::default().with_key(text(&group.name));
            let found = ask(*at, version, &request).unwrap();
            assert_eq!(error(found.error_code), None);
            let named = format!("{}:{}", &*found.host, found.port);
            assert_eq!((named, brokers.addresses()[&found.node_id.0]), (group.at.to_string(), group.at));
        }
    }
}

fn for_several(brokers: &Brokers) {
    let names = ["coordinator-a", "coordinator-b", "coordinator-c"];
    // From then on the coordinators are there.
    coordinator(brokers, names[0], 0);
    for at in brokers.addresses().values() {
        for version in [4, 5, 6] {
            let keys = names.iter().map(|name| text(name)).collect();
            let answer =
                ask(*at, version, &FindCoordinatorRequest::default().with_coordinator_keys(keys)).unwrap();
            let found: BTreeSet<String> =
                answer.coordinators.iter().map(|found| found.key.to_string()).collect();
            assert_eq!(found, names.map(str::to_owned).into());
            for found in answer.coordinators {
                assert_eq!(error(found.error_code), None);
                let at = brokers.addresses()[&found.node_id.0];
                assert_eq!(format!("{}:{}", &*found.host, found.port), at.to_string());
                assert_eq!(at, coordinator(brokers, &found.key, 0));
            }
        }
    }
}

fn for_transactions(brokers: &Brokers) {
    let expected = coordinator(brokers, "coordinator-transaction", 1);
    for at in brokers.addresses().values() {
        for version in [4, 6] {
            let request = FindCoordinatorRequest::default()
                .with_key_type(1)
                .with_coordinator_keys(vec![text("coordinator-transaction")]);
            let answer = ask(*at, version, &request).unwrap();
            assert_eq!(brokers.addresses()[&answer.coordinators[0].node_id.0], expected);
        }
    }
}

fn unknown_kind(brokers: &Brokers) {
    let at = *brokers.addresses().values().next().unwrap();
    for version in [1, 3] {
        let request = FindCoordinatorRequest::default().with_key(text("any")).with_key_type(9);
        let answer = ask(at, version, &request).unwrap();
        assert_eq!(error(answer.error_code), Some(ResponseError::InvalidRequest), "{answer:?}");
    }
}

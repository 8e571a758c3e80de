//! Whatever members, brokers and time do, in whatever order: no panic, no endless loop, no request answered twice, and
//! a group that is left alone comes to rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{RequestKind, ResponseKind, SyncGroupRequest};
use proptest::prelude::*;
use steadfast_core::ids::NodeId;
use steadfast_sim::call::Ticket;
use steadfast_sim::group::GroupState;

use crate::fixture::{GROUP, Join, Stage, secs, text};

/// Something that happens.
#[derive(Debug, Clone)]
enum Event {
    Join { client: usize, topic: &'static str },
    Sync { client: usize },
    Heartbeat { client: usize },
    Leave { client: usize },
    Commit { client: usize },
    Pass(u64),
    Move(i32),
}

/// Of these clients the last two are static.
const CLIENTS: usize = 5;
const INSTANCES: [Option<&str>; CLIENTS] = [None, None, None, Some("one"), Some("two")];

/// What a client knows of itself.
#[derive(Default, Clone)]
struct Client {
    member: String,
    generation: i32,
}

fn event() -> impl Strategy<Value = Event> {
    let client = 0..CLIENTS;
    let topic = prop_oneof![Just("orders"), Just("payments")];
    prop_oneof![
        4 => (client.clone(), topic).prop_map(|(client, topic)| Event::Join { client, topic }),
        4 => client.clone().prop_map(|client| Event::Sync { client }),
        2 => client.clone().prop_map(|client| Event::Heartbeat { client }),
        1 => client.clone().prop_map(|client| Event::Leave { client }),
        1 => client.prop_map(|client| Event::Commit { client }),
        2 => (0_u64..70).prop_map(Event::Pass),
        1 => (1..4).prop_map(Event::Move),
    ]
}

/// A group with clients that come and go.
struct Crowd {
    stage: Stage,
    clients: Vec<Client>,
    parked: BTreeMap<Ticket, usize>,
}

impl Crowd {
    fn new() -> Crowd {
        Crowd { stage: Stage::new(), clients: vec![Client::default(); CLIENTS], parked: BTreeMap::new() }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Join { client, topic } => self.join(*client, topic),
            Event::Sync { client } => self.sync(*client),
            Event::Heartbeat { client } => {
                let known = self.clients[*client].clone();
                self.stage.heartbeat_as(&known.member, INSTANCES[*client], known.generation);
            }
            Event::Leave { client } => {
                let known = self.clients[*client].clone();
                self.stage.leave(&[(&known.member, INSTANCES[*client])]);
            }
            Event::Commit { client } => {
                let known = self.clients[*client].clone();
                self.stage.commit(&known.member, known.generation, 0, 1);
            }
            Event::Pass(seconds) => self.stage.pass(secs(*seconds)),
            Event::Move(node) => self.stage.cluster.move_coordinator(GROUP, NodeId(*node)),
        }
        self.deliver();
    }

    fn join(&mut self, client: usize, topic: &'static str) {
        let join = Join {
            member: self.clients[client].member.clone(),
            instance: INSTANCES[client],
            protocols: vec![("range", topic)],
            ..Join::new()
        };
        match self.stage.try_join(&join) {
            Ok(answer) => self.take(client, ResponseKind::JoinGroup(answer)),
            Err(ticket) => assert_eq!(self.parked.insert(ticket, client), None),
        }
    }

    fn sync(&mut self, client: usize) {
        let Client { member, generation } = self.clients[client].clone();
        let all: Vec<String> = self.clients.iter().map(|client| client.member.clone()).collect();
        let given: Vec<(&str, &[i32])> = all.iter().map(|member| (member.as_str(), &[0, 1][..])).collect();
        if let Err(ticket) = self.stage.try_sync(&member, generation, &given) {
            assert_eq!(self.parked.insert(ticket, client), None);
        }
    }

    /// Hands every answer that has come to whom it is for: once.
    fn deliver(&mut self) {
        for (ticket, answer) in self.stage.take_answers() {
            let client = self.parked.remove(&ticket).expect("a request that waits");
            self.take(client, answer);
        }
    }

    fn take(&mut self, client: usize, answer: ResponseKind) {
        let ResponseKind::JoinGroup(answer) = answer else { return };
        let known = &mut self.clients[client];
        known.member = answer.member_id.to_string();
        if answer.error_code == 0 {
            known.generation = answer.generation_id;
        }
    }

    fn check(&self) {
        let Some(group) = self.stage.cluster.group(GROUP) else { return };
        // A round may be without members for a moment, while one that was given an id is awaited.
        match group.state {
            GroupState::Empty => assert!(group.members.is_empty(), "{group:?}"),
            GroupState::PreparingRebalance => {}
            GroupState::CompletingRebalance | GroupState::Stable => {
                assert!(!group.members.is_empty(), "{group:?}")
            }
            GroupState::Dead => panic!("a dead group is not shown"),
        }
        let leads = group.leader.as_ref().is_none_or(|leader| group.members.contains_key(leader));
        assert!(leads, "{group:?}");
        let instances: Vec<&Arc<str>> =
            group.members.values().filter_map(|it| it.instance.as_ref()).collect();
        assert!(instances.windows(2).all(|pair| pair[0] != pair[1]), "{group:?}");
        let due = self.stage.cluster.next_deadline();
        assert!(due.is_none_or(|due| due > self.stage.now), "{due:?} is not past");
        assert!(group.members.is_empty() || due.is_some(), "nothing is awaited of {group:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn whatever_happens_a_group_keeps_its_rules(events in prop::collection::vec(event(), 1..120)) {
        let mut crowd = Crowd::new();
        for event in &events {
            crowd.apply(event);
            crowd.check();
        }
        // Nobody says anything any more: every session ends.
        crowd.stage.pass(secs(3600));
        let state = crowd.stage.state();
        prop_assert!(matches!(state, GroupState::Empty | GroupState::Dead), "{:?}", state);
        prop_assert_eq!(crowd.stage.cluster.next_deadline(), None);
    }

    #[test]
    fn bytes_that_mean_nothing_do_no_harm(blob in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut stage = Stage::new();
        let member = stage.stable_alone();
        let mut sync = SyncGroupRequest::default().with_group_id(text(GROUP).into()).with_member_id(text(&member));
        let given = SyncGroupRequestAssignment::default()
            .with_member_id(text(&member))
            .with_assignment(blob.clone().into());
        stage.join(&Join::of(&member));
        sync = sync.with_generation_id(2).with_assignments(vec![given]);
        let answer = stage.ask_coordinator(4, RequestKind::SyncGroup(sync)).expect("an answer at once");
        let ResponseKind::SyncGroup(answer) = answer else { panic!("{answer:?}") };
        prop_assert_eq!(&answer.assignment[..], &blob[..]);
        prop_assert!(stage.cluster.group(GROUP).is_some());
    }
}

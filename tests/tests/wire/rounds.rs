//! JoinGroup, SyncGroup, Heartbeat, LeaveGroup: how a group comes from one generation to the next.

use std::time::Duration;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::SyncGroupRequest;
use steadfast_tests::brokers::Brokers;
use steadfast_tests::either::Scene;

use crate::group::{Group, JOIN, Join, Member, assigned, subscription};
use crate::topic::{LIMIT, error, text};

pub(crate) const SCENES: &[Scene] = &[
    ("join::a_member_is_given_an_id_first", id_first),
    ("join::before_version_4_a_member_is_taken_at_once", taken_at_once),
    ("join::an_id_that_nobody_gave_is_refused", unknown_id),
    ("join::who_speaks_no_common_protocol_is_refused", inconsistent),
    ("join::a_session_timeout_out_of_bounds_is_refused", session_timeouts),
    ("join::a_group_has_to_have_a_name", nameless),
    ("join::only_the_coordinator_takes_members", not_the_coordinator),
    ("join::the_protocol_that_all_speak_is_chosen", common_protocol),
    ("sync::the_leader_s_assignment_stays", assignment_stays),
    ("sync::another_generation_or_member_is_refused", sync_refused),
    ("heartbeat::another_generation_or_member_is_refused", heartbeat_refused),
    ("round::a_second_member_waits_for_the_first", two_members),
    ("round::a_follower_that_joins_again_changes_nothing", follower_again),
    ("round::a_leader_that_joins_again_begins_a_round", leader_again),
    ("round::who_leaves_begins_a_round", leaving),
    ("round::who_leaves_in_mid_round_is_not_waited_for", leaving_in_round),
    ("round::who_does_not_join_in_time_is_left_behind", rebalance_timeout),
    ("round::a_member_that_falls_silent_is_removed", session_timeout),
];

const A_WHILE: Duration = Duration::from_millis(300);

fn id_first(brokers: &Brokers) {
    for version in [4, 5, 7, 9] {
        let group = Group::new(brokers, &format!("join-id-{version}"));
        let join = group.joining("topic");
        let required = join.ask(version);
        assert_eq!(error(required.error_code), Some(ResponseError::MemberIdRequired), "version {version}");
        assert_eq!((required.generation_id, &*required.leader, required.members.len()), (-1, "", 0));
        assert!(required.member_id.starts_with("steadfast-tests-"), "{}", &*required.member_id);
        let join = Join { member: required.member_id.clone(), ..join };
        let joined = join.ask(version);
        assert_eq!((error(joined.error_code), joined.generation_id), (None, 1));
        assert_eq!((&joined.member_id, &joined.leader), (&required.member_id, &required.member_id));
        assert_eq!(joined.protocol_name, Some(text("range")));
        assert_eq!(joined.protocol_type, (version >= 7).then(|| text("consumer")));
        assert!(!joined.skip_assignment);
        assert_eq!(join.member(joined).fellows(), [(required.member_id, subscription("topic"))]);
    }
}

fn taken_at_once(brokers: &Brokers) {
    for version in [0, 1, 3] {
        let group = Group::new(brokers, &format!("join-at-once-{version}"));
        let join = group.joining("topic");
        let member = join.member(join.ask(version));
        assert_eq!((member.generation, member.leads(), member.fellows().len()), (1, true, 1));
        assert_eq!(member.sync_in(0, &[(&member, "all")]), Ok("all".to_owned()));
        assert_eq!(member.heartbeat_in(0), None);
    }
}

fn unknown_id(brokers: &Brokers) {
    let group = Group::new(brokers, "join-unknown");
    for version in [0, 5, 9] {
        let answer = Join { member: text("nobody"), ..group.joining("topic") }.ask(version);
        assert_eq!(error(answer.error_code), Some(ResponseError::UnknownMemberId), "version {version}");
        assert_eq!((&*answer.member_id, answer.generation_id), ("nobody", -1));
    }
}

fn inconsistent(brokers: &Brokers) {
    let (group, member) = Group::of_one(brokers, "join-inconsistent");
    for version in [0, 5, 9] {
        for join in [
            Join { protocols: vec![("sticky", subscription("topic"))], ..group.joining("topic") },
            Join { protocols: Vec::new(), ..group.joining("topic") },
            Join { protocol_type: "connect", ..group.joining("topic") },
            Join { protocol_type: "", ..group.joining("topic") },
        ] {
            let refused = error(join.ask(version).error_code);
            assert_eq!(
                refused,
                Some(ResponseError::InconsistentGroupProtocol),
                "version {version}, {join:?}"
            );
        }
    }
    assert_eq!(member.heartbeat(), None);
}

fn session_timeouts(brokers: &Brokers) {
    let group = Group::new(brokers, "join-session");
    for version in [0, 5, 9] {
        for session_timeout_ms in [0, 5_999, 1_800_001] {
            let refused =
                error(Join { session_timeout_ms, ..group.joining("topic") }.ask(version).error_code);
            assert_eq!(refused, Some(ResponseError::InvalidSessionTimeout), "{session_timeout_ms}");
        }
    }
}

fn nameless(brokers: &Brokers) {
    let group = Group::new(brokers, "join-nameless");
    let nameless = Group { name: String::new(), ..group };
    for version in [0, 5, 9] {
        let refused = error(nameless.joining("topic").ask(version).error_code);
        assert_eq!(refused, Some(ResponseError::InvalidGroupId), "version {version}");
    }
}

fn not_the_coordinator(brokers: &Brokers) {
    let (group, member) = Group::of_one(brokers, "join-elsewhere");
    let at = *brokers.addresses().values().find(|at| **at != group.at).unwrap();
    let elsewhere = Group { at, ..group };
    let stranger = Member { group: elsewhere.clone(), ..member };
    let not_coordinator = Some(ResponseError::NotCoordinator);
    assert_eq!(error(elsewhere.joining("topic").ask(JOIN).error_code), not_coordinator);
    assert_eq!(stranger.sync(&[]).err(), not_coordinator);
    assert_eq!(stranger.heartbeat(), not_coordinator);
}

/// Of those that all speak, the one that most prefer.
fn common_protocol(brokers: &Brokers) {
    let group = Group::new(brokers, "join-common");
    let speaking = |names: &[&'static str]| Join {
        protocols: names.iter().map(|name| (*name, subscription(name))).collect(),
        ..group.joining("topic")
    };
    let first = speaking(&["sticky", "range", "roundrobin"]).joined();
    assert_eq!(first.answer.protocol_name, Some(text("sticky")));
    first.sync(&[]).unwrap();
    let second = speaking(&["roundrobin", "range"]).with_id();
    let waiting = second.send();
    let first = Join { member: first.id.clone(), ..speaking(&["sticky", "range", "roundrobin"]) };
    let first = first.member(first.ask(JOIN));
    let second = second.received(waiting);
    // The first prefers range to roundrobin, the second the other way round: a tie.
    let chosen = first.answer.protocol_name.clone().unwrap();
    assert!(["range", "roundrobin"].contains(&&*chosen), "{chosen:?}");
    assert_eq!(second.answer.protocol_name.as_ref(), Some(&chosen));
    let metadata = subscription(&chosen);
    assert!(first.fellows().iter().all(|(_, found)| *found == metadata), "{:?}", first.fellows());
}

fn assignment_stays(brokers: &Brokers) {
    for version in [0, 3, 5] {
        let group = Group::new(brokers, &format!("sync-stays-{version}"));
        let member = group.joining("topic").joined();
        assert_eq!(member.sync_in(version, &[(&member, "first")]), Ok("first".to_owned()));
        assert_eq!(member.sync_in(version, &[(&member, "second")]), Ok("first".to_owned()));
        assert_eq!(member.sync_in(version, &[]), Ok("first".to_owned()));
    }
    // Whom the leader does not name has nothing.
    let member = Group::new(brokers, "sync-nothing").joining("topic").joined();
    assert_eq!(member.sync(&[]), Ok(String::new()));
}

fn sync_refused(brokers: &Brokers) {
    let (_, member) = Group::of_one(brokers, "sync-refused");
    for version in [0, 3, 5] {
        let refused = |member: &Member| member.sync_in(version, &[]).err();
        assert_eq!(refused(&member.in_generation(2)), Some(ResponseError::IllegalGeneration));
        assert_eq!(refused(&member.in_generation(0)), Some(ResponseError::IllegalGeneration));
        assert_eq!(refused(&member.called("nobody")), Some(ResponseError::UnknownMemberId));
        let elsewhere = Group::new(brokers, "sync-no-such-group");
        assert_eq!(
            refused(&Member { group: elsewhere, ..member.clone() }),
            Some(ResponseError::UnknownMemberId)
        );
    }
    let mut other_protocol = member.clone();
    other_protocol.answer.protocol_name = Some(text("sticky"));
    assert_eq!(other_protocol.sync(&[]).err(), Some(ResponseError::InconsistentGroupProtocol));
}

fn heartbeat_refused(brokers: &Brokers) {
    let (_, member) = Group::of_one(brokers, "heartbeat-refused");
    for version in [0, 3, 4] {
        assert_eq!(member.heartbeat_in(version), None);
        let wrong = member.in_generation(2).heartbeat_in(version);
        assert_eq!(wrong, Some(ResponseError::IllegalGeneration), "version {version}");
        assert_eq!(member.called("nobody").heartbeat_in(version), Some(ResponseError::UnknownMemberId));
        let elsewhere = Group::new(brokers, "heartbeat-no-such-group");
        let stranger = Member { group: elsewhere, ..member.clone() };
        assert_eq!(stranger.heartbeat_in(version), Some(ResponseError::UnknownMemberId));
    }
}

/// A second member joins one that is alone: both, in the second generation, not yet synced.
fn second_joins(first: &Member) -> (Member, Member) {
    let joining = first.group.joining("second").with_id();
    let mut waiting = joining.send();
    assert!(waiting.silent_for(A_WHILE).unwrap());
    assert_eq!(first.heartbeat(), Some(ResponseError::RebalanceInProgress));
    let again = first.rejoining("first again");
    let first = again.member(again.ask(JOIN));
    (first, joining.received(waiting))
}

/// Two members of the second generation, with their assignments.
fn pair(brokers: &Brokers, name: &str) -> (Member, Member) {
    let (_, alone) = Group::of_one(brokers, name);
    let (first, second) = second_joins(&alone);
    let waiting = second.send_sync();
    assert_eq!(first.sync(&[(&first, "one"), (&second, "two")]), Ok("one".to_owned()));
    let mut waiting = waiting;
    assert_eq!(assigned(waiting.receive::<SyncGroupRequest>(5).unwrap()), Ok("two".to_owned()));
    (first, second)
}

fn two_members(brokers: &Brokers) {
    let (_, alone) = Group::of_one(brokers, "round-two");
    let (first, second) = second_joins(&alone);
    assert_eq!((first.generation, second.generation), (2, 2));
    assert!(first.leads() && !second.leads() && second.answer.leader == first.id);
    let mut expected =
        [(first.id.clone(), subscription("first again")), (second.id.clone(), subscription("second"))];
    expected.sort();
    assert_eq!(first.fellows(), expected);
    assert_eq!(second.fellows(), []);
    // A round that completes is no reason to join again.
    assert_eq!((first.heartbeat(), second.heartbeat()), (None, None));
    // The first generation is over.
    assert_eq!(alone.heartbeat(), Some(ResponseError::IllegalGeneration));
    let mut waiting = second.send_sync();
    assert!(waiting.silent_for(A_WHILE).unwrap());
    assert_eq!(first.sync(&[(&first, "one"), (&second, "two")]), Ok("one".to_owned()));
    assert_eq!(assigned(waiting.receive::<SyncGroupRequest>(5).unwrap()), Ok("two".to_owned()));
    assert_eq!((first.heartbeat(), second.heartbeat()), (None, None));
    assert_eq!(second.sync(&[]), Ok("two".to_owned()));
}

fn follower_again(brokers: &Brokers) {
    let (first, second) = pair(brokers, "round-follower-again");
    let again = second.rejoining("second");
    let again = again.member(again.ask(JOIN));
    assert_eq!((again.generation, again.leads(), again.fellows().len()), (2, false, 0));
    assert_eq!(again.sync(&[]), Ok("two".to_owned()));
    assert_eq!((first.heartbeat(), second.heartbeat()), (None, None));
    // With other metadata it is another matter.
    let changed = second.rejoining("second, changed");
    let mut waiting = changed.send();
    assert!(waiting.silent_for(A_WHILE).unwrap());
    assert_eq!(first.heartbeat(), Some(ResponseError::RebalanceInProgress));
    let first = first.rejoining("first").joined();
    assert_eq!((first.generation, changed.received(waiting).generation), (3, 3));
}

fn leader_again(brokers: &Brokers) {
    let (first, second) = pair(brokers, "round-leader-again");
    let again = first.rejoining("first again");
    let mut waiting = again.send();
    assert!(waiting.silent_for(A_WHILE).unwrap());
    assert_eq!(second.heartbeat(), Some(ResponseError::RebalanceInProgress));
    // What was assigned is no longer told.
    assert_eq!(second.sync(&[]).err(), Some(ResponseError::RebalanceInProgress));
    let second = second.rejoining("second").joined();
    let first = again.received(waiting);
    assert_eq!((first.generation, second.generation, first.leads()), (3, 3, true));
}

fn leaving(brokers: &Brokers) {
    for version in [0, 2, 3, 5] {
        let (first, second) = pair(brokers, &format!("round-leaving-{version}"));
        assert_eq!(first.leave_in(version), None);
        assert_eq!(first.leave_in(version), Some(ResponseError::UnknownMemberId), "version {version}");
        assert_eq!(first.heartbeat(), Some(ResponseError::UnknownMemberId));
        assert_eq!(second.heartbeat(), Some(ResponseError::RebalanceInProgress));
        let second = second.rejoining("second").joined();
        assert_eq!((second.generation, second.leads(), second.fellows().len()), (3, true, 1));
        assert_eq!(second.leave_in(version), None);
        // Nobody is left; the next generation is counted on.
        let third = second.group.joining("third").joined();
        assert_eq!((third.generation, third.leads()), (5, true));
    }
}

fn leaving_in_round(brokers: &Brokers) {
    let (_, alone) = Group::of_one(brokers, "round-leaving-in-round");
    let joining = alone.group.joining("second").with_id();
    let mut waiting = joining.send();
    assert!(waiting.silent_for(A_WHILE).unwrap());
    assert_eq!(alone.leave_in(5), None);
    let second = joining.received(waiting);
    assert_eq!((second.generation, second.leads(), second.fellows().len()), (2, true, 1));
}

/// Heartbeats don't help who does not join.
fn rebalance_timeout(brokers: &Brokers) {
    let group = Group::new(brokers, "round-rebalance-timeout");
    let slow = Join { rebalance_timeout_ms: 1_000, ..group.joining("slow") }.joined();
    slow.sync(&[]).unwrap();
    let joining = Join { rebalance_timeout_ms: 1_000, ..group.joining("second") }.with_id();
    let mut waiting = joining.send();
    assert!(waiting.silent_for(A_WHILE).unwrap());
    assert_eq!(slow.heartbeat(), Some(ResponseError::RebalanceInProgress));
    let second = joining.received(waiting);
    assert_eq!((second.generation, second.leads(), second.fellows().len()), (2, true, 1));
    assert_eq!(slow.heartbeat(), Some(ResponseError::UnknownMemberId));
}

/// It is missed by its fellows, who hear of the round.
fn session_timeout(brokers: &Brokers) {
    let group = Group::new(brokers, "round-session-timeout");
    let silent = Join { session_timeout_ms: 6_000, ..group.joining("silent") }.joined();
    silent.sync(&[]).unwrap();
    let joining = group.joining("second").with_id();
    let mut waiting = joining.send();
    assert!(waiting.silent_for(Duration::from_secs(4)).unwrap());
    waiting.wait_up_to(LIMIT).unwrap();
    let second = joining.received(waiting);
    assert_eq!((second.generation, second.leads(), second.fellows().len()), (2, true, 1));
    assert_eq!(silent.heartbeat(), Some(ResponseError::UnknownMemberId));
}

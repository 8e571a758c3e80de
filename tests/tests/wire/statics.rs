//! Members with an instance id (KIP-345): a restart is not noticed, and of two with one name the older is fenced.

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::SyncGroupRequest;
use steadfast_tests::brokers::Brokers;
use steadfast_tests::either::Scene;
use steadfast_tests::within;

use crate::group::{Group, Join, Member, assigned, subscription};
use crate::topic::{LIMIT, error};

pub(crate) const SCENES: &[Scene] = &[
    ("static::a_member_is_taken_without_an_id", taken_at_once),
    ("static::a_restart_of_a_follower_changes_nothing", follower_restarts),
    ("static::a_restart_of_the_leader_changes_nothing", leader_restarts),
    ("static::a_restart_with_another_subscription_changes_nothing_yet", restart_changed),
    ("static::the_older_of_two_is_fenced", fenced),
    ("static::an_instance_is_removed_by_its_name", removed),
];

fn joining(group: &Group, instance: &'static str) -> Join {
    Join { instance: Some(instance), ..group.joining(instance) }
}

fn taken_at_once(brokers: &Brokers) {
    for version in [5, 7, 9] {
        let group = Group::new(brokers, &format!("static-at-once-{version}"));
        let join = joining(&group, "one");
        let answer = join.ask(version);
        assert_eq!(answer.members[0].group_instance_id.as_deref(), Some("one"));
        let member = join.member(answer);
        assert_eq!((member.generation, member.leads()), (1, true));
        assert!(member.id.starts_with("one-"), "{}", &*member.id);
    }
}

/// Static members `one`, which leads, and `two`, with their assignments.
fn pair(brokers: &Brokers, name: &str) -> (Member, Member) {
    let group = Group::new(brokers, name);
    let first = joining(&group, "one").joined();
    first.sync(&[]).unwrap();
    let second = joining(&group, "two");
    let waiting = second.send();
    await_round(&first);
    let first = Join { member: first.id.clone(), ..joining(&group, "one") }.joined();
    let second = second.received(waiting);
    assert_eq!(first.sync(&[(&first, "1"), (&second, "2")]), Ok("1".to_owned()));
    assert_eq!(second.sync(&[]), Ok("2".to_owned()));
    (first, second)
}

/// Waits until the member is told that a round has begun.
fn await_round(member: &Member) {
    let told = within(LIMIT, || member.heartbeat().ok_or("no round begins"));
    assert_eq!(told, Ok(ResponseError::RebalanceInProgress));
}

fn follower_restarts(brokers: &Brokers) {
    for version in [5, 9] {
        let (first, second) = pair(brokers, &format!("static-follower-{version}"));
        let join = joining(&second.group, "two");
        let again = join.member(join.ask(version));
        assert_ne!(again.id, second.id);
        assert_eq!((again.generation, &again.answer.leader), (2, &first.id));
        assert_eq!(again.fellows(), []);
        assert_eq!(again.sync(&[]), Ok("2".to_owned()));
        assert_eq!((first.heartbeat(), again.heartbeat()), (None, None));
        assert_eq!(second.heartbeat(), Some(ResponseError::FencedInstanceId));
    }
}

/// From version 9 on it is told that it leads, and to leave the assignment alone (KIP-814); before, that somebody
/// else does.
fn leader_restarts(brokers: &Brokers) {
    for version in [5, 9] {
        let (first, second) = pair(brokers, &format!("static-leader-{version}"));
        let join = joining(&first.group, "one");
        let again = join.member(join.ask(version));
        assert_ne!(again.id, first.id);
        assert_eq!(again.generation, 2);
        assert_eq!(again.answer.skip_assignment, version >= 9);
        assert_eq!(again.leads(), version >= 9);
        assert_eq!(again.fellows().len(), if version >= 9 { 2 } else { 0 });
        if version < 9 {
            assert_eq!(again.answer.leader, first.id);
        }
        assert_eq!(again.sync(&[]), Ok("1".to_owned()));
        assert_eq!((again.heartbeat(), second.heartbeat()), (None, None));
    }
}

/// As long as all still speak the protocol that was chosen, what is wanted is looked at in the next round.
fn restart_changed(brokers: &Brokers) {
    let (first, second) = pair(brokers, "static-changed");
    let changed = Join { instance: Some("two"), ..second.group.joining("another topic") }.joined();
    assert_eq!((changed.generation, first.heartbeat(), changed.heartbeat()), (2, None, None));
    assert_eq!(changed.sync(&[]), Ok("2".to_owned()));
    let first = Join { member: first.id.clone(), ..joining(&first.group, "one") };
    let waiting = first.send();
    await_round(&changed);
    let changed = changed.rejoining("another topic").joined();
    let first = first.received(waiting);
    assert_eq!((first.generation, changed.generation), (3, 3));
    assert!(first.fellows().contains(&(changed.id.clone(), subscription("another topic"))));
}

fn fenced(brokers: &Brokers) {
    let (first, old) = pair(brokers, "static-fenced");
    let new = joining(&old.group, "two").joined();
    assert_eq!(new.sync(&[]), Ok("2".to_owned()));
    let fenced = Some(ResponseError::FencedInstanceId);
    assert_eq!(old.heartbeat(), fenced);
    assert_eq!(old.sync(&[]).err(), fenced);
    let again = Join { member: old.id.clone(), ..joining(&old.group, "two") };
    assert_eq!(error(again.ask(9).error_code), fenced);
    assert_eq!(old.leave_in(5), fenced);
    // Without its instance's name it is nobody.
    assert_eq!(Member { instance: None, ..old }.heartbeat(), Some(ResponseError::UnknownMemberId));
    assert_eq!((first.heartbeat(), new.heartbeat()), (None, None));
    let stranger = Member { instance: Some("three"), ..new };
    assert_eq!(stranger.heartbeat(), Some(ResponseError::UnknownMemberId));
}

/// That is how an operator removes one that will not come back.
fn removed(brokers: &Brokers) {
    let (first, second) = pair(brokers, "static-removed");
    let by_name = Member { id: Default::default(), ..second.clone() };
    let (unknown, fenced) = (Some(ResponseError::UnknownMemberId), Some(ResponseError::FencedInstanceId));
    assert_eq!(by_name.leave_in(3), None);
    assert_eq!(by_name.leave_in(5), unknown);
    assert!([unknown, fenced].contains(&second.heartbeat()));
    assert_eq!(first.heartbeat(), Some(ResponseError::RebalanceInProgress));
    let waiting = first.rejoining("one").joined().send_sync();
    let mut waiting = waiting;
    assert_eq!(assigned(waiting.receive::<SyncGroupRequest>(5).unwrap()), Ok(String::new()));
}

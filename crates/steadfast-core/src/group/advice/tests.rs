use super::*;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A rebalance in which nothing is amiss.
fn fine() -> Seen {
    Seen {
        ago: ms(60_000),
        reason: Reason::RoundBegan,
        manner: Manner::Cooperative,
        drain: Duration::ZERO,
        join: ms(30),
        sync: ms(5),
        revoke: ms(20),
        commit: ms(3),
        handlers: ms(4),
        first_record: ms(9),
        taken: 2,
        kept: 4,
        undrained: 0,
        handed_again: 0,
        coordinator_losses: 0,
        idle_members: Some(0),
    }
}

const SET: Set = Set {
    session: Duration::from_secs(45),
    rebalance_timeout: Duration::from_secs(300),
    drain: Duration::from_secs(5),
    checkpoint: Duration::from_secs(5),
    is_static: false,
};

/// What follows from so many of these, one after the other.
fn from(times: usize, seen: Seen) -> Vec<Advice> {
    advise(&vec![seen; times], &SET)
}

/// The only advice, with every word of `cure` in it. Half of the evidence is not enough for it.
fn only(cause: Cause, times: usize, seen: &Seen, cure: &[&str]) {
    let advice = from(times, seen.clone());
    assert_eq!(advice.iter().map(|advice| advice.cause).collect::<Vec<_>>(), [cause]);
    for words in cure {
        assert!(advice[0].cure.contains(words), "{words}: {}", advice[0].cure);
    }
    assert_eq!(from(times - 1, seen.clone()), [], "with one less");
    let long_ago = Seen { ago: WINDOW + ms(1), ..seen.clone() };
    assert_eq!(from(times, long_ago), [], "what was long ago");
}

#[test]
fn without_evidence_there_is_no_advice() {
    assert_eq!(advise(&[], &SET), []);
    assert_eq!(from(5, fine()), []);
    let first = Seen { reason: Reason::Start, manner: Manner::Eager, ..fine() };
    assert_eq!(from(1, first), []);
}

#[test]
fn a_session_that_ends_within_reach_of_the_coordinator_is_too_short() {
    for reason in [Reason::SessionExpired, Reason::UnknownMember, Reason::IllegalGeneration] {
        let dropped = Seen { reason, ..fine() };
        only(Cause::Heartbeats, 3, &dropped, &["`kafka.session.timeout.ms` from 45s to 90s", "at most 30s"]);
    }
}

#[test]
fn a_session_that_ends_out_of_reach_is_the_networks_fault() {
    let dropped = Seen { reason: Reason::SessionExpired, coordinator_losses: 2, ..fine() };
    only(Cause::Network, 3, &dropped, &["network", "from 45s to 90s"]);
}

#[test]
fn rounds_that_expire_want_more_time_or_less_work() {
    let expired = Seen { reason: Reason::RoundExpired, ..fine() };
    only(Cause::Handlers, 2, &expired, &["`kafka.max.poll.interval.ms` from 5m to 10m"]);
}

#[test]
fn members_that_come_and_go_should_be_static() {
    only(Cause::Restarts, 6, &fine(), &["`kafka.group.instance.id`", "(now 45s)"]);
    assert_eq!(advise(&vec![fine(); 6], &Set { is_static: true, ..SET }), []);
}

#[test]
fn slow_drains_are_told_from_slow_commits() {
    let drains = Seen { revoke: ms(2_000), commit: ms(100), ..fine() };
    only(Cause::Draining, 2, &drains, &["`kafka.max.partition.fetch.bytes`", "(now 5s)"]);
    let commits = Seen { revoke: ms(2_000), commit: ms(1_900), ..fine() };
    only(Cause::Brokers, 2, &commits, &["brokers"]);
}

#[test]
fn eager_rounds_that_stop_what_stays_are_one_advice_however_many() {
    let stops = Seen { manner: Manner::Eager, ..fine() };
    only(Cause::Eager, 3, &stops, &["`cooperative-sticky`"]);
    let moves = Seen { manner: Manner::Eager, taken: 5, kept: 4, ..fine() };
    assert_eq!(from(4, moves), [], "most of it moved");
}

#[test]
fn a_long_join_is_that_of_others() {
    only(Cause::OtherMembers, 2, &Seen { join: ms(3_000), ..fine() }, &["`heartbeat.interval.ms`", "1s"]);
}

#[test]
fn handlers_that_begin_slowly_are_told_from_brokers_that_answer_slowly() {
    let handlers = Seen { handlers: ms(4_000), first_record: ms(4_010), ..fine() };
    only(Cause::Initialisation, 2, &handlers, &["after a handler's start"]);
    let brokers = Seen { first_record: ms(4_010), ..fine() };
    only(Cause::Brokers, 2, &brokers, &["`kafka.fetch.max.bytes`"]);
}

#[test]
fn what_was_not_acked_wants_a_longer_drain_at_once() {
    only(Cause::Undrained, 1, &Seen { undrained: 1, ..fine() }, &["`checkpoint.drain` from 5s to 10s"]);
}

#[test]
fn what_former_owners_had_not_committed_wants_commits_more_often() {
    let again = Seen { handed_again: 40, ..fine() };
    only(Cause::Uncommitted, 1, &again, &["`checkpoint.interval` from 5s to 1s"]);
}

#[test]
fn members_without_partitions_are_counted_as_the_leader_saw_them_last() {
    only(Cause::Idle, 1, &Seen { idle_members: Some(2), ..fine() }, &["stop 2"]);
    let [before, now] = [Some(2), Some(0)].map(|idle_members| Seen { idle_members, ..fine() });
    assert_eq!(advise(&[before, now], &SET), []);
}

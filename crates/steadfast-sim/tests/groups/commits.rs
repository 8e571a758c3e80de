//! OffsetCommit: who may, and what becomes of it.

use kafka_protocol::ResponseError;
use kafka_protocol::messages::RequestKind;
use steadfast_core::ids::{GroupGeneration, LeaderEpoch, Offset, Partition};
use steadfast_sim::groups::HungCommits;
use steadfast_sim::notice::Notice;

use crate::fixture::{GROUP, Join, Stage, commit, secs, text};

#[test]
fn a_member_commits_in_its_generation() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    assert_eq!(stage.commit(&member, 1, 0, 5), 0);
    let committed = &stage.cluster.committed(GROUP)[&Partition::new("orders", 0)];
    assert_eq!(committed.offset, Offset(5));
    assert_eq!(committed.leader_epoch, Some(LeaderEpoch(7)));
    assert_eq!(&*committed.metadata, "position=9");
}

#[test]
fn another_generation_or_member_is_refused() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    assert_eq!(stage.commit(&member, 0, 0, 5), ResponseError::IllegalGeneration.code());
    assert_eq!(stage.commit(&member, 2, 0, 5), ResponseError::IllegalGeneration.code());
    assert_eq!(stage.commit("nobody", 1, 0, 5), ResponseError::UnknownMemberId.code());
    assert_eq!(stage.commit(&member, -1, 0, 5), ResponseError::IllegalGeneration.code());
    assert_eq!(stage.committed(0), None);
}

#[test]
fn the_coordinator_does_not_ask_who_owns_the_partition() {
    let mut stage = Stage::new();
    let (_, second) = stage.stable_pair();
    assert_eq!(stage.commit(&second, 2, 0, 5), 0);
}

#[test]
fn during_the_join_phase_commits_of_the_old_generation_pass() {
    let mut stage = Stage::new();
    let (leader, second) = stage.stable_pair();
    stage.park(&Join::of(&leader));
    assert_eq!(stage.commit(&second, 2, 1, 5), 0);
}

#[test]
fn between_join_and_sync_a_commit_is_put_off() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    assert_eq!(stage.join(&Join::of(&member)).generation_id, 2);
    assert_eq!(stage.commit(&member, 2, 0, 5), ResponseError::RebalanceInProgress.code());
    assert_eq!(stage.commit(&member, 1, 0, 5), ResponseError::IllegalGeneration.code());
    stage.sync(&member, 2, &[]);
    assert_eq!(stage.commit(&member, 2, 0, 5), 0);
}

#[test]
fn a_commit_is_a_sign_of_life() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    for offset in 0..5 {
        stage.pass(secs(9));
        assert_eq!(stage.commit(&member, 1, 0, offset), 0);
    }
    stage.pass(secs(9));
    assert_eq!(stage.heartbeat(&member, 1), 0);
}

#[test]
fn a_consumer_without_membership_commits_to_a_group_without_members_only() {
    let mut stage = Stage::new();
    assert_eq!(stage.commit("", -1, 0, 5), 0);
    assert_eq!(stage.committed(0), Some(5));
    let member = stage.stable_alone();
    assert_eq!(stage.commit("", -1, 0, 6), ResponseError::UnknownMemberId.code());
    stage.leave(&[(&member, None)]);
    assert_eq!(stage.commit("", -1, 0, 6), 0);
}

#[test]
fn a_generation_of_an_unknown_group_is_refused() {
    let mut stage = Stage::new();
    let request = commit("nobody", 3, &[("orders", 0, 5)]);
    assert_eq!(stage.commit_codes(8, request.clone()), [ResponseError::IllegalGeneration.code()]);
    assert_eq!(stage.commit_codes(9, request), [ResponseError::GroupIdNotFound.code()]);
}

#[test]
fn unknown_partitions_are_refused_one_by_one() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    let unknown = ResponseError::UnknownTopicOrPartition.code();
    let request = commit(&member, 1, &[("orders", 0, 5), ("orders", 99, 5), ("nothing", 0, 5)]);
    assert_eq!(stage.commit_codes(9, request), [0, unknown, unknown]);
    assert_eq!(stage.cluster.committed(GROUP).len(), 1);
}

#[test]
fn metadata_over_4_kib_is_refused() {
    let mut stage = Stage::new();
    let mut request = commit("", -1, &[("orders", 0, 5)]);
    request.topics[0].partitions[0].committed_metadata = Some(text(&"x".repeat(4097)));
    assert_eq!(stage.commit_codes(9, request), [ResponseError::OffsetMetadataTooLarge.code()]);
    assert_eq!(stage.committed(0), None);
}

#[test]
fn commits_are_noticed_with_what_was_there_before() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    stage.commit(&member, 1, 0, 5);
    stage.notices.clear();
    stage.commit(&member, 1, 0, 3);
    stage.commit(&member, 7, 0, 9);
    let (group, member, partition) = (GROUP.into(), member.as_str().into(), Partition::new("orders", 0));
    let expected = [
        Notice::Committed {
            group: std::sync::Arc::clone(&group),
            member: std::sync::Arc::clone(&member),
            generation: GroupGeneration(1),
            partition: partition.clone(),
            offset: Offset(3),
            before: Some(Offset(5)),
            metadata: "position=9".into(),
        },
        Notice::CommitRefused {
            group,
            member,
            generation: GroupGeneration(7),
            partition,
            offset: Offset(9),
            error: ResponseError::IllegalGeneration,
        },
    ];
    assert_eq!(stage.notices, expected);
}

#[test]
fn a_commit_that_hangs_is_never_answered_and_stored_or_lost_as_told() {
    let mut stage = Stage::new();
    let member = stage.stable_alone();
    for (fate, committed) in [(HungCommits::Lost, None), (HungCommits::Stored, Some(5))] {
        stage.cluster.hang_commits(Some(stage.now + secs(1)), fate);
        let request = RequestKind::OffsetCommit(commit(&member, 1, &[("orders", 0, 5)]));
        let ticket = stage.ask_coordinator(9, request).unwrap_err();
        stage.pass(secs(5));
        assert_eq!(stage.answer(ticket), None);
        assert_eq!(stage.committed(0), committed);
    }
    assert_eq!(stage.commit(&member, 1, 0, 6), 0);
}

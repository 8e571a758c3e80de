//! A cluster of three brokers, and the requests that members send.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    FindCoordinatorRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    OffsetCommitRequest, RequestKind, ResponseKind, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use steadfast_core::endpoints::view::Address;
use steadfast_core::ids::{NodeId, Partition};
use steadfast_core::tick::Tick;
use steadfast_sim::call::{Call, ConnectionId, Reply, Ticket};
use steadfast_sim::cluster::Cluster;
use steadfast_sim::group::GroupState;
use steadfast_sim::notice::Notice;

pub(crate) const GROUP: &str = "billing";

/// A cluster with a group's clients.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) now: Tick,
    pub(crate) notices: Vec<Notice>,
    answers: Vec<(Ticket, ResponseKind)>,
    tickets: u64,
}

/// What a member says when it joins.
#[derive(Clone)]
pub(crate) struct Join {
    pub(crate) member: String,
    pub(crate) instance: Option<&'static str>,
    pub(crate) version: i16,
    pub(crate) protocols: Vec<(&'static str, &'static str)>,
    pub(crate) protocol_type: &'static str,
    pub(crate) session: Duration,
    pub(crate) rebalance: Duration,
}

impl Join {
    pub(crate) fn new() -> Join {
        Join {
            member: String::new(),
            instance: None,
            version: 9,
            protocols: vec![("range", "orders")],
            protocol_type: "consumer",
            session: Duration::from_secs(10),
            rebalance: Duration::from_secs(60),
        }
    }

    pub(crate) fn of(member: &str) -> Join {
        Join { member: member.to_owned(), ..Join::new() }
    }

    pub(crate) fn instance(instance: &'static str) -> Join {
        Join { instance: Some(instance), ..Join::new() }
    }
}

impl Stage {
    pub(crate) fn new() -> Stage {
        let brokers = (1..=3).map(|node| (NodeId(node), Address::new(format!("broker-{node}"), 9092)));
        let mut cluster = Cluster::new("cluster-a", brokers);
        cluster.create_topic("orders", 4).expect("a new topic");
        cluster.create_topic("payments", 4).expect("a new topic");
        Stage { cluster, now: Tick::ZERO, notices: Vec::new(), answers: Vec::new(), tickets: 0 }
    }

    /// Sends the request to this broker; the answer, or the ticket under which it will come.
    pub(crate) fn ask(
        &mut self,
        node: NodeId,
        version: i16,
        request: RequestKind,
    ) -> Result<ResponseKind, Ticket> {
        self.tickets += 1;
        let call = Call {
            node,
            connection: ConnectionId(1),
            ticket: Ticket(self.tickets),
            version,
            client_id: Arc::from("client"),
            client_host: Arc::from("/127.0.0.1"),
        };
        let reply = self.cluster.request(&call, request, self.now);
        self.collect();
        match reply {
            Reply::Now(answer) => Ok(*answer),
            Reply::Later => Err(call.ticket),
            Reply::Never | Reply::Close => panic!("no answer at all"),
        }
    }

    /// The same, of the group's coordinator.
    pub(crate) fn ask_coordinator(
        &mut self,
        version: i16,
        request: RequestKind,
    ) -> Result<ResponseKind, Ticket> {
        let node = self.cluster.coordinator(GROUP).expect("a live broker");
        self.ask(node, version, request)
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.cluster.advance(self.now);
        self.collect();
    }

    fn collect(&mut self) {
        self.answers.extend(self.cluster.take_answers());
        self.notices.extend(self.cluster.take_notices());
    }

    /// All answers that have come for parked requests.
    pub(crate) fn take_answers(&mut self) -> Vec<(Ticket, ResponseKind)> {
        self.collect();
        std::mem::take(&mut self.answers)
    }

    /// The answer that has come for a parked request.
    pub(crate) fn answer(&mut self, ticket: Ticket) -> Option<ResponseKind> {
        self.answers.extend(self.cluster.take_answers());
        let index = self.answers.iter().position(|(of, _)| *of == ticket)?;
        Some(self.answers.remove(index).1)
    }

    pub(crate) fn try_join(&mut self, join: &Join) -> Result<JoinGroupResponse, Ticket> {
        let protocols = join.protocols.iter().map(|(name, topic)| {
            JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(subscription(topic))
        });
        let request = JoinGroupRequest::default()
            .with_group_id(text(GROUP).into())
            .with_member_id(text(&join.member))
            .with_group_instance_id(join.instance.map(text))
            .with_protocol_type(text(join.protocol_type))
            .with_protocols(protocols.collect())
            .with_session_timeout_ms(join.session.as_millis() as i32)
            .with_rebalance_timeout_ms(join.rebalance.as_millis() as i32);
        self.ask_coordinator(join.version, RequestKind::JoinGroup(request)).map(as_join)
    }

    /// Joins; the answer must be there at once.
    pub(crate) fn join(&mut self, join: &Join) -> JoinGroupResponse {
        self.try_join(join).expect("an answer at once")
    }

    /// Joins; the answer must be outstanding.
    pub(crate) fn park(&mut self, join: &Join) -> Ticket {
        self.try_join(join).expect_err("a parked request")
    }

    /// The answer to a parked JoinGroup, which must have come.
    pub(crate) fn joined(&mut self, ticket: Ticket) -> JoinGroupResponse {
        as_join(self.answer(ticket).expect("an answer by now"))
    }

    /// An id for a dynamic member.
    pub(crate) fn invite(&mut self) -> String {
        let answer = self.join(&Join::new());
        assert_eq!(answer.error_code, 79);
        answer.member_id.to_string()
    }

    pub(crate) fn try_sync(
        &mut self,
        member: &str,
        generation: i32,
        assignments: &[(&str, &[i32])],
    ) -> Result<SyncGroupResponse, Ticket> {
        let assignments = assignments.iter().map(|(member, partitions)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(text(member))
                .with_assignment(assignment("orders", partitions))
        });
        let request = SyncGroupRequest::default()
            .with_group_id(text(GROUP).into())
            .with_member_id(text(member))
            .with_generation_id(generation)
            .with_assignments(assignments.collect());
        self.ask_coordinator(4, RequestKind::SyncGroup(request)).map(as_sync)
    }

    pub(crate) fn sync(
        &mut self,
        member: &str,
        generation: i32,
        assignments: &[(&str, &[i32])],
    ) -> SyncGroupResponse {
        self.try_sync(member, generation, assignments).expect("an answer at once")
    }

    pub(crate) fn synced(&mut self, ticket: Ticket) -> SyncGroupResponse {
        as_sync(self.answer(ticket).expect("an answer by now"))
    }

    /// Heartbeats; the error code.
    pub(crate) fn heartbeat(&mut self, member: &str, generation: i32) -> i16 {
        self.heartbeat_as(member, None, generation)
    }

    pub(crate) fn heartbeat_as(&mut self, member: &str, instance: Option<&str>, generation: i32) -> i16 {
        let request = HeartbeatRequest::default()
            .with_group_id(text(GROUP).into())
            .with_member_id(text(member))
            .with_group_instance_id(instance.map(text))
            .with_generation_id(generation);
        match self.ask_coordinator(4, RequestKind::Heartbeat(request)) {
            Ok(ResponseKind::Heartbeat(answer)) => answer.error_code,
            other => panic!("{other:?}"),
        }
    }

    /// Commits one offset of `orders`; the error code.
    pub(crate) fn commit(&mut self, member: &str, generation: i32, index: i32, offset: i64) -> i16 {
        let request = commit(member, generation, &[("orders", index, offset)]);
        self.commit_codes(9, request).remove(0)
    }

    /// The error codes of a commit, in the order of the request.
    pub(crate) fn commit_codes(&mut self, version: i16, request: OffsetCommitRequest) -> Vec<i16> {
        match self.ask_coordinator(version, RequestKind::OffsetCommit(request)) {
            Ok(ResponseKind::OffsetCommit(answer)) => {
                let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
                partitions.map(|partition| partition.error_code).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Takes members out; their error codes.
    pub(crate) fn leave(&mut self, members: &[(&str, Option<&str>)]) -> Vec<i16> {
        let members = members.iter().map(|(member, instance)| {
            MemberIdentity::default()
                .with_member_id(text(member))
                .with_group_instance_id(instance.map(text))
                .with_reason(Some(text("enough")))
        });
        let request =
            LeaveGroupRequest::default().with_group_id(text(GROUP).into()).with_members(members.collect());
        match self.ask_coordinator(5, RequestKind::LeaveGroup(request)) {
            Ok(ResponseKind::LeaveGroup(answer)) => {
                assert_eq!(answer.error_code, 0);
                answer.members.iter().map(|member| member.error_code).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn state(&self) -> GroupState {
        self.cluster.group(GROUP).map_or(GroupState::Dead, |group| group.state)
    }

    pub(crate) fn generation(&self) -> i32 {
        self.cluster.group(GROUP).expect("the group").generation.0
    }

    /// What was committed of `orders`.
    pub(crate) fn committed(&self, index: i32) -> Option<i64> {
        let committed = self.cluster.committed(GROUP);
        committed.get(&Partition::new("orders", index)).map(|committed| committed.offset.0)
    }

    pub(crate) fn find(&mut self, node: NodeId) -> Coordinator {
        let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text(GROUP)]);
        match self.ask(node, 6, RequestKind::FindCoordinator(request)) {
            Ok(ResponseKind::FindCoordinator(mut answer)) => answer.coordinators.remove(0),
            other => panic!("{other:?}"),
        }
    }

    /// One member, alone and stable in generation 1.
    pub(crate) fn stable_alone(&mut self) -> String {
        let member = self.invite();
        let answer = self.join(&Join::of(&member));
        assert_eq!((answer.error_code, answer.generation_id), (0, 1));
        assert_eq!(self.sync(&member, 1, &[(&member, &[0, 1])]).error_code, 0);
        member
    }

    /// Two members, stable in generation 2; the leader first.
    pub(crate) fn stable_pair(&mut self) -> (String, String) {
        let leader = self.stable_alone();
        let second = self.invite();
        let parked = self.park(&Join::of(&second));
        assert_eq!(self.join(&Join::of(&leader)).leader.as_str(), leader);
        assert_eq!(self.joined(parked).generation_id, 2);
        let parked = self.try_sync(&second, 2, &[]).expect_err("a parked request");
        assert_eq!(self.sync(&leader, 2, &[(&leader, &[0]), (&second, &[1])]).error_code, 0);
        assert_eq!(self.synced(parked).error_code, 0);
        (leader, second)
    }

    pub(crate) fn member_ids(&self) -> BTreeSet<String> {
        let group = self.cluster.group(GROUP).expect("the group");
        group.members.keys().map(|id| id.to_string()).collect()
    }
}

pub(crate) fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub(crate) fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

/// A commit of topics, partitions and offsets.
pub(crate) fn commit(member: &str, generation: i32, offsets: &[(&str, i32, i64)]) -> OffsetCommitRequest {
    let topics = offsets.iter().map(|(topic, index, offset)| {
        let partition = OffsetCommitRequestPartition::default()
            .with_partition_index(*index)
            .with_committed_offset(*offset)
            .with_committed_leader_epoch(7)
            .with_committed_metadata(Some(text("position=9")));
        OffsetCommitRequestTopic::default().with_name(text(topic).into()).with_partitions(vec![partition])
    });
    OffsetCommitRequest::default()
        .with_group_id(text(GROUP).into())
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(topics.collect())
}

/// A subscription of version 0.
pub(crate) fn subscription(topic: &str) -> Bytes {
    let mut blob = BytesMut::new();
    blob.put_i16(0);
    blob.put_i32(1);
    put_string(&mut blob, topic);
    blob.put_i32(-1);
    blob.freeze()
}

/// An assignment of version 0.
pub(crate) fn assignment(topic: &str, partitions: &[i32]) -> Bytes {
    let mut blob = BytesMut::new();
    blob.put_i16(0);
    blob.put_i32(1);
    put_string(&mut blob, topic);
    blob.put_i32(partitions.len() as i32);
    partitions.iter().for_each(|partition| blob.put_i32(*partition));
    blob.put_i32(-1);
    blob.freeze()
}

fn put_string(blob: &mut BytesMut, text: &str) {
    blob.put_i16(text.len() as i16);
    blob.put_slice(text.as_bytes());
}

fn as_join(answer: ResponseKind) -> JoinGroupResponse {
    match answer {
        ResponseKind::JoinGroup(answer) => answer,
        other => panic!("{other:?}"),
    }
}

fn as_sync(answer: ResponseKind) -> SyncGroupResponse {
    match answer {
        ResponseKind::SyncGroup(answer) => answer,
        other => panic!("{other:?}"),
    }
}

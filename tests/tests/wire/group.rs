//! A group of a trial's own, and the questions of its members, each over a connection of its own.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    ConsumerProtocolSubscription, FindCoordinatorRequest, GroupId, HeartbeatRequest, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, OffsetFetchRequest, SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::{Encodable, StrBytes};
use steadfast_tests::brokers::Brokers;
use steadfast_tests::kafka::{Connection, ask};
use steadfast_tests::within;

use crate::topic::{LIMIT, error, text};

/// The kind of group that consumers form.
pub(crate) const CONSUMER: &str = "consumer";

/// What a consumer says when it joins: it wants this topic. Kafka reads it.
pub(crate) fn subscription(topic: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    let subscription = ConsumerProtocolSubscription::default().with_topics(vec![text(topic)]);
    subscription.encode(&mut bytes, 0).unwrap();
    bytes.freeze()
}

/// Who coordinates what has this key, of this type: as soon as every broker says the same.
pub(crate) fn coordinator(brokers: &Brokers, key: &str, key_type: i8) -> SocketAddr {
    let request = FindCoordinatorRequest::default().with_key(text(key)).with_key_type(key_type);
    let node = within(LIMIT, || {
        let told = brokers.addresses().values().map(|at| {
            let found = ask(*at, 3, &request).unwrap();
            error(found.error_code).map_or(Ok(found.node_id.0), |refused| Err(format!("{at}: {refused}")))
        });
        let told = told.collect::<Result<BTreeSet<i32>, String>>()?;
        told.first().copied().filter(|_| told.len() == 1).ok_or_else(|| format!("{told:?}"))
    });
    brokers.addresses()[&node.unwrap()]
}

/// A group and where its coordinator is.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) at: SocketAddr,
}

impl Group {
    /// The group, when its coordinator is ready.
    pub(crate) fn new(brokers: &Brokers, name: &str) -> Group {
        let group = Group { name: name.to_owned(), at: coordinator(brokers, name, 0) };
        let question = OffsetFetchRequest::default().with_group_id(group.id()).with_topics(Some(Vec::new()));
        within(LIMIT, || error(ask(group.at, 7, &question).unwrap().error_code).map_or(Ok(()), Err)).unwrap();
        group
    }

    pub(crate) fn id(&self) -> GroupId {
        GroupId(text(&self.name))
    }

    /// A member that knows no id yet, speaks `range` and wants this topic.
    pub(crate) fn joining(&self, topic: &str) -> Join {
        Join {
            group: self.clone(),
            member: StrBytes::default(),
            instance: None,
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
            protocol_type: CONSUMER,
            protocols: vec![("range", subscription(topic))],
        }
    }

    /// A group of one member, which has its assignment.
    pub(crate) fn of_one(brokers: &Brokers, name: &str) -> (Group, Member) {
        let group = Group::new(brokers, name);
        let member = group.joining("first").joined();
        assert_eq!(member.sync(&[(&member, "everything")]).unwrap(), "everything");
        (group, member)
    }
}

/// How a member joins.
#[derive(Debug, Clone)]
pub(crate) struct Join {
    pub(crate) group: Group,
    pub(crate) member: StrBytes,
    pub(crate) instance: Option<&'static str>,
    pub(crate) session_timeout_ms: i32,
    pub(crate) rebalance_timeout_ms: i32,
    pub(crate) protocol_type: &'static str,
    pub(crate) protocols: Vec<(&'static str, Bytes)>,
}

/// The version in which members join when it does not matter.
pub(crate) const JOIN: i16 = 9;

impl Join {
    pub(crate) fn request(&self, version: i16) -> JoinGroupRequest {
        let protocol = |(name, metadata): &(&str, Bytes)| {
            JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(metadata.clone())
        };
        let request = JoinGroupRequest::default()
            .with_group_id(self.group.id())
            .with_member_id(self.member.clone())
            .with_session_timeout_ms(self.session_timeout_ms)
            .with_protocol_type(text(self.protocol_type))
            .with_protocols(self.protocols.iter().map(protocol).collect());
        let request =
            if version >= 1 { request.with_rebalance_timeout_ms(self.rebalance_timeout_ms) } else { request };
        if version >= 5 { request.with_group_instance_id(self.instance.map(text)) } else { request }
    }

    /// Asks once, and waits for the answer.
    pub(crate) fn ask(&self, version: i16) -> JoinGroupResponse {
        ask(self.group.at, version, &self.request(version)).unwrap()
    }

    /// The same with a member id, which is asked for if it is needed.
    pub(crate) fn with_id(&self) -> Join {
        let required = self.ask(JOIN);
        assert_eq!(error(required.error_code), Some(ResponseError::MemberIdRequired));
        Join { member: required.member_id, ..self.clone() }
    }

    /// Asks without waiting for the answer.
    pub(crate) fn send(&self) -> Connection {
        let mut connection = Connection::open(self.group.at).unwrap();
        connection.wait_up_to(LIMIT).unwrap();
        connection.send(JOIN, &self.request(JOIN)).unwrap();
        connection
    }

    /// The member that this answer makes.
    pub(crate) fn member(&self, answer: JoinGroupResponse) -> Member {
        assert_eq!(error(answer.error_code), None, "{answer:?}");
        Member {
            group: self.group.clone(),
            id: answer.member_id.clone(),
            instance: self.instance,
            generation: answer.generation_id,
            answer,
        }
    }

    /// The member that the answer on this connection makes.
    pub(crate) fn received(&self, mut connection: Connection) -> Member {
        self.member(connection.receive::<JoinGroupRequest>(JOIN).unwrap())
    }

    /// Joins a group where nobody has to be waited for.
    pub(crate) fn joined(&self) -> Member {
        let join =
            if self.instance.is_none() && self.member.is_empty() { self.with_id() } else { self.clone() };
        join.member(join.ask(JOIN))
    }
}

/// A member of a generation.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) group: Group,
    pub(crate) id: StrBytes,
    pub(crate) instance: Option<&'static str>,
    pub(crate) generation: i32,
    /// What its join was answered.
    pub(crate) answer: JoinGroupResponse,
}

impl Member {
    pub(crate) fn leads(&self) -> bool {
        self.answer.leader == self.id
    }

    /// The members that its join was answered with, each with its metadata, by id.
    pub(crate) fn fellows(&self) -> Vec<(StrBytes, Bytes)> {
        let fellows =
            self.answer.members.iter().map(|member| (member.member_id.clone(), member.metadata.clone()));
        let mut fellows: Vec<_> = fellows.collect();
        fellows.sort();
        fellows
    }

    pub(crate) fn sync_request(&self, version: i16, assignments: &[(&Member, &str)]) -> SyncGroupRequest {
        let assignment = |(member, assignment): &(&Member, &str)| {
            SyncGroupRequestAssignment::default()
                .with_member_id(member.id.clone())
                .with_assignment(Bytes::from((*assignment).to_owned()))
        };
        let request = SyncGroupRequest::default()
            .with_group_id(self.group.id())
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone())
            .with_assignments(assignments.iter().map(assignment).collect());
        let request =
            if version >= 3 { request.with_group_instance_id(self.instance.map(text)) } else { request };
        if version < 5 {
            return request;
        }
        let protocol = self.answer.protocol_name.clone().unwrap_or_else(|| text("range"));
        request.with_protocol_type(Some(text(CONSUMER))).with_protocol_name(Some(protocol))
    }

    pub(crate) fn sync_in(
        &self,
        version: i16,
        assignments: &[(&Member, &str)],
    ) -> Result<String, ResponseError> {
        assigned(ask(self.group.at, version, &self.sync_request(version, assignments)).unwrap())
    }

    /// Syncs, and gives its assignment.
    pub(crate) fn sync(&self, assignments: &[(&Member, &str)]) -> Result<String, ResponseError> {
        self.sync_in(5, assignments)
    }

    /// Syncs without waiting for the answer.
    pub(crate) fn send_sync(&self) -> Connection {
        let mut connection = Connection::open(self.group.at).unwrap();
        connection.wait_up_to(LIMIT).unwrap();
        connection.send(5, &self.sync_request(5, &[])).unwrap();
        connection
    }

    pub(crate) fn heartbeat_in(&self, version: i16) -> Option<ResponseError> {
        let request = HeartbeatRequest::default()
            .with_group_id(self.group.id())
            .with_generation_id(self.generation)
            .with_member_id(self.id.clone());
        let request =
            if version >= 3 { request.with_group_instance_id(self.instance.map(text)) } else { request };
        error(ask(self.group.at, version, &request).unwrap().error_code)
    }

    pub(crate) fn heartbeat(&self) -> Option<ResponseError> {
        self.heartbeat_in(4)
    }

    pub(crate) fn leave_in(&self, version: i16) -> Option<ResponseError> {
        let request = LeaveGroupRequest::default().with_group_id(self.group.id());
        if version < 3 {
            let request = request.with_member_id(self.id.clone());
            return error(ask(self.group.at, version, &request).unwrap().error_code);
        }
        let identity = MemberIdentity::default()
            .with_member_id(self.id.clone())
            .with_group_instance_id(self.instance.map(text));
        let answer = ask(self.group.at, version, &request.with_members(vec![identity])).unwrap();
        assert_eq!((error(answer.error_code), answer.members.len()), (None, 1));
        assert_eq!(answer.members[0].member_id, self.id);
        error(answer.members[0].error_code)
    }

    /// The same member under another id.
    pub(crate) fn called(&self, id: &str) -> Member {
        Member { id: text(id), ..self.clone() }
    }

    /// The same member in another generation.
    pub(crate) fn in_generation(&self, generation: i32) -> Member {
        Member { generation, ..self.clone() }
    }

    /// Joins again, and wants the same topic or another.
    pub(crate) fn rejoining(&self, topic: &str) -> Join {
        Join { member: self.id.clone(), instance: self.instance, ..self.group.joining(topic) }
    }
}

/// The assignment that an answer gives.
pub(crate) fn assigned(answer: SyncGroupResponse) -> Result<String, ResponseError> {
    let assignment = String::from_utf8(answer.assignment.to_vec()).unwrap();
    error(answer.error_code).map_or(Ok(assignment), Err)
}

//! A member alone on a stage: the test plays everybody else.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::group::actions::{
    Action, Heartbeat, JoinGroup, LeaveGroup, LostReason, Rebalance, SyncGroup,
};
use steadfast_core::group::assign::Candidate;
use steadfast_core::group::classic::ClassicMember;
use steadfast_core::group::errors::{ErrorCode, Refusal};
use steadfast_core::group::events::{Event, JoinAnswer, RequestId};
use steadfast_core::group::settings::Settings;
use steadfast_core::group::standing::{Membership, Standing};
use steadfast_core::group::subscription::{Assignment, Subscription};
use steadfast_core::ids::{GroupGeneration, NodeId, Partition};
use steadfast_core::tick::Tick;

/// The topic `t` has four partitions; these are some of them.
pub(crate) fn partitions(indexes: &[i32]) -> BTreeSet<Partition> {
    indexes.iter().map(|index| Partition::new("t", *index)).collect()
}

pub(crate) struct Scene {
    pub(crate) settings: Settings,
    pub(crate) member: ClassicMember,
    pub(crate) now: Tick,
    pub(crate) asked: Vec<&'static str>,
    find: Option<RequestId>,
    join: Option<JoinGroup>,
    sync: Option<SyncGroup>,
    beat: Option<Heartbeat>,
    pub(crate) leave: Option<LeaveGroup>,
    pub(crate) revoked: Vec<BTreeSet<Partition>>,
    pub(crate) assigned: Vec<BTreeSet<Partition>>,
    pub(crate) lost: Vec<(BTreeSet<Partition>, LostReason)>,
    pub(crate) counted: Vec<BTreeSet<Arc<str>>>,
    pub(crate) rebalances: Vec<Rebalance>,
    pub(crate) published: Option<Membership>,
    pub(crate) fatal: Option<Refusal>,
    pub(crate) left: bool,
}

impl Scene {
    pub(crate) fn new(settings: Settings) -> Scene {
        Scene::from(settings, Standing::default())
    }

    pub(crate) fn from(settings: Settings, standing: Standing) -> Scene {
        let mut member = ClassicMember::new(settings.clone(), ["t".into()].into(), standing);
        member.handle(Event::PartitionsChanged { counts: [("t".into(), 4)].into() }, Tick::ZERO);
        Scene {
            settings,
            member,
            now: Tick::at(Duration::from_secs(100)),
            asked: Vec::new(),
            find: None,
            join: None,
            sync: None,
            beat: None,
            leave: None,
            revoked: Vec::new(),
            assigned: Vec::new(),
            lost: Vec::new(),
            counted: Vec::new(),
            rebalances: Vec::new(),
            published: None,
            fatal: None,
            left: false,
        }
    }

    /// Through its first round, as a follower, holding `indexes`.
    pub(crate) fn stable(mut self, indexes: &[i32]) -> Scene {
        self.tell(Event::Start);
        self.found();
        self.joined(1, "other", &[]);
        self.synced(indexes);
        self.asked.clear();
        self
    }

    pub(crate) fn tell(&mut self, event: Event) -> Vec<Action> {
        let actions = self.member.handle(event, self.now);
        for action in actions.clone() {
            self.watch(action);
        }
        actions
    }

    fn watch(&mut self, action: Action) {
        match action {
            Action::FindCoordinator { request, .. } => {
                self.asked.push("find");
                self.find = Some(request);
            }
            Action::Join(join) => {
                self.asked.push("join");
                self.join = Some(join);
            }
            Action::Sync(sync) => {
                self.asked.push("sync");
                self.sync = Some(sync);
            }
            Action::AskAgain => self.asked.push("again"),
            Action::Heartbeat(beat) => {
                self.asked.push("heartbeat");
                self.beat = Some(beat);
            }
            Action::Leave(leave) => {
                self.asked.push("leave");
                self.leave = Some(leave);
            }
            Action::ConsumerHeartbeat(beat) => panic!("of the other protocol: {beat:?}"),
            Action::CountPartitions { topics } => self.counted.push(topics),
            Action::Revoke { partitions, .. } => self.revoked.push(partitions),
            Action::Assign { partitions, .. } => self.assigned.push(partitions.into_keys().collect()),
            Action::Lost { partitions, reason } => self.lost.push((partitions, reason)),
            Action::Publish(membership) => self.published = membership,
            Action::Rebalanced(rebalance) => self.rebalances.push(rebalance),
            Action::CoordinatorLost { .. } | Action::Noted { .. } | Action::Rebalancing { .. } => {}
            Action::Left => self.left = true,
            Action::Fatal(refusal) => self.fatal = Some(refusal),
        }
    }

    /// Nobody answers anything for so long.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.member.next_deadline().filter(|next| *next <= end) {
            assert!(next > self.now || self.now == end, "a deadline must not come at once: {next}");
            self.now = next;
            self.tell(Event::DeadlineReached);
        }
        self.now = end;
        self.tell(Event::DeadlineReached);
    }

    /// Every heartbeat is accepted for so long.
    pub(crate) fn pass_with_heartbeats(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(next) = self.member.next_deadline().filter(|next| *next <= end) {
            self.now = next;
            self.tell(Event::DeadlineReached);
            if self.beat.is_some() {
                self.beat_accepted();
            }
        }
        self.now = end;
    }

    pub(crate) fn beats(&self) -> usize {
        self.asked.iter().filter(|asked| **asked == "heartbeat").count()
    }

    pub(crate) fn found(&mut self) {
        let request = self.find.expect("asked for the coordinator");
        self.tell(Event::CoordinatorFound { request, coordinator: NodeId(1) });
    }

    pub(crate) fn join(&self) -> JoinGroup {
        self.join.clone().expect("sent JoinGroup")
    }

    pub(crate) fn sync(&self) -> SyncGroup {
        self.sync.clone().expect("sent SyncGroup")
    }

    pub(crate) fn joined(&mut self, generation: i32, leader: &str, members: &[&str]) {
        let assignor = self.settings.assignors[0].name();
        let members: Vec<(&str, &str)> = members.iter().map(|member| (*member, "t")).collect();
        self.joined_under(generation, assignor, leader, &members);
    }

    pub(crate) fn joined_wanting(&mut self, generation: i32, members: &[(&str, &str)]) {
        let assignor = self.settings.assignors[0].name();
        self.joined_under(generation, assignor, "me", members);
    }

    pub(crate) fn joined_under(
        &mut self,
        generation: i32,
        assignor: &str,
        leader: &str,
        members: &[(&str, &str)],
    ) {
        let candidate = |(id, topic): &(&str, &str)| Candidate {
            id: (*id).into(),
            instance: None,
            subscription: Subscription { topics: [Arc::from(*topic)].into(), ..Subscription::default() },
        };
        let answer = JoinAnswer {
            generation: GroupGeneration(generation),
            member_id: "me".into(),
            assignor: assignor.to_owned(),
            leader: leader.into(),
            members: members.iter().map(candidate).collect(),
            skip_assignment: false,
        };
        let request = self.join().request;
        self.tell(Event::Joined { request, answer });
    }

    pub(crate) fn synced(&mut self, indexes: &[i32]) {
        let assignment = Assignment { partitions: partitions(indexes), user_data: Vec::new() };
        let request = self.sync().request;
        self.tell(Event::Synced { request, assignment });
    }

    pub(crate) fn beat_accepted(&mut self) {
        let request = self.beat.take().expect("sent a heartbeat").request;
        self.tell(Event::HeartbeatAccepted { request });
    }

    /// The next heartbeat is answered so.
    pub(crate) fn beat_refused(&mut self, code: ErrorCode) {
        let request = self.next_beat();
        self.tell(Event::Refused { request, code });
    }

    /// Waits for the next heartbeat, if none is out.
    pub(crate) fn next_beat(&mut self) -> RequestId {
        while self.beat.is_none() {
            self.now = self.member.next_deadline().expect("a heartbeat is due");
            self.tell(Event::DeadlineReached);
        }
        self.beat.take().expect("sent a heartbeat").request
    }
}

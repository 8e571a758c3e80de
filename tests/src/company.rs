//! Members of one group under one load, ours and foreign ones, and the judgement over all of them together.
//! What fails panics, as a trial does.
#![expect(clippy::unwrap_used, reason = "what fails here fails its trial")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, SystemTime};

use crate::brokers::Brokers;
use crate::checker::{Acked, Checker, Delivered, Mark};
use crate::java::{Line, Program};
use crate::load::{Load, Plan};
#[cfg(feature = "librdkafka")]
use crate::reader::Reader;
use crate::service::{Event, Service, Workplace, usual_config};
use crate::within;
use serde_json::Value;
use steadfast_sim::proxy::DriftProxy;

/// For what has to happen soon.
pub const LIMIT: Duration = Duration::from_secs(60);
/// Of the topic.
pub const PARTITIONS: i32 = 12;
/// Records per second, over all partitions.
pub const RATE: u32 = 300;
/// All partitions of the topic.
pub const ALL: usize = PARTITIONS as usize;
/// Foreign members hear of a rebalance soon, and one that is killed is missed as early as the brokers allow.
const PROMPT: [(&str, &str); 2] = [("heartbeat.interval.ms", "500"), ("session.timeout.ms", "6000")];

/// A topic, its load, and the members of one group.
pub struct Company {
    name: String,
    bootstrap: String,
    /// Where ours look for the cluster.
    entrance: String,
    loads: Vec<Load>,
    /// What members that are gone were given.
    gone: Vec<(Parting, Checker)>,
}

/// How a member went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parting {
    /// It committed what it had been given.
    InOrder,
    /// It could not: what it had been given may be given to another again.
    CutOff,
    /// Another took its place, and both were given records until it heard of that.
    Fenced,
}

/// A member: what it was given tells who has what.
pub trait Member {
    /// The load's records that it was given.
    fn given(&self) -> Checker;

    /// For the message of a failing trial.
    fn story(&self) -> String;
}

/// One of ours.
pub struct Ours {
    /// Its process.
    pub service: Service,
    /// Its configuration and state.
    pub workplace: Workplace,
}

impl Company {
    /// A topic named as the group is, under load.
    pub fn gather(brokers: &Brokers, name: &str) -> Company {
        brokers.create_topic(name, PARTITIONS, &[]).unwrap();
        let bootstrap = brokers.bootstrap();
        let load = Load::start(plan(&bootstrap, name)).unwrap();
        Company {
            name: name.to_owned(),
            entrance: bootstrap.clone(),
            bootstrap,
            loads: vec![load],
            gone: Vec::new(),
        }
    }

    /// Ours come through the proxy from now on.
    pub fn behind(self, proxy: &DriftProxy) -> Company {
        Company { entrance: proxy.bootstrap().to_string(), ..self }
    }

    /// Writes to further partitions.
    pub fn extend_load(&mut self, partitions: Range<i32>) {
        self.loads.push(Load::over(plan(&self.bootstrap, &self.name), partitions).unwrap());
    }

    /// A workplace with these settings below the usual ones, of which the last table is `[kafka]`.
    pub fn workplace(&self, settings: &str) -> Workplace {
        let workplace = Workplace::new().unwrap();
        let config = usual_config(&self.entrance, &self.name, &self.name) + settings;
        workplace.configure(&config).unwrap();
        workplace
    }

    /// One of ours joins.
    pub fn ours(&self, settings: &str) -> Ours {
        Ours::at(self.workplace(settings))
    }

    /// A Java consumer joins.
    pub fn java(&self, assignor: &str) -> Program {
        let prompt: Vec<String> = PROMPT.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let arguments = [&*self.bootstrap, &*self.name, &*self.name, assignor, &*prompt[0], &*prompt[1]];
        Program::start("GroupMember", &arguments).unwrap()
    }

    /// A Java consumer joins under the consumer protocol, which leaves the times of heartbeats to the brokers.
    pub fn java_of_the_consumer_protocol(&self) -> Program {
        Program::start("GroupMember", &[&self.bootstrap, &self.name, &self.name, "consumer"]).unwrap()
    }

    /// A librdkafka consumer joins.
    #[cfg(feature = "librdkafka")]
    pub fn librdkafka(&self, assignor: &str) -> Reader {
        let settings = [&PROMPT[..], &[("partition.assignment.strategy", assignor)]].concat();
        Reader::start(&self.bootstrap, &self.name, &self.name, &settings).unwrap()
    }

    /// The same under the consumer protocol.
    #[cfg(feature = "librdkafka")]
    pub fn librdkafka_of_the_consumer_protocol(&self) -> Reader {
        Reader::start(&self.bootstrap, &self.name, &self.name, &[("group.protocol", "consumer")]).unwrap()
    }

    /// A Java consumer in a group of its own, which is given everything.
    pub fn bystander(&self) -> Program {
        let group = format!("{}-bystander", self.name);
        Program::start("GroupMember", &[&self.bootstrap, &group, &self.name, "range"]).unwrap()
    }

    /// A Java member commits and leaves. One that says that a commit was refused could not commit what it was
    /// given: in a cooperative round Java reads on and may then be too late.
    pub fn see_off(&mut self, mut java: Program) {
        java.tell("leave").unwrap();
        let lines = java.end(LIMIT).unwrap();
        let refused = lines.iter().any(|line| line.json["event"] == "commit_failed");
        let parting = if refused { Parting::CutOff } else { Parting::InOrder };
        self.gone.push((parting, given_by(&lines)));
    }

    /// A librdkafka member commits and leaves.
    #[cfg(feature = "librdkafka")]
    pub fn see_off_reader(&mut self, reader: Reader) {
        self.gone.push((Parting::InOrder, reader.leave(LIMIT).unwrap()));
    }

    /// A Java member ends without a word: the group misses it when its session ends.
    pub fn kill(&mut self, mut java: Program) {
        java.tell("exit").unwrap();
        self.gone.push((Parting::CutOff, given_by(&java.end(LIMIT).unwrap())));
    }

    /// One of ours ends as it is told to.
    pub fn retire(&mut self, ours: Ours) -> Workplace {
        ours.service.signal("TERM").unwrap();
        self.ended(ours, 0, Parting::InOrder)
    }

    /// One of ours ends because it is fenced.
    pub fn fenced(&mut self, ours: Ours) {
        self.ended(ours, 77, Parting::Fenced);
    }

    /// A Java member is killed: all that it printed.
    pub fn cut_off_java(&mut self, java: Program) -> Vec<Line> {
        let lines = java.kill().unwrap();
        self.gone.push((Parting::CutOff, given_by(&lines)));
        lines
    }

    /// One of ours is killed: what is left of it can still be asked for its events.
    pub fn cut_off(&mut self, mut ours: Ours) -> Ours {
        ours.service.signal("KILL").unwrap();
        ours.service.wait(LIMIT).unwrap();
        assert_eq!(ours.service.strange_lines(), Vec::<String>::new());
        self.gone.push((Parting::CutOff, ours.given()));
        ours
    }

    /// One of ours ends with this code, having kept the rules.
    fn ended(&mut self, mut ours: Ours, code: i32, parting: Parting) -> Workplace {
        let status = ours.service.wait(LIMIT).unwrap();
        assert_eq!(status.code(), Some(code), "{}", ours.story());
        assert_eq!(ours.service.strange_lines(), Vec::<String>::new());
        // Who was cut off may have been given what it could not commit any more.
        if self.gone.iter().all(|(parting, _)| *parting != Parting::CutOff) {
            assert_eq!(ours.stopped()["redelivered"], 0, "{}", ours.story());
        }
        assert_eq!(ours.trespasses(), Vec::<String>::new(), "{}", ours.story());
        self.gone.push((parting, ours.given()));
        ours.workplace
    }

    /// Ends the load and the last members. Nothing was lost, and nothing came again but what a member had
    /// been given that was cut off.
    pub fn disband(mut self, last: Vec<Ours>) {
        let acked = self.stop_load();
        self.await_everything(&acked, &last.iter().map(|ours| ours as &dyn Member).collect::<Vec<_>>());
        for ours in last {
            self.retire(ours);
        }
        assert_eq!(self.given_again(), Vec::<Again>::new());
    }

    /// The same with a Java consumer as the last member.
    pub fn disband_java(mut self, last: Program) {
        let acked = self.stop_load();
        self.await_everything(&acked, &[&last]);
        self.see_off(last);
        assert_eq!(self.given_again(), Vec::<Again>::new());
    }

    /// Ends the load. Those who are there and those who are gone were given everything, at least once.
    pub fn expect_everything(&mut self, there: &[&dyn Member]) {
        let acked = self.stop_load();
        self.await_everything(&acked, there);
    }

    /// Waits until the last members and those that are gone were given everything.
    fn await_everything(&self, acked: &Acked, last: &[&dyn Member]) {
        let everything = || {
            let gone = self.gone.iter().map(|(_, checker)| checker.clone());
            merged(gone.chain(last.iter().map(|member| member.given())))
        };
        let outstanding = within(LIMIT, || match everything().outstanding(acked) {
            outstanding if outstanding.is_empty() => Ok(()),
            outstanding => Err(outstanding),
        });
        let stories = || last.iter().map(|member| member.story()).collect::<Vec<_>>().join("\n--\n");
        assert_eq!(outstanding, Ok(()), "lost\n{}", stories());
    }

    /// Ends the load: what was acknowledged.
    pub fn stop_load(&mut self) -> Acked {
        self.loads.drain(..).flat_map(|load| load.stop().unwrap()).collect()
    }

    /// What was given to somebody although somebody else, or the same one, had been given it and had committed
    /// it.
    fn given_again(&self) -> Vec<Again> {
        let by = |(parting, checker): &(Parting, Checker)| {
            let parting = *parting;
            checker.delivered().iter().map(move |delivered| (*delivered, parting)).collect::<Vec<_>>()
        };
        let mut all: Vec<(Delivered, Parting)> = self.gone.iter().flat_map(by).collect();
        all.sort_by_key(|(delivered, _)| delivered.at);
        let mut first: BTreeMap<(i32, i64), Parting> = BTreeMap::new();
        let mut again = Vec::new();
        for (Delivered { mark, offset, .. }, parting) in all {
            let before = first.get(&(mark.partition, offset)).copied();
            first.entry((mark.partition, offset)).or_insert(parting);
            if before == Some(Parting::InOrder) && parting != Parting::Fenced {
                again.push(Again { mark, offset });
            }
        }
        again
    }
}

/// A record that came twice.
#[derive(Debug, PartialEq, Eq)]
struct Again {
    mark: Mark,
    offset: i64,
}

fn plan(bootstrap: &str, topic: &str) -> Plan {
    let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
    Plan { bootstrap, topic, partitions: PARTITIONS, per_second: RATE }
}

fn merged(checkers: impl Iterator<Item = Checker>) -> Checker {
    let mut all = Checker::default();
    checkers.for_each(|checker| checker.delivered().iter().for_each(|delivered| all.see(*delivered)));
    all
}

fn given_by(lines: &[Line]) -> Checker {
    let mut checker = Checker::default();
    for line in lines.iter().filter(|line| line.json["event"] == "record") {
        let mark = line.json["value"].as_str().and_then(|value| Mark::read(value.as_bytes()));
        if let (Some(mark), Some(offset)) = (mark, line.json["offset"].as_i64()) {
            checker.see(Delivered { mark, offset, at: line.at });
        }
    }
    checker
}

/// Waits until each of these is given records of exactly so many partitions, no two of the same, and all
/// together those of every partition.
pub fn await_sharing(members: &[(&dyn Member, usize)]) {
    let since = SystemTime::now();
    let shared = within(LIMIT, || sharing(members, since));
    expect_shared(members, shared);
}

/// The same from some moment on: for members that don't tell when a round is over.
pub fn await_settling(members: &[(&dyn Member, usize)]) {
    let mut since = SystemTime::now();
    let shared = within(LIMIT, || {
        sharing(members, since).inspect_err(|given| {
            if given.iter().zip(members).any(|(given, (_, wanted))| given.len() > *wanted) {
                since = SystemTime::now();
            }
        })
    });
    expect_shared(members, shared);
}

/// The partitions that each was given records of.
type Given = Vec<BTreeSet<i32>>;

/// Whether they share as wanted, by what each was given since then.
fn sharing(members: &[(&dyn Member, usize)], since: SystemTime) -> Result<(), Given> {
    let given = members.iter().map(|(member, _)| member.given().first_after(since));
    let given: Given = given.map(|first| first.into_keys().collect()).collect();
    let as_wanted = given.iter().zip(members).all(|(given, (_, wanted))| given.len() == *wanted);
    let distinct: BTreeSet<&i32> = given.iter().flatten().collect();
    let wanted: usize = members.iter().map(|(_, wanted)| *wanted).sum();
    if as_wanted && distinct.len() == wanted { Ok(()) } else { Err(given) }
}

fn expect_shared(members: &[(&dyn Member, usize)], shared: Result<(), Given>) {
    let stories = || members.iter().map(|(member, _)| member.story()).collect::<Vec<_>>().join("\n--\n");
    assert_eq!(shared, Ok(()), "{}", stories());
}

impl Ours {
    /// The service joins, with its configuration and state at this place.
    pub fn at(workplace: Workplace) -> Ours {
        Ours { service: Service::run(&workplace, &[]).unwrap(), workplace }
    }

    /// The partitions that its events say it owns.
    pub fn owned(&self) -> BTreeSet<i64> {
        let mut owned = BTreeSet::new();
        for event in self.service.events() {
            match event.name.as_str() {
                "partitions.assigned" => owned.extend(partitions(&event.json)),
                "partitions.revoked" | "partitions.lost" => {
                    let gone = partitions(&event.json);
                    owned.retain(|partition| !gone.contains(partition));
                }
                _ => {}
            }
        }
        owned
    }

    /// Waits until it owns so many partitions.
    pub fn await_owned(&self, wanted: usize) -> BTreeSet<i64> {
        let owned = within(LIMIT, || {
            let owned = self.owned();
            if owned.len() == wanted { Ok(owned) } else { Err(owned) }
        });
        owned.unwrap_or_else(|owned| panic!("{owned:?} are owned, not {wanted}\n{}", self.story()))
    }

    /// All partitions that it ever gave up or lost, in order.
    pub fn given_up(&self) -> Vec<i64> {
        let ends = |event: &Event| matches!(&*event.name, "partitions.revoked" | "partitions.lost");
        let ends: Vec<Event> = self.service.events().into_iter().filter(ends).collect();
        ends.iter().flat_map(|event| partitions(&event.json)).collect()
    }

    /// The rounds that it took part in.
    pub fn rounds(&self) -> Vec<Value> {
        self.service.events_named("group.rebalanced").into_iter().map(|event| event.json).collect()
    }

    /// Whether it led the group in the last round.
    pub fn leads(&self) -> bool {
        self.rounds().last().is_some_and(|round| round["led"] == true)
    }

    fn stopped(&self) -> Value {
        let stopped = self.service.events_named("service.stopped").pop();
        stopped.map(|event| event.json).unwrap_or_default()
    }

    /// Records that were written after the service had said that it gave their partition up, and that it
    /// processed although it did not own the partition again: they lie before the offset from which it went
    /// on later, if it did. Both are facts of the log, so no delay of an output's reader blurs them.
    fn trespasses(&self) -> Vec<String> {
        let records = self.service.records();
        let mut given_up: BTreeMap<i64, SystemTime> = BTreeMap::new();
        let mut trespasses = Vec::new();
        let mut judge = |partition: i64, since: SystemTime, until: i64| {
            let since = since.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
            let wrong = records.iter().filter(|record| {
                let written = record["ts"].as_u64().map(u128::from);
                let before = record["offset"].as_i64().is_some_and(|offset| offset < until);
                record["partition"] == partition && before && written > Some(since)
            });
            trespasses.extend(wrong.map(Value::to_string));
        };
        for event in self.service.events() {
            match event.name.as_str() {
                "partitions.revoked" | "partitions.lost" => {
                    given_up.extend(partitions(&event.json).into_iter().map(|gone| (gone, event.at)));
                }
                "partition.started" => {
                    let partition = event.json["messaging.destination.partition.id"].as_i64().unwrap();
                    if let Some(since) = given_up.remove(&partition) {
                        judge(partition, since, event.json["messaging.kafka.offset"].as_i64().unwrap());
                    }
                }
                _ => {}
            }
        }
        given_up.into_iter().for_each(|(partition, since)| judge(partition, since, i64::MAX));
        trespasses
    }
}

/// The numbers of the partitions that an event names.
pub fn partitions(event: &Value) -> BTreeSet<i64> {
    let named = event["partitions"].as_array().unwrap();
    named.iter().map(|partition| partition["index"].as_i64().unwrap()).collect()
}

impl Member for Ours {
    fn given(&self) -> Checker {
        self.service.checker()
    }

    fn story(&self) -> String {
        self.service.story()
    }
}

impl Member for Program {
    fn given(&self) -> Checker {
        given_by(&self.lines())
    }

    fn story(&self) -> String {
        let told = self.lines().into_iter().filter(|line| line.json["event"] != "record");
        told.map(|line| format!("{}\n", line.json)).collect()
    }
}

#[cfg(feature = "librdkafka")]
impl Member for Reader {
    fn given(&self) -> Checker {
        self.checker()
    }

    fn story(&self) -> String {
        format!("librdkafka was given {} records", self.checker().delivered().len())
    }
}

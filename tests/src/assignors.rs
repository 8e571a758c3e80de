//! Java's own assignors beside ours: groups go to one Java process as lines, each member with the bytes that it would
//! write, and what Java makes of them comes back in Java's bytes.
#![expect(clippy::unwrap_used, reason = "what fails here fails its trial")]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use steadfast_core::group::assign::{Assignments, Assignor, Candidate, PartitionCounts, PartitionRacks};
use steadfast_core::group::subscription::Held;
use steadfast_kafka::blobs;

use crate::java::Program;
use crate::within;

/// For what is measured: both compilers, and room for the largest groups.
const WARM: [&str; 2] = ["-Xmx1g", "-XX:+UseSerialGC"];

/// Who shares what.
#[derive(Debug, Clone)]
pub struct Group {
    /// How.
    pub assignor: Assignor,
    /// Who.
    pub members: Vec<Candidate>,
    /// What.
    pub counts: PartitionCounts,
    /// Where it is.
    pub racks: PartitionRacks,
}

impl Group {
    /// What each member writes when it joins, in the members' order.
    pub fn written(&self) -> Vec<bytes::Bytes> {
        let write = |member: &Candidate| blobs::write_subscription(self.assignor, &member.subscription);
        self.members.iter().map(|member| write(member).unwrap()).collect()
    }

    /// The group as its leader reads it from what the members wrote.
    pub fn read(&self, written: &[bytes::Bytes]) -> Vec<Candidate> {
        let read = |(member, bytes): (&Candidate, &bytes::Bytes)| {
            let (id, instance) = (member.id.clone(), member.instance.clone());
            let (candidate, error) = blobs::read_candidate(self.assignor.name(), id, instance, bytes);
            assert_eq!(error, None);
            candidate
        };
        self.members.iter().zip(written).map(read).collect()
    }

    /// What our assignor makes of it.
    pub fn shared(&self) -> Assignments {
        self.assignor.assign_near(&self.read(&self.written()), &self.counts, &self.racks)
    }
}

/// What Java made of a group.
#[derive(Debug, Clone)]
pub struct Share {
    /// What each member gets.
    pub assignments: Assignments,
    /// How long it took, each time.
    pub took: Vec<Duration>,
}

/// What a Java member is to write.
#[derive(Debug, Clone)]
pub struct Writing {
    /// With which assignor.
    pub assignor: Assignor,
    /// What it wants.
    pub topics: Vec<Arc<str>>,
    /// What it was assigned last; nothing yet, if without a generation.
    pub held: Held,
    /// Its rack.
    pub rack: Option<String>,
    /// The version of the subscription.
    pub version: i16,
}

/// The process.
pub struct Java {
    program: Program,
    answered: usize,
}

impl Java {
    /// One that is asked for the result.
    ///
    /// # Errors
    /// The jars cannot be fetched, the sources not compiled, or Java not started.
    pub fn start() -> io::Result<Java> {
        Ok(Java { program: Program::start("Assignors", &[])?, answered: 0 })
    }

    /// One that is measured.
    ///
    /// # Errors
    /// As [`Java::start`].
    pub fn warm() -> io::Result<Java> {
        Ok(Java { program: Program::start_on(&WARM, "Assignors", &[])?, answered: 0 })
    }

    /// What Java makes of each group, made `times` times anew.
    ///
    /// # Errors
    /// Java ended, or did not answer within `limit`.
    pub fn share(&mut self, groups: &[Group], times: u32, limit: Duration) -> io::Result<Vec<Share>> {
        for group in groups {
            self.program.tell(&json!({ "share": described(group, times) }).to_string())?;
        }
        let answers = self.answers(groups.len(), limit)?;
        answers.iter().zip(groups).map(|(answer, group)| share(answer, group)).collect()
    }

    /// What Java's members write.
    ///
    /// # Errors
    /// As [`Java::share`].
    pub fn write(&mut self, members: &[Writing], limit: Duration) -> io::Result<Vec<Vec<u8>>> {
        for member in members {
            let held: Vec<Value> = member
                .held
                .partitions
                .iter()
                .map(|partition| json!([*partition.topic, partition.index]))
                .collect();
            let topics: Vec<&str> = member.topics.iter().map(|topic| &**topic).collect();
            let question = json!({ "write": {
                "assignor": member.assignor.name(),
                "topics": topics,
                "held": held,
                "generation": member.held.generation.map_or(-1, |generation| generation.0),
                "eager": member.assignor != Assignor::CooperativeSticky,
                "rack": member.rack,
                "version": member.version,
            }});
            self.program.tell(&question.to_string())?;
        }
        let answers = self.answers(members.len(), limit)?;
        answers.iter().map(|answer| decoded(&answer["subscription"])).collect()
    }

    fn answers(&mut self, count: usize, limit: Duration) -> io::Result<Vec<Value>> {
        let from = self.answered;
        if count == 0 {
            return Ok(Vec::new());
        }
        let program = &mut self.program;
        within(limit, || match program.lines_from(from + count - 1).is_empty() {
            true => Err(program.check().err()),
            false => Ok(()),
        })
        .map_err(|error| error.unwrap_or_else(|| io::ErrorKind::TimedOut.into()))?;
        self.answered += count;
        Ok(self.program.lines_from(from).into_iter().map(|line| line.json).collect())
    }
}

fn described(group: &Group, times: u32) -> Value {
    let counts: serde_json::Map<String, Value> =
        group.counts.iter().map(|(topic, count)| (topic.to_string(), json!(count))).collect();
    let racks: serde_json::Map<String, Value> = group
        .racks
        .iter()
        .map(|(topic, places)| {
            let places: Vec<Vec<&str>> =
                places.iter().map(|racks| racks.iter().map(|rack| &**rack).collect()).collect();
            (topic.to_string(), json!(places))
        })
        .collect();
    let members: Vec<Value> = group
        .members
        .iter()
        .zip(group.written())
        .map(|(member, bytes)| {
            json!({
                "id": *member.id.0,
                "instance": member.instance.as_deref(),
                "subscription": STANDARD.encode(bytes),
            })
        })
        .collect();
    json!({
        "assignor": group.assignor.name(),
        "counts": counts,
        "racks": racks,
        "members": members,
        "times": times,
    })
}

fn share(answer: &Value, group: &Group) -> io::Result<Share> {
    let mut assignments = Assignments::new();
    for member in &group.members {
        let bytes = decoded(&answer["shares"][&*member.id.0])?;
        let assignment = blobs::read_assignment(&bytes).map_err(io::Error::other)?;
        assignments.insert(member.id.clone(), assignment.partitions);
    }
    let nanos = answer["nanos"].as_array().cloned().unwrap_or_default();
    let took = nanos.iter().filter_map(Value::as_u64).map(Duration::from_nanos).collect();
    Ok(Share { assignments, took })
}

fn decoded(text: &Value) -> io::Result<Vec<u8>> {
    let text = text.as_str().ok_or(io::ErrorKind::InvalidData)?;
    STANDARD.decode(text).map_err(io::Error::other)
}

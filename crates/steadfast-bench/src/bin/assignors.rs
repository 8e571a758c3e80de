//! How fast the assignors are beside Java's, on the same groups, in the same run.
#![expect(clippy::disallowed_methods, reason = "what is measured is measured by the real clock")]

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use steadfast_bench::{conclusion, machine};
use steadfast_core::group::MemberId;
use steadfast_core::group::assign::{Assignments, Assignor, Candidate, PartitionRacks, Protocol};
use steadfast_core::group::subscription::{Held, Subscription};
use steadfast_core::ids::GroupGeneration;
use steadfast_tests::assignors::{Group, Java};

/// How long Java may take for one row.
const LIMIT: Duration = Duration::from_secs(300);
/// Members, topics, partitions of each.
const SIZES: [(usize, usize, i32); 3] = [(100, 10, 100), (500, 100, 100), (1_000, 100, 1_000)];
/// The size that is shared by members with different wishes too: each wants another nine tenths of the topics.
const DIFFERING: (usize, usize, i32) = SIZES[1];

/// Measures the assignors beside Java's (warm: each row is repeated, and the median counts). Fails where ours takes
/// longer, moves more, or is less even. Java's time is that of its assignor alone; ours is given once likewise and once
/// with the reading of what all members wrote.
#[derive(Parser)]
struct Arguments {
    /// How often each is made.
    #[arg(long, default_value_t = 30)]
    times: u32,
    /// Only print, or print figures.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Also keep the figures in this file.
    #[arg(long)]
    file: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

fn main() -> ExitCode {
    conclusion::conclude(measure(&Arguments::parse()))
}

fn measure(arguments: &Arguments) -> io::Result<Vec<String>> {
    let text = arguments.output == Output::Text;
    if text {
        println!("{:#}\n", machine::describe());
        println!(
            "group                                     assignor            ours ms   with reading   Java ms   moved ours/Java   spread ours/Java"
        );
    }
    let mut java = Java::warm()?;
    let (mut missed, mut rows) = (Vec::new(), Vec::new());
    for (name, group) in groups() {
        let row = Row::measure(&mut java, name, &group, arguments.times.max(1))?;
        if text {
            println!("{}", row.line());
        }
        missed.extend(row.missed());
        rows.push(row.figures());
    }
    let figures = json!({ "machine": machine::describe(), "load": machine::load_average(), "rows": rows });
    if !text {
        println!("{figures:#}");
    }
    if let Some(file) = &arguments.file {
        conclusion::keep(&figures, file)?;
    }
    Ok(missed)
}

/// Every assignor at every size, from nothing and after one has left.
fn groups() -> Vec<(String, Group)> {
    let mut groups = Vec::new();
    for assignor in Assignor::ALL {
        for size in SIZES {
            both(&mut groups, cold(assignor, size, |_member, _topic| true), size, "");
        }
    }
    for assignor in [Assignor::Sticky, Assignor::CooperativeSticky] {
        let wants = |member: usize, topic: usize| !(member + topic).is_multiple_of(10);
        both(&mut groups, cold(assignor, DIFFERING, wants), DIFFERING, ", differing");
    }
    groups
}

fn both(
    groups: &mut Vec<(String, Group)>,
    cold: Group,
    (members, topics, count): (usize, usize, i32),
    how: &str,
) {
    let partitions = topics * usize::try_from(count).unwrap_or(0);
    let mut left = cold.clone();
    let given = cold.shared();
    for member in &mut left.members {
        let (partitions, generation) = (given[&member.id].clone(), Some(GroupGeneration(1)));
        member.subscription.generation = generation;
        if cold.assignor.protocol() == Protocol::Cooperative {
            member.subscription.owned = partitions.clone();
        }
        member.subscription.previous = Held { partitions, generation };
    }
    left.members.remove(0);
    groups.push((format!("{members} x {partitions}{how}, cold"), cold));
    groups.push((format!("{members} x {partitions}{how}, one left"), left));
}

fn cold(
    assignor: Assignor,
    (members, topics, count): (usize, usize, i32),
    wants: impl Fn(usize, usize) -> bool,
) -> Group {
    let names: Vec<Arc<str>> = (0..topics).map(|topic| format!("topic-{topic:03}").into()).collect();
    let member = |number: usize| {
        let wanted = names.iter().enumerate().filter(|(topic, _)| wants(number, *topic));
        let subscription = Subscription {
            topics: wanted.map(|(_, name)| name.clone()).collect(),
            ..Subscription::default()
        };
        Candidate { id: MemberId(format!("member-{number:04}").into()), instance: None, subscription }
    };
    Group {
        assignor,
        members: (0..members).map(member).collect(),
        counts: names.iter().map(|name| (name.clone(), count)).collect(),
        racks: PartitionRacks::new(),
    }
}

struct Row {
    group: String,
    assignor: Assignor,
    /// Medians: ours, ours with reading, Java's.
    took: [Duration; 3],
    /// Ours and Java's.
    moved: [usize; 2],
    spread: [usize; 2],
}

impl Row {
    fn measure(java: &mut Java, name: String, group: &Group, times: u32) -> io::Result<Row> {
        let mut theirs = java.share(std::slice::from_ref(group), 2 * times, LIMIT)?.remove(0);
        theirs.took.drain(..theirs.took.len() / 2); // the compilers are at work
        let written = group.written();
        let (mut alone, mut with_reading) = (Vec::new(), Vec::new());
        let mut ours = Assignments::new();
        for _ in 0..times {
            drop(std::mem::take(&mut ours));
            let begun = Instant::now();
            let read = group.read(&written);
            let between = Instant::now();
            ours = group.assignor.assign(&read, &group.counts);
            alone.push(between.elapsed());
            with_reading.push(begun.elapsed());
        }
        Ok(Row {
            group: name,
            assignor: group.assignor,
            took: [median(alone), median(with_reading), median(theirs.took)],
            moved: [moved(group, &ours), moved(group, &theirs.assignments)],
            spread: [spread(&ours), spread(&theirs.assignments)],
        })
    }

    fn line(&self) -> String {
        let [alone, with_reading, java] = self.took.map(millis);
        format!(
            "{:41} {:19} {alone:7.2} {with_reading:14.2} {java:9.2} {:10} / {} {:14} / {}",
            self.group,
            self.assignor.name(),
            self.moved[0],
            self.moved[1],
            self.spread[0],
            self.spread[1]
        )
    }

    fn figures(&self) -> Value {
        json!({
            "group": self.group,
            "assignor": self.assignor.name(),
            "ours_ms": millis(self.took[0]),
            "ours_with_reading_ms": millis(self.took[1]),
            "java_ms": millis(self.took[2]),
            "moved": self.moved,
            "spread": self.spread,
        })
    }

    fn missed(&self) -> Vec<String> {
        let [ours, _, java] = self.took;
        let told = |what: &str| format!("{} of {}: {what}", self.assignor, self.group);
        let mut missed = Vec::new();
        if ours >= java {
            missed.push(told(&format!("{:.2} ms, Java {:.2} ms", millis(ours), millis(java))));
        }
        if self.moved[0] > self.moved[1] {
            missed.push(told(&format!("{} moved, by Java {}", self.moved[0], self.moved[1])));
        }
        if self.spread[0] > self.spread[1] {
            missed.push(told(&format!("spread {}, Java's {}", self.spread[0], self.spread[1])));
        }
        missed
    }
}

fn median(mut took: Vec<Duration>) -> Duration {
    took.sort();
    took.get(took.len() / 2).copied().unwrap_or_default()
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1_000.0
}

/// What members have lost of what they had.
fn moved(group: &Group, after: &Assignments) -> usize {
    let lost =
        |member: &Candidate| member.subscription.previous.partitions.difference(&after[&member.id]).count();
    group.members.iter().map(lost).sum()
}

fn spread(shares: &Assignments) -> usize {
    let sizes: BTreeSet<usize> = shares.values().map(BTreeSet::len).collect();
    sizes.last().copied().unwrap_or(0) - sizes.first().copied().unwrap_or(0)
}

//! One member of a group, seen from outside.

use std::io;
use std::process::{Command, Stdio};
use std::time::Duration;

use steadfast_tests::checker::{Delivered, Mark};
use steadfast_tests::java::Program;
#[cfg(feature = "librdkafka")]
use steadfast_tests::reader::Reader;
use steadfast_tests::service::{Service, Workplace, usual_config};

use crate::scene::binary;

/// How long a member may take to end.
const END_LIMIT: Duration = Duration::from_secs(60);
/// How long a JVM may take to begin.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// What is consumed.
#[derive(Debug, Clone)]
pub struct Place {
    /// Where the cluster is.
    pub bootstrap: String,
    /// Names topic and group.
    pub name: String,
    /// How many milliseconds a handler works at each record; none: it only prints it.
    pub work: Option<u64>,
    /// What is set beside the client's own settings.
    pub further: Vec<(&'static str, &'static str)>,
}

/// What a member says of the rebalances that it took part in.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rounds {
    /// The last generation that it belonged to.
    pub generation: i64,
    /// How many rounds it went through.
    pub count: f64,
    /// How long all of them took, in milliseconds.
    pub took_ms: f64,
}

/// A member that can be told to join and to leave.
pub trait Member {
    /// Has it join the group; returns at once.
    ///
    /// # Errors
    /// It cannot begin.
    fn join(&mut self) -> io::Result<()>;

    /// What it was given since this was asked last.
    fn fresh(&mut self) -> Vec<Delivered>;

    /// Has it commit and leave the group; returns at once.
    ///
    /// # Errors
    /// It has ended already.
    fn leave(&mut self) -> io::Result<()>;

    /// Waits for its end: what it was given in the meantime.
    ///
    /// # Errors
    /// It does not end in order.
    fn end(self: Box<Self>) -> io::Result<Vec<Delivered>>;

    /// What it says of rebalances, where it does.
    fn rounds(&self) -> Rounds {
        Rounds::default()
    }

    /// What it tells of itself, where it does.
    fn story(&self) -> String {
        String::new()
    }
}

/// `steadfast run`; where work is asked for, this program as a service with a handler of its own.
pub(super) struct Steadfast {
    workplace: Workplace,
    work: Option<u64>,
    service: Option<Service>,
    read: usize,
}

impl Steadfast {
    pub(super) fn prepare(
        Place { bootstrap, name, work, .. }: &Place,
        settings: &[(&str, &str)],
    ) -> io::Result<Steadfast> {
        let workplace = Workplace::new()?;
        let lines: String =
            settings.iter().map(|(key, value)| format!("\"{key}\" = \"{value}\"\n")).collect();
        workplace.configure(&(usual_config(bootstrap, name, name) + &lines))?;
        Ok(Steadfast { workplace, work: *work, service: None, read: 0 })
    }

    fn take(service: &Service, read: &mut usize) -> Vec<Delivered> {
        let fresh = service.checker().delivered().get(*read..).unwrap_or_default().to_vec();
        *read += fresh.len();
        fresh
    }
}

impl Member for Steadfast {
    fn join(&mut self) -> io::Result<()> {
        self.service = Some(match self.work {
            None => Service::start(&binary()?, &self.workplace, &[])?,
            Some(work) => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("--slow-member").arg(self.workplace.config()).arg("--work").arg(work.to_string());
                Service::launch(command, &self.workplace, Stdio::piped())?
            }
        });
        Ok(())
    }

    fn fresh(&mut self) -> Vec<Delivered> {
        self.service.as_ref().map(|service| Steadfast::take(service, &mut self.read)).unwrap_or_default()
    }

    fn leave(&mut self) -> io::Result<()> {
        self.service.as_ref().map_or(Ok(()), |service| service.signal("TERM"))
    }

    fn end(mut self: Box<Self>) -> io::Result<Vec<Delivered>> {
        let Some(service) = &mut self.service else { return Ok(Vec::new()) };
        let status = service.wait(END_LIMIT)?;
        if !status.success() {
            return Err(io::Error::other(format!("steadfast ended with {status}\n{}", service.story())));
        }
        Ok(Steadfast::take(service, &mut self.read))
    }

    fn rounds(&self) -> Rounds {
        let events = self.service.iter().flat_map(|service| service.events_named("group.rebalanced"));
        events.fold(Rounds::default(), |rounds, event| Rounds {
            generation: event.json["generation"].as_i64().unwrap_or_default().max(rounds.generation),
            count: rounds.count + 1.0,
            took_ms: rounds.took_ms + event.json["took_ms"].as_f64().unwrap_or_default(),
        })
    }

    fn story(&self) -> String {
        self.service.as_ref().map(Service::story).unwrap_or_default()
    }
}

/// `tests/java/PlainConsumer.java`, whose JVM runs before it joins.
pub(super) struct Java {
    program: Program,
    /// How many of its lines were read.
    read: usize,
}

impl Java {
    pub(super) fn prepare(
        Place { bootstrap, name, work, .. }: &Place,
        settings: &[(&str, &str)],
    ) -> io::Result<Java> {
        let settings: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let work = format!("--work={}", work.unwrap_or_default());
        let mut arguments = vec![bootstrap.as_str(), name, name, "--on-command", &work];
        arguments.extend(settings.iter().map(String::as_str));
        let mut program = Program::start("PlainConsumer", &arguments)?;
        program.wait_for(READY_LIMIT, |line| line.json["event"] == "ready")?;
        Ok(Java { program, read: 0 })
    }
}

impl Member for Java {
    fn join(&mut self) -> io::Result<()> {
        self.program.tell("begin")
    }

    fn fresh(&mut self) -> Vec<Delivered> {
        let lines = self.program.lines_from(self.read);
        self.read += lines.len();
        lines.iter().filter_map(delivered).collect()
    }

    fn leave(&mut self) -> io::Result<()> {
        self.program.tell("leave")
    }

    fn rounds(&self) -> Rounds {
        let lines = self.program.lines();
        let last = lines.iter().rev().find(|line| line.json["event"] == "assigned");
        last.map_or(Rounds::default(), |line| Rounds {
            generation: line.json["generation"].as_i64().unwrap_or_default(),
            count: line.json["rebalances"].as_f64().unwrap_or_default(),
            took_ms: line.json["latency_ms"].as_f64().unwrap_or_default(),
        })
    }

    fn end(self: Box<Self>) -> io::Result<Vec<Delivered>> {
        let lines = self.program.end(END_LIMIT)?;
        Ok(lines.iter().skip(self.read).filter_map(delivered).collect())
    }
}

fn delivered(line: &steadfast_tests::java::Line) -> Option<Delivered> {
    let mark = Mark::read(line.json["value"].as_str()?.as_bytes())?;
    Some(Delivered { mark, offset: line.json["offset"].as_i64()?, at: line.at })
}

/// librdkafka, on a thread of this program.
#[cfg(feature = "librdkafka")]
pub(super) struct Librdkafka {
    place: Place,
    settings: Vec<(&'static str, &'static str)>,
    reader: Option<Reader>,
    read: usize,
}

#[cfg(feature = "librdkafka")]
impl Librdkafka {
    pub(super) fn prepare(place: &Place, settings: Vec<(&'static str, &'static str)>) -> Librdkafka {
        Librdkafka { place: place.clone(), settings, reader: None, read: 0 }
    }
}

#[cfg(feature = "librdkafka")]
impl Member for Librdkafka {
    fn join(&mut self) -> io::Result<()> {
        let Place { bootstrap, name, .. } = &self.place;
        self.reader = Some(Reader::start(bootstrap, name, name, &self.settings)?);
        Ok(())
    }

    fn fresh(&mut self) -> Vec<Delivered> {
        let Some(reader) = &self.reader else { return Vec::new() };
        let fresh = reader.checker().delivered().get(self.read..).unwrap_or_default().to_vec();
        self.read += fresh.len();
        fresh
    }

    fn leave(&mut self) -> io::Result<()> {
        self.reader.iter().for_each(Reader::begin_to_leave);
        Ok(())
    }

    fn end(mut self: Box<Self>) -> io::Result<Vec<Delivered>> {
        let Some(reader) = self.reader.take() else { return Ok(Vec::new()) };
        let checker = reader.leave(END_LIMIT)?;
        Ok(checker.delivered().get(self.read..).unwrap_or_default().to_vec())
    }
}

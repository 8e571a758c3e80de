//! A cluster of real Apache Kafka brokers, as child processes of the test.

mod ask;
mod election;
pub(crate) mod jars;
mod listeners;
mod ports;
mod process;
mod properties;
mod version;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use crate::brokers::Brokers;
use crate::within;
use process::Process;
use properties::{Node, Role};

pub use ask::{Connection, ask, endpoints, metadata};
pub use jars::missing;
pub use listeners::{Listener, PASSWORD, Papers, REAUTHENTICATION_MS, USER};
pub use version::Version;

const CLUSTER_ID: &str = "MkU3OEVBNTcwNTJENDM2Qk";
const START_LIMIT: Duration = Duration::from_secs(120);
const STOP_LIMIT: Duration = Duration::from_secs(60);
const TOOL_LIMIT: Duration = Duration::from_secs(60);
/// Brokers are short-lived here: the second compiler would work for a time that never comes.
const JVM: [&str; 4] = ["-Xms384m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// Which signal ends a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// It dies at once; its leaders move when its session ends, 2 s later.
    Kill,
    /// It moves its leaders away, then ends.
    Term,
}

struct Broker {
    node: Node,
    process: Option<Process>,
}

/// A running cluster. Dropping it kills its brokers and deletes their data; they die too when the test process
/// does, however it ends.
pub struct Cluster {
    directory: TempDir,
    class_path: String,
    brokers: BTreeMap<i32, Broker>,
    voters: Vec<(i32, u16)>,
    papers: Option<Papers>,
    extra: Vec<(String, String)>,
}

impl Cluster {
    /// Starts `count` combined broker-controllers with node ids from 1 on, and waits until each of them lists
    /// all. `extra` are further properties for every broker.
    ///
    /// # Errors
    /// The jars cannot be fetched, or the brokers do not come up within two minutes: the end of their logs.
    pub fn start(count: i32, extra: &[(&str, &str)]) -> io::Result<Cluster> {
        Cluster::start_in(directory()?, count, None, extra)
    }

    /// The same, and each broker has a port for every [`Listener`] too.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn start_with_listeners(count: i32, extra: &[(&str, &str)]) -> io::Result<Cluster> {
        let directory = directory()?;
        let papers = Papers::issue(directory.path().join("papers"))?;
        Cluster::start_in(directory, count, Some(papers), extra)
    }

    fn start_in(
        directory: TempDir,
        count: i32,
        papers: Option<Papers>,
        extra: &[(&str, &str)],
    ) -> io::Result<Cluster> {
        let jars = jars::fetched()?;
        let mut cluster = Cluster {
            directory,
            class_path: format!("{}/*", jars.display()),
            brokers: BTreeMap::new(),
            voters: Vec::new(),
            papers,
            extra: extra.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        };
        for id in 1..=count {
            let controller = ports::free()?;
            cluster.voters.push((id, controller.number));
            let node = cluster.node(id, Role::Combined, Some(controller))?;
            cluster.brokers.insert(id, Broker { node, process: None });
        }
        cluster.format()?;
        (1..=count).try_for_each(|id| cluster.run(id))?;
        cluster.wait_until_whole()?;
        Ok(cluster)
    }

    /// Where the running brokers really are.
    pub fn addresses(&self) -> BTreeMap<i32, SocketAddr> {
        let running = self.brokers.values().filter(|broker| broker.process.is_some());
        running.map(|broker| (broker.node.id, address(broker))).collect()
    }

    /// The running brokers' addresses, as client libraries want them: `host:port,host:port`.
    pub fn bootstrap(&self) -> String {
        self.brokers().bootstrap()
    }

    /// The same for a further listener, as `localhost`. A cluster without listeners has none.
    pub fn bootstrap_of(&self, listener: Listener) -> String {
        let running = self.brokers.values().filter(|broker| broker.process.is_some());
        let ports = running.filter_map(|broker| broker.node.further.get(&listener));
        ports.map(|port| format!("localhost:{}", port.number)).collect::<Vec<_>>().join(",")
    }

    /// What the brokers show at their further listeners; none where there are none.
    pub fn papers(&self) -> Option<&Papers> {
        self.papers.as_ref()
    }

    /// Ends a broker, and waits until it is gone.
    ///
    /// # Errors
    /// There is no such broker, it is not running, or it did not end within a minute.
    pub fn kill(&mut self, id: i32, signal: Signal) -> io::Result<()> {
        let broker = self.broker(id)?;
        let mut process = broker.process.take().ok_or_else(|| absent(id))?;
        process.signal(match signal {
            Signal::Kill => "KILL",
            Signal::Term => "TERM",
        })?;
        process.wait(STOP_LIMIT).map(drop)
    }

    /// Starts a broker again that was killed, at its old address, and waits until all running brokers list all
    /// running brokers.
    ///
    /// # Errors
    /// There is no such broker, or it does not come up within two minutes.
    pub fn restart(&mut self, id: i32) -> io::Result<()> {
        if self.broker(id)?.process.as_mut().is_none_or(|process| !process.running()) {
            self.run(id)?;
        }
        self.wait_until_whole()
    }

    /// Starts a further broker, which is no controller, and waits until it is listed. Its node id is returned.
    ///
    /// # Errors
    /// It does not come up within two minutes.
    pub fn add_broker(&mut self) -> io::Result<i32> {
        let id = self.brokers.keys().last().copied().unwrap_or_default() + 1;
        let node = self.node(id, Role::Broker, None)?;
        properties::format_like(&self.formatted(), &self.data(id), id)?;
        self.brokers.insert(id, Broker { node, process: None });
        self.run(id)?;
        self.wait_until_whole()?;
        Ok(id)
    }

    /// Ends an added broker for good, and waits until the others no longer list it.
    ///
    /// # Errors
    /// There is no such broker, or it does not end or is still listed after a time.
    pub fn remove_broker(&mut self, id: i32) -> io::Result<()> {
        self.kill(id, Signal::Term)?;
        self.brokers.remove(&id);
        self.wait_until_whole()
    }

    /// Makes the cluster what it was at its start: removes added brokers, starts those that are not running. For
    /// a suite whose last trial may have failed in the middle.
    ///
    /// # Errors
    /// As [`Cluster::restart`].
    pub fn heal(&mut self) -> io::Result<()> {
        self.brokers.retain(|_, broker| broker.node.role == Role::Combined);
        let ids: Vec<i32> = self.brokers.keys().copied().collect();
        for id in ids {
            if self.broker(id)?.process.as_mut().is_none_or(|process| !process.running()) {
                self.run(id)?;
            }
        }
        self.wait_until_whole()
    }

    /// The running brokers, as clients see them.
    pub fn brokers(&self) -> Brokers {
        let addresses = self.addresses();
        let first = addresses.values().next().copied();
        Brokers::at(
            addresses,
            Arc::new(move |topic, partition, node| {
                let at = first.ok_or_else(|| io::Error::other("no broker is running"))?;
                election::elect(at, topic, partition, node)
            }),
        )
    }

    /// Creates a topic, as [`Brokers::create_topic`].
    ///
    /// # Errors
    /// The cluster refuses, or the leaders are not known within 30 s.
    pub fn create_topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> io::Result<()> {
        self.brokers().create_topic(name, partitions, configs)
    }

    /// Runs one of Kafka's tools, for instance `org.apache.kafka.tools.TopicCommand`, and gives its output.
    ///
    /// # Errors
    /// It fails, or does not end within a minute: its output.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> io::Result<String> {
        // Several may run at a time.
        let output = tempfile::NamedTempFile::new_in(self.directory.path())?;
        let errors = tempfile::NamedTempFile::new_in(self.directory.path())?;
        let mut command = self.java();
        command.push(class.to_owned());
        command.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        let mut process = Process::start(command, output.reopen()?.into(), errors.reopen()?.into())?;
        let status = process.wait(TOOL_LIMIT)?;
        let output = fs::read_to_string(output)?;
        if status.success() {
            return Ok(output);
        }
        Err(io::Error::other(format!("{class} ended with {status}: {output}{}", fs::read_to_string(errors)?)))
    }

    /// The last lines that a broker logged.
    pub fn log_of(&self, id: i32) -> String {
        let log = fs::read_to_string(self.path(id, "log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn node(&self, id: i32, role: Role, controller: Option<ports::Port>) -> io::Result<Node> {
        let further = if self.papers.is_some() { listeners::ports()? } else { BTreeMap::new() };
        Ok(Node { id, role, listener: ports::free()?, controller, further })
    }

    fn broker(&mut self, id: i32) -> io::Result<&mut Broker> {
        self.brokers.get_mut(&id).ok_or_else(|| absent(id))
    }

    fn path(&self, id: i32, extension: &str) -> PathBuf {
        self.directory.path().join(format!("{id}.{extension}"))
    }

    fn data(&self, id: i32) -> PathBuf {
        self.path(id, "data")
    }

    /// A directory that Kafka's tool formatted and no broker has touched.
    fn formatted(&self) -> PathBuf {
        self.directory.path().join("formatted")
    }

    fn java(&self) -> Vec<String> {
        let mut command = vec!["java".to_owned(), jars::LOGGING.to_owned()];
        command.extend(JVM.map(str::to_owned));
        command.extend(["-cp".to_owned(), self.class_path.clone()]);
        command
    }

    fn format(&self) -> io::Result<()> {
        let Some(first) = self.brokers.values().next() else { return Ok(()) };
        let properties = self.directory.path().join("format.properties");
        fs::write(&properties, self.properties(&first.node, &self.formatted()))?;
        let properties = properties.display().to_string();
        let users = if self.papers.is_some() { listeners::users() } else { Vec::new() };
        let users = users.iter().map(String::as_str);
        let arguments = ["format", "-t", CLUSTER_ID, "-c", &properties].into_iter().chain(users);
        self.tool("kafka.tools.StorageTool", &arguments.collect::<Vec<_>>())?;
        self.brokers
            .keys()
            .try_for_each(|id| properties::format_like(&self.formatted(), &self.data(*id), *id))
    }

    fn properties(&self, node: &Node, data: &Path) -> String {
        let papers = self.papers.as_ref().map(Papers::directory);
        properties::of(node, &self.voters, data, papers, &self.extra)
    }

    fn run(&mut self, id: i32) -> io::Result<()> {
        let (path, data) = (self.path(id, "properties"), self.data(id));
        let log = File::options().create(true).append(true).open(self.path(id, "log"))?;
        let mut command = self.java();
        command.extend(["kafka.Kafka".to_owned(), path.display().to_string()]);
        let broker = self.brokers.get(&id).ok_or_else(|| absent(id))?;
        fs::write(path, self.properties(&broker.node, &data))?;
        let broker = self.broker(id)?;
        broker.process = Some(Process::start(command, Stdio::from(log.try_clone()?), log.into())?);
        Ok(())
    }

    /// Waits until every running broker lists exactly the running brokers.
    fn wait_until_whole(&mut self) -> io::Result<()> {
        let expected = self.addresses();
        within(START_LIMIT, || {
            if let Some(dead) = self.dead() {
                return Ok(Err(io::Error::other(format!("broker {dead} ended:\n{}", self.log_of(dead)))));
            }
            for (id, at) in &expected {
                let listed = endpoints(*at).map_err(|error| format!("broker {id} at {at}: {error}"))?;
                if listed != expected {
                    return Err(format!("broker {id} lists {listed:?}, expected {expected:?}"));
                }
            }
            Ok(Ok(()))
        })
        .map_err(|reason| io::Error::new(io::ErrorKind::TimedOut, reason))?
    }

    /// A broker that ended by itself.
    fn dead(&mut self) -> Option<i32> {
        let running = |broker: &mut Broker| broker.process.as_mut().is_none_or(Process::running);
        self.brokers.iter_mut().find_map(|(id, broker)| (!running(broker)).then_some(*id))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // All at once: the brokers' own drop then only waits.
        self.brokers.values_mut().filter_map(|broker| broker.process.as_mut()).for_each(Process::release);
        self.brokers.clear();
    }
}

fn directory() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix("steadfast-kafka-").tempdir()
}

fn address(broker: &Broker) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], broker.node.listener.number))
}

fn absent(id: i32) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no broker {id} is running"))
}

//! A directory with a configuration, a cluster on loopback, and the program.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use steadfast_core::ids::{ClusterId, NodeId, Partition};
use steadfast_sim::batch::NewRecord;
use steadfast_sim::embedded::{Embedded, Moved, Nodes, Old, Spec};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Place {
    pub(crate) directory: TempDir,
    runtime: Runtime,
    pub(crate) cluster: Embedded,
}

/// How a command ended, and what it printed.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Place {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let cluster = cluster(&runtime, "embedded");
        let place = Place { directory: tempfile::tempdir().unwrap(), runtime, cluster };
        place.configure(&place.cluster, "");
        place
    }

    /// Another cluster, with the same topic.
    pub(crate) fn another(&self, id: &str) -> Embedded {
        cluster(&self.runtime, id)
    }

    pub(crate) fn configure(&self, cluster: &Embedded, more: &str) {
        self.configure_at(&cluster.bootstrap().to_string(), more);
    }

    /// With probes answered at `address`.
    pub(crate) fn configure_http(&self, address: &str) {
        let config = std::fs::read_to_string(self.path("steadfast.toml")).unwrap();
        let config = config.replace("listen = \"off\"", &format!("listen = \"{address}\""));
        std::fs::write(self.path("steadfast.toml"), config).unwrap();
    }

    pub(crate) fn configure_at(&self, bootstrap: &str, more: &str) {
        let config = format!(
            "topics = [\"orders\"]\n[kafka]\n\"bootstrap.servers\" = \"{bootstrap}\"\n\"group.id\" = \"billing\"\n\
             [sink]\ntype = \"discard\"\n[http]\nlisten = \"off\"\n[state]\ndir = \"{}\"\n{more}",
            self.path("state").display()
        );
        std::fs::write(self.path("steadfast.toml"), config).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What the service keeps.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.path("state/billing").join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut steadfast = Command::new(env!("CARGO_BIN_EXE_steadfast"));
        steadfast.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        steadfast
    }

    pub(crate) fn endpoints(&self, arguments: &[&str]) -> Ended {
        let output = self.command(&["endpoints", "--config", "steadfast.toml"]).args(arguments).output();
        Ended::of(&output.unwrap())
    }

    pub(crate) fn told(&self, arguments: &[&str]) -> (i32, Value) {
        let ended = self.endpoints(&[arguments, &["--output", "json"]].concat());
        let told = serde_json::from_str(&ended.out);
        (ended.code, told.unwrap_or_else(|_| panic!("{} {}", ended.out, ended.err)))
    }

    pub(crate) fn move_endpoints(&self, nodes: &Nodes) -> Moved {
        self.end_old(nodes, Old::Refuse)
    }

    /// Moves endpoints, with the old ones to end so.
    pub(crate) fn end_old(&self, nodes: &Nodes, old: Old) -> Moved {
        let _inside = self.runtime.enter();
        self.cluster.move_endpoints(nodes, old).unwrap()
    }

    /// Starts the service, and waits until it has stored a view.
    pub(crate) fn run(&self) -> Running {
        let child =
            self.command(&["run", "--config", "steadfast.toml"]).stderr(Stdio::null()).spawn().unwrap();
        let running = Running(child);
        let until = Instant::now() + LIMIT;
        while !self.state("endpoints.json").exists() || !self.state("control.sock").exists() {
            assert!(Instant::now() < until, "the service does not get to its work");
            std::thread::sleep(Duration::from_millis(20));
        }
        running
    }
}

fn cluster(runtime: &Runtime, id: &str) -> Embedded {
    let _inside = runtime.enter();
    let cluster = Embedded::on_loopback(&Spec { cluster: ClusterId::from(id), ..Spec::default() }).unwrap();
    cluster.with(|cluster| cluster.create_topic("orders", 2)).unwrap();
    cluster
}

/// So many records in partition 0.
pub(crate) fn fill(cluster: &Embedded, records: usize) {
    let records = (0..records).map(|_| NewRecord::default()).collect();
    cluster.with(|cluster| cluster.append(&Partition::new("orders", 0), records)).unwrap();
}

pub(crate) fn some(nodes: &[i32]) -> Nodes {
    Nodes::Some(nodes.iter().map(|node| NodeId(*node)).collect())
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Ended {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn stop(mut self) {
        let sent = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop((self.0.kill(), self.0.wait()));
    }
}

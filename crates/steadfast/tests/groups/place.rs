//! A cluster on loopback with the topic `orders`, services that are members of its groups, and the program.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use steadfast_core::ids::{Offset, Partition};
use steadfast_sim::batch::NewRecord;
use steadfast_sim::embedded::{Embedded, Spec};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Place {
    directory: TempDir,
    pub(crate) cluster: Embedded,
    _runtime: Runtime,
}

/// How a command ended, and what it printed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Place {
    pub(crate) fn new() -> Place {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let cluster = {
            let _inside = runtime.enter();
            Embedded::on_loopback(&Spec::default()).unwrap()
        };
        cluster.with(|cluster| cluster.create_topic("orders", 2)).unwrap();
        Place { directory: tempfile::tempdir().unwrap(), cluster, _runtime: runtime }
    }

    /// So many more records in each partition.
    pub(crate) fn fill(&self, records: usize) {
        for index in 0..2 {
            let records = (0..records).map(|_| NewRecord::default()).collect();
            self.cluster.with(|cluster| cluster.append(&Partition::new("orders", index), records)).unwrap();
        }
    }

    /// What the group has committed, by partition.
    pub(crate) fn committed(&self, group: &str) -> Vec<(i32, Offset)> {
        let committed = self.cluster.with(|cluster| cluster.committed(group));
        committed.into_iter().map(|(partition, stored)| (partition.index, stored.offset)).collect()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut steadfast = Command::new(env!("CARGO_BIN_EXE_steadfast"));
        steadfast.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        steadfast
    }

    /// `steadfast groups` on this cluster, without a file.
    pub(crate) fn groups(&self, arguments: &[&str]) -> Ended {
        let bootstrap = self.cluster.bootstrap().to_string();
        self.groups_at(&[arguments, &["-b", &bootstrap]].concat())
    }

    pub(crate) fn groups_at(&self, arguments: &[&str]) -> Ended {
        let output = self.command(&["groups"]).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let Output { status, stdout, stderr } = output;
        Ended { code: status.code().unwrap(), out: text(&stdout), err: text(&stderr) }
    }

    pub(crate) fn told(&self, arguments: &[&str]) -> (i32, Value) {
        let ended = self.groups(&[arguments, &["--output", "json"]].concat());
        let told = serde_json::from_str(&ended.out);
        (ended.code, told.unwrap_or_else(|_| panic!("{ended:?}")))
    }

    /// The file of a service in the group `billing`.
    pub(crate) fn configure(&self, more: &str) {
        let config = format!(
            "topics = [\"orders\"]\nsink.type = \"discard\"\nhttp.listen = \"off\"\nstate.dir = \"{}\"\n\
             kafka.\"bootstrap.servers\" = \"{}\"\nkafka.\"group.id\" = \"billing\"\n\
             kafka.\"client.id\" = \"till\"\n{more}\n",
            self.directory.path().join("state").display(),
            self.cluster.bootstrap()
        );
        std::fs::write(self.directory.path().join("steadfast.toml"), config).unwrap();
    }

    /// Consumes all there is, as `billing`, which commits it.
    pub(crate) fn consume(&self) {
        let run = ["run", "--config", "steadfast.toml", "--until-end"];
        let output = self.command(&run).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A service in the group, as soon as it holds both partitions.
    pub(crate) fn run(&self) -> Running {
        let run = ["run", "--config", "steadfast.toml"];
        let running = Running(self.command(&run).stderr(Stdio::null()).spawn().unwrap());
        let until = Instant::now() + LIMIT;
        loop {
            let (_, told) = self.told(&["describe", "billing"]);
            if told["members"][0]["assigned"]["orders"].as_array().is_some_and(|held| held.len() == 2) {
                return running;
            }
            assert!(Instant::now() < until, "the service holds nothing: {told:#}");
            std::thread::sleep(Duration::from_millis(50));
        }
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

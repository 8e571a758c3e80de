//! The service as a process: its records on standard output, its events on standard error, seen from outside.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use serde_json::Value;
use tempfile::TempDir;

use crate::checker::{Acked, Checker, Delivered, Mark, Verdict};
use crate::within;

/// An event, and when its line was read here.
#[derive(Debug, Clone)]
pub struct Event {
    /// When the line was read.
    pub at: SystemTime,
    /// Its name.
    pub name: String,
    /// The whole line.
    pub json: Value,
}

/// A configuration file in a directory of its own, with the state directory beside it.
pub struct Workplace {
    directory: TempDir,
}

impl Workplace {
    /// A new directory.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn new() -> io::Result<Workplace> {
        Ok(Workplace { directory: tempfile::tempdir()? })
    }

    /// A path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.path("steadfast.toml")
    }

    /// Writes the configuration file in one step, as an editor or Kubernetes does: beside it, then renamed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn configure(&self, text: &str) -> io::Result<SystemTime> {
        let fresh = self.path("steadfast.toml.new");
        fs::write(&fresh, text)?;
        fs::rename(fresh, self.config())?;
        Ok(SystemTime::now())
    }
}

/// The usual configuration: sink `stdout`, everything else at its default.
pub fn usual_config(bootstrap: &str, group: &str, topic: &str) -> String {
    format!(
        "topics = [\"{topic}\"]\n\n[kafka]\n\"bootstrap.servers\" = \"{bootstrap}\"\n\"group.id\" = \"{group}\"\n"
    )
}

/// A running service. Dropped, it is killed and reaped.
pub struct Service {
    child: Child,
    stdin: Option<ChildStdin>,
    seen: Arc<Mutex<Seen>>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    checker: Checker,
    records: Vec<Value>,
    events: Vec<Event>,
    /// Lines on standard error that are no event: there must be none.
    strange: Vec<String>,
}

impl Service {
    /// Runs `steadfast run` in `workplace` with these arguments after `--config FILE`.
    ///
    /// # Errors
    /// The binary cannot be built or started.
    pub fn run(workplace: &Workplace, arguments: &[&str]) -> io::Result<Service> {
        Service::start(&binary()?, workplace, arguments)
    }

    /// The same with another binary, which takes the same arguments.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(binary: &Path, workplace: &Workplace, arguments: &[&str]) -> io::Result<Service> {
        let mut command = Command::new(binary);
        command.arg("run").arg("--config").arg(workplace.config()).args(arguments);
        Service::launch(command, workplace, Stdio::piped())
    }

    /// Runs `steadfast run` with its standard output given to somebody else: its records are not seen here.
    ///
    /// # Errors
    /// As [`Service::run`].
    pub fn run_into(
        stdout: impl Into<Stdio>,
        workplace: &Workplace,
        arguments: &[&str],
    ) -> io::Result<Service> {
        let mut command = Command::new(binary()?);
        command.arg("run").arg("--config").arg(workplace.config()).args(arguments);
        Service::launch(command, workplace, stdout.into())
    }

    /// The same with a program of one's own, its arguments included. No HTTP is answered unless an argument says
    /// where: many services run on one machine.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn launch(mut command: Command, workplace: &Workplace, stdout: Stdio) -> io::Result<Service> {
        let mut child = command
            .env("STATE_DIRECTORY", workplace.path("state"))
            .env("STEADFAST_HTTP_LISTEN", "off")
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()?;
        let seen = Arc::new(Mutex::new(Seen::default()));
        let stdin = child.stdin.take();
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            readers.push(read_lines(stdout, &seen, record)?);
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(read_lines(stderr, &seen, event)?);
        }
        Ok(Service { child, stdin, seen, readers })
    }

    fn seen<T>(&self, read: impl FnOnce(&Seen) -> T) -> T {
        read(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input.
    ///
    /// # Errors
    /// It is closed.
    pub fn tell(&mut self, line: &str) -> io::Result<()> {
        let stdin = self.stdin.as_mut().ok_or_else(|| io::Error::other("standard input is closed"))?;
        writeln!(stdin, "{line}")
    }

    /// What the sink wrote so far, each record of the load with the time at which its line was read.
    pub fn checker(&self) -> Checker {
        self.seen(|seen| seen.checker.clone())
    }

    /// The lines that the sink wrote so far, those that are no records of the load too.
    pub fn records(&self) -> Vec<Value> {
        self.seen(|seen| seen.records.clone())
    }

    /// How many records of the load the sink wrote so far.
    pub fn count(&self) -> usize {
        self.seen(|seen| seen.checker.delivered().len())
    }

    /// The records from the `from`th on, each with its line. The topic has to carry nothing but the load.
    pub fn deliveries_from(&self, from: usize) -> Vec<(Delivered, Value)> {
        self.seen(|seen| {
            let both = seen.checker.delivered().iter().zip(&seen.records).skip(from);
            both.map(|(delivered, line)| (*delivered, line.clone())).collect()
        })
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        self.seen(|seen| seen.events.clone())
    }

    /// The events of this name so far.
    pub fn events_named(&self, name: &str) -> Vec<Event> {
        self.seen(|seen| seen.events.iter().filter(|event| event.name == name).cloned().collect())
    }

    /// Lines on standard error that are no event.
    pub fn strange_lines(&self) -> Vec<String> {
        self.seen(|seen| seen.strange.clone())
    }

    /// Waits for an event of this name for which `wanted` holds.
    ///
    /// # Errors
    /// None came within `limit`; the error lists the events that did.
    pub fn wait_for(
        &self,
        limit: Duration,
        name: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> io::Result<Event> {
        within(limit, || {
            let found = self.events_named(name).into_iter().find(|event| wanted(&event.json));
            found.ok_or_else(|| io::Error::other(format!("no such {name}; the events are\n{}", self.story())))
        })
    }

    /// Waits until this many partitions have been started.
    ///
    /// # Errors
    /// Fewer were within `limit`.
    pub fn wait_until_consuming(&self, limit: Duration, partitions: usize) -> io::Result<()> {
        within(limit, || match self.events_named("partition.started").len() {
            started if started >= partitions => Ok(()),
            started => Err(io::Error::other(format!("{started} partitions started\n{}", self.story()))),
        })
    }

    /// Waits until all of `acked` came out of the sink, and judges.
    ///
    /// # Errors
    /// Something is outstanding after `limit`.
    pub fn verdict_within(&self, limit: Duration, acked: &Acked) -> io::Result<Verdict> {
        within(limit, || {
            let outstanding = self.checker().outstanding(acked);
            let Some(first) = outstanding.first() else { return Ok(()) };
            Err(io::Error::other(format!(
                "{} records did not come, the first is {first:?}; the events are\n{}",
                outstanding.len(),
                self.story()
            )))
        })?;
        Ok(self.checker().verdict(acked))
    }

    /// Sends a signal by its name (TERM, INT, HUP, KILL).
    ///
    /// # Errors
    /// There is no such process.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        let status =
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status()?;
        status.success().then_some(()).ok_or_else(|| io::Error::other(format!("kill -{name} failed")))
    }

    /// Waits for the end of the process, and until all that it wrote is read.
    ///
    /// # Errors
    /// It did not end within `limit`.
    pub fn wait(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        let story = self.seen.clone();
        let status = within(limit, || {
            let status = self.child.try_wait()?;
            status.ok_or_else(|| {
                let seen = story.lock().unwrap_or_else(PoisonError::into_inner);
                io::Error::other(format!("it did not end; the events are\n{}", told(&seen.events)))
            })
        })?;
        for reader in self.readers.drain(..) {
            reader.join().map_err(|_| io::Error::other("a reader of its output panicked"))?;
        }
        Ok(status)
    }

    /// The events as text, for the message of a failing test.
    pub fn story(&self) -> String {
        self.seen(|seen| told(&seen.events) + &seen.strange.join("\n"))
    }
}

fn told(events: &[Event]) -> String {
    events.iter().map(|event| format!("{}\n", event.json)).collect()
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_lines(
    from: impl Read + Send + 'static,
    seen: &Arc<Mutex<Seen>>,
    take: fn(&mut Seen, String, SystemTime),
) -> io::Result<JoinHandle<()>> {
    let seen = seen.clone();
    std::thread::Builder::new().name("service output".to_owned()).spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let at = SystemTime::now();
            take(&mut seen.lock().unwrap_or_else(PoisonError::into_inner), line, at);
        }
    })
}

fn record(seen: &mut Seen, line: String, at: SystemTime) {
    let Ok(json) = serde_json::from_str::<Value>(&line) else {
        seen.strange.push(format!("on standard output: {line}"));
        return;
    };
    let mark = json["payload"].as_str().and_then(|payload| Mark::read(payload.as_bytes()));
    if let (Some(mark), Some(offset)) = (mark, json["offset"].as_i64()) {
        seen.checker.see(Delivered { mark, offset, at });
    }
    seen.records.push(json);
}

fn event(seen: &mut Seen, line: String, at: SystemTime) {
    match serde_json::from_str::<Value>(&line) {
        Ok(json) if json["event.name"].is_string() => {
            let name = json["event.name"].as_str().unwrap_or_default().to_owned();
            seen.events.push(Event { at, name, json });
        }
        Ok(_) | Err(_) => seen.strange.push(line),
    }
}

/// The `steadfast` binary of this build, built if it is not there or not new.
///
/// # Errors
/// It cannot be built.
pub fn binary() -> io::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT.get_or_init(|| build().map_err(|error| error.to_string())).clone().map_err(io::Error::other)
}

fn build() -> io::Result<PathBuf> {
    // With an integration test of its package the binary is built too.
    Ok(built(&["--test", "documents"])?.join("steadfast"))
}

/// An example of the library, built as [`binary`] is.
///
/// # Errors
/// It cannot be built.
pub fn example(name: &str) -> io::Result<PathBuf> {
    Ok(built(&["--example", name])?.join("examples").join(name))
}

fn is_of_one_package(variable: &str) -> bool {
    ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_EXE_", "CARGO_CRATE_"]
        .iter()
        .any(|of| variable.starts_with(of))
}

/// Builds what these arguments name in the profile of the test: the directory of its results. As `cargo test
/// --workspace` builds it, which has built it already when all suites are run.
fn built(what: &[&str]) -> io::Result<PathBuf> {
    // target/<profile>/deps/kafka-0123: two levels up is where binaries are.
    let test = std::env::current_exe()?;
    let profile = test.ancestors().nth(2).ok_or_else(|| io::Error::other("no target directory"))?;
    let release = profile.file_name().is_some_and(|name| name == "release");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--quiet", "--no-run", "--workspace"]).args(what);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR"));
    // What cargo tells a test of its package would have build scripts that look at it run again, and with them
    // everything that depends on them: now, and at the next build without it.
    let told = std::env::vars_os().map(|(name, _)| name);
    for name in told.filter(|name| is_of_one_package(&name.to_string_lossy())) {
        cargo.env_remove(name);
    }
    if release {
        cargo.arg("--release");
    }
    if cfg!(feature = "librdkafka") {
        cargo.args(["--features", "steadfast-tests/librdkafka,steadfast-bench/librdkafka"]);
    }
    if !cargo.status()?.success() {
        return Err(io::Error::other(format!("cargo could not build what {} names", what.join(" "))));
    }
    Ok(profile.to_owned())
}

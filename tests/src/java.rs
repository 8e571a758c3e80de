//! Java programs beside the cluster: those of `tests/java`, which print a JSON line for each event.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::kafka::jars;
use crate::within;

/// For programs that live for seconds: the second compiler would work for a time that never comes.
const QUICK: [&str; 3] = ["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];

/// One line that a program printed.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// When it was read.
    pub at: SystemTime,
    /// What it says.
    pub json: Value,
}

/// A running program. Dropping it kills it; it also ends with the test, because its input then ends.
pub struct Program {
    class: String,
    process: Child,
    lines: Arc<Mutex<Vec<Line>>>,
    reader: Option<JoinHandle<()>>,
    errors: File,
}

impl Program {
    /// Starts the program whose class is `class`.
    ///
    /// # Errors
    /// The jars cannot be fetched, the sources not compiled, or Java not started.
    pub fn start(class: &str, arguments: &[&str]) -> io::Result<Program> {
        Program::start_on(&QUICK, class, arguments)
    }

    /// The same on a virtual machine with these options.
    ///
    /// # Errors
    /// As [`Program::start`].
    pub fn start_on(machine: &[&str], class: &str, arguments: &[&str]) -> io::Result<Program> {
        let errors = tempfile::tempfile()?;
        let mut process = Command::new("java")
            .args(machine)
            .args([jars::LOGGING, "-cp"])
            .arg(jars::class_path()?)
            .arg(class)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors.try_clone()?)
            .spawn()?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (output, noted) = (process.stdout.take(), lines.clone());
        let reader = output.map(|output| std::thread::spawn(move || note(output, &noted)));
        Ok(Program { class: class.to_owned(), process, lines, reader, errors })
    }

    /// Starts the program, waits for its end, and gives what it printed.
    ///
    /// # Errors
    /// As [`Program::start`] and [`Program::end`].
    pub fn run(class: &str, arguments: &[&str], limit: Duration) -> io::Result<Vec<Value>> {
        let lines = Program::start(class, arguments)?.end(limit)?;
        Ok(lines.into_iter().map(|line| line.json).collect())
    }

    /// Gives it a command.
    ///
    /// # Errors
    /// It has ended.
    pub fn tell(&mut self, command: &str) -> io::Result<()> {
        let input = self.process.stdin.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(format!("{command}\n").as_bytes())?;
        input.flush()
    }

    /// Sends a signal by its name (STOP, CONT).
    ///
    /// # Errors
    /// There is no such process.
    pub fn signal(&self, name: &str) -> io::Result<()> {
        let process = self.process.id().to_string();
        let status = Command::new("kill").arg(format!("-{name}")).arg(process).status()?;
        status.success().then_some(()).ok_or_else(|| io::Error::other(format!("kill -{name} failed")))
    }

    /// Kills it, and gives all that it printed.
    ///
    /// # Errors
    /// It has ended already, or had printed what is no JSON.
    pub fn kill(mut self) -> io::Result<Vec<Line>> {
        self.process.kill()?;
        self.process.wait()?;
        if self.reader.take().is_some_and(|reader| reader.join().is_err()) {
            return Err(self.failed("printed what is no JSON"));
        }
        Ok(self.lines())
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<Line> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lines from the `from`th on.
    pub fn lines_from(&self, from: usize) -> Vec<Line> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().skip(from).cloned().collect()
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// It has ended: its error output.
    pub fn check(&mut self) -> io::Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.failed(&format!("ended with {status}"))),
        }
    }

    /// Waits for the first line that `wanted` takes.
    ///
    /// # Errors
    /// There is none within `limit`: what it printed instead.
    pub fn wait_for(&mut self, limit: Duration, wanted: impl Fn(&Line) -> bool) -> io::Result<Line> {
        within(limit, || {
            let lines = self.lines();
            let found = lines.iter().find(|line| wanted(line)).cloned();
            found.ok_or_else(|| lines.last().cloned())
        })
        .map_err(|last| self.failed(&format!("did not print what was awaited; the last line is {last:?}")))
    }

    /// Waits for its end, and gives all that it printed.
    ///
    /// # Errors
    /// It does not end within `limit`, or fails: its error output.
    pub fn end(mut self, limit: Duration) -> io::Result<Vec<Line>> {
        let ended = within(limit, || {
            self.process.try_wait()?.ok_or_else(|| io::Error::from(io::ErrorKind::TimedOut))
        });
        match ended {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(self.failed(&format!("ended with {status}"))),
            Err(error) => return Err(self.failed(&format!("did not end within {limit:?}: {error}"))),
        }
        if self.reader.take().is_some_and(|reader| reader.join().is_err()) {
            return Err(self.failed("printed what is no JSON"));
        }
        Ok(self.lines())
    }

    fn failed(&mut self, how: &str) -> io::Error {
        let mut errors = String::new();
        if let Err(error) = self.errors.rewind().and_then(|()| self.errors.read_to_string(&mut errors)) {
            errors = error.to_string();
        }
        io::Error::other(format!("{} {how}\n{errors}", self.class))
    }
}

/// Notes lines until the output ends. Anything but JSON is a fault of the program, and panics.
fn note(output: ChildStdout, lines: &Mutex<Vec<Line>>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let json = serde_json::from_str(&line);
        let json = json.unwrap_or_else(|error| panic!("expected JSON, found {line:?}: {error}"));
        lines.lock().unwrap_or_else(PoisonError::into_inner).push(Line { at: SystemTime::now(), json });
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("{} could not be ended: {error}", self.class);
        }
    }
}

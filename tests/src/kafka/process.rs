//! Child processes that never outlive the test.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::within;

/// The shell holds the other end of a pipe. A line on it names a signal for the program; its end, which comes
/// with the end of the test however that ends, kills the program.
const LEASH: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
program=$!
{ while read -r signal <&3; do kill -s "$signal" "$program"; done; kill -s KILL "$program"; } &
leash=$!
wait "$program"
status=$?
kill "$leash"
exit "$status"
"#;

const END_LIMIT: Duration = Duration::from_secs(30);

/// A running program. Dropping it kills it, and waits until it is gone.
pub(super) struct Process {
    shell: Child,
    leash: Option<ChildStdin>,
}

impl Process {
    pub(super) fn start<S: AsRef<OsStr>>(
        program: impl IntoIterator<Item = S>,
        output: Stdio,
        errors: Stdio,
    ) -> io::Result<Process> {
        let mut shell = Command::new("sh")
            .args(["-c", LEASH, "leash"])
            .args(program)
            .stdin(Stdio::piped())
            .stdout(output)
            .stderr(errors)
            .spawn()?;
        let leash = shell.stdin.take();
        Ok(Process { shell, leash })
    }

    /// Sends a signal by its name: KILL, TERM, STOP, CONT.
    pub(super) fn signal(&mut self, name: &str) -> io::Result<()> {
        let leash = self.leash.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        leash.write_all(format!("{name}\n").as_bytes())
    }

    /// Waits for its end.
    pub(super) fn wait(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        within(limit, || {
            let ended = self.shell.try_wait()?;
            ended.ok_or_else(|| {
                io::Error::new(io::ErrorKind::TimedOut, format!("still running after {limit:?}"))
            })
        })
    }

    pub(super) fn running(&mut self) -> bool {
        matches!(self.shell.try_wait(), Ok(None))
    }

    /// Lets it die, without waiting for that.
    pub(super) fn release(&mut self) {
        self.leash = None;
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.release();
        if let Err(error) = self.wait(END_LIMIT) {
            eprintln!("a process of the test could not be ended: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_signal_reaches_the_program() {
        let mut process = Process::start(["sleep", "1000"], Stdio::null(), Stdio::null()).unwrap();
        assert!(process.running());
        process.signal("TERM").unwrap();
        assert_eq!(process.wait(END_LIMIT).unwrap().code(), Some(128 + 15));
        assert!(!process.running());
    }

    #[test]
    fn its_own_end_is_noticed() {
        let mut process = Process::start(["sh", "-c", "exit 7"], Stdio::null(), Stdio::null()).unwrap();
        assert_eq!(process.wait(END_LIMIT).unwrap().code(), Some(7));
    }

    #[test]
    fn nothing_outlives_whoever_started_it() {
        let mut process = Process::start(["sleep", "1000"], Stdio::piped(), Stdio::null()).unwrap();
        let mut output = process.shell.stdout.take().unwrap();
        drop(process);
        // Who holds the other end of this pipe: the shell, its leash and the program.
        assert_eq!(output.read(&mut [0]).unwrap(), 0);
    }
}

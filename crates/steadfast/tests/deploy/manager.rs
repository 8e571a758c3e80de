//! What a service manager hears from the binary, over a socket like systemd's (sd_notify(3)).

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use libtest_mimic::Trial;
use tempfile::TempDir;

use crate::STEADFAST;
use crate::programs::{succeed, trial};

/// How long a message may take on a machine that is busy.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("manager::an_absent_cluster_does_not_hold_up_the_start", &[], ready),
        trial("manager::the_watchdog_is_fed_again_and_again", &[], watched),
        trial("manager::a_reload_begins_and_ends", &["kill"], reloaded),
        trial("manager::the_end_asks_for_the_time_it_may_take", &["kill"], stopping),
        trial("manager::a_configuration_that_is_refused_is_never_ready", &[], refused),
    ]
}

/// A service manager with one service.
pub(crate) struct Manager {
    socket: UnixDatagram,
    service: Child,
    directory: TempDir,
}

impl Manager {
    /// Starts the service, whose cluster is away, with these lines at the end of its configuration.
    fn start(more: &str, watchdog: Option<Duration>) -> Manager {
        Manager::with(&configuration(more), watchdog)
    }

    /// The same with its probes on this address.
    pub(crate) fn probed_at(address: SocketAddr) -> Manager {
        Manager::with(&configuration("").replace("\"off\"", &format!("\"{address}\"")), None)
    }

    fn with(configuration: &str, watchdog: Option<Duration>) -> Manager {
        let directory = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let config = directory.path().join("steadfast.toml");
        std::fs::write(&config, configuration).unwrap();
        let mut command = Command::new(STEADFAST);
        command
            .args(["run", "--no-watch-config", "--config"])
            .arg(&config)
            .env("NOTIFY_SOCKET", directory.path().join("notify"))
            .env("STATE_DIRECTORY", directory.path())
            .env_remove("WATCHDOG_USEC")
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Some(limit) = watchdog {
            command.env("WATCHDOG_USEC", limit.as_micros().to_string());
        }
        Manager { socket, service: command.spawn().unwrap(), directory }
    }

    /// The next message.
    fn hear(&self) -> String {
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap().trim_end().to_owned()
    }

    /// The first message for which `wanted` holds; all before it are passed over.
    pub(crate) fn hear_until(&self, wanted: impl Fn(&str) -> bool) -> String {
        (0..100).map(|_| self.hear()).find(|message| wanted(message)).unwrap()
    }

    fn signal(&self, signal: &str) {
        succeed(Command::new("kill").arg(signal).arg(self.service.id().to_string()));
    }

    fn wait(&mut self) -> ExitStatus {
        self.service.wait().unwrap()
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.service.kill();
        let _ = self.service.wait();
    }
}

/// Nobody listens on the discard port.
fn configuration(more: &str) -> String {
    format!(
        "topics = [\"orders\"]\nhttp.listen = \"off\"\n\
         [kafka]\n\"bootstrap.servers\" = \"127.0.0.1:9\"\n\"group.id\" = \"billing\"\n\
         [sink]\ntype = \"discard\"\n{more}"
    )
}

fn ready() {
    let manager = Manager::start("", None);
    assert_eq!(manager.hear(), "READY=1");
    let status = manager.hear();
    assert!(status.starts_with("STATUS=not ready: cluster: "), "{status}");
}

fn watched() {
    let manager = Manager::start("", Some(Duration::from_secs(4)));
    for _ in 0..4 {
        manager.hear_until(|message| message == "WATCHDOG=1");
    }
}

fn reloaded() {
    let manager = Manager::start("", None);
    manager.hear_until(|message| message == "READY=1");
    std::fs::write(
        manager.directory.path().join("steadfast.toml"),
        configuration("[drift]\npoll_interval = \"1s\"\n"),
    )
    .unwrap();
    manager.signal("-HUP");
    let reloading = manager.hear_until(|message| message.starts_with("RELOADING=1\n"));
    let (_, at) = reloading.split_once("\nMONOTONIC_USEC=").unwrap();
    assert!(at.parse::<u64>().unwrap() > 0);
    manager.hear_until(|message| message == "READY=1");
}

fn stopping() {
    let mut manager = Manager::start("[checkpoint]\ndrain = \"100s\"\n", None);
    manager.hear_until(|message| message == "READY=1");
    manager.signal("-TERM");
    let stopping = manager.hear_until(|message| message.starts_with("STOPPING=1"));
    assert_eq!(stopping, "STOPPING=1\nEXTEND_TIMEOUT_USEC=130000000");
    assert_eq!(manager.wait().code(), Some(0));
}

fn refused() {
    let mut manager = Manager::start("[drift]\ntreshold = 0.5\n", None);
    assert_eq!(manager.wait().code(), Some(78));
    manager.socket.set_nonblocking(true).unwrap();
    assert_eq!(manager.socket.recv(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

//! `control.sock` in the state directory: how a person's command reaches the service that runs.
//!
//! One connection at a time, one request and one answer, each a line of JSON, within a deadline. Only the user that
//! runs the service is answered, and root.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use steadfast_core::ids::Partition;
use steadfast_core::tick::Tick;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::consume::progress::Quarantined;
use crate::wiring::Control;

/// Its name in the state directory.
pub const NAME: &str = "control.sock";
/// The longest request.
pub const MOST_BYTES: u64 = 64 << 10;
/// How long a request and its answer may take.
pub const LIMIT: Duration = Duration::from_secs(5);
/// The longest path that a socket's address holds (`sun_path`), without the zero behind it.
const LONGEST_PATH: usize = 107;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command")]
pub enum Request {
    /// Which partitions are in quarantine.
    #[serde(rename = "quarantine.list")]
    List,
    /// These are to be released from it.
    #[serde(rename = "quarantine.release")]
    Release {
        /// As `topic/partition`; all that are in quarantine if there are none.
        partitions: Option<BTreeSet<String>>,
    },
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Answer {
    /// The partitions in quarantine, or those that are released.
    pub partitions: Vec<Row>,
    /// What was named and is not in quarantine here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_quarantined: Vec<String>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One partition in quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
    /// The first offset that is not processed.
    pub offset: i64,
    /// Since when, in UTC.
    pub since: String,
    /// How often in a row its batches had come back.
    pub failures: u32,
    /// Why.
    pub reason: String,
}

/// The socket. If it could be opened, it is gone with this value.
pub(crate) struct ControlSocket {
    path: PathBuf,
    held: Arc<Mutex<Held>>,
}

/// What ends with the socket.
#[derive(Default)]
struct Held {
    serving: Option<AbortHandle>,
    /// What stands at the path, if this process put it there: another service may have its own there.
    file: Option<FileId>,
}

/// Device and inode.
type FileId = (u64, u64);

impl ControlSocket {
    /// The socket in this directory; it is not there before it is opened.
    pub(crate) fn within(directory: &Path) -> ControlSocket {
        ControlSocket { path: directory.join(NAME), held: Arc::default() }
    }

    /// What opens it, once there is something to control. Without it the service does its work all the same.
    pub(crate) fn opener(&self, io: tokio::runtime::Handle) -> impl FnOnce(Control) + Send + use<> {
        let (path, held) = (self.path.clone(), Arc::clone(&self.held));
        move |control| {
            let of_task = Arc::clone(&held);
            let task = io.spawn(async move {
                match listen(&path, &of_task).await {
                    Ok(door) => serve(&door, &control).await,
                    Err(error) => {
                        let error = error.to_string();
                        tracing::warn!(error, ?path, "steadfast quarantine cannot reach this service");
                    }
                }
            });
            held.lock().unwrap_or_else(PoisonError::into_inner).serving = Some(task.abort_handle());
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let held = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
        // Before the listener is closed: until then nobody else's file has this inode.
        if held.file.is_some() && file_id(&self.path).ok() == held.file {
            // What stays behind is replaced by the next service.
            let _ = fs::remove_file(&self.path);
        }
        if let Some(task) = held.serving {
            task.abort();
        }
    }
}

fn file_id(path: &Path) -> io::Result<FileId> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

/// What listens, and for whom.
struct Door {
    listener: UnixListener,
    /// The user that this process runs as: files that it makes are this one's.
    owner: u32,
}

/// Listens at `path`, where a service that is gone may have left its socket, and notes in `held` what it puts there. The
/// file gets its mode before its name. Who knows the name that it has before may connect until it has its mode: who comes
/// is asked for in [`Door::admits`].
async fn listen(path: &Path, held: &Mutex<Held>) -> io::Result<Door> {
    let length = path.as_os_str().len();
    if length > LONGEST_PATH {
        let what = format!(
            "its path has {length} bytes, a socket's may have {LONGEST_PATH}: use a shorter state.dir"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidInput, what));
    }
    if let Ok(Ok(_)) = timeout(LIMIT, UnixStream::connect(path)).await {
        let what = "another service that runs uses the same state directory";
        return Err(io::Error::new(io::ErrorKind::AddrInUse, what));
    }
    let fresh = path.with_file_name("control.new");
    let _ = fs::remove_file(&fresh);
    let listener = UnixListener::bind(&fresh)?;
    fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
    let owner = fs::symlink_metadata(&fresh)?.uid();
    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
    held.file = Some(file_id(&fresh)?);
    fs::rename(&fresh, path)?;
    Ok(Door { listener, owner })
}

impl Door {
    /// Whether this user may command the service: the file's mode says the same, but not from the first moment on.
    fn admits(&self, user: u32) -> bool {
        user == self.owner || user == 0
    }
}

async fn serve(door: &Door, control: &Control) {
    loop {
        match door.listener.accept().await {
            Ok((stream, _)) if !stream.peer_cred().is_ok_and(|peer| door.admits(peer.uid())) => {
                tracing::debug!("a command of another user was not read");
            }
            Ok((stream, _)) => match timeout(LIMIT, answer(stream, control)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a command was not answered"),
                Err(_) => tracing::debug!("a command took too long"),
            },
            // Too many open files, for instance.
            Err(error) => {
                tracing::debug!(%error, "no connection is accepted");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

async fn answer(mut stream: UnixStream, control: &Control) -> io::Result<()> {
    let mut line = Vec::new();
    BufReader::new((&mut stream).take(MOST_BYTES)).read_until(b'\n', &mut line).await?;
    let answer = match serde_json::from_slice(&line) {
        Ok(request) => answered(&request, control),
        Err(error) => Answer { error: Some(format!("no request: {error}")), ..Answer::default() },
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

fn answered(request: &Request, control: &Control) -> Answer {
    let quarantined = control.quarantined();
    let row = |(partition, of): (&Partition, &Quarantined)| row(partition, of, &control.time_of(of.since));
    match request {
        Request::List => Answer { partitions: quarantined.iter().map(row).collect(), ..Answer::default() },
        Request::Release { partitions: wanted } => {
            let is_wanted = |partition: &Partition| {
                wanted.as_ref().is_none_or(|wanted| wanted.contains(&name(partition)))
            };
            let released: BTreeMap<_, _> = quarantined
                .into_iter()
                .filter(|(partition, _)| is_wanted(partition) && control.release(partition))
                .collect();
            let names: BTreeSet<String> = released.keys().map(name).collect();
            let not_quarantined =
                wanted.iter().flatten().filter(|name| !names.contains(*name)).cloned().collect();
            Answer { partitions: released.iter().map(row).collect(), not_quarantined, error: None }
        }
    }
}

fn name(partition: &Partition) -> String {
    format!("{}/{}", partition.topic, partition.index)
}

fn row(partition: &Partition, of: &Quarantined, since: &str) -> Row {
    Row {
        topic: partition.topic.to_string(),
        partition: partition.index,
        offset: of.offset.0,
        since: since.to_owned(),
        failures: of.failures,
        reason: of.reason.clone(),
    }
}

impl Control {
    /// A moment of this process, as the time of day in UTC.
    fn time_of(&self, at: Tick) -> String {
        let ago = i64::try_from(self.env.now().since(at).as_millis()).unwrap_or(i64::MAX);
        crate::env::WallClock::fixed(self.env.wall_clock.millis().saturating_sub(ago)).rfc3339()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_lines_that_a_person_can_write() {
        let text = [
            (r#"{"command":"quarantine.list"}"#, Request::List),
            (r#"{"command":"quarantine.release"}"#, Request::Release { partitions: None }),
            (
                r#"{"command":"quarantine.release","partitions":["orders/3"]}"#,
                Request::Release { partitions: Some(["orders/3".to_owned()].into()) },
            ),
        ];
        for (text, request) in text {
            assert_eq!(serde_json::from_str::<Request>(text).unwrap(), request, "{text}");
        }
    }

    #[tokio::test]
    async fn a_socket_that_was_left_behind_is_replaced_and_one_in_use_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        drop(UnixListener::bind(&path).unwrap());
        let door = listen(&path, &Mutex::default()).await.unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = listen(&path, &Mutex::default()).await;
        assert_eq!(second.err().unwrap().kind(), io::ErrorKind::AddrInUse);
        drop(door);
        listen(&path, &Mutex::default()).await.unwrap();
    }

    #[tokio::test]
    async fn a_socket_of_another_service_outlives_ours() {
        let directory = tempfile::tempdir().unwrap();
        let [first, second, third] = std::array::from_fn(|_| ControlSocket::within(directory.path()));
        let door = listen(&first.path, &first.held).await.unwrap();
        assert!(listen(&second.path, &second.held).await.is_err());
        drop(second);
        UnixStream::connect(&first.path).await.unwrap();
        drop(first);
        let path = directory.path().join(NAME);
        assert!(!path.exists());
        let taken_away = listen(&third.path, &third.held).await.unwrap();
        fs::remove_file(&path).unwrap();
        let others = UnixListener::bind(&path).unwrap();
        drop(third);
        UnixStream::connect(&path).await.unwrap();
        drop((door, taken_away, others));
    }

    #[tokio::test]
    async fn nobody_but_its_owner_and_root_is_answered() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        let door = listen(&path, &Mutex::default()).await.unwrap();
        let (mine, accepted) = tokio::join!(UnixStream::connect(&path), door.listener.accept());
        assert_eq!(accepted.unwrap().0.peer_cred().unwrap().uid(), door.owner);
        assert!(door.admits(door.owner) && door.admits(0) && !door.admits(door.owner + 1));
        drop(mine);
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_told_with_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let told = listen(&directory.path().join("d".repeat(100)).join(NAME), &Mutex::default()).await;
        let told = told.err().unwrap().to_string();
        assert!(told.contains("a socket's may have 107: use a shorter state.dir"), "{told}");
    }
}

//! The watcher of the configuration file: says what changed, and what of it takes effect now.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, Message, SpawnHandle, StreamHandler};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use steadfast_supervision::Route;
use steadfast_watch as watch;
use tokio::sync::mpsc;

use super::Config;
use crate::events::Event;
use crate::messages::{ConfigChanged, Crash};
use crate::observers::Events;

/// What a watcher is given by wiring.
pub(crate) struct Seat {
    /// The file, the environment and the `--set`s that the configuration was made from.
    pub(crate) source: Source,
    /// Whether the file is watched; SIGHUP reads it again in any case.
    pub(crate) watch: bool,
    pub(crate) config: watch::Sender<Arc<Config>>,
    pub(crate) listeners: Vec<Route<ConfigChanged>>,
    pub(crate) events: Events,
}

/// Where a configuration comes from. It may hold secrets: only the file's name is shown.
#[derive(Clone, Default)]
pub struct Source {
    /// The file; none for a configuration that was made in code.
    pub path: Option<PathBuf>,
    /// The environment, as it was at start.
    pub environment: Vec<(String, String)>,
    /// Settings over file and environment.
    pub sets: Vec<String>,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The actor.
pub(crate) struct ConfigWatcher {
    seat: Arc<Seat>,
    /// Ends with the actor.
    watcher: Option<RecommendedWatcher>,
    watched: BTreeSet<PathBuf>,
    settling: Option<SpawnHandle>,
    rejected: Option<String>,
}

/// SIGHUP: read the file again.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "()")]
pub struct Reload;

/// Something happened in the file's directory.
struct Touched;

/// Editors and Kubernetes write in several steps: what comes within this time is one change.
const SETTLE: Duration = Duration::from_millis(50);

impl ConfigWatcher {
    /// A watcher of the file in its seat.
    pub(crate) fn new(seat: Arc<Seat>) -> ConfigWatcher {
        ConfigWatcher { seat, watcher: None, watched: BTreeSet::new(), settling: None, rejected: None }
    }

    fn watch(&mut self, ctx: &mut Context<Self>) {
        if self.seat.source.path.is_none() || !self.seat.watch {
            return;
        }
        let (touched, touches) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let reads_only = event.as_ref().is_ok_and(|event| event.kind.is_access());
            if !reads_only {
                // Without a receiver the watcher itself is about to be dropped.
                let _ = touched.send(Touched);
            }
        });
        match watcher {
            Ok(watcher) => {
                self.watcher = Some(watcher);
                self.watch_directories();
                ctx.add_stream(futures::stream::unfold(touches, |mut touches| async move {
                    Some((touches.recv().await?, touches))
                }));
            }
            Err(error) => {
                tracing::warn!(%error, "the configuration file is not watched; SIGHUP reads it again");
            }
        }
    }

    /// The file's directory, and those of the secrets and certificates that it names. Directories, not files:
    /// Kubernetes swaps a link beside them, editors rename over them.
    fn watch_directories(&mut self) {
        let Some(watcher) = &mut self.watcher else { return };
        let named = self.seat.config.borrow().files();
        for file in self.seat.source.path.iter().chain(&named) {
            let directory = match file.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
                _ => PathBuf::from("."),
            };
            if !self.watched.insert(directory.clone()) {
                continue;
            }
            if let Err(error) = watcher.watch(&directory, RecursiveMode::NonRecursive) {
                tracing::warn!(%error, ?directory, "changes there are not noticed; SIGHUP reads all files again");
            }
        }
    }

    fn reload(&mut self) {
        let Source { path: Some(path), environment, sets } = &self.seat.source else { return };
        let current = Arc::clone(&self.seat.config.borrow());
        match Config::load(path, environment.iter().cloned(), sets) {
            Err(error) => {
                let reason = error.one_line();
                // A file that is still wrong is told once.
                if self.rejected.as_ref() != Some(&reason) {
                    self.seat.events.emit(Event::ConfigRejected { reason: reason.clone() });
                    self.rejected = Some(reason);
                }
            }
            Ok(config) => self.apply(&current, config),
        }
    }

    fn apply(&mut self, current: &Config, config: Config) {
        let changes = current.diff(&config);
        // Who was told that the file is wrong is told that it no longer is, whatever was mended.
        let was_rejected = self.rejected.take().is_some();
        if changes.is_empty() && !was_rejected {
            return;
        }
        let applied = changes.endpoints.iter().chain(&changes.credentials).chain(&changes.at_once);
        self.seat.events.emit(Event::ConfigReloaded {
            applied: applied.map(|key| (*key).to_owned()).collect(),
            after_restart: changes.at_start.iter().map(|key| (*key).to_owned()).collect(),
        });
        if changes.is_empty() {
            return;
        }
        let config = Arc::new(config);
        self.seat.config.send_replace(Arc::clone(&config));
        self.watch_directories();
        for listener in &self.seat.listeners {
            // Who is down reads the watched value when it is begun anew.
            drop(listener.send(ConfigChanged(Arc::clone(&config))));
        }
    }
}

impl Actor for ConfigWatcher {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.watch(ctx);
        // What changed while nobody watched.
        self.reload();
    }
}

impl StreamHandler<Touched> for ConfigWatcher {
    fn handle(&mut self, _: Touched, ctx: &mut Context<Self>) {
        // One look is due already: a directory in which something is written all the time must not put it off.
        if self.settling.is_some() {
            return;
        }
        self.settling = Some(ctx.run_later(SETTLE, |watcher, _| {
            watcher.settling = None;
            watcher.reload();
        }));
    }

    fn finished(&mut self, _: &mut Context<Self>) {}
}

impl Handler<Reload> for ConfigWatcher {
    type Result = ();

    fn handle(&mut self, _: Reload, _: &mut Context<Self>) {
        self.reload();
    }
}

impl Handler<Crash> for ConfigWatcher {
    type Result = ();

    fn handle(&mut self, _: Crash, _: &mut Context<Self>) {
        panic!("asked to crash");
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use super::*;

    const TOPICS: &str = "topics = [\"orders\"]\nkafka.group.id = \"g\"\nkafka.bootstrap.servers = [\"a:1\"]\n\
                          state.dir = \"/s\"\n";

    /// A watcher of the file, whose events are kept.
    fn watcher(path: &Path) -> (ConfigWatcher, Arc<Mutex<Vec<Event>>>) {
        let kept: Arc<Mutex<Vec<Event>>> = Arc::default();
        let heard = Arc::clone(&kept);
        let listener = Box::new(move |event: &Event| heard.lock().unwrap().push(event.clone()));
        let config = Arc::new(Config::load(path, std::iter::empty(), &[]).unwrap());
        let seat = Seat {
            source: Source { path: Some(path.to_owned()), ..Source::default() },
            watch: false,
            config: watch::channel(config).0,
            listeners: Vec::new(),
            events: Events::heard_by("i", Vec::new(), vec![listener]),
        };
        (ConfigWatcher::new(Arc::new(seat)), kept)
    }

    #[test]
    fn a_rejected_file_that_says_again_what_is_in_force_is_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("steadfast.toml");
        std::fs::write(&path, TOPICS).unwrap();
        let (mut watcher, kept) = watcher(&path);
        watcher.reload();
        assert!(kept.lock().unwrap().is_empty(), "nothing changed");
        std::fs::write(&path, "topics = 1\n").unwrap();
        watcher.reload();
        std::fs::write(&path, TOPICS).unwrap();
        watcher.reload();
        watcher.reload();
        let kept = kept.lock().unwrap();
        let [Event::ConfigRejected { .. }, Event::ConfigReloaded { applied, after_restart }] = &kept[..]
        else {
            panic!("{kept:?}");
        };
        assert!(applied.is_empty() && after_restart.is_empty());
    }
}

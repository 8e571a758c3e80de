//! Where trials play: one cluster for all of them, started when the first needs it.

use std::io;
use std::process::Command;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use libtest_mimic::{Arguments, Completion, Conclusion, Failed, Trial};

use crate::kafka::{Cluster, Version, missing};
use crate::times::Times;

/// How many trials play at the same time, of those that may: most of their time they wait.
const THREADS: usize = 3;

/// Builds trials that share a cluster of three brokers.
#[derive(Clone, Default)]
pub struct Stage {
    shared: Arc<RwLock<Shared>>,
    times: Times,
}

/// The cluster, once a trial has needed it.
#[derive(Default)]
struct Shared {
    cluster: Option<Cluster>,
    /// Whether all its brokers are known to run: nobody had it to themselves since that was last seen to.
    whole: bool,
}

impl Stage {
    /// A trial that has the shared cluster to itself. It is whole when the trial begins, whatever the one before did
    /// to it. A trial fails by a panic; each uses topics and groups of its own.
    pub fn trial(&self, name: &str, run: impl FnOnce(&mut Cluster) + Send + 'static) -> Trial {
        self.trial_unless(name, without_java, self.alone(name, run))
    }

    /// A trial that takes nothing from the cluster, and plays while others of its kind do.
    pub fn beside(&self, name: &str, run: impl FnOnce(&Cluster) + Send + 'static) -> Trial {
        self.trial_unless(name, without_java, self.among_others(name, run))
    }

    /// The same with this program, which is told by `--version` whether it is there.
    pub fn beside_with(
        &self,
        program: &'static str,
        name: &str,
        run: impl FnOnce(&Cluster) + Send + 'static,
    ) -> Trial {
        let unable = move || without_java().or_else(|| without(program));
        self.trial_unless(name, unable, self.among_others(name, run))
    }

    /// A trial of what Kafka can do since a version: on an older one it is ignored, and says so.
    pub fn trial_since(
        &self,
        (major, minor): (u32, u32),
        name: &str,
        run: impl FnOnce(&mut Cluster) + Send + 'static,
    ) -> Trial {
        let older = move || {
            let chosen = Version::chosen();
            let why = format!("Kafka {chosen} does not have it, {major}.{minor} has");
            (!chosen.is_since(major, minor)).then(|| Ok(Completion::ignored_with(why)))
        };
        self.trial_unless(name, move || without_java().or_else(older), self.alone(name, run))
    }

    fn trial_unless(
        &self,
        name: &str,
        unable: impl FnOnce() -> Option<Result<Completion, Failed>> + Send + 'static,
        play: impl FnOnce() -> io::Result<()> + Send + 'static,
    ) -> Trial {
        Trial::ignorable_test(name, move || {
            if let Some(unable) = unable() {
                return unable;
            }
            play()?;
            Ok(Completion::Completed)
        })
    }

    fn alone(
        &self,
        name: &str,
        run: impl FnOnce(&mut Cluster) + Send + 'static,
    ) -> impl FnOnce() -> io::Result<()> + Send + 'static {
        let (stage, name) = (self.clone(), name.to_owned());
        move || {
            let mut shared = stage.write();
            let cluster = shared.ready()?;
            stage.times.of(&name, || run(cluster));
            Ok(())
        }
    }

    fn among_others(
        &self,
        name: &str,
        run: impl FnOnce(&Cluster) + Send + 'static,
    ) -> impl FnOnce() -> io::Result<()> + Send + 'static {
        let (stage, name) = (self.clone(), name.to_owned());
        move || loop {
            let shared = stage.shared.read().unwrap_or_else(PoisonError::into_inner);
            match &shared.cluster {
                Some(cluster) if shared.whole => {
                    stage.times.of(&name, || run(cluster));
                    return Ok(());
                }
                Some(_) | None => {}
            }
            drop(shared);
            let mut shared = stage.write();
            shared.ready()?;
            shared.whole = true;
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shared> {
        self.shared.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the trials and ends the cluster.
    pub fn run(self, trials: Vec<Trial>) -> Conclusion {
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert(THREADS);
        let conclusion = libtest_mimic::run(&arguments, trials);
        drop(self.write().cluster.take());
        self.times.tell();
        conclusion
    }
}

/// A trial that needs Java, but no cluster. It fails by a panic.
pub fn trial_of_java(name: &str, run: impl FnOnce() + Send + 'static) -> Trial {
    Trial::ignorable_test(name, move || {
        if let Some(unable) = without_java() {
            return unable;
        }
        run();
        Ok(Completion::Completed)
    })
}

/// What stands for trials with librdkafka where it is not built in: an ignored one that says why.
pub fn left_out(name: &str) -> Option<Trial> {
    let why = "built without librdkafka, whose build takes a C++ compiler and make: \
               cargo test -p steadfast-tests --features librdkafka -- librdkafka";
    let trial = || Trial::ignorable_test(name, move || Ok(Completion::ignored_with(why)));
    (!cfg!(feature = "librdkafka")).then(trial)
}

/// What becomes of a trial that needs Java where there is none. Under CI it has failed.
pub(crate) fn without_java() -> Option<Result<Completion, Failed>> {
    unable(missing()?)
}

/// What becomes of a trial that needs this program where it is not installed. Under CI it has failed.
fn without(program: &str) -> Option<Result<Completion, Failed>> {
    let is_there =
        Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if is_there { None } else { unable(format!("{program} is not installed")) }
}

fn unable(reason: String) -> Option<Result<Completion, Failed>> {
    if std::env::var_os("CI").is_some_and(|ci| ci == "true") {
        return Some(Err(reason.into()));
    }
    Some(Ok(Completion::ignored_with(reason)))
}

impl Shared {
    /// The cluster, whole, for somebody who may leave it otherwise.
    fn ready(&mut self) -> io::Result<&mut Cluster> {
        let whole = std::mem::take(&mut self.whole);
        match &mut self.cluster {
            Some(cluster) => {
                if !whole {
                    cluster.heal()?;
                }
                Ok(cluster)
            }
            none => Ok(none.insert(Cluster::start_with_listeners(3, &[])?)),
        }
    }
}

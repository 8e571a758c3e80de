//! Where trials play: one cluster for all of them, started when the first needs it.

use std::io;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Completion, Conclusion, Failed, Trial};

use crate::kafka::{Cluster, Version, missing};
use crate::times::Times;

/// Builds trials that share a cluster of three brokers.
#[derive(Clone, Default)]
pub struct Stage {
    cluster: Arc<Mutex<Option<Cluster>>>,
    times: Times,
}

impl Stage {
    /// A trial on the shared cluster, which is whole when the trial begins, whatever the one before did to it. It
    /// fails by a panic. Trials run one after the other; each uses topics and groups of its own.
    pub fn trial(&self, name: &str, run: impl FnOnce(&mut Cluster) + Send + 'static) -> Trial {
        self.trial_unless(name, without_java, run)
    }

    /// The same with this program, which is told by `--version` whether it is there.
    pub fn trial_with(
        &self,
        program: &'static str,
        name: &str,
        run: impl FnOnce(&mut Cluster) + Send + 'static,
    ) -> Trial {
        self.trial_unless(name, move || without_java().or_else(|| without(program)), run)
    }

    /// The same of what Kafka can do since a version: on an older one it is ignored, and says so.
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
        self.trial_unless(name, move || without_java().or_else(older), run)
    }

    fn trial_unless(
        &self,
        name: &str,
        unable: impl FnOnce() -> Option<Result<Completion, Failed>> + Send + 'static,
        run: impl FnOnce(&mut Cluster) + Send + 'static,
    ) -> Trial {
        let (shared, times, named) = (self.cluster.clone(), self.times.clone(), name.to_owned());
        Trial::ignorable_test(name, move || {
            if let Some(unable) = unable() {
                return unable;
            }
            let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let cluster = ready(&mut shared)?;
            times.of(&named, || run(cluster));
            Ok(Completion::Completed)
        })
    }

    /// Runs the trials and ends the cluster.
    pub fn run(self, trials: Vec<Trial>) -> Conclusion {
        let mut arguments = Arguments::from_args();
        arguments.test_threads = Some(1);
        let conclusion = libtest_mimic::run(&arguments, trials);
        drop(self.cluster.lock().unwrap_or_else(PoisonError::into_inner).take());
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

fn ready(shared: &mut Option<Cluster>) -> io::Result<&mut Cluster> {
    match shared {
        Some(cluster) => {
            cluster.heal()?;
            Ok(cluster)
        }
        None => Ok(shared.insert(Cluster::start_with_listeners(3, &[])?)),
    }
}

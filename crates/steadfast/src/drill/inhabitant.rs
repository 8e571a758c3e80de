//! One service of a world, through all its lives.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use futures::FutureExt;
use futures::future::BoxFuture;
use steadfast_kafka::transport::Transport;
use steadfast_sim::embedded::Embedded;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::doors::{self, MemoryStore, dice};
use super::failure::WorldError;
use super::handler::Witness;
use super::journal::{Journal, What};
use super::plan::{Manner, Plan};
use super::tap::{Cable, Tap};
use crate::config::Config;
use crate::config::watcher::Source;
use crate::env::{Dice, Env};
use crate::exit::Exit;
use crate::placement::Placement;
use crate::service::{Control, Service};

/// A service, whether it runs or not.
pub(super) struct Inhabitant {
    name: Arc<str>,
    seed: u64,
    store: MemoryStore,
    dice: Dice,
    cable: Cable,
    life: Option<Life>,
}

/// What the service of this number is called.
pub fn name(number: usize) -> String {
    format!("service-{number}")
}

struct Life {
    control: Arc<OnceLock<Control>>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Exit>,
}

impl Inhabitant {
    pub(super) fn new(number: usize, seed: u64) -> Inhabitant {
        Inhabitant {
            name: name(number).into(),
            seed,
            store: MemoryStore::default(),
            dice: dice(seed),
            cable: Cable::default(),
            life: None,
        }
    }

    /// What connects it with the brokers.
    pub(super) fn cable(&self) -> &Cable {
        &self.cable
    }

    /// The cluster's network as a transport, with the journal listening.
    pub(super) fn tapped(
        &self,
        cluster: &Embedded,
        journal: &Journal,
        connections: &Arc<AtomicU64>,
    ) -> Arc<dyn Transport> {
        Arc::new(Tap {
            cluster: cluster.clone(),
            cable: self.cable.clone(),
            service: Arc::clone(&self.name),
            journal: journal.clone(),
            connections: Arc::clone(connections),
        })
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn control(&self) -> Option<Control> {
        self.life.as_ref()?.control.get().cloned()
    }

    /// Begins a life, unless one lasts.
    pub(super) fn start(
        &mut self,
        transport: Arc<dyn Transport>,
        config: &str,
        manner: &Manner,
        started: Instant,
        plan: &Plan,
        journal: &Journal,
    ) -> Result<(), WorldError> {
        if self.life.as_ref().is_some_and(|life| !life.task.is_finished()) {
            return Ok(());
        }
        let env = self.env(transport, started)?;
        let control = Arc::new(OnceLock::new());
        let (stop, stopped) = oneshot::channel::<()>();
        let config = self.configuration(config, plan)?;
        let service = self.service(config, manner, plan, journal, Arc::clone(&control));
        let (name, journal) = (Arc::clone(&self.name), journal.clone());
        let task = actix::spawn(async move {
            // Without a sender the world is gone, which ends it too.
            let exit = service.run_on(env, stopped.map(drop)).await;
            journal.note(What::Ended(name, exit));
            exit
        });
        self.life = Some(Life { control, stop, task });
        Ok(())
    }

    /// Ends the life that lasts; resolves when it has ended.
    pub(super) fn stop(&mut self) -> Option<BoxFuture<'static, Exit>> {
        let Life { stop, task, .. } = self.life.take()?;
        // One that has ended by itself cannot be told.
        let _ = stop.send(());
        let name = Arc::clone(&self.name);
        Some(async move { ended(&name, task).await }.boxed())
    }

    /// Ends the life that lasts by the end of the supervisor of its actors; resolves when it has ended.
    pub(super) fn crash(&mut self) -> Option<BoxFuture<'static, Exit>> {
        let Life { control, stop, task } = self.life.take()?;
        control.get()?.end("steadfast");
        let name = Arc::clone(&self.name);
        Some(
            async move {
                let exit = ended(&name, task).await;
                // It was not to end by being told to.
                drop(stop);
                exit
            }
            .boxed(),
        )
    }

    fn env(&mut self, transport: Arc<dyn Transport>, started: Instant) -> Result<Env, WorldError> {
        let placement = Placement::here().ok_or(WorldError::NoSystem)?;
        // Each life rolls other dice.
        self.seed = self.seed.wrapping_add(1);
        Ok(doors::env(transport, self.seed, self.store.clone(), started, placement))
    }

    fn configuration(&self, text: &str, plan: &Plan) -> Result<Config, WorldError> {
        let read = Config::from_text(Path::new("world.toml"), text, plan.policy.iter().cloned(), &[]);
        read.map_err(|error| WorldError::Configuration { service: self.name.to_string(), error })
    }

    fn service(
        &self,
        config: Config,
        manner: &Manner,
        plan: &Plan,
        journal: &Journal,
        control: Arc<OnceLock<Control>>,
    ) -> Service {
        let (name, conduct, dice) = (
            Arc::clone(&self.name),
            Arc::new(manner.conduct.as_ref().unwrap_or(&plan.conduct).clone()),
            self.dice.clone(),
        );
        let (to_handlers, to_start) = (journal.clone(), (journal.clone(), Arc::clone(&name)));
        let source =
            Source { path: manner.file.clone(), environment: plan.policy.clone(), ..Source::default() };
        let mut service = Service::new(config).reload_from(source, false);
        if let Some(ear) = manner.ear.clone() {
            service = service.observe_with(move || ear.clone());
        }
        if let Some(letters) = plan.letters.clone() {
            service = service.dead_letters_to(letters);
        }
        service
            .handle_with(move |_| {
                Witness::new(Arc::clone(&name), Arc::clone(&conduct), dice.clone(), to_handlers.clone())
            })
            .on_start(move |running| {
                // Told once in each life.
                drop(control.set(running));
                let (journal, name) = to_start;
                journal.note(What::Started(name));
            })
    }
}

/// How the life ended. One that panicked outside of its actors ended as its process would have.
async fn ended(name: &str, life: JoinHandle<Exit>) -> Exit {
    life.await.unwrap_or_else(|error| {
        tracing::error!(service = name, %error, "a service fell");
        Exit::Internal
    })
}

//! One service of a world, through all its lives.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use futures::FutureExt;
use futures::future::BoxFuture;
use steadfast::config::Config;
use steadfast::config::watcher::Source;
use steadfast::env::{Dice, Env};
use steadfast::exit::Exit;
use steadfast::placement::Placement;
use steadfast::service::{Control, Service};
use steadfast_kafka::transport::Transport;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::doors::{self, MemoryStore, dice};
use super::handler::Witness;
use super::journal::{Journal, What};
use super::tap::{Cable, Tap};
use super::world::{Manner, Plan};

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
pub(super) fn name(number: usize) -> String {
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

    /// The transport with the journal listening.
    pub(super) fn tapped(
        &self,
        inner: Arc<dyn Transport>,
        journal: &Journal,
        connections: &Arc<AtomicU64>,
    ) -> Arc<dyn Transport> {
        Arc::new(Tap {
            inner,
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
        config: String,
        manner: &Manner,
        started: Instant,
        plan: &Plan,
        journal: &Journal,
    ) {
        if self.life.as_ref().is_some_and(|life| !life.task.is_finished()) {
            return;
        }
        let env = self.env(transport, started);
        let control = Arc::new(OnceLock::new());
        let (stop, stopped) = oneshot::channel::<()>();
        let service = self.service(config, manner, plan, journal, Arc::clone(&control));
        let (name, journal) = (Arc::clone(&self.name), journal.clone());
        let task = actix::spawn(async move {
            // Without a sender the world is gone, which ends it too.
            let exit = service.run_on(env, stopped.map(drop)).await;
            journal.note(What::Ended(name, exit));
            exit
        });
        self.life = Some(Life { control, stop, task });
    }

    /// Ends the life that lasts; resolves when it has ended.
    pub(super) fn stop(&mut self) -> Option<BoxFuture<'static, Exit>> {
        let Life { stop, task, .. } = self.life.take()?;
        // One that has ended by itself cannot be told.
        let _ = stop.send(());
        let name = Arc::clone(&self.name);
        Some(async move { task.await.unwrap_or_else(|error| panic!("{name}: {error}")) }.boxed())
    }

    /// Ends the life that lasts by the end of the supervisor of its actors; resolves when it has ended.
    pub(super) fn crash(&mut self) -> Option<BoxFuture<'static, Exit>> {
        let Life { control, stop, task } = self.life.take()?;
        control.get()?.end("steadfast");
        let name = Arc::clone(&self.name);
        Some(
            async move {
                let exit = task.await.unwrap_or_else(|error| panic!("{name}: {error}"));
                // It was not to end by being told to.
                drop(stop);
                exit
            }
            .boxed(),
        )
    }

    fn env(&mut self, transport: Arc<dyn Transport>, started: Instant) -> Env {
        let Some(placement) = Placement::here() else { panic!("a world is an actix system") };
        // Each life rolls other dice.
        self.seed = self.seed.wrapping_add(1);
        doors::env(transport, self.seed, self.store.clone(), started, placement)
    }

    fn service(
        &self,
        config: String,
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
        let parsed = Config::from_toml_str(&config).unwrap_or_else(|error| panic!("{error}"));
        let source = Source { path: manner.file.clone(), ..Source::default() };
        let mut service = Service::new(parsed).reload_from(source, false);
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

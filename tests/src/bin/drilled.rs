//! A steadfast whose parts fail on command: `drilled run --config FILE`, and on standard input, line by line,
//!
//! - `crash NAME...`: the actors of these names panic, all at once if they are all up;
//! - `crash-handler PARTITION`: its handler writes the next batch, and panics before it acks;
//! - `reject PARTITION`: its handler rejects the first record that it is given next;
//! - `poison PARTITION`: its handler panics at every batch from now on, before it writes any of it;
//! - `lag`: from now on handlers ack a batch only when the next one comes;
//! - `end SUPERVISOR`: the root supervisor of this name ends.
//!
//! Records go to standard output as the sink `stdout` writes them.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix::{Actor, Context, Handler};
use clap::Parser;
use steadfast::cli::{Cli, Command, run};
use steadfast::consume::batch::Batch;
use steadfast::exit::Exit;
use steadfast::service::{Control, Service};
use steadfast::sinks::lines::format;
use steadfast_tests::within;

/// An actor that is just being begun anew can crash as soon as it is up.
const UP_LIMIT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let Command::Run(args) = Cli::parse().command else { return Exit::Usage.into() };
    let (config, source) = match run::load(&args.config) {
        Ok(loaded) => loaded,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Configuration.into();
        }
    };
    run::log_to_stderr(&config);
    let drill = Drill::default();
    let (told, handled) = (drill.clone(), drill);
    let service = Service::new(config)
        .reload_from(source, !args.no_watch_config)
        .handle_with(move |_| Drilled { drill: handled.clone(), held: None })
        .on_start(move |control| {
            // It ends with the process: standard input may stay open for ever.
            drop(std::thread::spawn(move || obey(&told, &control)));
        });
    service.run().into()
}

fn obey(drill: &Drill, control: &Control) {
    for line in io::stdin().lines().map_while(Result::ok) {
        if let Err(reason) = drill.order(&line, control) {
            eprintln!("{line}: {reason}");
        }
    }
}

/// What the handlers were told.
#[derive(Clone, Default)]
struct Drill(Arc<Mutex<Orders>>);

#[derive(Default)]
struct Orders {
    crash: BTreeSet<i32>,
    poisoned: BTreeSet<i32>,
    reject: BTreeSet<i32>,
    lag: bool,
}

impl Drill {
    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn order(&self, line: &str, control: &Control) -> Result<(), String> {
        let number = |text: &str| text.parse().map_err(|_| format!("{text} is no partition"));
        match line.split_once(' ').unwrap_or((line, "")) {
            ("crash", actors) => {
                let crash = |actor: &str| control.crash(actor).then_some(()).ok_or("not up");
                for actor in actors.split(' ') {
                    within(UP_LIMIT, || crash(actor))?;
                }
            }
            ("crash-handler", partition) => drop(self.orders().crash.insert(number(partition)?)),
            ("poison", partition) => drop(self.orders().poisoned.insert(number(partition)?)),
            ("reject", partition) => drop(self.orders().reject.insert(number(partition)?)),
            ("lag", "") => self.orders().lag = true,
            ("end", supervisor) if control.end(supervisor) => {}
            _ => return Err("no such order".to_owned()),
        }
        Ok(())
    }
}

/// The handler of one partition.
struct Drilled {
    drill: Drill,
    held: Option<Batch>,
}

impl Actor for Drilled {
    type Context = Context<Self>;
}

impl Handler<Batch> for Drilled {
    type Result = ();

    fn handle(&mut self, batch: Batch, _: &mut Context<Self>) {
        let partition = batch.partition().index;
        assert!(!self.drill.orders().poisoned.contains(&partition), "partition {partition} is poisoned");
        if self.drill.orders().reject.remove(&partition) {
            let first = batch.records().flatten().map(|record| record.offset).next().unwrap_or(batch.from());
            return batch.rejected(first, "told to reject it");
        }
        // What is not worth an ack any more comes again.
        if !batch.is_current() {
            return;
        }
        if let Err(error) = write(&batch) {
            return batch.failed(error);
        }
        assert!(!self.drill.orders().crash.remove(&partition), "told to crash at partition {partition}");
        if self.drill.orders().lag {
            if let Some(before) = self.held.replace(batch) {
                before.done();
            }
        } else {
            batch.done();
        }
    }
}

fn write(batch: &Batch) -> io::Result<()> {
    let mut lines = Vec::new();
    format(batch, &mut lines).map_err(io::Error::other)?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(&lines)?;
    stdout.flush()
}

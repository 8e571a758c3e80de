//! Feeds discovery from a service registry, here a file that somebody else writes, with one `host:port` a line:
//! `cargo run --example registry -- steadfast.toml registry.txt`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler};
use steadfast::config::{Config, ConfigError};
use steadfast::events::Event;
use steadfast::service::{Control, Service};

/// Looks into the registry every few seconds and proposes what it names: those of the addresses that are the
/// cluster's are found out by asking them. What is said twice is no news and costs nothing.
struct Registry {
    file: PathBuf,
    control: Arc<OnceLock<Control>>,
}

impl Registry {
    fn look(&mut self, _: &mut Context<Self>) {
        let Some(control) = self.control.get() else { return };
        // A registry that cannot be read says nothing, which is not the same as naming nobody.
        let Ok(text) = std::fs::read_to_string(&self.file) else { return };
        let addresses = text.lines().filter_map(|line| line.parse().ok());
        if let Err(error) = control.propose_endpoints("registry", addresses) {
            eprintln!("{error}");
        }
    }
}

impl Actor for Registry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(Duration::from_secs(5), Self::look);
    }
}

impl Handler<Event> for Registry {
    type Result = ();

    fn handle(&mut self, _: Event, _: &mut Context<Self>) {}
}

fn main() -> Result<ExitCode, ConfigError> {
    let mut arguments = std::env::args_os().skip(1);
    let config = arguments.next().unwrap_or_else(|| "steadfast.toml".into());
    let file: PathBuf = arguments.next().unwrap_or_else(|| "registry.txt".into()).into();
    let control: Arc<OnceLock<Control>> = Arc::default();
    let started = Arc::clone(&control);
    let service = Service::new(Config::load(config, std::env::vars(), &[])?)
        .on_start(move |running| drop(started.set(running)))
        .observe_with(move || Registry { file: file.clone(), control: Arc::clone(&control) });
    Ok(service.run().into())
}

//! The service with observers that panic and block: `misbehaving_observers CONFIG`. Its records and events come
//! as those of `steadfast run` do.

use std::process::ExitCode;

use actix::{Actor, Context, Handler};
use steadfast::cli::run::log_to_stderr;
use steadfast::config::{Config, ConfigError};
use steadfast::events::Event;
use steadfast::service::Service;

/// Panics at every event.
struct Panics;

impl Actor for Panics {
    type Context = Context<Self>;
}

impl Handler<Event> for Panics {
    type Result = ();

    fn handle(&mut self, event: Event, _: &mut Context<Self>) {
        panic!("cannot bear {event:?}");
    }
}

/// Blocks its thread at the first event, for good.
struct Blocks;

impl Actor for Blocks {
    type Context = Context<Self>;
}

impl Handler<Event> for Blocks {
    type Result = ();

    fn handle(&mut self, _: Event, _: &mut Context<Self>) {
        loop {
            std::thread::park();
        }
    }
}

fn main() -> Result<ExitCode, ConfigError> {
    // Each panic would be a line that is no event.
    std::panic::set_hook(Box::new(|_| {}));
    let path = std::env::args_os().nth(1).unwrap_or_default();
    let config = Config::load(path, std::env::vars(), &[])?;
    log_to_stderr(&config);
    let service = Service::new(config).observe_with(|| Panics).observe_with(|| Blocks);
    Ok(service.run().into())
}

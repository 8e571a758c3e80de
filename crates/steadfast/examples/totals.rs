//! Counts records by key with an actor per partition, and prints what happens with an actor of its own:
//! `cargo run --example totals -- steadfast.toml`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use actix::{Actor, Context, Handler};
use steadfast::config::{Config, ConfigError};
use steadfast::consume::batch::{Batch, RecordError};
use steadfast::events::Event;
use steadfast::service::Service;

/// What one partition's records add up to. One per partition, begun anew after a crash.
#[derive(Default)]
struct Totals(BTreeMap<Vec<u8>, u64>);

impl Totals {
    /// All of the batch or nothing, since a batch that fails comes again.
    fn add(&mut self, batch: &Batch) -> Result<(), RecordError> {
        let mut keys = Vec::new();
        for record in batch.records() {
            keys.push(record?.key.unwrap_or_default().to_vec());
        }
        for key in keys {
            *self.0.entry(key).or_default() += 1;
        }
        Ok(())
    }

    fn print(&self, partition: i32) {
        let text = |(key, count): (&Vec<u8>, &u64)| (String::from_utf8_lossy(key).into_owned(), *count);
        let totals: BTreeMap<String, u64> = self.0.iter().map(text).collect();
        println!("{}", serde_json::json!({"partition": partition, "totals": totals}));
    }
}

impl Actor for Totals {
    type Context = Context<Self>;
}

impl Handler<Batch> for Totals {
    type Result = ();

    fn handle(&mut self, batch: Batch, _: &mut Context<Self>) {
        match self.add(&batch) {
            Ok(()) => {
                self.print(batch.partition().index);
                batch.done();
            }
            Err(error) => batch.failed(error),
        }
    }
}

/// Prints each event as a line of JSON.
struct Witness;

impl Actor for Witness {
    type Context = Context<Self>;
}

impl Handler<Event> for Witness {
    type Result = ();

    fn handle(&mut self, event: Event, _: &mut Context<Self>) {
        eprintln!("{}", serde_json::json!(event));
    }
}

fn main() -> Result<ExitCode, ConfigError> {
    let path = std::env::args_os().nth(1).unwrap_or_else(|| "steadfast.toml".into());
    let config = Config::load(path, std::env::vars(), &[])?;
    let service = Service::new(config).handle_with(|_partition| Totals::default()).observe_with(|| Witness);
    Ok(service.run().into())
}

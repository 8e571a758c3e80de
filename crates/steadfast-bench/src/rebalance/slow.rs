//! A service whose handlers are slow, as a promotion's business logic is. It does not block: each partition waits for
//! itself.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use actix::{Actor, AsyncContext, Context, Handler, WrapFuture};
use serde_json::json;
use steadfast::cli::run::log_to_stderr;
use steadfast::config::{Config, ConfigError};
use steadfast::consume::batch::Batch;
use steadfast::service::Service;

/// Works at one record after the other, and then prints it.
struct Slow(Duration);

impl Actor for Slow {
    type Context = Context<Self>;
}

impl Handler<Batch> for Slow {
    type Result = ();

    fn handle(&mut self, batch: Batch, context: &mut Context<Self>) {
        let each = self.0;
        let work = async move {
            let partition = batch.partition().index;
            for record in batch.records().filter_map(Result::ok) {
                tokio::time::sleep(each).await;
                let payload = String::from_utf8_lossy(record.value.unwrap_or_default());
                println!(
                    "{}",
                    json!({"partition": partition, "offset": record.offset.0, "payload": payload})
                );
            }
            batch.done();
        };
        context.wait(work.into_actor(self));
    }
}

/// Runs it until it is told to end.
///
/// # Errors
/// The configuration cannot be used.
pub fn run(config: &Path, each: Duration) -> Result<ExitCode, ConfigError> {
    let config = Config::load(config, std::env::vars(), &[])?;
    log_to_stderr(&config);
    Ok(Service::new(config).handle_with(move |_| Slow(each)).run().into())
}

//! Fetch loops against a scripted broker, under paused time.

mod broker;
mod garbage;
mod pipeline;
mod positions;
mod ramp;
mod schedule;
mod silence;
mod stage;
mod trouble;
mod wider;

/// Runs one case of a property in a runtime of its own, under paused time.
fn paused<R>(case: impl Future<Output = R>) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(case)
}

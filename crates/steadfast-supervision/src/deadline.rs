//! Deadlines, and the one timer of a task.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A year of limits is no limit; adding more than a clock can hold would panic.
const NO_LIMIT: Duration = Duration::from_secs(365 * 24 * 3600);

/// `wait` after `now`, however long that is.
pub(crate) fn after(now: Instant, wait: Duration) -> Instant {
    now.checked_add(wait).unwrap_or(now + NO_LIMIT)
}

/// Resolves at `deadline`; without one, never.
pub(crate) async fn reached(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

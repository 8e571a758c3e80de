//! A leader that is given more partitions while a fetch is parked at it, without them.

use std::future::pending;
use std::time::Duration;

use steadfast_core::ids::Partition;
use tokio::time::Instant;

use super::intake::{Intake, Want};
use super::leader::{LeaderLoop, Led};
use crate::connection::Connection;

/// A parked fetch that ends as soon as this is waited for.
const SOON: Duration = Duration::from_millis(50);

/// A connection is not left for a wider fetch before it has stood so long: leaders that move one after another cost
/// one connection in this time, and the others wait.
const STOOD: Duration = Duration::from_secs(5);

impl<I: Intake> LeaderLoop<I> {
    /// A fresh connection, once records are wanted of a partition that was not led yet when a fetch was sent with
    /// those that are `known`. A broker answers one connection's requests in turn, so nothing can be asked past a fetch
    /// that is parked there until `due`; over another connection it can. Never, where it is not worth one.
    pub(super) async fn wider(&self, known: &Led, opened: Instant, due: Instant) -> Connection {
        let wanted = |partition: &Partition| matches!(self.intake.want(partition), Want::Records(_));
        let more =
            |led: &Led| led.keys().any(|partition| !known.contains_key(partition) && wanted(partition));
        let ended = self.led.clone().wait_for(more).await.is_err();
        let now = Instant::now();
        if ended || opened + STOOD > now || due < now + SOON {
            return pending().await;
        }
        match Connection::open(&*self.transport, self.dial.clone()).await {
            Ok(fresh) => fresh,
            // What is wrong with the broker the parked fetch tells.
            Err(_) => pending().await,
        }
    }
}

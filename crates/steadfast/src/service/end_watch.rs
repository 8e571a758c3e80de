//! Whether everything that was there at the start is processed: what `--until-end` waits for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use steadfast_core::group::standing::{Membership, Standing};
use steadfast_core::ids::Partition;
use steadfast_core::progress::{Progress, State};
use steadfast_watch as watch;
use tokio::time::{sleep, timeout};

use super::life::Reason;
use crate::consume::progress::ProgressTable;
use crate::dialler::Refusals;
use crate::drift::published::Cluster;
use crate::wiring::Running;

/// How often it looks whether the end is reached.
const LOOK: Duration = Duration::from_millis(20);

/// When nobody has let us in by then, and somebody refuses us, that is how it ends.
const DENIED_AFTER: Duration = Duration::from_secs(3);

/// What tells whether everything that was there at the start is processed.
pub(super) struct EndWatch {
    cluster: watch::Receiver<Arc<Cluster>>,
    membership: watch::Receiver<Option<Membership>>,
    standing: Arc<Mutex<Standing>>,
    table: Arc<ProgressTable>,
    refusals: Arc<Refusals>,
}

impl EndWatch {
    pub(super) fn over(running: &Running) -> EndWatch {
        EndWatch {
            cluster: running.cluster.clone(),
            membership: running.membership.clone(),
            standing: Arc::clone(&running.standing),
            table: Arc::clone(&running.table),
            refusals: Arc::clone(&running.refusals),
        }
    }

    /// Ends when the end is reached or cannot be; never without `until_end`, the time within which a cluster has to
    /// be found.
    pub(super) async fn wait(mut self, until_end: Option<Duration>) -> Reason {
        let Some(start_timeout) = until_end else { return std::future::pending().await };
        if let Some(reason) = self.find(start_timeout).await {
            return reason;
        }
        loop {
            if let Some(reason) = self.reached() {
                return reason;
            }
            sleep(LOOK).await;
        }
    }

    /// Why no cluster is to be had, if none is.
    async fn find(&mut self, start_timeout: Duration) -> Option<Reason> {
        // Of several brokers one may know us earlier than the others.
        let limit = start_timeout.min(DENIED_AFTER);
        let is_known = |cluster: &Arc<Cluster>| cluster.view.is_some();
        for limit in [limit, start_timeout - limit] {
            let found = timeout(limit, self.cluster.wait_for(is_known)).await.map(|found| found.is_ok());
            match (found, self.refusals.denied()) {
                (Ok(true), _) => return None,
                (Ok(false), _) => return Some(Reason::NoCluster),
                (Err(_), Some(reason)) => return Some(Reason::Denied(reason)),
                (Err(_), None) => {}
            }
        }
        Some(Reason::NoCluster)
    }

    /// Once this member has its partitions, and each is processed up to the end that its log had first, or is
    /// quarantined and never will be.
    fn reached(&self) -> Option<Reason> {
        let settled = self.membership.borrow().as_ref().is_some_and(|membership| membership.settled);
        let owned = self.standing.lock().unwrap_or_else(PoisonError::into_inner).owned.clone();
        let mut unended = owned.into_iter().filter(|partition| !self.is_processed(partition)).peekable();
        let is_quarantined =
            |partition: &Partition| self.table.read(partition, Progress::state) == Some(State::Quarantined);
        let first = unended.peek().cloned();
        (settled && unended.all(|partition| is_quarantined(&partition)))
            .then(|| first.map_or(Reason::UntilEnd, Reason::Quarantined))
    }

    fn is_processed(&self, partition: &Partition) -> bool {
        let acked = self.table.read(partition, |progress| progress.is_placed().then(|| progress.acked()));
        match (acked.flatten(), self.table.first_end(partition)) {
            (Some(acked), Some(end)) => acked >= end,
            (Some(_), None) | (None, _) => false,
        }
    }
}

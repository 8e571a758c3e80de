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
use crate::drift::published::Cluster;
use crate::wiring::Running;

/// How often it looks whether the end is reached.
const LOOK: Duration = Duration::from_millis(20);

/// What tells whether everything that was there at the start is processed.
pub(super) struct EndWatch {
    cluster: watch::Receiver<Arc<Cluster>>,
    membership: watch::Receiver<Option<Membership>>,
    standing: Arc<Mutex<Standing>>,
    table: Arc<ProgressTable>,
}

impl EndWatch {
    pub(super) fn over(running: &Running) -> EndWatch {
        EndWatch {
            cluster: running.cluster.clone(),
            membership: running.membership.clone(),
            standing: Arc::clone(&running.standing),
            table: Arc::clone(&running.table),
        }
    }

    /// Ends when the end is reached or cannot be; never without `until_end`, the time within which a cluster has to
    /// be found.
    pub(super) async fn wait(mut self, until_end: Option<Duration>) -> Reason {
        let Some(start_timeout) = until_end else { return std::future::pending().await };
        let found = self.cluster.wait_for(|cluster| cluster.view.is_some());
        match timeout(start_timeout, found).await.map(|found| found.is_ok()) {
            Ok(true) => {}
            Ok(false) | Err(_) => return Reason::NoCluster,
        }
        loop {
            if let Some(reason) = self.reached() {
                return reason;
            }
            sleep(LOOK).await;
        }
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

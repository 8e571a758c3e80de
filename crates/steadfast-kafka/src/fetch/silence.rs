//! A leader that owes an answer: it is told, and a fresh connection is opened beside the silent one.

use std::time::Duration;

use steadfast_core::endpoints::race::Evidence;
use tokio::time::{Instant, sleep};

use super::intake::{Intake, Note};
use super::leader::LeaderLoop;
use super::session::{Leave, Session};
use crate::api::Api;
use crate::connection::{Connection, Pending, RawAnswer};

impl<I: Intake> LeaderLoop<I> {
    /// Awaits an answer for which the leader may wait `max_wait`. Once it is overdue and nothing of it arrives, says so
    /// and opens a fresh connection to the same address. Whichever is first wins: the answer, and the fresh connection
    /// is dropped; or the fresh connection, which has proven its cluster by then, and this one is to be left.
    pub(super) async fn answer<A: Api>(
        &self,
        session: &mut Session,
        pending: Pending<A>,
        max_wait: Duration,
    ) -> Result<RawAnswer<A>, Leave> {
        let sent = Instant::now();
        let due = sent + max_wait + session.connection.held_back();
        let limit = session.kept.patience.limit();
        let raw = pending.raw();
        tokio::pin!(raw);
        let raw = tokio::select! {
            biased;
            raw = raw.as_mut() => raw?,
            () = session.connection.silent(due, limit) => {
                self.intake.note(Note::Silent { waited: sent.elapsed() });
                tokio::select! {
                    biased;
                    raw = raw => raw?,
                    fresh = self.fresh() => return Err(Leave::Silent { fresh, waited: sent.elapsed() }),
                }
            }
        };
        session.kept.patience.answered(raw.quiet_since(due));
        Ok(raw)
    }

    /// A fresh connection, as soon as there is one. It has no deadline: the answer that is waited for has.
    ///
    /// A broker that pauses for a moment is silent to the first of them too. Who is silent to the second one, or turns
    /// one away, is as good as gone: that is said once.
    async fn fresh(&self) -> Connection {
        let (mut failures, mut told) = (0, false);
        loop {
            let error = match Connection::open(&*self.transport, self.dial.clone()).await {
                Ok(connection) => return connection,
                Err(error) => error,
            };
            if !told && (failures > 0 || error.evidence() == Evidence::Broken) {
                let (reason, evidence) = (error.to_string(), Evidence::Broken);
                self.intake.note(Note::Broken { reason, evidence, stood: true });
                told = true;
            }
            sleep(self.pause(failures)).await;
            failures += 1;
        }
    }
}

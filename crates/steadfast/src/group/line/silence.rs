//! A coordinator that owes an answer: it is told, and a fresh connection is opened beside the silent one.

use std::convert::Infallible;
use std::time::Duration;

use steadfast_core::endpoints::race::Evidence;
use steadfast_kafka::api::Api;
use steadfast_kafka::connection::Connection;
use tokio::time::{Instant, sleep};

use super::{Coordinator, Line, LineError, Open, SILENT, TRIED_AGAIN, came_to_nothing, left};
use crate::events::{Event, Replaced};
use crate::locked::locked;
use crate::messages::Suspect;

/// A fresh connection within so long comes at once.
const AT_ONCE: Duration = Duration::from_millis(100);

impl Line {
    /// Sends a request that the coordinator answers at once, and may be asked twice. Once it is overdue, a fresh
    /// connection is opened beside the standing one, and whichever is first wins: the answer, or the fresh
    /// connection, over which the request is repeated when the silent one is closed.
    pub(crate) async fn insist<A: Api>(
        &self,
        to: &Coordinator,
        request: A,
        limit: Duration,
    ) -> Result<A::Answer, LineError> {
        let until = Instant::now() + limit;
        loop {
            match self.ask(to, &request, left(until)).await {
                Err(LineError::Silent { .. }) if Instant::now() < until => {}
                outcome => return outcome,
            }
        }
    }

    /// The same for a request that must not be repeated unseen: [`LineError::Silent`] says that its outcome is
    /// unknown, that its connection is closed, and that a fresh one stands.
    pub(crate) async fn ask<A: Api>(
        &self,
        to: &Coordinator,
        request: &A,
        limit: Duration,
    ) -> Result<A::Answer, LineError> {
        let until = Instant::now() + limit;
        let connection = self.connection(to, limit).await?;
        let answer = self.answer(to, &connection, request, left(until)).await;
        answer.map_err(|error| came_to_nothing(&connection, error))
    }

    async fn answer<A: Api>(
        &self,
        to: &Coordinator,
        connection: &Connection,
        request: &A,
        limit: Duration,
    ) -> Result<A::Answer, LineError> {
        let sent = Instant::now();
        let due = sent + connection.held_back();
        let patience = locked(&self.patience).limit();
        let pending = connection.send(request, limit)?;
        self.traffic.sent(A::NAME, pending.bytes());
        let raw = pending.raw();
        tokio::pin!(raw);
        let raw = tokio::select! {
            biased;
            raw = raw.as_mut() => raw?,
            () = connection.silent(due, patience) => {
                tokio::select! {
                    biased;
                    raw = raw => raw?,
                    never = self.doubt::<A>(to, sent) => match never {},
                    fresh = self.fresh(to) => {
                        let reason = owed::<A>(sent);
                        self.replace(to, connection, fresh, reason.clone());
                        self.leave_beside(sent);
                        return Err(LineError::Silent { reason });
                    }
                }
            }
        };
        self.traffic.answered(A::NAME, raw.body().len());
        locked(&self.patience).answered(raw.quiet_since(due));
        Ok(raw.decode()?)
    }

    /// A fresh connection, as soon as there is one. It has no deadline: the answer that is waited for has.
    async fn fresh(&self, to: &Coordinator) -> Open {
        loop {
            let (dialler, terms) = self.terms(to);
            if let Ok(connection) = dialler.open(to.address.clone(), Some(to.node), to.pin.clone()).await {
                return Open::new(connection, terms);
            }
            sleep(TRIED_AGAIN).await;
        }
    }

    /// The silent connection is closed first: what was asked over it must not be asked again while it may go on.
    fn replace(&self, to: &Coordinator, silent: &Connection, fresh: Open, reason: String) {
        silent.close(SILENT);
        let mut open = locked(&self.open);
        // Another request may have replaced it meanwhile.
        if open.as_ref().is_some_and(|open| open.connection.is(silent)) {
            *open = Some(fresh);
            locked(&self.patience).replaced();
            let server = to.address.clone().into();
            self.events
                .emit(Event::ConnectionReplaced { connection: Replaced { server, node: to.node, reason } });
        }
    }

    /// What waits on this line is asked again over a fresh connection: nothing that may be asked about it can come over
    /// the one on which it waits.
    pub(crate) fn ask_again(&self) {
        if let Some(open) = locked(&self.open).as_ref() {
            open.connection.close(SILENT);
        }
    }

    /// The other line's connection is closed too, unless something came over it since.
    fn leave_beside(&self, since: Instant) {
        let Some(beside) = &self.beside else { return };
        if let Some(open) = locked(beside).as_ref().filter(|open| open.connection.last_activity() <= since) {
            open.connection.close(SILENT);
        }
    }

    /// The endpoint is suspected when a fresh connection is not to be had at once either: else it is the connection
    /// that was silent, and a discovery would find nothing.
    async fn doubt<A: Api>(&self, to: &Coordinator, sent: Instant) -> Infallible {
        sleep(AT_ONCE).await;
        let (node, address) = (Some(to.node), Some(to.address.clone()));
        let (reason, evidence) = (owed::<A>(sent), Evidence::Silent);
        drop(self.suspect.send(Suspect { reason, evidence, node, address }));
        std::future::pending().await
    }
}

fn owed<A: Api>(sent: Instant) -> String {
    format!("{} is unanswered for {} ms", A::NAME, sent.elapsed().as_millis())
}

//! One connection to one broker: requests are taken one at a time and answered in order, as Kafka does; the link
//! between client and broker delays or holds up what passes.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::ResponseKind;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::frames::Frames;
use super::request::{self, Head, Read};
use super::throttle::throttled;
use super::{Asker, Outcome};
use crate::call::Ticket;
use crate::guise::Guise;
use crate::network::{Damage, Link, Machine, Standing, Watch, change};

/// How many requests or answers of one connection may be under way, and how many bytes of them (but always one): beyond
/// that it is not read, or its requests wait.
const UNDER_WAY: (usize, usize) = (1_000, 4 << 20);

/// The part of a frame that even a corrupt answer has: its length and correlation id.
const HEAD: usize = 8;

/// How a connection ends, seen from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// In order.
    Closed,
    /// By a reset.
    Reset,
    /// Not at all: nothing comes any more.
    Silent,
}

/// Serves `stream` as a connection to `machine` until it ends.
pub(crate) async fn converse<S>(
    stream: &mut S,
    machine: &Machine,
    host: Arc<str>,
    watch: &mut Watch,
) -> Ending
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from, mut to) = tokio::io::split(stream);
    let mut watched = machine.watch_link();
    let Link { life, silences, .. } = watched.borrow_and_update().clone();
    let mut talk = Talk::new(machine, host);
    loop {
        let link = watched.borrow_and_update().clone();
        match watch.standing() {
            _ if !link.up || link.life != life => return Ending::Reset,
            Standing::Reset => return Ending::Reset,
            _ if link.silences != silences => return Ending::Silent,
            Standing::Silent => return Ending::Silent,
            Standing::Open(guise) => talk.guise = guise.or_else(|| link.guise.clone()),
        }
        let now = Instant::now();
        talk.go_on(&link, now);
        if let Some(ending) = talk.over() {
            return ending;
        }
        let reads = talk.may_read(&link);
        let wake = talk.wake(&link, now);
        let Talk { parked, outbox, frames, .. } = &mut talk;
        let due = outbox.front_mut().filter(|(due, _)| link.answers && *due <= now);
        let stands_still = link.is_paused(now);
        tokio::select! {
            biased;
            () = watch.changed() => {}
            () = change(&mut watched) => {}
            answer = answered(parked), if !stands_still => talk.unpark(answer, &link),
            sent = send(&mut to, due) => talk.sent(sent),
            () = until(wake) => {}
            read = frames.fill(&mut from), if reads => talk.arrived(read, &link),
        }
    }
}

/// Reads and drops what the client sends, until it closes.
pub(crate) async fn swallow(from: &mut (impl AsyncRead + Unpin)) {
    let mut dropped = [0; 4096];
    while from.read(&mut dropped).await.is_ok_and(|read| read > 0) {}
}

async fn until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn send(to: &mut (impl AsyncWrite + Unpin), due: Option<&mut (Instant, Bytes)>) -> io::Result<usize> {
    match due {
        Some((_, frame)) => to.write_buf(frame).await,
        None => std::future::pending().await,
    }
}

async fn answered(parked: &mut Option<Parked>) -> Option<ResponseKind> {
    match parked {
        Some(parked) => (&mut parked.answer).await.ok(),
        None => std::future::pending().await,
    }
}

/// Whether one more may be under way.
fn room(queue: &VecDeque<(Instant, Bytes)>) -> bool {
    let (frames, bytes) = UNDER_WAY;
    queue.len() < frames && queue.iter().map(|(_, frame)| frame.len()).sum::<usize>() < bytes
}

struct Parked {
    head: Head,
    ticket: Ticket,
    answer: oneshot::Receiver<ResponseKind>,
}

/// The state of one connection.
struct Talk<'a> {
    machine: &'a Machine,
    asker: Asker,
    /// What is said instead of the truth now.
    guise: Option<Arc<Guise>>,
    frames: Frames,
    /// Requests and when they are at the broker.
    inbox: VecDeque<(Instant, Bytes)>,
    /// The request that the broker works on.
    parked: Option<Parked>,
    /// Answers and when they are at the client.
    outbox: VecDeque<(Instant, Bytes)>,
    /// The client sends nothing more.
    hung_up: bool,
    /// Until when the broker is deaf here: the connection is not taken up yet, or its client was throttled.
    muted_until: Option<Instant>,
    /// How it ends once the outbox is empty; nothing more is taken.
    ending: Option<Ending>,
}

impl Drop for Talk<'_> {
    fn drop(&mut self) {
        if let Some(parked) = self.parked.take() {
            self.machine.served().abandon(parked.ticket);
        }
    }
}

impl<'a> Talk<'a> {
    fn new(machine: &'a Machine, client_host: Arc<str>) -> Talk<'a> {
        let connection = machine.served().connected();
        Talk {
            machine,
            asker: Asker { node: machine.node(), connection, client_id: Arc::from(""), client_host },
            guise: None,
            frames: Frames::default(),
            inbox: VecDeque::new(),
            parked: None,
            outbox: VecDeque::new(),
            muted_until: Some(machine.takes_up(&machine.link(), Instant::now())),
            hung_up: false,
            ending: None,
        }
    }

    /// Takes the requests that have come to the broker, until one has to wait.
    fn go_on(&mut self, link: &Link, now: Instant) {
        while self.parked.is_none()
            && self.ending.is_none()
            && room(&self.outbox)
            && self.deaf_until(link, now).is_none()
        {
            match self.inbox.front() {
                Some((due, _)) if *due <= now => {}
                _ => return,
            }
            if let Some((_, frame)) = self.inbox.pop_front() {
                self.take(frame, link);
            }
        }
    }

    /// Until when no request is taken, if that is so.
    fn deaf_until(&self, link: &Link, now: Instant) -> Option<Instant> {
        self.muted_until.max(link.paused_until).filter(|until| now < *until)
    }

    fn take(&mut self, frame: Bytes, link: &Link) {
        /// The length in front of every frame.
        const PREFIX: usize = 4;
        let bytes = PREFIX + frame.len();
        let Read { head, client_id, request } = match request::read(frame) {
            Ok(read) => read,
            Err(error) => {
                tracing::debug!(node = %self.machine.node(), %error, "a connection is closed");
                self.ending = Some(Ending::Closed);
                return;
            }
        };
        self.machine.served().came(head.key, bytes);
        let Some(request) = request else { return self.answer(head, request::unsupported(), link) };
        if *self.asker.client_id != client_id {
            self.asker.client_id = client_id.into();
        }
        match self.machine.served().request(&self.asker, head.version, request) {
            Outcome::Now(answer) => self.answer(head, *answer, link),
            Outcome::Parked(ticket, answer) => self.parked = Some(Parked { head, ticket, answer }),
            Outcome::Never => {}
            Outcome::Close => self.ending = Some(Ending::Closed),
        }
    }

    fn unpark(&mut self, answer: Option<ResponseKind>, link: &Link) {
        let Some(parked) = self.parked.take() else { return };
        match answer {
            Some(answer) => self.answer(parked.head, answer, link),
            // The cluster gave the request up.
            None => self.ending = Some(Ending::Closed),
        }
    }

    fn answer(&mut self, head: Head, answer: ResponseKind, link: &Link) {
        let answer = match &self.guise {
            Some(guise) => guise.apply(answer),
            None => answer,
        };
        let answer = self.throttle(answer, link.throttle);
        let Some(mut frame) = request::write(head, &answer) else {
            self.ending = Some(Ending::Closed);
            return;
        };
        match self.machine.damage(head.key) {
            None => {}
            Some(Damage::ResetMidFrame) => {
                frame.truncate(frame.len() / 2);
                self.ending = Some(Ending::Reset);
            }
            Some(Damage::Truncated) => {
                frame.truncate(frame.len() / 2);
                self.ending = Some(Ending::Closed);
            }
            Some(Damage::Corrupt) => frame = self.corrupt(&frame),
            Some(Damage::Withheld) => {
                self.ending = Some(Ending::Silent);
                return;
            }
        }
        self.machine.served().went(head.key, frame.len());
        self.outbox.push_back((Instant::now() + self.machine.delay(link), frame));
    }

    fn throttle(&mut self, answer: ResponseKind, by: Duration) -> ResponseKind {
        if by.is_zero() {
            return answer;
        }
        self.muted_until = Some(Instant::now() + by);
        throttled(answer, by)
    }

    fn corrupt(&self, frame: &[u8]) -> Bytes {
        let mut corrupt = BytesMut::from(frame);
        if let Some(body) = corrupt.get_mut(HEAD..) {
            self.machine.corrupt(body);
        }
        corrupt.freeze()
    }

    fn arrived(&mut self, read: io::Result<usize>, link: &Link) {
        if read.unwrap_or(0) == 0 {
            self.hung_up = true;
            return;
        }
        let due = Instant::now() + self.machine.delay(link);
        loop {
            match self.frames.next() {
                Ok(Some(frame)) => self.inbox.push_back((due, frame)),
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(node = %self.machine.node(), %error, "a connection is closed");
                    self.ending = Some(Ending::Closed);
                    return;
                }
            }
        }
    }

    fn sent(&mut self, sent: io::Result<usize>) {
        if sent.is_err() {
            self.hung_up = true;
            self.outbox.clear();
        }
        if self.outbox.front().is_some_and(|(_, frame)| !frame.has_remaining()) {
            self.outbox.pop_front();
        }
    }

    /// How the connection ends, if it is at its end. What came before the client hung up is still done.
    fn over(&self) -> Option<Ending> {
        match self.ending {
            Some(ending) if self.outbox.is_empty() => Some(ending),
            None if self.hung_up
                && self.outbox.is_empty()
                && (self.parked.is_some() || self.inbox.is_empty()) =>
            {
                Some(Ending::Closed)
            }
            _ => None,
        }
    }

    fn may_read(&self, link: &Link) -> bool {
        link.requests && room(&self.inbox) && !self.hung_up && self.ending.is_none()
    }

    /// When something under way gets there that is not there yet.
    fn wake(&self, link: &Link, now: Instant) -> Option<Instant> {
        let takes = self.parked.is_none() && self.ending.is_none() && room(&self.outbox);
        let request = self.inbox.front().map(|(due, _)| *due).filter(|_| takes);
        let request = request.map(|due| due.max(self.deaf_until(link, now).unwrap_or(due)));
        let goes_on = link.paused_until.filter(|until| now < *until && self.parked.is_some());
        let answer = self.outbox.front().map(|(due, _)| *due).filter(|due| link.answers && *due > now);
        request.into_iter().chain(answer).chain(goes_on).min()
    }
}

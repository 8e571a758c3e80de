//! One incarnation of an actor: `Context::into_future(actor)` in one task, every step of it under
//! `catch_unwind`, and a will that is read out however the task ends.
//!
//! What actix 0.13.5 does by itself, and why it is not enough: a panic in an actor closes its mailbox and
//! tells nobody; the drop of its context's future calls `stopped` while unwinding, so a second panic there
//! aborts the process; an actor that no address leads to any more stops.

use std::{future::poll_fn, pin::Pin, task, task::Poll};

use actix::{
    Actor, ActorContext, ActorState, Addr, ArbiterHandle, AsyncContext, Context, dev::ContextFut,
    fut::wrap_future,
};
use futures::task::noop_waker_ref;
use steadfast_watch as watch;

use crate::{caught::caught, exit::ExitReason};

/// What an incarnation tells those who began it. `exit` is called exactly once, after `down`.
pub(crate) struct Hooks<A: Actor> {
    /// `started` has returned: the actor is up, here is its address.
    pub(crate) up: UpHook<A>,
    /// No message may be sent to it any longer.
    pub(crate) down: Box<dyn FnOnce() + Send>,
    /// It has ended, and its value is dropped.
    pub(crate) exit: Box<dyn FnOnce(ExitReason) + Send>,
}

pub(crate) type UpHook<A> = Box<dyn FnOnce(&Addr<A>) + Send>;

/// What holds an incarnation in life. When it is dropped, nobody sends to the incarnation any longer, and it
/// ends by force as soon as its thread runs.
pub(crate) struct Lifeline {
    orders: watch::Sender<Order>,
    withdraw: Box<dyn Fn() + Send>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Run,
    Stop,
}

impl Lifeline {
    /// A lifeline, and the end of it that the incarnation holds. `withdraw` takes back what the
    /// incarnation has published or still may.
    pub(crate) fn new(withdraw: impl Fn() + Send + 'static) -> (Self, watch::Receiver<Order>) {
        let (orders, receiver) = watch::channel(Order::Run);
        (Self { orders, withdraw: Box::new(withdraw) }, receiver)
    }

    /// Asks for an orderly stop: routes down, the mailbox emptied, then `ctx.stop()`.
    pub(crate) fn stop(&self) {
        self.orders.send_replace(Order::Stop);
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        (self.withdraw)();
    }
}

/// Begins an incarnation on `arbiter`. Never blocks; what becomes of it comes through `hooks`.
pub(crate) fn launch<A, F>(arbiter: &ArbiterHandle, make: F, orders: watch::Receiver<Order>, hooks: Hooks<A>)
where
    A: Actor<Context = Context<A>>,
    F: FnOnce(&mut Context<A>) -> A + Send + 'static,
{
    let Hooks { up, down, exit } = hooks;
    let will = Will { down: Some(down), exit: Some(exit), reason: None };
    // If the arbiter is gone, the closure is dropped, and the will with it says so.
    arbiter.spawn_fn(move || {
        actix_rt::spawn(live(make, orders, up, will));
    });
}

/// The last word of an incarnation, read out when it is dropped. Without a reason written into it, its
/// task was dropped unfinished, which only the end of an arbiter does.
pub(crate) struct Will {
    pub(crate) down: Option<Box<dyn FnOnce() + Send>>,
    pub(crate) exit: Option<Box<dyn FnOnce(ExitReason) + Send>>,
    pub(crate) reason: Option<ExitReason>,
}

impl Will {
    fn withdraw(&mut self) {
        if let Some(down) = self.down.take() {
            down();
        }
    }

    /// A panic on the way out: it turns an orderly stop into a crash, and never hides the first cause.
    fn add_panic(&mut self, message: String) {
        match &mut self.reason {
            Some(ExitReason::Panicked { message: first }) => {
                first.push_str("; then: ");
                first.push_str(&message);
            }
            Some(reason @ ExitReason::Stopped) => *reason = ExitReason::Panicked { message },
            _ => tracing::error!(message, "an actor panicked while it was ended by force"),
        }
    }
}

impl Drop for Will {
    fn drop(&mut self) {
        self.withdraw();
        if let Some(exit) = self.exit.take() {
            exit(self.reason.take().unwrap_or(ExitReason::ArbiterGone));
        }
    }
}

async fn live<A, F>(make: F, mut orders: watch::Receiver<Order>, up: UpHook<A>, mut will: Will)
where
    A: Actor<Context = Context<A>>,
    F: FnOnce(&mut Context<A>) -> A,
{
    if orders.has_changed().is_err() {
        will.reason = Some(ExitReason::Abandoned);
        return;
    }
    if *orders.borrow() == Order::Stop {
        will.reason = Some(ExitReason::Stopped);
        return;
    }
    let mut context = Context::new();
    match caught(|| make(&mut context)) {
        Ok(actor) => {
            let mut body = Body::new(context, actor, up, will);
            let reason = body.run(&mut orders).await;
            body.will.reason = Some(reason);
        }
        Err(message) => {
            will.reason = Some(ExitReason::Panicked { message });
            if let Err(message) = caught(|| drop(context)) {
                will.add_panic(message);
            }
        }
    }
}

/// The living actor. Its drop is its burial, in whatever way it ended.
struct Body<A: Actor<Context = Context<A>>> {
    future: Option<ContextFut<A, Context<A>>>,
    /// Keeps the mailbox connected: only its supervisor or the actor itself decides that it stops.
    address: Addr<A>,
    up: Option<UpHook<A>>,
    begun: bool,
    /// Told to stop, but not yet asked its context to: what is in the mailbox comes first.
    to_stop: bool,
    will: Will,
}

impl<A: Actor<Context = Context<A>>> Body<A> {
    fn new(context: Context<A>, actor: A, up: UpHook<A>, will: Will) -> Self {
        let address = context.address();
        Self {
            future: Some(context.into_future(actor)),
            address,
            up: Some(up),
            begun: false,
            to_stop: false,
            will,
        }
    }

    async fn run(&mut self, orders: &mut watch::Receiver<Order>) -> ExitReason {
        loop {
            tokio::select! {
                biased;
                order = orders.changed() => match order {
                    Ok(()) => self.prepare_to_stop(),
                    Err(_) => return ExitReason::Abandoned,
                },
                reason = poll_fn(|cx| self.poll(cx)) => return reason,
            }
        }
    }

    /// From here on nobody sends to it: what a sender gave away before is handled, what comes later goes
    /// back to its sender.
    fn prepare_to_stop(&mut self) {
        self.will.withdraw();
        self.to_stop = true;
    }

    fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<ExitReason> {
        let Some(future) = self.future.as_mut() else { return Poll::Ready(ExitReason::Stopped) };
        self.begun = true;
        loop {
            match caught(|| Pin::new(&mut *future).poll(cx)) {
                Ok(Poll::Ready(())) => return Poll::Ready(ExitReason::Stopped),
                Err(message) => return Poll::Ready(ExitReason::Panicked { message }),
                Ok(Poll::Pending) if self.to_stop => {
                    self.to_stop = false;
                    future.ctx().stop();
                }
                Ok(Poll::Pending) => break,
            }
        }
        if let Some(up) = self.up.take() {
            up(&self.address);
        }
        Poll::Pending
    }
}

impl<A: Actor<Context = Context<A>>> Drop for Body<A> {
    fn drop(&mut self) {
        self.will.withdraw();
        let Some(mut future) = self.future.take() else { return };
        if self.begun
            && let Err(message) = farewell(&mut future)
        {
            self.will.add_panic(message);
        }
        // From here on actix's own drop must not poll: it would do so unguarded.
        future.ctx().terminate();
        if let Err(message) = caught(|| drop(future)) {
            self.will.add_panic(message);
        }
    }
}

/// Lets `stopping` and `stopped` run, once, for an actor that has not stopped by itself: after a panic, or
/// when its task ends under it. An actor that refuses to stop now runs no further: its context waits for
/// something that never comes, so neither its mailbox nor its futures are polled.
fn farewell<A: Actor<Context = Context<A>>>(future: &mut ContextFut<A, Context<A>>) -> Result<(), String> {
    if future.ctx().state() == ActorState::Stopped {
        return Ok(());
    }
    future.ctx().wait(wrap_future(std::future::pending()));
    future.ctx().stop();
    let mut cx = task::Context::from_waker(noop_waker_ref());
    caught(|| Pin::new(future).poll(&mut cx)).map(|_| ())
}

//! What tells a running service to end or to read its configuration again: signals, and whoever embeds it.

use futures::future::BoxFuture;
use steadfast_supervision::Route;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::life::Reason;
use super::manager::Manager;
use crate::config::watcher::Reload;
use crate::exit::Exit;

/// The signals of the process, and a future that ends the service as the first of them does.
pub(super) struct Orders {
    signals: Option<Signals>,
    stop: BoxFuture<'static, ()>,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    manager: Option<Manager>,
}

impl Orders {
    /// From the signals of the process and from `stop`. Reloads are told to the manager.
    pub(super) fn listen(stop: BoxFuture<'static, ()>, manager: Option<Manager>) -> std::io::Result<Orders> {
        let signals = Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            manager,
        };
        Ok(Orders { signals: Some(signals), stop })
    }

    /// From `stop` alone: the process and its signals are somebody else's.
    pub(super) fn only(stop: BoxFuture<'static, ()>) -> Orders {
        Orders { signals: None, stop }
    }

    /// The first order to end, as the reason for it.
    pub(super) async fn first(&mut self, reload: &Route<Reload>) -> Reason {
        let Orders { signals, stop } = self;
        tokio::select! {
            biased;
            _ = next_end(signals, reload) => Reason::Signal,
            () = stop => Reason::Asked,
        }
    }

    /// An impatient second one: only a signal is.
    pub(super) async fn second(&mut self, reload: &Route<Reload>) -> Exit {
        next_end(&mut self.signals, reload).await
    }
}

/// The next signal to end; one to reload is passed on meanwhile.
async fn next_end(signals: &mut Option<Signals>, reload: &Route<Reload>) -> Exit {
    let Some(signals) = signals else { return std::future::pending().await };
    loop {
        tokio::select! {
            biased;
            _ = signals.terminate.recv() => return Exit::Terminated,
            _ = signals.interrupt.recv() => return Exit::Interrupted,
            _ = signals.hang_up.recv() => match signals.manager {
                Some(manager) => drop(actix::spawn(manager.reload(reload.clone()))),
                None => drop(reload.send(Reload)),
            },
        }
    }
}

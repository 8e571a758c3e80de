//! A proxy that obeys.

use std::io;

use steadfast_sim::proxy::{DriftProxy, Old};

use super::order::{HELP, Order};
use super::told::Told;
use super::{Mode, ProxyArgs};
use crate::cli::Output;
use crate::env::real;

/// A proxy, and how it is told to go about its work.
pub(super) struct Session {
    proxy: DriftProxy,
    /// What becomes of old addresses, unless an order says otherwise.
    usual: Old,
    output: Output,
}

impl Session {
    pub(super) fn new(proxy: DriftProxy, args: &ProxyArgs) -> Session {
        let usual = match args.mode {
            Mode::Refused => Old::Refuse,
            Mode::Blackhole => Old::BlackHole,
            Mode::Drop => Old::Drop,
        };
        Session { proxy, usual, output: args.output }
    }

    /// Tells clients where to begin.
    pub(super) fn begun(&self) {
        self.say(&Told::Began {
            bootstrap: self.proxy.bootstrap(),
            endpoints: self.proxy.endpoints(),
            upstream: self.proxy.upstream(),
        });
    }

    /// Carries an order out and says what came of it.
    pub(super) async fn obey(&mut self, order: Order) {
        match self.carry_out(order).await {
            Ok(told) => self.say(&told),
            Err(error) => self.complain(&error.to_string()),
        }
    }

    async fn carry_out(&mut self, order: Order) -> io::Result<Told> {
        match order {
            Order::Move(nodes, how) => {
                let old = how.unwrap_or(self.usual);
                let moved = self.proxy.move_endpoints(nodes, old).await?;
                Ok(Told::Moved { moved, old })
            }
            Order::Swap(one, other) => self.proxy.swap(one, other).map(Told::Swapped),
            Order::Silence(nodes) => self.proxy.silence(&nodes).map(Told::Silenced),
            Order::Old(old) => {
                self.proxy.turn_old(old).await?;
                self.usual = old;
                Ok(Told::Turned { old, endpoints: self.proxy.old_endpoints() })
            }
            Order::Heal => {
                self.proxy.heal().await?;
                Ok(Told::Healed { endpoints: self.proxy.old_endpoints() })
            }
            Order::Fence(how) => {
                let old = how.unwrap_or(self.usual);
                self.proxy.fence_bootstrap(old).await?;
                Ok(Told::Fenced { bootstrap: self.proxy.bootstrap(), old })
            }
            Order::Show => Ok(Told::Shown {
                bootstrap: self.proxy.bootstrap(),
                endpoints: self.proxy.endpoints(),
                upstream: self.proxy.upstream(),
                old: self.proxy.old_endpoints(),
                connections: self.proxy.connections(),
            }),
            Order::Help | Order::Quit => Ok(Told::Help(HELP)),
        }
    }

    /// Says why something was not done.
    pub(super) fn complain(&self, reason: &str) {
        self.say(&Told::Refused(reason.to_owned()));
    }

    fn say(&self, told: &Told) {
        use io::Write;
        let time = real::wall_clock().rfc3339();
        let text = match self.output {
            Output::Json => told.json(&time).to_string(),
            Output::Text => told.text(time.get(11..23).unwrap_or(&time)),
        };
        // A closed standard output is no reason to end: clients may be connected.
        let mut out = io::stdout().lock();
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}

//! What a member is given by wiring.

use std::sync::{Arc, Mutex};

use steadfast_core::group::settings::Settings;
use steadfast_core::group::standing::{Membership, Standing};
use steadfast_supervision::Route;
use steadfast_watch as watch;
use tokio::sync::mpsc;

use crate::dialler::Dialler;
use crate::drift::published::Cluster;
use crate::drift::subscribed::Subscribed;
use crate::env::Env;
use crate::group::accounts::Accounts;
use crate::group::line::Line;
use crate::messages::{CountTopics, End, Ownership, Suspect};
use crate::observers::Events;
use crate::vitals::Vitals;

/// What a member is given by wiring.
pub(crate) struct Seat {
    pub(crate) env: Env,
    pub(crate) dialler: Dialler,
    pub(crate) settings: Settings,
    /// What to subscribe to by now.
    pub(crate) subscribed: watch::Receiver<Subscribed>,
    /// What survives a crash of the actor.
    pub(crate) standing: Arc<Mutex<Standing>>,
    pub(crate) cluster: watch::Receiver<Arc<Cluster>>,
    pub(crate) membership: watch::Sender<Option<Membership>>,
    pub(crate) checkpointer: Route<Ownership>,
    pub(crate) poller: Route<CountTopics>,
    pub(crate) suspect: Route<Suspect>,
    pub(crate) vitals: Vitals,
    pub(crate) accounts: Accounts,
    pub(crate) events: Events,
    pub(crate) end: mpsc::UnboundedSender<End>,
}

impl Seat {
    /// The lines for rounds and for heartbeats.
    pub(super) fn lines(&self) -> (Line, Line) {
        let line = || {
            let line = Line::new(self.dialler.clone(), self.suspect.clone(), self.events.clone());
            line.counted(self.accounts.traffic())
        };
        let rounds = line();
        let beats = line().beside(&rounds);
        (rounds, beats)
    }
}

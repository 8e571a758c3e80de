//! What the service manager is told (sd_notify(3)): that the service runs, how it stands, that it reads its
//! configuration again, that it ends, and, as long as its threads turn, that they do.
//!
//! Only a manager that asks for it is told: systemd sets `NOTIFY_SOCKET`.

use std::time::Duration;

use sd_notify::NotifyState;
use steadfast_supervision::Route;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::watcher::Reload;
use crate::env::Env;
use crate::vitals::{Reading, Vitals};

/// How often it looks how the service stands, and whether its threads turn.
const LOOK: Duration = Duration::from_secs(5);
/// What reading a configuration file may take.
const RELOAD_LIMIT: Duration = Duration::from_secs(5);

/// A service manager that listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manager(());

impl Manager {
    /// The one that started this process, if it wants to be told.
    pub(super) fn that_listens() -> Option<Manager> {
        std::env::var_os("NOTIFY_SOCKET").map(|_| Manager(()))
    }

    /// The service runs. That the cluster answers is no part of it: an absent one is waited for.
    pub(super) fn ready(self) {
        tell(&[NotifyState::Ready]);
    }

    /// The service ends, which may take `limit`: longer, perhaps, than the manager would wait by itself.
    pub(super) fn stopping(self, limit: Duration) {
        let limit = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX);
        tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(limit)]);
    }

    /// Has the configuration read again, and tells when that begins and when it is done.
    pub(super) async fn reload(self, watcher: Route<Reload>) {
        // Without the time systemd 253 takes the reload for one that hangs.
        match NotifyState::monotonic_usec_now() {
            Ok(now) => tell(&[NotifyState::Reloading, now]),
            Err(error) => tracing::debug!(%error, "the service manager is not told of the reload"),
        }
        // A watcher that is just being begun anew reads the file by itself.
        drop(watcher.call(Reload, RELOAD_LIMIT).await);
        tell(&[NotifyState::Ready]);
    }

    /// Tells how the service stands and, as long as its threads turn, that they do. Never ends.
    pub(super) async fn look_on(self, env: Env, vitals: Vitals) {
        let limit = sd_notify::watchdog_enabled();
        let every = limit.map_or(LOOK, |limit| LOOK.min(limit / 2));
        let mut looks = interval(every.max(Duration::from_millis(1)));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = String::new();
        loop {
            looks.tick().await;
            let now = env.now();
            if limit.is_some() && vitals.turning(now).iter().all(|thread| thread.ok) {
                tell(&[NotifyState::Watchdog]);
            }
            let status = status(&vitals.read(now));
            if status != told {
                tell(&[NotifyState::Status(&status)]);
                told = status;
            }
        }
    }
}

/// One line for `systemctl status`.
fn status(reading: &Reading) -> String {
    match reading.failed().next() {
        Some(check) => format!("not ready: {}: {}", check.name, check.message),
        None => format!("{} partitions, consumer {}", reading.partitions, reading.incarnation),
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager does not listen");
    }
}

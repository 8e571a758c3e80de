//! What supervisors report, as events.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use steadfast_supervision::{ExitReport, Happening, SupervisionEvent};

use crate::consume::handlers::{name_of, quarantine};
use crate::consume::progress::ProgressTable;
use crate::events::{Event, Failure};
use crate::observers::Events;

/// What supervisors report, as events.
pub(super) struct Told {
    pub(super) events: Events,
    pub(super) table: Arc<ProgressTable>,
    pub(super) last: Mutex<BTreeMap<Arc<str>, ExitReport>>,
}

impl Told {
    pub(super) fn tell(&self, event: &SupervisionEvent) {
        match &event.what {
            Happening::Exited { report } => {
                let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                last.insert(Arc::clone(&report.child), report.clone());
            }
            Happening::Restarting { child, .. } => {
                let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).remove(child);
                if let Some(report) = last {
                    self.restarted(&report);
                }
            }
            Happening::GaveUp { report } => {
                let mut owned = self.table.owned().into_iter();
                let handled = owned.find(|partition| *name_of(partition) == *report.child);
                match handled {
                    Some(partition) => {
                        quarantine(&self.table, &self.events, &partition, &report.reason.to_string());
                    }
                    None => self.failed(report),
                }
            }
            Happening::Escalated { report } => self.failed(report),
            Happening::Started { .. } | Happening::Ended { .. } => {}
        }
    }

    fn failed(&self, report: &ExitReport) {
        let failure = Failure::from(&report.reason);
        self.events.emit(Event::ActorFailed { actor: report.child.to_string(), failure });
    }

    fn restarted(&self, report: &ExitReport) {
        self.events.emit(Event::ActorRestarted {
            actor: report.child.to_string(),
            incarnation: report.incarnation.number(),
            failure: Failure::from(&report.reason),
        });
    }
}

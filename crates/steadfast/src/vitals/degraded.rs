//! What is missing, part by part, and whether the service as a whole is degraded.

use std::collections::BTreeMap;

use steadfast_core::tick::Tick;

use super::{Vitals, locked};
use crate::events::Event;
use crate::observers::Events;

/// What may be missing, each part on its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// A view that enough witnesses stand behind: the endpoint differ's word.
    View,
    /// Brokers of the agreed view that are needed: the endpoint differ's word too.
    Brokers,
    /// A consumer on the agreed view: the supervisor's.
    Consumer,
}

/// Degraded from the first part that is missing to the last that can be had again.
#[derive(Debug, Default)]
pub(super) struct Degraded {
    since: Option<Tick>,
    parts: BTreeMap<Part, Vec<String>>,
}

impl Degraded {
    /// Whether the part could be had before.
    fn lacks(&mut self, part: Part, what: Vec<String>, now: Tick) -> bool {
        self.since.get_or_insert(now);
        self.parts.insert(part, what).is_none()
    }

    /// Since when the service was degraded, if it is no longer.
    fn regains(&mut self, part: Part) -> Option<Tick> {
        self.parts.remove(&part)?;
        self.since.take_if(|_| self.parts.is_empty())
    }

    /// Since when something is missing.
    pub(super) fn since(&self) -> Option<Tick> {
        self.since
    }

    /// What is missing.
    pub(super) fn missing(&self) -> impl Iterator<Item = &String> {
        self.parts.values().flatten()
    }
}

impl Vitals {
    /// `part` cannot be had for want of this. It is told, with all else that is missing, when it begins and when there
    /// are `news`.
    pub(crate) fn degraded(&self, part: Part, what: Vec<String>, news: bool, events: &Events, now: Tick) {
        let begins = locked(&self.0.degraded).lacks(part, what, now);
        if begins || news {
            events.emit(Event::ServiceDegraded { missing: self.missing() });
        }
    }

    /// `part` can be had. It is told when nothing is missing any more.
    pub(crate) fn recovered(&self, part: Part, events: &Events, now: Tick) {
        let since = locked(&self.0.degraded).regains(part);
        if let Some(since) = since {
            let degraded_ms = now.since(since).as_secs_f64() * 1e3;
            events.emit(Event::ServiceRecovered { degraded_ms });
        }
    }

    /// What is missing, part by part.
    pub(crate) fn missing(&self) -> Vec<String> {
        locked(&self.0.degraded).missing().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::sample::Sample;
    use super::*;

    /// All that is told, a line each.
    fn ear() -> (Events, Arc<Mutex<Vec<String>>>) {
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&told);
        let hear = move |event: &Event| match event {
            Event::ServiceDegraded { missing } => heard.lock().unwrap().push(missing.join(", ")),
            Event::ServiceRecovered { degraded_ms } => heard.lock().unwrap().push(format!("{degraded_ms}")),
            _ => {}
        };
        (Events::heard_by("test", Vec::new(), vec![Box::new(hear)]), told)
    }

    fn what(text: &str) -> Vec<String> {
        vec![text.to_owned()]
    }

    #[test]
    fn a_service_that_lacks_two_parts_has_recovered_when_it_has_both_again() {
        let (sample, (events, told)) = (Sample::well(&[0]), ear());
        let told = || std::mem::take(&mut *told.lock().unwrap());
        sample.vitals.degraded(Part::View, what("view"), false, &events, sample.now());
        assert_eq!(told(), ["view"]);
        sample.after(1_000);
        sample.vitals.degraded(Part::Consumer, what("consumer"), false, &events, sample.now());
        assert_eq!(told(), ["view, consumer"]);
        sample.vitals.recovered(Part::View, &events, sample.now());
        assert_eq!(told(), [""; 0], "the consumer is missing yet");
        assert_eq!(sample.vitals.missing(), ["consumer"]);
        sample.after(1_000);
        sample.vitals.recovered(Part::Consumer, &events, sample.now());
        assert_eq!(told(), ["2000"]);
        sample.vitals.recovered(Part::Consumer, &events, sample.now());
        assert_eq!(told(), [""; 0]);
    }

    #[test]
    fn what_is_missing_is_told_once_until_there_are_news() {
        let (sample, (events, told)) = (Sample::well(&[0]), ear());
        sample.vitals.degraded(Part::Brokers, what("2"), false, &events, sample.now());
        sample.vitals.degraded(Part::Brokers, what("2 still"), false, &events, sample.now());
        sample.vitals.degraded(Part::Brokers, what("2 and 3"), true, &events, sample.now());
        assert_eq!(*told.lock().unwrap(), ["2", "2 and 3"]);
    }
}

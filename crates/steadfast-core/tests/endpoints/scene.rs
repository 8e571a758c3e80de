//! Witnesses of a cluster speak in turn, and a judge makes something of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use steadfast_core::endpoints::agreement::{Agreement, FailedWitness, Rules, Verdict};
use steadfast_core::endpoints::view::{Address, Observation, View};
use steadfast_core::tick::Tick;

pub(crate) const OLD: &str = "1=a 2=b 3=c";
pub(crate) const NEW: &str = "1=x 2=y 3=z";

/// Witnesses speak in turn: `scene.says("a", "1=a 2=b")` is the answer heard at address `a:9092`.
pub(crate) struct Scene {
    pub(crate) agreement: Agreement<i32>,
    pub(crate) in_use: Option<View<i32>>,
    pub(crate) now: Tick,
}

pub(crate) fn at(host: &str) -> Address {
    Address::new(host, 9092)
}

pub(crate) fn cluster(id: &str, endpoints: &str) -> View<i32> {
    let pairs = endpoints.split_whitespace().filter_map(|pair| pair.split_once('='));
    View::new(Some(id.into()), pairs.filter_map(|(node, host)| Some((node.parse().ok()?, at(host)))))
}

pub(crate) fn view(endpoints: &str) -> View<i32> {
    cluster("pinned", endpoints)
}

pub(crate) fn hosts(addresses: &BTreeSet<Address>) -> Vec<&str> {
    addresses.iter().map(|address| address.host.as_str()).collect()
}

impl Scene {
    pub(crate) fn pinned() -> Scene {
        Scene {
            agreement: Agreement::new(Rules::default(), Some("pinned".into())),
            in_use: None,
            now: Tick::ZERO,
        }
    }

    pub(crate) fn first_start() -> Scene {
        Scene { agreement: Agreement::new(Rules::default(), None), ..Scene::pinned() }
    }

    pub(crate) fn using(in_use: &str) -> Scene {
        Scene { in_use: Some(view(in_use)), ..Scene::pinned() }
    }

    pub(crate) fn hears(&mut self, witness: &str, view: View<i32>) -> Option<FailedWitness> {
        self.agreement.answered(Observation { witness: at(witness), view, at: self.now }, self.now)
    }

    pub(crate) fn says(&mut self, witness: &str, endpoints: &str) {
        assert_eq!(self.hears(witness, view(endpoints)), None);
    }

    pub(crate) fn all_say(&mut self, witnesses: &str, endpoints: &str) {
        witnesses.split_whitespace().for_each(|witness| self.says(witness, endpoints));
    }

    pub(crate) fn silent(&mut self, witnesses: &str) {
        witnesses.split_whitespace().for_each(|host| self.agreement.failed(at(host), "refused", self.now));
    }

    pub(crate) fn after(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
    }

    pub(crate) fn nodes(&self, endpoints: &str) -> Vec<i32> {
        view(endpoints).endpoints.into_keys().collect()
    }

    pub(crate) fn verdict(&mut self) -> Verdict<i32> {
        self.agreement.judge(self.in_use.as_ref(), self.now)
    }

    #[track_caller]
    pub(crate) fn agrees_on(&mut self, endpoints: &str) -> (Vec<i32>, usize, usize) {
        match self.verdict() {
            Verdict::Agreed { view: agreed, verified, support, electorate, .. } => {
                assert_eq!(agreed, view(endpoints));
                (verified.into_iter().collect(), support, electorate)
            }
            other => panic!("expected {endpoints} to be agreed, found {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn is_undecided(&mut self, ask: &str, missing: &str) -> BTreeMap<Address, FailedWitness> {
        match self.verdict() {
            Verdict::Undecided { ask: to_ask, missing: lacking, failed } => {
                assert_eq!(
                    (hosts(&to_ask).join(" "), hosts(&lacking).join(" ")),
                    (ask.into(), missing.into())
                );
                failed
            }
            other => panic!("expected no decision, found {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn settles(&mut self, endpoints: &str, at_millis: u64) {
        match self.verdict() {
            Verdict::Settling { view: standing, until, .. } => {
                assert_eq!((standing, until), (view(endpoints), Tick::at(Duration::from_millis(at_millis))));
                assert_eq!(self.agreement.next_deadline(), Some(until));
            }
            other => panic!("expected {endpoints} to settle, found {other:?}"),
        }
    }
}

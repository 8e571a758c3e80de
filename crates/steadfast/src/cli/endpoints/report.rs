//! What a survey comes to: for programs as it stands here, for people as a table.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;
use steadfast_core::endpoints::agreement::{FailedWitness, Verdict, fault};
use steadfast_core::endpoints::drift::{Change, Threshold, drift};
use steadfast_core::endpoints::race::Source;
use steadfast_core::endpoints::view::{Address, View};
use steadfast_core::ids::{ClusterId, NodeId};

use super::baseline::Baseline;
use super::survey::{Heard, Survey, Witness};
use crate::drift::last_known_good::LastKnownGood;
use crate::exit::Exit;

/// Everything that is printed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Report {
    pub(super) result: Outcome,
    pub(super) witnesses: Vec<Row>,
    pub(super) pin: Option<Pin>,
    pub(super) agreed: Option<Agreed>,
    /// Addresses that would have to stand behind a view for it to be agreed, and what they say instead.
    pub(super) missing: BTreeMap<String, String>,
    /// What is said of another cluster, if nobody speaks for the pinned one.
    pub(super) other_cluster: Option<OtherCluster>,
    /// Who belongs to another cluster than the pinned one, by its id.
    pub(super) elsewhere: BTreeMap<String, Vec<Address>>,
    pub(super) compared_with: Option<ComparedWith>,
    pub(super) drift: Option<Drifted>,
    pub(super) took_ms: f64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// The agreed view is the one that it is compared with.
    NoDrift,
    /// It is another one.
    Drift,
    /// There is nothing to compare it with.
    NoBaseline,
    /// It is in the file of `--save`.
    Saved,
    /// Nobody speaks for the pinned cluster, and there are answers of another one.
    OtherCluster,
    /// Some answered, and nothing is agreed.
    NotAgreed,
    /// Nobody answered, and who was reached refuses us.
    Denied,
    /// Nobody answered.
    Unreachable,
}

impl Outcome {
    /// 1 is for what was found; 69 says that it is not known whether there is drift.
    pub(super) fn exit(self) -> Exit {
        match self {
            Outcome::NoDrift | Outcome::NoBaseline | Outcome::Saved => Exit::Fine,
            Outcome::Drift | Outcome::OtherCluster => Exit::Found,
            Outcome::NotAgreed | Outcome::Unreachable => Exit::Unreachable,
            Outcome::Denied => Exit::Denied,
        }
    }
}

/// A cluster that is not the pinned one, by the word of those who were asked: its brokers are not, since that would show
/// them our credentials.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct OtherCluster {
    pub(super) cluster: ClusterId,
    pub(super) endpoints: BTreeMap<i32, Address>,
    pub(super) said_by: Vec<Address>,
}

/// One address that was asked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) address: Address,
    /// The name that it is an address of, if it was asked in the name's place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Arc<str>>,
    /// Why it was asked: `bootstrap`, `stored`, `baseline` or `named` (by somebody who answered).
    pub(super) source: &'static str,
    pub(super) peer: Option<SocketAddr>,
    pub(super) round_trip_ms: Option<f64>,
    pub(super) cluster: Option<ClusterId>,
    pub(super) endpoints: Option<BTreeMap<i32, Address>>,
    /// Whether its view is the agreed one.
    pub(super) agrees: bool,
    /// Why it has no voice.
    pub(super) failure: Option<String>,
}

/// The cluster that everything has to belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Pin {
    pub(super) cluster: ClusterId,
    /// `drift.cluster_id` or the state file.
    pub(super) from: String,
}

/// A view that is agreed, and on what grounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Agreed {
    pub(super) cluster: Option<ClusterId>,
    pub(super) endpoints: BTreeMap<i32, Address>,
    pub(super) verified: BTreeSet<NodeId>,
    pub(super) support: usize,
    pub(super) electorate: usize,
}

impl Agreed {
    /// What of it is kept in a file.
    pub(super) fn to_keep(&self) -> LastKnownGood {
        LastKnownGood { cluster: self.cluster.clone(), endpoints: self.endpoints.clone() }
    }
}

/// What the agreed view was compared with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ComparedWith {
    pub(super) file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) saved_at: Option<String>,
    pub(super) cluster: Option<ClusterId>,
    pub(super) endpoints: BTreeMap<i32, Address>,
}

/// The difference, and what a service that runs would do about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Drifted {
    pub(super) changes: Vec<Change<NodeId>>,
    pub(super) score: f64,
    pub(super) threshold: f64,
    /// `none`, `adapt` or `respawn`; `refuse` where the cluster is another one.
    pub(super) action: &'static str,
}

/// What there is to judge a survey by.
pub(super) struct Standards {
    pub(super) pin: Option<Pin>,
    pub(super) baseline: Option<Baseline>,
    pub(super) threshold: Threshold,
    pub(super) saving: bool,
}

impl Report {
    pub(super) fn of(survey: Survey, standards: &Standards) -> Report {
        let Survey { witnesses, verdict, took } = survey;
        let pinned = standards.pin.as_ref().map(|pin| &pin.cluster);
        let missing = missing(&verdict, &witnesses, pinned);
        let agreed = agreed(verdict);
        let other = if agreed.is_none() { other_cluster(&witnesses, pinned) } else { None };
        let drift = agreed.as_ref().zip(standards.baseline.as_ref());
        let drift = drift.map(|((view, _), baseline)| compared(&baseline.view, view, standards.threshold));
        let result = match (&agreed, &drift) {
            (Some(_), _) if standards.saving => Outcome::Saved,
            (Some(_), None) => Outcome::NoBaseline,
            (Some(_), Some(drift)) if drift.action == "none" => Outcome::NoDrift,
            (Some(_), Some(_)) => Outcome::Drift,
            (None, _) if other.is_some() => Outcome::OtherCluster,
            (None, _) if witnesses.values().any(|witness| witness.heard.is_ok()) => Outcome::NotAgreed,
            (None, _) if witnesses.values().any(is_denied) => Outcome::Denied,
            (None, _) => Outcome::Unreachable,
        };
        let view = agreed.as_ref().map(|(view, _)| view);
        let elsewhere = elsewhere(&witnesses, pinned);
        let row = |(address, witness)| row(address, witness, view, pinned);
        Report {
            result,
            witnesses: witnesses.into_iter().map(row).collect(),
            pin: standards.pin.clone(),
            missing,
            other_cluster: other,
            elsewhere,
            compared_with: standards.baseline.as_ref().map(ComparedWith::of),
            drift,
            took_ms: took.as_secs_f64() * 1e3,
            agreed: agreed.map(|(_, agreed)| agreed),
        }
    }
}

impl ComparedWith {
    fn of(baseline: &Baseline) -> ComparedWith {
        ComparedWith {
            file: baseline.from.display().to_string(),
            saved_at: baseline.saved_at.clone(),
            cluster: baseline.view.cluster.clone(),
            endpoints: listed(&baseline.view),
        }
    }
}

fn listed(view: &View<NodeId>) -> BTreeMap<i32, Address> {
    view.endpoints.iter().map(|(node, at)| (node.0, at.address.clone())).collect()
}

fn agreed(verdict: Verdict<NodeId>) -> Option<(View<NodeId>, Agreed)> {
    let Verdict::Agreed { view, verified, support, electorate, .. } = verdict else { return None };
    let (cluster, endpoints) = (view.cluster.clone(), listed(&view));
    Some((view, Agreed { cluster, endpoints, verified, support, electorate }))
}

fn is_denied(witness: &Witness) -> bool {
    witness.heard.as_ref().is_err_and(|unheard| unheard.denied)
}

/// By core's own rule of what scores, and by the configured threshold.
fn compared(baseline: &View<NodeId>, agreed: &View<NodeId>, threshold: Threshold) -> Drifted {
    let found = drift(baseline, agreed);
    let action = match found.is_empty() {
        _ if baseline.cluster != agreed.cluster => "refuse",
        true => "none",
        false if threshold.is_exceeded_by(found.score) => "respawn",
        false => "adapt",
    };
    Drifted { changes: found.changes, score: found.score, threshold: threshold.into(), action }
}

/// The view of another cluster that most witnesses give, unless one still speaks for the pinned one.
fn other_cluster(witnesses: &BTreeMap<Address, Witness>, pin: Option<&ClusterId>) -> Option<OtherCluster> {
    let speaks = |witness: &Witness| failure(witness, pin).is_none();
    if witnesses.values().any(speaks) {
        return None;
    }
    let mut others: Vec<OtherCluster> = Vec::new();
    for (address, witness) in witnesses {
        let Ok(Heard { view, .. }) = &witness.heard else { continue };
        let Some(cluster) = view.cluster.as_ref().filter(|found| pin.is_some_and(|pin| pin != *found)) else {
            continue;
        };
        let endpoints = listed(view);
        let same = |other: &&mut OtherCluster| other.cluster == *cluster && other.endpoints == endpoints;
        match others.iter_mut().find(same) {
            Some(other) => other.said_by.push(address.clone()),
            None => others.push(OtherCluster {
                cluster: cluster.clone(),
                endpoints,
                said_by: vec![address.clone()],
            }),
        }
    }
    others.into_iter().rev().max_by_key(|other| other.said_by.len())
}

fn elsewhere(
    witnesses: &BTreeMap<Address, Witness>,
    pin: Option<&ClusterId>,
) -> BTreeMap<String, Vec<Address>> {
    let mut elsewhere: BTreeMap<String, Vec<Address>> = BTreeMap::new();
    for (address, witness) in witnesses {
        let found = witness.heard.as_ref().ok().and_then(|heard| heard.view.cluster.as_ref());
        if let Some(found) = found.filter(|found| pin.is_some_and(|pin| pin != *found)) {
            elsewhere.entry(found.to_string()).or_default().push(address.clone());
        }
    }
    elsewhere
}

fn missing(
    verdict: &Verdict<NodeId>,
    witnesses: &BTreeMap<Address, Witness>,
    pin: Option<&ClusterId>,
) -> BTreeMap<String, String> {
    let Verdict::Undecided { missing, .. } = verdict else { return BTreeMap::new() };
    let why = |address: &Address| match witnesses.get(address) {
        None => "it was not asked".to_owned(),
        Some(witness) => failure(witness, pin).unwrap_or_else(|| "it gives another view".to_owned()),
    };
    missing.iter().map(|address| (address.to_string(), why(address))).collect()
}

fn failure(witness: &Witness, pin: Option<&ClusterId>) -> Option<String> {
    match &witness.heard {
        Ok(heard) => fault(&heard.view, pin).as_ref().map(FailedWitness::to_string),
        Err(unheard) => Some(unheard.reason.clone()),
    }
}

fn row(address: Address, witness: Witness, agreed: Option<&View<NodeId>>, pin: Option<&ClusterId>) -> Row {
    let failure = failure(&witness, pin);
    let heard = witness.heard.ok();
    let view = heard.as_ref().map(|heard| &heard.view);
    Row {
        address,
        name: witness.name,
        source: match witness.source {
            Source::Bootstrap | Source::Configuration => "bootstrap",
            Source::LastKnownGood => "stored",
            Source::InUse => "baseline",
            Source::Fed => "fed",
            Source::Proposed => "named",
        },
        peer: heard.as_ref().and_then(|heard| heard.peer),
        round_trip_ms: heard.as_ref().map(|heard| heard.round_trip.as_secs_f64() * 1e3),
        cluster: view.and_then(|view| view.cluster.clone()),
        endpoints: view.map(listed),
        agrees: view.is_some() && view == agreed,
        failure,
    }
}

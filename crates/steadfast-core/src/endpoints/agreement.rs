//! Which view is agreed: what enough witnesses, asked at the endpoints that it names, stand behind.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::view::{Address, Endpoint, Observation, View};
use crate::ids::ClusterId;
use crate::tick::Tick;

use ballots::{Ballots, Proposal};

mod ballots;

/// The limits of the judgement: of views, and of what witnesses say of leaders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How long something doubtful must have stood unopposed: a view without a majority, a leader epoch that went back.
    pub settle: Duration,
    /// How old an answer, or a silence, may be and still count.
    pub max_age: Duration,
}

impl Default for Rules {
    /// Settled after 2 s; what is older than 30 s does not count.
    fn default() -> Rules {
        Rules { settle: Duration::from_secs(2), max_age: Duration::from_secs(30) }
    }
}

/// Why a witness has no voice.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FailedWitness {
    /// It was asked and gave no answer.
    #[error("no answer: {reason}")]
    Silent {
        /// What became of the question.
        reason: String,
    },
    /// It belongs to another cluster, or does not say to which.
    #[error("expected cluster {expected}, found {}", found.as_ref().map_or("none", |id| &id.0))]
    OtherCluster {
        /// The pinned cluster.
        expected: ClusterId,
        /// What it reported.
        found: Option<ClusterId>,
    },
    /// It lists nobody, as a broker does that has only just begun.
    #[error("an empty list of nodes")]
    Empty,
}

/// What the witnesses amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<N: Ord> {
    /// This view is to be used.
    Agreed {
        /// The agreed view.
        view: View<N>,
        /// The nodes whose own answer, at their own address, maps them to it. Only these are used.
        verified: BTreeSet<N>,
        /// The nodes whose own answer, at their own address, maps them elsewhere.
        denied: BTreeSet<N>,
        /// How many of the electorate stand behind it.
        support: usize,
        /// How many distinct addresses it lists.
        electorate: usize,
    },
    /// All that vote stand behind this view, the rest is silent: it only has to stand for a while.
    Settling {
        /// The view.
        view: View<N>,
        /// When it will have stood for long enough.
        until: Tick,
        /// How many of the electorate stand behind it.
        support: usize,
        /// How many distinct addresses it lists.
        electorate: usize,
        /// Addresses that some proposal names and that were not asked yet.
        ask: BTreeSet<Address>,
    },
    /// Nothing can be said yet.
    Undecided {
        /// Addresses that some proposal names and that were not asked yet.
        ask: BTreeSet<Address>,
        /// Addresses that the best proposal names and that do not stand behind it.
        missing: BTreeSet<Address>,
        /// Who has no voice, and why.
        failed: BTreeMap<Address, FailedWitness>,
    },
}

/// What a node, asked at the address that a view has for it, says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnWord {
    /// That it is there.
    Confirms,
    /// That it is elsewhere.
    Denies,
    /// Nobody of our cluster answers there.
    Absent {
        /// What became of the question.
        reason: String,
    },
}

/// Collects what was heard in the current discovery, and judges it.
///
/// The address that was dialled is the witness, so one host and port is one vote, however many nodes stand
/// behind it. An answer proposes a view; it is a vote only if it came from an address that the view lists: a
/// bootstrap address that no broker advertises proposes and never votes. A view is agreed when
/// - a majority of the distinct addresses it lists answered with an equal view. Nodes in use that it does not list any
///   more, and addresses by which it lists fewer than are in use, count against it: neither a broker that names only
///   itself nor one that names itself for all is the majority of a cluster of three. Or
/// - all that vote, at least one, do so for it, the rest of the addresses it lists is known to be silent, and that has
///   been so for [`Rules::settle`] (two brokers, one dead: this way), with what is in use and not listed heard too.
///
/// Of several views with a majority the one in use stays, so that witnesses which persistently disagree
/// (zone-aware services) leave working endpoints untouched; but for a better supported one that lists all its voters
/// and more: in that wider circle they are outvoted, as the first to answer is that knew only itself. Then the better
/// supported one is taken, then the one heard last, then the smallest. For the same reason a minority settles only if
/// no other view has any vote. A witness of another cluster than the pinned one, or with an empty list, counts as
/// silent. Without a pin, views with different cluster ids are different views and are never mixed; whoever uses the
/// first agreed one pins its cluster.
#[derive(Debug, Clone)]
pub struct Agreement<N: Ord> {
    rules: Rules,
    pin: Option<ClusterId>,
    ballots: Ballots<N>,
    /// The view that stands unopposed, if one does, and since when.
    standing: Option<(Arc<View<N>>, Tick)>,
    deadline: Option<Tick>,
}

impl<N: Ord + Clone + Debug> Agreement<N> {
    /// Nothing is heard yet. With a `pin`, only views of that cluster have a voice.
    pub fn new(rules: Rules, pin: Option<ClusterId>) -> Agreement<N> {
        Agreement { rules, pin, ballots: Ballots::new(), standing: None, deadline: None }
    }

    /// From now on only views of `cluster` have a voice.
    pub fn pin(&mut self, cluster: ClusterId) {
        if self.pin.as_ref() != Some(&cluster) {
            self.ballots.pin(&cluster);
            self.pin = Some(cluster);
        }
    }

    /// The pinned cluster.
    pub fn pinned(&self) -> Option<&ClusterId> {
        self.pin.as_ref()
    }

    /// A new discovery begins: what was heard before it may be what the suspicion is about, and is forgotten.
    pub fn begin(&mut self) {
        self.ballots = Ballots::new();
        self.standing = None;
        self.deadline = None;
    }

    /// Takes an answer in; an older one than what was heard from that address already is ignored. Says why if
    /// the witness has no voice.
    pub fn answered(&mut self, observation: Observation<N>, now: Tick) -> Option<FailedWitness> {
        let Observation { witness, view, at } = observation;
        let failed = fault(&view, self.pin.as_ref());
        self.ballots.answered(witness, view, at, self.pin.as_ref());
        self.keep_track(now);
        failed
    }

    /// Takes in that `address` was asked and did not answer.
    pub fn failed(&mut self, address: Address, reason: impl Into<String>, now: Tick) {
        self.ballots.silent(address, reason.into(), now);
        self.keep_track(now);
    }

    /// What all of it amounts to.
    pub fn judge(&mut self, in_use: Option<&View<N>>, now: Tick) -> Verdict<N> {
        self.keep_track(now);
        let in_use = InUse::of(in_use, &self.ballots);
        let verdict = match (self.best(&in_use, now), self.settling(&in_use)) {
            (Some(best), _) => self.agreed(best),
            (None, Some((best, until))) => Verdict::Settling {
                view: View::clone(&best.view),
                until,
                support: best.votes.len(),
                electorate: best.electorate.len(),
                ask: self.ballots.unheard(),
            },
            (None, None) => self.undecided(&in_use),
        };
        self.deadline = match &verdict {
            Verdict::Settling { until, .. } => Some(*until),
            Verdict::Agreed { .. } | Verdict::Undecided { .. } => None,
        };
        verdict
    }

    /// When to judge again though nothing more was heard: set by [`Agreement::judge`].
    pub fn next_deadline(&self) -> Option<Tick> {
        self.deadline
    }

    /// Who has no voice, and why.
    pub fn failed_witnesses(&self) -> BTreeMap<Address, FailedWitness> {
        self.ballots.failed()
    }

    /// Forgets what is too old, and keeps track of who stands unopposed.
    fn keep_track(&mut self, now: Tick) {
        self.ballots.forget(self.rules.max_age, now);
        self.standing = unopposed(&self.ballots).map(|proposal| match self.standing.take() {
            Some((standing, since)) if standing == proposal.view => (standing, since),
            Some(_) | None => (Arc::clone(&proposal.view), now),
        });
    }

    /// The view that stands unopposed, and when it will have done so for long enough.
    fn settling(&self, in_use: &InUse<'_, N>) -> Option<(&Proposal<N>, Tick)> {
        let (standing, since) = self.standing.as_ref()?;
        let proposal = unopposed(&self.ballots).filter(|proposal| proposal.view == *standing)?;
        let all_heard = in_use.beside(proposal).all(|at| self.ballots.is_heard(at));
        all_heard.then_some((proposal, *since + self.rules.settle))
    }

    /// Of what is agreed, what is to be used.
    fn best(&self, in_use: &InUse<'_, N>, now: Tick) -> Option<&Proposal<N>> {
        let major = |proposal: &&Proposal<N>| in_use.allows_majority_of(proposal);
        let settled = self.settling(in_use).filter(|(_, until)| now >= *until).map(|(proposal, _)| proposal);
        let agreed = self.ballots.proposals().filter(major).chain(settled);
        let best = agreed.max_by(|a, b| in_use.rank(a, b))?;
        let wider = self.ballots.proposals().filter(|other| other.votes.len() > best.votes.len());
        let wider = wider.filter(major).filter(|other| other.electorate.is_superset(&best.votes));
        Some(wider.max_by(|a, b| in_use.rank(a, b)).unwrap_or(best))
    }

    /// What the nodes of `view` say of themselves. Those are left out that were not heard in this discovery, and those
    /// that answer without a word of themselves, as one does that has only just begun.
    pub fn own_words(&self, view: &View<N>) -> BTreeMap<N, OwnWord> {
        let word = |(node, at): (&N, &Endpoint)| {
            let word = match self.ballots.answer(&at.address)? {
                Ok(said) if said.cluster != view.cluster => {
                    OwnWord::Absent { reason: "the one there belongs to another cluster".to_owned() }
                }
                Ok(said) if *said.address(node)? == at.address => OwnWord::Confirms,
                Ok(_) => OwnWord::Denies,
                Err(FailedWitness::Empty) => return None,
                Err(failed) => OwnWord::Absent { reason: failed.to_string() },
            };
            Some((node.clone(), word))
        };
        view.endpoints.iter().filter_map(word).collect()
    }

    fn agreed(&self, proposal: &Proposal<N>) -> Verdict<N> {
        let words = self.own_words(&proposal.view);
        let of = |wanted: OwnWord| {
            let nodes = words.iter().filter(|(_, word)| **word == wanted);
            nodes.map(|(node, _)| node.clone()).collect()
        };
        Verdict::Agreed {
            view: View::clone(&proposal.view),
            verified: of(OwnWord::Confirms),
            denied: of(OwnWord::Denies),
            support: proposal.votes.len(),
            electorate: proposal.electorate.len(),
        }
    }

    fn undecided(&self, in_use: &InUse<'_, N>) -> Verdict<N> {
        let mut ask = self.ballots.unheard();
        let mut missing = BTreeSet::new();
        if let Some(best) = self.ballots.proposals().max_by(|a, b| in_use.rank(a, b)) {
            missing.extend(best.electorate.difference(&best.votes).cloned());
            if unopposed(&self.ballots).is_some_and(|only| Arc::ptr_eq(&only.view, &best.view)) {
                let lacking = in_use.beside(best).filter(|at| !self.ballots.is_heard(at));
                let lacking: Vec<Address> = lacking.cloned().collect();
                ask.extend(lacking.iter().cloned());
                missing.extend(lacking);
            }
        }
        Verdict::Undecided { ask, missing, failed: self.failed_witnesses() }
    }
}

/// Why a view with this content can neither propose nor vote, if it can't.
pub fn fault<N: Ord>(view: &View<N>, pin: Option<&ClusterId>) -> Option<FailedWitness> {
    if let Some(expected) = pin.filter(|pin| view.cluster.as_ref() != Some(pin)) {
        return Some(FailedWitness::OtherCluster { expected: expected.clone(), found: view.cluster.clone() });
    }
    view.endpoints.is_empty().then_some(FailedWitness::Empty)
}

/// The proposal that all votes are for, if the rest of its electorate is known to be silent.
fn unopposed<N: Ord + Clone>(ballots: &Ballots<N>) -> Option<&Proposal<N>> {
    let mut supported = ballots.proposals().filter(|proposal| !proposal.votes.is_empty());
    let only = supported.next().filter(|_| supported.next().is_none())?;
    (only.dissent == 0 && only.unheard == 0).then_some(only)
}

/// The view in use, as the proposals are weighed against it.
struct InUse<'a, N: Ord> {
    view: Option<&'a View<N>>,
    addresses: BTreeSet<&'a Address>,
    /// The same view, if it is a proposal.
    given: Option<&'a Arc<View<N>>>,
}

impl<'a, N: Ord + Clone> InUse<'a, N> {
    fn of(view: Option<&'a View<N>>, ballots: &'a Ballots<N>) -> InUse<'a, N> {
        let addresses = view.iter().flat_map(|view| view.endpoints.values()).map(|at| &at.address).collect();
        InUse { view, addresses, given: view.and_then(|view| ballots.given(view)) }
    }

    fn allows_majority_of(&self, proposal: &Proposal<N>) -> bool {
        let (votes, listed) = (proposal.votes.len() * 2, proposal.electorate.len());
        let used = self.view.into_iter().flat_map(|view| view.endpoints.keys());
        let gone = || used.filter(|node| !proposal.view.endpoints.contains_key(node)).count();
        votes > listed.max(self.addresses.len()) && votes > listed + gone()
    }

    /// Addresses in use that it does not list.
    fn beside(&self, proposal: &Proposal<N>) -> impl Iterator<Item = &'a Address> {
        self.addresses.iter().filter(|at| !proposal.electorate.contains(**at)).copied()
    }

    /// Greater is better, among those that are agreed or among those that are not.
    fn rank(&self, one: &Proposal<N>, other: &Proposal<N>) -> Ordering {
        let key = |proposal: &Proposal<N>| {
            let used = self.given.is_some_and(|view| Arc::ptr_eq(view, &proposal.view));
            (used, proposal.votes.len(), proposal.newest())
        };
        // Any total order will do in the end, so that the same answers always give the same verdict.
        key(one).cmp(&key(other)).then_with(|| other.view.cmp(&one.view))
    }
}

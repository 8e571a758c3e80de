//! Which view is agreed: what enough witnesses, asked at the endpoints that it names, stand behind.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use super::view::{Address, Observation, View};
use crate::ids::ClusterId;
use crate::tick::Tick;

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

/// Collects what was heard in the current discovery, and judges it.
///
/// The address that was dialled is the witness, so one host and port is one vote, however many nodes stand
/// behind it. An answer proposes a view; it is a vote only if it came from an address that the view lists: a
/// bootstrap address that no broker advertises proposes and never votes. A view is agreed when
/// - a majority of the distinct addresses it lists, and of the nodes in use that it does not list any more,
///   answered with an equal view, or
/// - all that vote, at least one, do so for it, the rest of the addresses it lists is known to be silent, and
///   that has been so for [`Rules::settle`] (two brokers, one dead: this way).
///
/// Of several views with a majority the one in use stays, so that witnesses which persistently disagree
/// (zone-aware services) leave working endpoints untouched; then the better supported one is taken, then the one
/// heard last, then the smallest. For the same reason a minority settles only if no other view has any vote. A
/// witness of another cluster than the pinned one, or with an empty list, counts as silent. Without a pin, views
/// with different cluster ids are different views and are never mixed; whoever uses the first agreed one pins
/// its cluster.
#[derive(Debug, Clone)]
pub struct Agreement<N: Ord> {
    rules: Rules,
    pin: Option<ClusterId>,
    /// The newest word of each address.
    heard: BTreeMap<Address, Word<N>>,
    /// The view that stands unopposed, if one does, and since when.
    standing: Option<(Arc<View<N>>, Tick)>,
    deadline: Option<Tick>,
}

#[derive(Debug, Clone)]
struct Word<N: Ord> {
    at: Tick,
    said: Said<N>,
}

#[derive(Debug, Clone)]
enum Said<N: Ord> {
    /// Equal views share one value, so a thousand brokers do not cost a million endpoints.
    View(Arc<View<N>>),
    Nothing(String),
}

impl<N: Ord + Clone + Debug> Agreement<N> {
    /// Nothing is heard yet. With a `pin`, only views of that cluster have a voice.
    pub fn new(rules: Rules, pin: Option<ClusterId>) -> Agreement<N> {
        Agreement { rules, pin, heard: BTreeMap::new(), standing: None, deadline: None }
    }

    /// From now on only views of `cluster` have a voice.
    pub fn pin(&mut self, cluster: ClusterId) {
        self.pin = Some(cluster);
    }

    /// The pinned cluster.
    pub fn pinned(&self) -> Option<&ClusterId> {
        self.pin.as_ref()
    }

    /// A new discovery begins: what was heard before it may be what the suspicion is about, and is forgotten.
    pub fn begin(&mut self) {
        self.heard.clear();
        self.standing = None;
        self.deadline = None;
    }

    /// Takes an answer in; an older one than what was heard from that address already is ignored. Says why if
    /// the witness has no voice.
    pub fn answered(&mut self, observation: Observation<N>, now: Tick) -> Option<FailedWitness> {
        let Observation { witness, view, at } = observation;
        let failed = fault(&view, self.pin.as_ref());
        let view = self.shared(view);
        self.note(witness, Word { at, said: Said::View(view) }, now);
        failed
    }

    /// Takes in that `address` was asked and did not answer.
    pub fn failed(&mut self, address: Address, reason: impl Into<String>, now: Tick) {
        self.note(address, Word { at: now, said: Said::Nothing(reason.into()) }, now);
    }

    /// What all of it amounts to.
    pub fn judge(&mut self, in_use: Option<&View<N>>, now: Tick) -> Verdict<N> {
        let tallies = self.tally(now);
        let agreed = tallies.iter().filter(|tally| {
            tally.majority(in_use) || self.settles_at(tally).is_some_and(|until| now >= until)
        });
        let verdict = if let Some(best) = agreed.max_by(|a, b| a.rank(b, in_use)) {
            self.agreed(best)
        } else if let Some((best, until)) =
            tallies.iter().find_map(|tally| Some((tally, self.settles_at(tally)?)))
        {
            Verdict::Settling {
                view: View::clone(&best.view),
                until,
                support: best.votes.len(),
                electorate: best.electorate.len(),
                ask: unasked(&tallies),
            }
        } else {
            let best = tallies.iter().max_by(|a, b| a.rank(b, in_use));
            let missing = best.map(|best| best.electorate.difference(&best.votes).cloned().collect());
            Verdict::Undecided {
                ask: unasked(&tallies),
                missing: missing.unwrap_or_default(),
                failed: self.failed_witnesses(),
            }
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
        let failure = |word: &Word<N>| match &word.said {
            Said::View(view) => fault(view, self.pin.as_ref()),
            Said::Nothing(reason) => Some(FailedWitness::Silent { reason: reason.clone() }),
        };
        self.heard.iter().filter_map(|(at, word)| Some((at.clone(), failure(word)?))).collect()
    }

    fn note(&mut self, address: Address, word: Word<N>, now: Tick) {
        if self.heard.get(&address).is_none_or(|before| before.at <= word.at) {
            self.heard.insert(address, word);
            self.tally(now);
        }
    }

    fn shared(&self, view: View<N>) -> Arc<View<N>> {
        let equal = self.heard.values().find_map(|word| match &word.said {
            Said::View(known) if **known == view => Some(Arc::clone(known)),
            Said::View(_) | Said::Nothing(_) => None,
        });
        equal.unwrap_or_else(|| Arc::new(view))
    }

    /// Forgets what is too old, counts the votes of each proposal, and keeps track of who stands unopposed.
    fn tally(&mut self, now: Tick) -> Vec<Tally<N>> {
        let max_age = self.rules.max_age;
        self.heard.retain(|_, word| now.since(word.at) <= max_age);
        let tallies: Vec<_> = self.proposals().into_iter().map(|view| self.count(view)).collect();
        self.standing = unopposed(&tallies).map(|view| match self.standing.take() {
            Some((standing, since)) if standing == *view => (standing, since),
            Some(_) | None => (Arc::clone(view), now),
        });
        tallies
    }

    fn proposals(&self) -> Vec<Arc<View<N>>> {
        let mut proposals: Vec<Arc<View<N>>> = Vec::new();
        for (_, view) in self.voices() {
            if !proposals.iter().any(|known| Arc::ptr_eq(known, view) || known == view) {
                proposals.push(Arc::clone(view));
            }
        }
        proposals
    }

    /// The answers that count: of the pinned cluster, and not empty.
    fn voices(&self) -> impl Iterator<Item = (&Address, &Arc<View<N>>)> {
        self.heard.iter().filter_map(|(address, word)| Some((address, self.voice(word)?)))
    }

    fn voice<'a>(&self, word: &'a Word<N>) -> Option<&'a Arc<View<N>>> {
        match &word.said {
            Said::View(view) if fault(view, self.pin.as_ref()).is_none() => Some(view),
            Said::View(_) | Said::Nothing(_) => None,
        }
    }

    fn count(&self, view: Arc<View<N>>) -> Tally<N> {
        let electorate: BTreeSet<Address> = view.endpoints.values().map(|at| at.address.clone()).collect();
        let heard_last =
            self.voices().filter(|(_, said)| **said == view).filter_map(|(at, _)| self.heard.get(at));
        let newest = heard_last.map(|word| word.at).max().unwrap_or(Tick::ZERO);
        let mut tally =
            Tally { view, electorate, votes: BTreeSet::new(), dissent: 0, unasked: BTreeSet::new(), newest };
        for address in &tally.electorate {
            match self.heard.get(address).map(|word| self.voice(word)) {
                Some(Some(said)) if *said == tally.view => {
                    tally.votes.insert(address.clone());
                }
                Some(Some(_)) => tally.dissent += 1,
                Some(None) => {}
                None => {
                    tally.unasked.insert(address.clone());
                }
            }
        }
        tally
    }

    fn settles_at(&self, tally: &Tally<N>) -> Option<Tick> {
        let standing = self.standing.as_ref().filter(|(view, _)| *view == tally.view);
        standing.map(|(_, since)| *since + self.rules.settle)
    }

    fn agreed(&self, tally: &Tally<N>) -> Verdict<N> {
        let maps_itself = |node: &N, address: &Address| {
            let said = self.heard.get(address).and_then(|word| self.voice(word));
            said.is_some_and(|said| said.cluster == tally.view.cluster && said.address(node) == Some(address))
        };
        let listed = tally.view.endpoints.iter();
        let verified =
            listed.filter(|(node, at)| maps_itself(node, &at.address)).map(|(node, _)| node.clone());
        Verdict::Agreed {
            view: View::clone(&tally.view),
            verified: verified.collect(),
            support: tally.votes.len(),
            electorate: tally.electorate.len(),
        }
    }
}

/// Why a view with this content can neither propose nor vote, if it can't.
pub fn fault<N: Ord>(view: &View<N>, pin: Option<&ClusterId>) -> Option<FailedWitness> {
    if let Some(expected) = pin.filter(|pin| view.cluster.as_ref() != Some(pin)) {
        return Some(FailedWitness::OtherCluster { expected: expected.clone(), found: view.cluster.clone() });
    }
    view.endpoints.is_empty().then_some(FailedWitness::Empty)
}

fn unasked<N: Ord>(tallies: &[Tally<N>]) -> BTreeSet<Address> {
    tallies.iter().flat_map(|tally| tally.unasked.iter().cloned()).collect()
}

/// The view that all votes are for, if the rest of its electorate is known to be silent.
fn unopposed<N: Ord>(tallies: &[Tally<N>]) -> Option<&Arc<View<N>>> {
    let mut supported = tallies.iter().filter(|tally| !tally.votes.is_empty());
    let only = supported.next().filter(|_| supported.next().is_none())?;
    (only.dissent == 0 && only.unasked.is_empty()).then_some(&only.view)
}

/// One proposal, and what the addresses that it lists make of it. Those neither here nor there are silent.
struct Tally<N: Ord> {
    view: Arc<View<N>>,
    electorate: BTreeSet<Address>,
    votes: BTreeSet<Address>,
    dissent: usize,
    unasked: BTreeSet<Address>,
    newest: Tick,
}

impl<N: Ord> Tally<N> {
    /// A node in use that the view does not list any more counts against it: one broker that names only itself is
    /// not the majority of a cluster of three.
    fn majority(&self, in_use: Option<&View<N>>) -> bool {
        let used = in_use.into_iter().flat_map(|view| view.endpoints.keys());
        let gone = used.filter(|node| !self.view.endpoints.contains_key(node)).count();
        self.votes.len() * 2 > self.electorate.len() + gone
    }

    /// Greater is better, among those that are agreed or among those that are not.
    fn rank(&self, other: &Tally<N>, in_use: Option<&View<N>>) -> Ordering {
        let key = |tally: &Tally<N>| {
            let used = in_use.is_some_and(|view| *view == *tally.view);
            (used, tally.votes.len(), tally.newest)
        };
        key(self).cmp(&key(other)).then_with(|| Reverse(self.order()).cmp(&Reverse(other.order())))
    }

    /// Any total order will do, so that the same answers always give the same verdict.
    fn order(&self) -> (Option<&ClusterId>, Vec<(&N, &Address)>) {
        let endpoints = self.view.endpoints.iter().map(|(node, at)| (node, &at.address));
        (self.view.cluster.as_ref(), endpoints.collect())
    }
}

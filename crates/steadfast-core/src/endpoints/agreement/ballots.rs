//! What was heard last from whom, counted while it is heard.
//!
//! A word is counted once, for the proposals that list its address; equal views are one proposal. So taking an answer
//! in costs what reading it costs, also where each of a thousand brokers gives a view of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{FailedWitness, fault};
use crate::endpoints::view::{Address, View};
use crate::ids::ClusterId;
use crate::tick::Tick;

/// The newest word of each address, and what the proposals among them have for and against them.
#[derive(Debug, Clone)]
pub(super) struct Ballots<N: Ord> {
    heard: BTreeMap<Address, Word<N>>,
    /// The answers that have a voice.
    proposals: BTreeMap<Number, Proposal<N>>,
    numbers: BTreeMap<Arc<View<N>>, Number>,
    /// The proposals that list an address.
    listing: BTreeMap<Address, BTreeSet<Number>>,
    last: Number,
}

/// Which proposal: to compare numbers costs less than to compare views.
type Number = u64;

#[derive(Debug, Clone)]
struct Word<N: Ord> {
    at: Tick,
    said: Said<N>,
}

#[derive(Debug, Clone)]
enum Said<N: Ord> {
    /// It has a voice, for this proposal.
    View(Number),
    /// It answered, and is not believed.
    Refused(View<N>, FailedWitness),
    Nothing(String),
}

/// A view, and what the addresses that it lists make of it. Those neither here nor there are silent.
#[derive(Debug, Clone)]
pub(super) struct Proposal<N: Ord> {
    /// Shared by all who gave it, so that a thousand brokers do not cost a million endpoints.
    pub(super) view: Arc<View<N>>,
    pub(super) electorate: BTreeSet<Address>,
    pub(super) votes: BTreeSet<Address>,
    pub(super) dissent: usize,
    pub(super) unheard: usize,
    /// Everybody who gave this view, and when.
    given: BTreeSet<(Tick, Address)>,
}

impl<N: Ord + Clone> Ballots<N> {
    pub(super) fn new() -> Ballots<N> {
        let (proposals, numbers) = (BTreeMap::new(), BTreeMap::new());
        Ballots { heard: BTreeMap::new(), proposals, numbers, listing: BTreeMap::new(), last: 0 }
    }

    /// Takes an answer in, unless something newer was heard from there.
    pub(super) fn answered(&mut self, from: Address, view: View<N>, at: Tick, pin: Option<&ClusterId>) {
        if self.is_news(&from, at) {
            let said = match fault(&view, pin) {
                Some(failed) => Said::Refused(view, failed),
                None => Said::View(self.proposed(view)),
            };
            self.put(from, Some(Word { at, said }));
        }
    }

    /// Takes in that nothing was heard, unless something newer was.
    pub(super) fn silent(&mut self, from: Address, reason: String, at: Tick) {
        if self.is_news(&from, at) {
            self.put(from, Some(Word { at, said: Said::Nothing(reason) }));
        }
    }

    /// Judges anew who has a voice.
    pub(super) fn pin(&mut self, pin: &ClusterId) {
        let before = std::mem::replace(self, Ballots::new());
        for (from, Word { at, said }) in before.heard {
            let view = match said {
                Said::View(number) => before.proposals.get(&number).map(|given| View::clone(&given.view)),
                Said::Refused(view, _) => Some(view),
                Said::Nothing(reason) => {
                    self.silent(from, reason, at);
                    continue;
                }
            };
            view.into_iter().for_each(|view| self.answered(from.clone(), view, at, Some(pin)));
        }
    }

    /// Forgets what is older than `max_age`.
    pub(super) fn forget(&mut self, max_age: Duration, now: Tick) {
        let is_old = |word: &Word<N>| now.since(word.at) > max_age;
        let old = self.heard.iter().filter(|(_, word)| is_old(word)).map(|(from, _)| from.clone());
        for from in old.collect::<Vec<_>>() {
            self.put(from, None);
        }
    }

    /// The answers that have a voice.
    pub(super) fn proposals(&self) -> impl Iterator<Item = &Proposal<N>> {
        self.proposals.values()
    }

    /// The same view, if it is a proposal.
    pub(super) fn given(&self, view: &View<N>) -> Option<&Arc<View<N>>> {
        self.numbers.get_key_value(view).map(|(given, _)| given)
    }

    /// What was heard of an address, if anything: its view, or why that has no voice.
    pub(super) fn answer(&self, from: &Address) -> Option<Result<&View<N>, FailedWitness>> {
        let word = self.heard.get(from)?;
        match word.voice() {
            Some(number) => self.proposals.get(&number).map(|given| Ok(&*given.view)),
            None => word.failure().map(Err),
        }
    }

    /// Whether an address has answered, or is known to be silent.
    pub(super) fn is_heard(&self, from: &Address) -> bool {
        self.heard.contains_key(from)
    }

    /// Addresses that some proposal lists and that were not heard of.
    pub(super) fn unheard(&self) -> BTreeSet<Address> {
        self.listing.keys().filter(|address| !self.is_heard(address)).cloned().collect()
    }

    /// Who has no voice, and why.
    pub(super) fn failed(&self) -> BTreeMap<Address, FailedWitness> {
        self.heard.iter().filter_map(|(at, word)| Some((at.clone(), word.failure()?))).collect()
    }

    fn is_news(&self, from: &Address, at: Tick) -> bool {
        self.heard.get(from).is_none_or(|before| before.at <= at)
    }

    /// The proposal of this view: known, or new and with all that was said about it before counted.
    fn proposed(&mut self, view: View<N>) -> Number {
        if let Some(known) = self.numbers.get(&view) {
            return *known;
        }
        self.last += 1;
        let (view, number) = (Arc::new(view), self.last);
        let electorate = view.endpoints.values().map(|at| at.address.clone()).collect();
        let mut proposal = Proposal::new(Arc::clone(&view), electorate);
        for address in proposal.electorate.clone() {
            proposal.count(&address, number, self.heard.get(&address));
            self.listing.entry(address).or_default().insert(number);
        }
        self.proposals.insert(number, proposal);
        self.numbers.insert(view, number);
        number
    }

    /// Replaces the word of one address, and counts it wherever that address is listed.
    fn put(&mut self, from: Address, word: Option<Word<N>>) {
        if let Some((at, number)) = word.as_ref().and_then(|word| Some((word.at, word.voice()?)))
            && let Some(proposal) = self.proposals.get_mut(&number)
        {
            proposal.given.insert((at, from.clone()));
        }
        for number in self.listing.get(&from).into_iter().flatten() {
            if let Some(proposal) = self.proposals.get_mut(number) {
                proposal.uncount(&from, *number, self.heard.get(&from));
                proposal.count(&from, *number, word.as_ref());
            }
        }
        let given = |word: &Word<N>| word.voice().map(|number| (word.at, number));
        let now = word.as_ref().and_then(given);
        let before = match word {
            Some(word) => self.heard.insert(from.clone(), word),
            None => self.heard.remove(&from),
        };
        if let Some((at, number)) = before.as_ref().and_then(given).filter(|before| Some(*before) != now) {
            self.withdraw(number, &(at, from));
        }
    }

    /// What nobody gives any more is no proposal.
    fn withdraw(&mut self, number: Number, given: &(Tick, Address)) {
        let Some(proposal) = self.proposals.get_mut(&number) else { return };
        proposal.given.remove(given);
        if !proposal.given.is_empty() {
            return;
        }
        let Some(proposal) = self.proposals.remove(&number) else { return };
        self.numbers.remove(&proposal.view);
        for address in proposal.electorate {
            if let Some(listing) = self.listing.get_mut(&address) {
                listing.remove(&number);
                if listing.is_empty() {
                    self.listing.remove(&address);
                }
            }
        }
    }
}

impl<N: Ord> Word<N> {
    fn voice(&self) -> Option<Number> {
        match &self.said {
            Said::View(number) => Some(*number),
            Said::Refused(..) | Said::Nothing(_) => None,
        }
    }

    /// Why it has no voice, if it has none.
    fn failure(&self) -> Option<FailedWitness> {
        match &self.said {
            Said::View(_) => None,
            Said::Refused(_, failed) => Some(failed.clone()),
            Said::Nothing(reason) => Some(FailedWitness::Silent { reason: reason.clone() }),
        }
    }
}

impl<N: Ord> Proposal<N> {
    fn new(view: Arc<View<N>>, electorate: BTreeSet<Address>) -> Proposal<N> {
        let (votes, given) = (BTreeSet::new(), BTreeSet::new());
        Proposal { view, electorate, votes, dissent: 0, unheard: 0, given }
    }

    /// When the view was given last.
    pub(super) fn newest(&self) -> Tick {
        self.given.last().map_or(Tick::ZERO, |(at, _)| *at)
    }

    fn count(&mut self, from: &Address, number: Number, word: Option<&Word<N>>) {
        match word.map(Word::voice) {
            Some(Some(said)) if said == number => drop(self.votes.insert(from.clone())),
            Some(Some(_)) => self.dissent += 1,
            Some(None) => {}
            None => self.unheard += 1,
        }
    }

    fn uncount(&mut self, from: &Address, number: Number, word: Option<&Word<N>>) {
        match word.map(Word::voice) {
            Some(Some(said)) if said == number => drop(self.votes.remove(from)),
            Some(Some(_)) => self.dissent -= 1,
            Some(None) => {}
            None => self.unheard -= 1,
        }
    }
}

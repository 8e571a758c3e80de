//! What a group's members subscribe to, by name and by regular expression, and what there is of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use regex::Regex;
use steadfast_core::ids::TopicId;
use steadfast_core::tick::Tick;

use super::member::Member;
use super::{ConsumerGroup, Refusal};
use crate::topics::Topics;

/// Topics that exist and are subscribed to, each with the number of its partitions.
pub(super) type Subscribed = BTreeMap<Arc<str>, (TopicId, i32)>;

/// A regular expression that members subscribe to.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// The topics that match; none until it was resolved.
    pub(super) topics: Option<BTreeSet<Arc<str>>>,
}

/// What a member's new regular expression means for the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repatterned {
    /// It has the one that it had.
    No,
    /// It has another one, of which the topics are not known yet.
    Yes,
    /// It has none any more, or another one of which the topics are known already.
    Resolved,
}

impl ConsumerGroup {
    /// The topics that the member subscribes to, as far as they are known.
    pub(super) fn topics_of(&self, member: &Member) -> BTreeSet<Arc<str>> {
        let pattern = member.regex.as_deref().and_then(|regex| self.patterns.get(regex));
        let matching = pattern.and_then(|pattern| pattern.topics.as_ref()).into_iter().flatten();
        member.topics.iter().chain(matching).cloned().collect()
    }

    /// What there is now of what is subscribed.
    pub(super) fn look_up(&self, topics: &Topics) -> Subscribed {
        let names: BTreeSet<Arc<str>> =
            self.members.values().flat_map(|member| self.topics_of(member)).collect();
        let known = names.into_iter().filter_map(|name| {
            let topic = topics.by_name(&name)?;
            let partitions = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            Some((name, (topic.id, partitions)))
        });
        known.collect()
    }

    /// Takes a member's regular expression over; the group has the member already.
    pub(super) fn repattern(
        &mut self,
        old: Option<&str>,
        new: Option<&str>,
        now: Tick,
    ) -> Result<Repatterned, Refusal> {
        if old.unwrap_or_default() == new.unwrap_or_default() {
            return Ok(Repatterned::No);
        }
        let outcome = match new.filter(|new| !new.is_empty()) {
            // What is subscribed by name is all that is left, and known.
            None => Repatterned::Resolved,
            Some(new) => match self.patterns.get(new) {
                Some(pattern) if pattern.topics.is_some() => Repatterned::Resolved,
                Some(_) => Repatterned::Yes,
                None => {
                    let pattern = Pattern { regex: compile(new)?, topics: None };
                    self.patterns.insert(new.into(), pattern);
                    self.resolve_in(self.settings.regex_time, now);
                    Repatterned::Yes
                }
            },
        };
        Ok(outcome)
    }

    /// Forgets the regular expressions that nobody subscribes to.
    pub(super) fn forget_patterns(&mut self) {
        let members = &self.members;
        self.patterns.retain(|text, _| members.values().any(|member| member.regex.as_ref() == Some(text)));
    }

    /// New topics may match: they are looked for, but not too often.
    pub(super) fn refresh_patterns(&mut self, topics: &Topics, now: Tick) {
        let rested = self.resolved_at.is_none_or(|at| now >= at + self.settings.regex_refresh);
        let fresh = || self.patterns.values().any(|pattern| pattern.topics != Some(pattern.matching(topics)));
        if self.resolving.is_none() && rested && fresh() {
            self.resolve_in(self.settings.regex_time, now);
        }
    }

    fn resolve_in(&mut self, time: Duration, now: Tick) {
        self.resolving.get_or_insert(now + time);
    }

    /// The regular expressions have been resolved: the group has another epoch if that changed anything.
    pub(super) fn resolve(&mut self, topics: &Topics, at: Tick) {
        self.resolving = None;
        self.resolved_at = Some(at);
        let mut changed = false;
        for pattern in self.patterns.values_mut() {
            let matching = Some(pattern.matching(topics));
            changed |= pattern.topics != matching;
            pattern.topics = matching;
        }
        if changed {
            self.subscribed = self.look_up(topics);
            self.epoch += 1;
        }
    }
}

impl Pattern {
    fn matching(&self, topics: &Topics) -> BTreeSet<Arc<str>> {
        let names = topics.iter().map(|(name, _)| name);
        names.filter(|name| self.regex.is_match(name) && !is_internal(name)).cloned().collect()
    }
}

/// Compiles a regular expression that has to match whole names. Kafka's syntax is RE2's too.
fn compile(text: &str) -> Result<Regex, Refusal> {
    Regex::new(&format!("^(?:{text})$")).map_err(|error| Refusal {
        error: ResponseError::InvalidRegularExpression,
        message: format!("expected a regular expression as RE2 has them, found {text:?}: {error}"),
    })
}

fn is_internal(name: &str) -> bool {
    matches!(name, "__consumer_offsets" | "__transaction_state" | "__share_group_state")
}

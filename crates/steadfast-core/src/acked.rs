//! What has been processed of a partition: a contiguous prefix, and ranges beyond it.

use std::collections::BTreeMap;

use crate::ids::Offset;

/// A span of offsets: `from` is in it, `next` is the first offset after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The first offset.
    pub from: Offset,
    /// The first offset past the end.
    pub next: Offset,
}

impl Span {
    /// The span `[from, next)`.
    pub fn new(from: Offset, next: Offset) -> Span {
        Span { from, next }
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.next <= self.from
    }

    /// Whether `offset` is in it.
    pub fn contains(self, offset: Offset) -> bool {
        self.from <= offset && offset < self.next
    }
}

/// The acknowledged offsets of one partition.
///
/// Everything below [`Acked::prefix`] is acknowledged; what was acknowledged beyond a gap is kept as disjoint
/// ranges, so that after a rewind it is skipped instead of being delivered again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acked {
    prefix: Offset,
    beyond: BTreeMap<Offset, Offset>,
}

impl Acked {
    /// Everything below `prefix` is acknowledged, nothing beyond.
    pub fn below(prefix: Offset) -> Acked {
        Acked { prefix, beyond: BTreeMap::new() }
    }

    /// The end of the contiguous acknowledged prefix: the offset that a commit would store.
    pub fn prefix(&self) -> Offset {
        self.prefix
    }

    /// Adds a span, in any order, overlapping or not. The prefix grows no further than `position`: what was
    /// acknowledged past it, before a rewind, is kept until it is claimed again.
    pub fn add(&mut self, span: Span, position: Offset) {
        if span.is_empty() || span.next <= self.prefix {
            return;
        }
        let mut rest = self.merge(span);
        if rest.from <= self.prefix {
            self.prefix = rest.next.min(position.max(self.prefix));
            rest.from = self.prefix;
        }
        if !rest.is_empty() {
            self.beyond.insert(rest.from, rest.next);
        }
    }

    /// Takes every range out that touches `span` and returns their union.
    fn merge(&mut self, span: Span) -> Span {
        let mut merged = span;
        let touching: Vec<Offset> = self
            .beyond
            .range(..=span.next)
            .filter(|(_, next)| **next >= span.from)
            .map(|(from, _)| *from)
            .collect();
        for from in touching {
            if let Some(next) = self.beyond.remove(&from) {
                merged = Span::new(merged.from.min(from), merged.next.max(next));
            }
        }
        merged
    }

    /// The parts of `span` that are acknowledged beyond the prefix, in order.
    pub fn within(&self, span: Span) -> Vec<Span> {
        self.beyond
            .range(..span.next)
            .filter(|(_, next)| **next > span.from)
            .map(|(from, next)| Span::new((*from).max(span.from), (*next).min(span.next)))
            .collect()
    }

    /// How many ranges lie beyond the prefix.
    pub fn gaps(&self) -> usize {
        self.beyond.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn span(from: i64, next: i64) -> Span {
        Span::new(Offset(from), Offset(next))
    }

    #[test]
    fn a_gap_holds_the_prefix_until_it_is_closed() {
        let mut acked = Acked::below(Offset(0));
        acked.add(span(10, 20), Offset(20));
        assert_eq!((acked.prefix(), acked.gaps()), (Offset(0), 1));
        acked.add(span(0, 10), Offset(20));
        assert_eq!((acked.prefix(), acked.gaps()), (Offset(20), 0));
    }

    #[test]
    fn the_prefix_never_passes_the_position() {
        let mut acked = Acked::below(Offset(0));
        acked.add(span(10, 20), Offset(20));
        acked.add(span(0, 10), Offset(10));
        assert_eq!((acked.prefix(), acked.within(span(10, 20))), (Offset(10), vec![span(10, 20)]));
        acked.add(span(10, 12), Offset(12));
        assert_eq!((acked.prefix(), acked.within(span(10, 20))), (Offset(12), vec![span(12, 20)]));
        acked.add(span(12, 30), Offset(30));
        assert_eq!((acked.prefix(), acked.gaps()), (Offset(30), 0));
    }

    proptest! {
        #[test]
        fn it_equals_a_set_of_offsets(spans in prop::collection::vec((0i64..60, 0i64..12), 0..40)) {
            let mut acked = Acked::below(Offset(0));
            let mut model = BTreeSet::new();
            for (from, length) in spans {
                acked.add(span(from, from + length), Offset(100));
                model.extend(from..from + length);
                let prefix = (0..).find(|offset| !model.contains(offset)).unwrap();
                prop_assert_eq!(acked.prefix(), Offset(prefix));
                let beyond: Vec<i64> =
                    acked.within(span(prefix, 100)).iter().flat_map(|s| s.from.0..s.next.0).collect();
                let expected: Vec<i64> = model.iter().copied().filter(|offset| *offset > prefix).collect();
                prop_assert_eq!(beyond, expected);
            }
        }
    }
}

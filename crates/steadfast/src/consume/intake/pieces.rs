//! What was fetched, in pieces of at most `max.poll.records`: each is acked for itself, so a slow handler's progress is
//! seen and committed in between.

use steadfast_core::acked::Span;
use steadfast_core::ids::Offset;
use steadfast_kafka::records::lazy::PlainBatch;

/// A part of what was claimed, and the batches that hold its records.
pub(super) struct Piece {
    pub(super) span: Span,
    pub(super) parts: Vec<PlainBatch>,
}

/// Cuts `span` so that no piece has more than `most` records. The pieces follow each other without a gap.
pub(super) fn pieces(span: Span, parts: Vec<PlainBatch>, most: usize) -> Vec<Piece> {
    let cuts = cuts(span, &parts, most);
    if cuts.is_empty() {
        return vec![Piece { span, parts }];
    }
    let ends = cuts.iter().copied().chain([span.next]);
    let begins = [span.from].into_iter().chain(cuts.iter().copied());
    let piece = |(from, next): (Offset, Offset)| {
        let within =
            |part: &&PlainBatch| part.header().base_offset < next && part.header().last_offset >= from;
        Piece { span: Span::new(from, next), parts: parts.iter().filter(within).cloned().collect() }
    };
    begins.zip(ends).map(piece).collect()
}

/// Where pieces begin but for the first.
fn cuts(span: Span, parts: &[PlainBatch], most: usize) -> Vec<Offset> {
    let told = |part: &PlainBatch| usize::try_from(part.header().record_count).unwrap_or(0);
    if parts.iter().map(told).sum::<usize>() <= most {
        return Vec::new();
    }
    let (mut cuts, mut in_piece) = (Vec::new(), 0);
    let wanted = parts.iter().flat_map(offsets).filter(|offset| span.contains(*offset));
    for offset in wanted {
        if in_piece == most {
            cuts.push(offset);
            in_piece = 0;
        }
        in_piece += 1;
    }
    cuts
}

/// The offsets of a batch's records, without a look at them where nothing was compacted away. What cannot be read has
/// none: it stays with what is before it.
fn offsets(part: &PlainBatch) -> Box<dyn Iterator<Item = Offset> + '_> {
    let (first, last) = (part.header().base_offset.0, part.header().last_offset.0);
    match last.checked_sub(first).and_then(|more| more.checked_add(1)) {
        Some(count) if count == i64::from(part.header().record_count) => Box::new((first..=last).map(Offset)),
        Some(_) | None => Box::new(part.records().map_while(Result::ok).map(|record| record.offset)),
    }
}

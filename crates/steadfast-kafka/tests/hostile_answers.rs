//! Whatever bytes come as an answer: no panic, and no more memory than a small multiple of them.

#![expect(clippy::unwrap_used, reason = "a test says what it expects")]

use bytes::Bytes;
use peak_alloc::PeakAlloc;
use proptest::prelude::*;

mod samples;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// What reading an answer may take: kafka-protocol's values (24 bytes for one, and a mebibyte) and our own
/// beside them.
fn allowed(body: &Bytes) -> usize {
    body.len() * 48 + (2 << 20)
}

/// Reads `body` as every API in every version.
fn read_as_everything(body: &Bytes) {
    for (api, version) in samples::each_version() {
        MEMORY.reset_peak_usage();
        let before = MEMORY.current_usage();
        let _ = (api.decodes)(version, body.clone());
        let taken = MEMORY.peak_usage().saturating_sub(before);
        assert!(taken <= allowed(body), "{} v{version} took {taken} for {}", api.name, body.len());
    }
}

/// Overwrites, cuts or extends bytes of a real answer.
fn damaged() -> impl Strategy<Value = Bytes> {
    let all: Vec<_> = samples::each_version().map(|(api, version)| (api.sample)(version)).collect();
    let wounds = prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(BYTES)), 1..6);
    let tail = prop::collection::vec(any::<u8>(), 0..8);
    (prop::sample::select(all), wounds, any::<prop::sample::Index>(), tail).prop_map(
        |(sample, wounds, cut, tail)| {
            let mut bytes = sample.to_vec();
            for (at, byte) in wounds {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if cut.index(4) == 0 {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes.extend(tail);
            bytes.into()
        },
    )
}

/// Bytes that make lengths and counts wrong.
const BYTES: &[u8] = &[0, 1, 2, 0x7f, 0x80, 0xfe, 0xff];

/// Bytes that announce much: four length bytes, or a varint, and fillers after them.
fn boastful() -> impl Strategy<Value = Bytes> {
    let piece = prop_oneof![
        Just(vec![0x7f, 0xff, 0xff, 0xff]),
        Just(vec![0xff, 0xff, 0xff, 0xff, 0x0f]),
        Just(vec![0, 0x0f, 0xff, 0xff]),
        Just(vec![0, 0, 0, 0]),
        prop::collection::vec(any::<u8>(), 0..32),
    ];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat().into())
}

// One test: the peak of memory is the process's.
#[test]
fn no_bytes_make_reading_them_panic_or_take_much_memory() {
    the_allocator_is_watched();
    let mut config = ProptestConfig::with_cases(1_000);
    config.failure_persistence = None;
    proptest!(config, |(body in prop_oneof![damaged(), boastful()])| {
        read_as_everything(&body);
    });
    repeated_elements_stay_bounded();
}

/// Large answers of the smallest elements: what is decoded is far larger than what came.
fn repeated_elements_stay_bounded() {
    for filler in [0u8, 1, 2, 3, 0xff] {
        for count in [[0, 1, 0, 0], [0, 0x10, 0, 0]] {
            for lead in 0..20 {
                let mut bytes = vec![0; lead];
                bytes.extend(count);
                bytes.resize(1 << 20, filler);
                read_as_everything(&bytes.into());
            }
        }
    }
}

fn the_allocator_is_watched() {
    let before = MEMORY.current_usage();
    let held = vec![1u8; 10 << 20];
    assert!(MEMORY.current_usage() >= before + held.len());
}

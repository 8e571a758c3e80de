//! Whatever bytes a broker answers a fetch with, the loop says what is wrong and goes on.

use bytes::BytesMut;
use kafka_protocol::protocol::Encodable;
use proptest::prelude::*;

use super::broker::{BY_NAME, batch, brought, part};
use super::paused;
use super::stage::Setting;
use crate::fetch::intake::Note;

/// What follows the correlation id of a good answer.
fn good() -> Vec<u8> {
    let mut body = BytesMut::from(&[0][..]);
    let parts = [part(0, [batch(0, 3), batch(3, 2)].concat()), part(1, batch(0, 1))];
    brought(parts).encode(&mut body, BY_NAME).unwrap();
    body.to_vec()
}

/// Answers a fetch with `bytes`; what the loop complains of. It must be fetching again afterwards.
async fn complaints(bytes: &[u8]) -> Vec<Note> {
    let (mut stage, mut wire) = Setting::of(2).proven().await;
    let asked = wire.fetch().await;
    wire.answer_bytes(&asked, bytes).await;
    if !wire.hears_something().await {
        stage.accept().await.fetch().await;
    }
    assert!(stage.tasks.iter().all(|task| !task.is_finished()));
    stage.table.complaints()
}

#[test]
fn an_answer_that_is_cut_off_breaks_the_connection_and_says_where() {
    let good = good();
    assert_eq!(paused(complaints(&good)), []);
    for end in 0..good.len() {
        let notes = paused(complaints(&good[..end]));
        assert!(matches!(&notes[..], [Note::Broken { stood: true, .. }]), "{end}: {notes:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        paused(complaints(&bytes));
    }

    #[test]
    fn damage_anywhere_is_survived(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = good();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        paused(complaints(&bytes));
    }
}

//! librdkafka, on a thread of this program.

use std::io;
use std::time::Duration;

use steadfast_tests::checker::Checker;
use steadfast_tests::reader::Reader;

use super::client::{Consumer, Place};

/// After a drift librdkafka may take a minute to close; then it closes beside the next client.
const END_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct Member(Reader);

impl Member {
    pub(super) fn start(
        Place { bootstrap, name }: Place<'_>,
        settings: &[(&str, &str)],
    ) -> io::Result<Member> {
        Ok(Member(Reader::start(bootstrap, name, name, settings)?))
    }
}

impl Consumer for Member {
    fn seen(&mut self) -> Checker {
        self.0.checker()
    }

    fn end(self: Box<Self>) {
        drop(self.0.leave(END_LIMIT));
    }
}

//! Dead letters in a topic, with the headers that Kafka Connect gives them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures::FutureExt;
use futures::future::BoxFuture;
use rskafka::record::Record;

use crate::consume::letter::{DeadLetters, Letter, NotTaken};
use crate::sinks::kafka::Target;

/// Who writes the letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letterhead {
    /// The group; Connect has its connector's name here.
    pub group: String,
    /// What the service calls itself; Connect has its task's number here.
    pub instance: String,
}

/// The topic.
pub struct LetterTopic {
    target: Target,
    head: Option<Letterhead>,
}

impl LetterTopic {
    /// Letters go to `target`; with a head they say in headers where they are from and what is wrong.
    pub fn new(target: Target, head: Option<Letterhead>) -> LetterTopic {
        LetterTopic { target, head }
    }
}

impl DeadLetters for LetterTopic {
    fn put<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Result<(), NotTaken>> {
        async move {
            let written = self.target.write(&letter.partition, record(letter, self.head.as_ref())).await;
            written.map_err(|error| match error.is_refusal() {
                true => NotTaken::Refused(error.to_string()),
                false => NotTaken::Away(error.to_string()),
            })
        }
        .boxed()
    }
}

fn record(letter: &Letter, head: Option<&Letterhead>) -> Record {
    let own = letter
        .headers
        .iter()
        .map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.clone().unwrap_or_default()));
    let context = head.into_iter().flat_map(|head| context(letter, head));
    let headers: BTreeMap<String, Vec<u8>> = own
        .chain(context.map(|(name, value)| (format!("__connect.errors.{name}"), value.into_bytes())))
        .collect();
    Record {
        key: letter.key.clone(),
        value: letter.value.clone(),
        headers,
        timestamp: DateTime::<Utc>::from_timestamp_millis(letter.timestamp).unwrap_or_default(),
    }
}

/// As Connect's `DeadLetterQueueReporter` names them.
fn context(letter: &Letter, head: &Letterhead) -> [(&'static str, String); 10] {
    let cause = &letter.cause;
    [
        ("topic", letter.partition.topic.to_string()),
        ("partition", letter.partition.index.to_string()),
        ("offset", letter.span.from.to_string()),
        ("connector.name", head.group.clone()),
        ("task.id", head.instance.clone()),
        ("stage", cause.stage.name().to_owned()),
        ("class.name", "steadfast".to_owned()),
        ("exception.class.name", cause.class.to_owned()),
        ("exception.message", cause.message.clone()),
        ("exception.stacktrace", format!("{}: {}", cause.class, cause.message)),
    ]
}

#[cfg(test)]
mod tests {
    use steadfast_core::acked::Span;
    use steadfast_core::ids::{NodeId, Offset, Partition};

    use super::*;
    use crate::consume::letter::Cause;

    fn letter() -> Letter {
        let span = Span::new(Offset(7), Offset(8));
        let letter = Letter::of_bytes(
            &Partition::new("orders", 3),
            NodeId(1),
            span,
            b"value",
            Cause::of(&"too long".to_owned()),
        );
        let headers = vec![(b"trace".to_vec(), Some(b"ab".to_vec()))];
        Letter { key: Some(b"key".to_vec()), headers, timestamp: 1_700_000_000_000, ..letter }
    }

    #[test]
    fn a_letter_keeps_its_record_and_says_what_connect_says() {
        let head = Letterhead { group: "billing".to_owned(), instance: "one".to_owned() };
        let record = record(&letter(), Some(&head));
        assert_eq!((record.key, record.value), (Some(b"key".to_vec()), Some(b"value".to_vec())));
        assert_eq!(record.timestamp.timestamp_millis(), 1_700_000_000_000);
        let headers: Vec<(String, String)> = record
            .headers
            .into_iter()
            .map(|(name, value)| (name, String::from_utf8(value).unwrap()))
            .collect();
        let expected = [
            ("__connect.errors.class.name", "steadfast"),
            ("__connect.errors.connector.name", "billing"),
            ("__connect.errors.exception.class.name", "alloc::string::String"),
            ("__connect.errors.exception.message", "too long"),
            ("__connect.errors.exception.stacktrace", "alloc::string::String: too long"),
            ("__connect.errors.offset", "7"),
            ("__connect.errors.partition", "3"),
            ("__connect.errors.stage", "TASK_PUT"),
            ("__connect.errors.task.id", "one"),
            ("__connect.errors.topic", "orders"),
            ("trace", "ab"),
        ];
        assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn without_context_headers_the_record_is_as_it_was() {
        assert_eq!(record(&letter(), None).headers.into_keys().collect::<Vec<_>>(), ["trace"]);
    }
}

//! One line per event: JSON when stderr is no terminal, text for people when it is.
//!
//! Flat, in this order: `timestamp, level, event.name, message, service.instance.id`, then the event's own
//! fields. Libraries' own diagnostics appear as events named `log`.

mod repeats;

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::{Event as Traced, Level, Metadata, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::env::WallClock;
use crate::events::Event;
use crate::events::catalogue::Repeats;
use repeats::{Limit, Subject};

/// The target under which events are traced.
pub const TARGET: &str = "steadfast::event";

/// The fields that say what an event is about: two events of one name that differ elsewhere are the same again.
const ABOUT: [&str; 5] = [
    "messaging.destination.name",
    "messaging.destination.partition.id",
    "server.address",
    "server.port",
    "error.type",
];

/// What the sentence of an event says already.
const IN_THE_SENTENCE: [&str; 4] = ["messaging.destination.", "messaging.kafka.offset", "server.", "error."];

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object.
    Json,
    /// Text for a terminal.
    Text,
}

/// Writes the event of the service `instance` to the log.
pub(crate) fn write(instance: &str, event: &Event) {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(event) else { return };
    let name = match fields.remove("event.name") {
        Some(Value::String(name)) => name,
        _ => return,
    };
    let (message, fields) = (event.message(), Value::Object(fields).to_string());
    let limited = event.repeats() == Repeats::Limited;
    macro_rules! emit {
        ($level:expr) => {
            tracing::event!(
                target: TARGET, $level, name = name.as_str(), instance, limited, fields = fields.as_str(), "{message}"
            )
        };
    }
    match event.level() {
        Level::ERROR => emit!(Level::ERROR),
        Level::WARN => emit!(Level::WARN),
        Level::INFO => emit!(Level::INFO),
        Level::DEBUG => emit!(Level::DEBUG),
        Level::TRACE => emit!(Level::TRACE),
    }
}

/// The formatter of the log's lines.
pub struct Lines {
    format: Format,
    instance: Arc<str>,
    clock: WallClock,
    limit: Option<Limit>,
}

impl Lines {
    /// Lines of the given format. Each carries an instance's id: an event its own service's, what libraries say
    /// this one.
    pub fn new(format: Format, instance: impl Into<Arc<str>>, clock: WallClock) -> Lines {
        Lines { format, instance: instance.into(), clock, limit: None }
    }

    /// The same, but of what repeats itself only ten lines a minute: the rest is counted. Events that say what
    /// became of a partition or of the service are always written, and so are the errors of libraries.
    pub fn limit_repeats(self) -> Lines {
        Lines { limit: Some(Limit::default()), ..self }
    }
}

/// What a line says.
struct Line {
    level: Level,
    name: String,
    instance: Arc<str>,
    message: String,
    fields: Map<String, Value>,
}

/// What was traced, as it is read.
#[derive(Default)]
struct Parts {
    name: Option<String>,
    instance: Option<String>,
    limited: bool,
    message: String,
    fields: Map<String, Value>,
}

impl Visit for Parts {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "name" => self.name = Some(value.to_owned()),
            "instance" => self.instance = Some(value.to_owned()),
            "fields" => {
                if let Ok(Value::Object(fields)) = serde_json::from_str(value) {
                    self.fields = fields;
                }
            }
            other => {
                self.fields.insert(other.to_owned(), value.into());
            }
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        match field.name() {
            "limited" => self.limited = value,
            other => {
                self.fields.insert(other.to_owned(), value.into());
            }
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            other => {
                self.fields.insert(other.to_owned(), format!("{value:?}").into());
            }
        }
    }
}

impl Parts {
    fn subject_of_event(&self, name: &str, instance: &str) -> Option<Subject> {
        let about = ABOUT.iter().filter_map(|field| self.fields.get(*field));
        let about = about.fold(instance.to_owned(), |about, value| format!("{about} {value}"));
        self.limited.then(|| (name.to_owned(), about))
    }
}

/// What one line of code says again and again: errors are always written, and details where they are asked for.
fn subject_of_diagnostic(metadata: &Metadata<'_>) -> Option<Subject> {
    let limited = matches!(*metadata.level(), Level::WARN | Level::INFO);
    limited.then(|| (metadata.target().to_owned(), metadata.name().to_owned()))
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Traced<'_>,
    ) -> fmt::Result {
        let (line, subject) = self.read(event);
        let lines = match &self.limit {
            None => vec![line],
            Some(limit) if line.name == "service.stopped" => limit.end(line),
            Some(limit) => limit.pass(line, subject, Instant::now()),
        };
        for line in &lines {
            match self.format {
                Format::Json => self.json(&mut writer, line)?,
                Format::Text => self.text(&mut writer, line)?,
            }
        }
        Ok(())
    }
}

impl Lines {
    fn read(&self, event: &Traced<'_>) -> (Line, Option<Subject>) {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let metadata = event.metadata();
        let (name, instance, subject) = match (parts.name.take(), parts.instance.take()) {
            (Some(name), Some(instance)) if metadata.target() == TARGET => {
                let subject = parts.subject_of_event(&name, &instance);
                (name, instance.into(), subject)
            }
            _ => {
                parts.fields.insert("log.target".to_owned(), metadata.target().into());
                ("log".to_owned(), Arc::clone(&self.instance), subject_of_diagnostic(metadata))
            }
        };
        let Parts { message, fields, .. } = parts;
        (Line { level: *metadata.level(), name, instance, message, fields }, subject)
    }

    fn json(&self, to: &mut Writer<'_>, line: &Line) -> fmt::Result {
        write!(
            to,
            "{{\"timestamp\":{},\"level\":\"{}\",\"event.name\":{},\"message\":{},\"service.instance.id\":{}",
            json!(self.clock.rfc3339()),
            line.level,
            json!(line.name),
            json!(line.message),
            json!(line.instance)
        )?;
        for (key, value) in &line.fields {
            write!(to, ",{}:{value}", json!(key))?;
        }
        to.write_str("}\n")
    }

    /// The sentence, and of the fields what it does not say and what is short.
    fn text(&self, to: &mut Writer<'_>, line: &Line) -> fmt::Result {
        let time = self.clock.rfc3339();
        let time = time.get(11..23).unwrap_or(&time);
        write!(to, "{time} {:>5} {:<22} {}", line.level, line.name, line.message)?;
        let said = |key: &str| IN_THE_SENTENCE.iter().any(|prefix| key.starts_with(prefix));
        for (key, value) in line.fields.iter().filter(|(key, _)| !said(key)) {
            match value {
                Value::Number(number) if number.is_f64() => {
                    write!(to, " {key}={:.1}", number.as_f64().unwrap_or_default())?;
                }
                Value::Number(number) => write!(to, " {key}={number}")?,
                // What the sentence quotes is not said twice.
                Value::String(text) if !line.message.contains(text.as_str()) => {
                    write!(to, " {key}={value}")?;
                }
                _ => {}
            }
        }
        to.write_char('\n')
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Mutex;

    use steadfast_core::ids::Offset;
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;
    use crate::events::{Failure, Place, Run};

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Captured {
        type Writer = Captured;
        fn make_writer(&'a self) -> Captured {
            self.clone()
        }
    }

    fn logged(format: Format, say: impl FnOnce()) -> String {
        written(Lines::new(format, "process", WallClock::fixed(1_790_000_000_123)), say)
    }

    fn written(lines: Lines, say: impl FnOnce()) -> String {
        let captured = Captured::default();
        let subscriber = tracing_subscriber::fmt().event_format(lines).with_writer(captured.clone()).finish();
        tracing::subscriber::with_default(subscriber, say);
        String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn an_event_is_one_flat_json_object_with_its_name_first() {
        let event =
            Event::PartitionResumed { place: Place::new("or\"ders", 3), before: Offset(7), after: Offset(7) };
        let line = logged(Format::Json, || write("billing-1", &event));
        let prefix = r#"{"timestamp":"2026-09-21T"#;
        assert!(line.starts_with(prefix), "{line}");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["event.name"], "partition.resumed");
        assert_eq!(value["level"], "INFO");
        assert_eq!(value["service.instance.id"], "billing-1");
        assert_eq!(value["messaging.destination.name"], "or\"ders");
        assert_eq!(value["after"], 7);
    }

    #[test]
    fn for_people_the_fields_are_what_the_sentence_does_not_say() {
        let failure = Failure::new("failed", "disk full");
        let event = Event::BatchReturned { place: Place::new("orders", 3), from: Offset(7), failure };
        let line = logged(Format::Text, || write("billing-1", &event));
        let (_, said) = line.split_once(' ').unwrap();
        assert_eq!(said, " WARN batch.returned         orders-3 goes back to 7: disk full\n");
        let event = Event::PartitionsRevoked { partitions: vec![], took_ms: 12.345_678, undrained: 0 };
        let line = logged(Format::Text, || write("billing-1", &event));
        assert!(line.ends_with("0 partitions given up took_ms=12.3 undrained=0\n"), "{line}");
    }

    #[test]
    fn the_same_about_the_same_partition_is_held_back_and_what_became_of_it_never() {
        let returned = |partition: i32, message: &str| Event::BatchReturned {
            place: Place::new("orders", partition),
            from: Offset(7),
            failure: Failure::new("failed", message),
        };
        let redelivered =
            Event::RecordsRedelivered { place: Place::new("orders", 3), records: 1, reason: "rewind" };
        let say = || {
            for number in 0..30 {
                write("billing-1", &returned(3, &number.to_string()));
                write("billing-1", &redelivered);
                tracing::error!(target: "rskafka", "out of ideas");
            }
            write("billing-1", &returned(4, "elsewhere"));
            write("billing-2", &returned(3, "another service"));
        };
        let count = |lines: &str, name: &str| lines.lines().filter(|line| line.contains(name)).count();
        let lines = Lines::new(Format::Json, "process", WallClock::fixed(0)).limit_repeats();
        let limited = written(lines, say);
        assert_eq!(count(&limited, "batch.returned"), 10 + 2, "{limited}");
        assert_eq!(count(&limited, "records.redelivered"), 30, "{limited}");
        assert_eq!(count(&limited, "rskafka"), 30, "{limited}");
        let all = logged(Format::Json, say);
        assert_eq!(count(&all, "batch.returned"), 30 + 2, "{all}");
    }

    #[test]
    fn a_line_that_stands_for_others_says_for_how_many_at_the_end_at_the_latest() {
        let lines = Lines::new(Format::Json, "process", WallClock::fixed(0)).limit_repeats();
        let run = Run {
            reason: "signal".to_owned(),
            records: 0,
            bytes: 0,
            redelivered: 0,
            elapsed_ms: 0.0,
            unfinished: 0,
        };
        let stopped = Event::ServiceStopped { run };
        let told = written(lines, || {
            for _ in 0..30 {
                tracing::warn!(target: "rskafka", "again");
            }
            write("billing-1", &stopped);
        });
        let last: Vec<Value> =
            told.lines().skip(10).map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((last.len(), &last[0]["repeated"], &last[0]["message"]), (2, &json!(20), &json!("again")));
        assert_eq!(last[1]["event.name"], "service.stopped");
    }

    #[test]
    fn a_librarys_diagnostics_are_events_named_log() {
        let line = logged(Format::Json, || tracing::warn!(target: "rskafka", retries = 3, "lost \"it\""));
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["event.name"], &value["log.target"]), (&json!("log"), &json!("rskafka")));
        assert_eq!(value["service.instance.id"], "process");
        assert_eq!(value["message"], "lost \"it\"");
    }
}

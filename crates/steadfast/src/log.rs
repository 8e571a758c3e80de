//! One line per event: JSON when stderr is no terminal, text for people when it is.
//!
//! Flat, in this order: `timestamp, level, event.name, message, service.instance.id`, then the event's own
//! fields. Libraries' own diagnostics appear as events named `log`.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::{Event as Traced, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::env::WallClock;
use crate::events::Event;

/// The target under which events are traced.
pub const TARGET: &str = "steadfast::event";

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
    macro_rules! emit {
        ($level:expr) => {
            tracing::event!(target: TARGET, $level, name = name.as_str(), instance, fields = fields.as_str(), "{message}")
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
}

impl Lines {
    /// Lines of the given format. Each carries an instance's id: an event its own service's, what libraries say
    /// this one.
    pub fn new(format: Format, instance: impl Into<Arc<str>>, clock: WallClock) -> Lines {
        Lines { format, instance: instance.into(), clock }
    }
}

#[derive(Default)]
struct Parts {
    name: Option<String>,
    instance: Option<String>,
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

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            other => {
                self.fields.insert(other.to_owned(), format!("{value:?}").into());
            }
        }
    }
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
        let mut parts = Parts::default();
        event.record(&mut parts);
        let metadata = event.metadata();
        let ours = metadata.target() == TARGET;
        if !ours {
            parts.fields.insert("log.target".to_owned(), metadata.target().into());
        }
        let name = parts.name.as_deref().filter(|_| ours).unwrap_or("log");
        let instance = parts.instance.as_deref().filter(|_| ours).unwrap_or(&self.instance);
        match self.format {
            Format::Json => self.json(&mut writer, *metadata.level(), name, instance, &parts),
            Format::Text => self.text(&mut writer, *metadata.level(), name, &parts),
        }
    }
}

impl Lines {
    fn json(
        &self,
        to: &mut Writer<'_>,
        level: Level,
        name: &str,
        instance: &str,
        parts: &Parts,
    ) -> fmt::Result {
        write!(
            to,
            "{{\"timestamp\":{},\"level\":\"{level}\",\"event.name\":{},\"message\":{},\"service.instance.id\":{}",
            json!(self.clock.rfc3339()),
            json!(name),
            json!(parts.message),
            json!(instance)
        )?;
        for (key, value) in &parts.fields {
            write!(to, ",{}:{value}", json!(key))?;
        }
        to.write_str("}\n")
    }

    fn text(&self, to: &mut Writer<'_>, level: Level, name: &str, parts: &Parts) -> fmt::Result {
        let time = self.clock.rfc3339();
        let time = time.get(11..23).unwrap_or(&time);
        write!(to, "{time} {level:>5} {name:<22} {}", parts.message)?;
        let shown = |value: &&Value| value.is_number() || value.is_string();
        for (key, value) in parts.fields.iter().filter(|(_, value)| shown(value)) {
            write!(to, " {key}={value}")?;
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
        let captured = Captured::default();
        let lines = Lines::new(format, "process", WallClock::fixed(1_790_000_000_123));
        let subscriber = tracing_subscriber::fmt().event_format(lines).with_writer(captured.clone()).finish();
        tracing::subscriber::with_default(subscriber, say);
        String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn an_event_is_one_flat_json_object_with_its_name_first() {
        let event = Event::PartitionResumed {
            topic: "or\"ders".into(),
            partition: 3,
            before: Offset(7),
            after: Offset(7),
        };
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
    fn a_librarys_diagnostics_are_events_named_log() {
        let line = logged(Format::Json, || tracing::warn!(target: "rskafka", retries = 3, "lost \"it\""));
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["event.name"], &value["log.target"]), (&json!("log"), &json!("rskafka")));
        assert_eq!(value["service.instance.id"], "process");
        assert_eq!(value["message"], "lost \"it\"");
    }
}

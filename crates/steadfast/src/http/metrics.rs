//! Metrics: families of samples, read at the moment of the scrape.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

use super::exposition::of_openmetrics;
use super::families::FAMILIES;
use super::scrape::{Scrape, Site};
use crate::vitals::Counted;

/// How the metrics are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// OpenMetrics 1.0.0.
    Open,
    /// Prometheus' text format 0.0.4.
    Text,
}

impl Format {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Format::Open => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// One metric: its name (without a counter's `_total`), and how its samples are read.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) labels: &'static [&'static str],
    pub(super) help: &'static str,
    pub(super) read: fn(&Scrape<'_>) -> Vec<Sample>,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It only grows while the process lives.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Durations in buckets.
    Histogram,
}

/// One series at one moment: the values of the family's labels, and its own.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) labels: Vec<String>,
    pub(super) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Count(u64),
    Level(f64),
    /// It only grows.
    Sum(f64),
    Durations(Counted),
}

/// All metrics as text.
pub(super) fn text(site: &Arc<Site>, format: Format) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(All(Arc::clone(site))));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(match format {
        Format::Open => text,
        Format::Text => of_openmetrics(&text),
    })
}

#[derive(Debug)]
struct All(Arc<Site>);

impl Collector for All {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let scrape = self.0.scrape();
        for family in FAMILIES {
            let samples = (family.read)(&scrape);
            // A family without a series is left out: there is nothing to say of it.
            if samples.is_empty() {
                continue;
            }
            let kind = match family.kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram => MetricType::Histogram,
            };
            let mut metric = encoder.encode_descriptor(family.name, family.help, None, kind)?;
            for sample in &samples {
                write(sample, family.labels, &mut metric)?;
            }
        }
        Ok(())
    }
}

fn write(sample: &Sample, names: &[&'static str], metric: &mut MetricEncoder<'_>) -> fmt::Result {
    // An empty label is none.
    let labels = names.iter().copied().zip(sample.labels.iter().map(String::as_str));
    let labels: Vec<(&str, &str)> = labels.filter(|(_, value)| !value.is_empty()).collect();
    let labels = labels.as_slice();
    if labels.is_empty() {
        return value(&sample.value, metric);
    }
    value(&sample.value, &mut metric.encode_family(&labels)?)
}

fn value(value: &Value, metric: &mut MetricEncoder<'_>) -> fmt::Result {
    match value {
        Value::Count(count) => metric.encode_counter(count, None::<&Exemplar<NoLabelSet, u64>>),
        Value::Sum(sum) => metric.encode_counter(sum, None::<&Exemplar<NoLabelSet, u64>>),
        Value::Level(level) => metric.encode_gauge(level),
        Value::Durations(durations) => metric.encode_histogram::<NoLabelSet>(
            durations.seconds(),
            durations.count(),
            &durations.buckets(),
            None,
        ),
    }
}

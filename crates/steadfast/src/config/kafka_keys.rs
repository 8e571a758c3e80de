//! Java's consumer settings that steadfast knows and does not take, and what to do instead.

use super::reference::KEYS;

/// Why a setting of Java's is not taken.
enum Reason {
    /// It will be, one day: leave it out until then.
    NotYet,
    /// Leave it out: it means nothing here, for this reason.
    NotNeeded(&'static str),
    /// This key of ours says it.
    Ours(&'static str),
}

use Reason::{NotNeeded, NotYet, Ours};

const BYTES: Reason = NotNeeded("records are passed on as bytes");
const CLASS: Reason = NotNeeded("no Java classes are loaded");
const BACKOFF: Reason = NotNeeded("steadfast paces itself by what it measures");
const METRICS: Reason = NotNeeded("steadfast measures in its own way");

/// What to do about a setting of Java's (its name without `kafka.`) that is not taken; none when Java has
/// no such setting either.
pub(super) fn advice(name: &str) -> Option<String> {
    let by_name = NOT_TAKEN.iter().find(|(known, _)| *known == name).map(|(_, reason)| reason);
    let is_family = || FAMILIES.iter().any(|family| name.starts_with(family)) && !is_misspelt(name);
    let by_family = || is_family().then_some(&NotYet);
    Some(match by_name.or_else(by_family)? {
        NotYet => "leave it out: it has no equivalent in this version".to_owned(),
        NotNeeded(because) => format!("leave it out: {because}"),
        Ours(key) => format!("set `{key}` instead"),
    })
}

/// Whether one of the taken settings was meant.
fn is_misspelt(name: &str) -> bool {
    let name = format!("kafka.{name}");
    KEYS.iter().any(|key| strsim::damerau_levenshtein(key.path, &name) <= 2)
}

/// Families of settings of which others are not taken.
const FAMILIES: &[&str] = &["ssl.", "sasl."];

const PEM: Reason = NotNeeded("PEM files are read, which have no password of their own");
const KEY: Reason = NotNeeded(
    "encrypted keys are not read: decrypt it with `openssl pkey -in KEY -out PLAIN`, for our eyes only",
);

/// The others, by Java's names.
const NOT_TAKEN: &[(&str, Reason)] = &[
    ("ssl.key.password", KEY),
    ("ssl.keystore.password", PEM),
    ("ssl.truststore.password", PEM),
    ("sasl.login.callback.handler.class", CLASS),
    ("sasl.login.class", CLASS),
    ("sasl.client.callback.handler.class", CLASS),
    ("allow.auto.create.topics", NotNeeded("topics are never created")),
    ("auto.include.jmx.reporter", METRICS),
    ("check.crcs", NotNeeded("checksums are always checked")),
    ("client.dns.lookup", NotNeeded("every address of a name is always tried")),
    ("client.rack", NotYet),
    ("config.providers", CLASS),
    ("connections.max.idle.ms", NotYet),
    ("default.api.timeout.ms", Ours("kafka.request.timeout.ms")),
    ("enable.metrics.push", NotYet),
    ("exclude.internal.topics", NotNeeded("internal topics match no pattern; by name they are consumed")),
    ("interceptor.classes", CLASS),
    ("key.deserializer", BYTES),
    ("metadata.max.age.ms", Ours("drift.poll_interval")),
    ("metadata.recovery.rebootstrap.trigger.ms", Ours("drift.poll_interval")),
    ("metadata.recovery.strategy", NotNeeded("steadfast always asks the bootstrap servers again")),
    ("metric.reporters", METRICS),
    ("metrics.num.samples", METRICS),
    ("metrics.recording.level", METRICS),
    ("metrics.sample.window.ms", METRICS),
    ("receive.buffer.bytes", NotYet),
    ("reconnect.backoff.max.ms", BACKOFF),
    ("reconnect.backoff.ms", BACKOFF),
    ("retry.backoff.max.ms", BACKOFF),
    ("retry.backoff.ms", BACKOFF),
    ("security.providers", CLASS),
    ("send.buffer.bytes", NotYet),
    ("share.acknowledgement.mode", NotYet),
    ("socket.connection.setup.timeout.max.ms", BACKOFF),
    ("socket.connection.setup.timeout.ms", BACKOFF),
    ("throw.on.fetch.stable.offset.unsupported", NotNeeded("stable offsets are always asked for")),
    ("value.deserializer", BYTES),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::reference;

    #[test]
    fn each_setting_has_advice_that_names_a_key_of_ours_or_says_leave_it_out() {
        for (name, reason) in NOT_TAKEN {
            match reason {
                Ours(key) => assert!(reference::key(key).is_some(), "{name} -> {key}"),
                NotYet | NotNeeded(_) => assert!(advice(name).unwrap().starts_with("leave it out")),
            }
        }
    }

    #[test]
    fn no_setting_is_both_taken_and_not_taken() {
        for (name, _) in NOT_TAKEN {
            assert!(reference::key(&format!("kafka.{name}")).is_none(), "{name}");
        }
    }

    #[test]
    fn whole_families_are_known() {
        assert!(advice("sasl.kerberos.service.name").is_some());
        assert!(advice("ssl.cipher.suites").is_some());
        assert_eq!(advice("bootstrap.severs"), None);
    }
}

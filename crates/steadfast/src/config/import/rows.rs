//! Where each foreign name goes: one row each. What has no row here is looked up among Java's own names, which ours
//! are, and among those of Java's that are not taken.

use super::Client;
use super::spring::uniform;
use super::values::How;
use crate::config::{kafka_keys, reference};

/// Where a setting goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum To {
    /// Under this key of ours.
    Key(&'static str, How),
    /// A line of JAAS: a user's name and a password.
    Login,
    /// Nowhere, and why, or what says it instead.
    Nowhere(String),
}

/// One row of the table: nowhere, when there is no key.
type Row = (&'static str, Result<(&'static str, How), &'static str>);

const PRODUCER: &str = "it is a producer's: the `kafka` sink has no such setting";
const PACED: &str = "steadfast paces itself by what it measures";
const METRICS: &str = "steadfast measures in its own way";
const VERSIONS: &str = "versions are negotiated with each broker";
/// Where a bearer token comes from here.
pub(super) const TOKENS: &str = "let `kafka.sasl.oauthbearer.token.command` print the token";
const EACH_HANDLED: &str =
    "an offset is stored when its record was handled, and not before; `checkpoint.interval` says how often";

/// librdkafka's names that Java's clients do not have, or mean otherwise.
const LIBRDKAFKA: &[Row] = &[
    ("metadata.broker.list", Ok(("kafka.bootstrap.servers", How::Same))),
    ("auto.offset.reset", Ok(("kafka.auto.offset.reset", How::Reset))),
    ("fetch.wait.max.ms", Ok(("kafka.fetch.max.wait.ms", How::Same))),
    ("fetch.message.max.bytes", Ok(("kafka.max.partition.fetch.bytes", How::Same))),
    ("socket.timeout.ms", Ok(("kafka.request.timeout.ms", How::Same))),
    ("security.protocol", Ok(("kafka.security.protocol", How::Upper))),
    ("queued.max.messages.kbytes", Ok(("fetch.buffer_bytes", How::Kibibytes))),
    ("log_level", Ok(("log.level", How::Syslog))),
    ("ssl.ca.location", Ok(("kafka.ssl.truststore.location", How::Same))),
    ("ssl.ca.pem", Ok(("kafka.ssl.truststore.certificates", How::Same))),
    ("ssl.certificate.pem", Ok(("kafka.ssl.keystore.certificate.chain", How::Same))),
    ("ssl.key.pem", Ok(("kafka.ssl.keystore.key", How::Same))),
    (
        "ssl.endpoint.identification.algorithm",
        Ok(("kafka.ssl.endpoint.identification.algorithm", How::NoneIsEmpty)),
    ),
    ("sasl.mechanisms", Ok(("kafka.sasl.mechanism", How::Same))),
    ("sasl.mechanism", Ok(("kafka.sasl.mechanism", How::Same))),
    ("sasl.username", Ok(("kafka.sasl.username", How::Same))),
    ("sasl.password", Ok(("kafka.sasl.password", How::Same))),
    (
        "ssl.certificate.location",
        Err(
            "put certificate chain and private key into one PEM file and name it in `kafka.ssl.keystore.location`",
        ),
    ),
    (
        "ssl.key.location",
        Err(
            "put certificate chain and private key into one PEM file and name it in `kafka.ssl.keystore.location`",
        ),
    ),
    (
        "ssl.keystore.location",
        Err("PKCS #12 is not read: convert it with `openssl pkcs12 -in FILE -nodes -out PEM`"),
    ),
    ("enable.ssl.certificate.verification", Err("a broker's certificate is always verified")),
    ("ssl.crl.location", Err("revocation lists are not read")),
    ("sasl.oauthbearer.config", Err(TOKENS)),
    ("sasl.oauthbearer.method", Err(TOKENS)),
    ("sasl.oauthbearer.client.id", Err(TOKENS)),
    ("sasl.oauthbearer.client.secret", Err(TOKENS)),
    ("enable.auto.offset.store", Err(EACH_HANDLED)),
    ("offset.store.method", Err(EACH_HANDLED)),
    ("queued.min.messages", Err("`fetch.buffer_bytes` bounds what is fetched ahead")),
    ("fetch.queue.backoff.ms", Err("a fetch follows as soon as there is room in `fetch.buffer_bytes`")),
    ("fetch.error.backoff.ms", Err(PACED)),
    ("topic.metadata.refresh.interval.ms", Err("`drift.poll_interval` says how often brokers are asked")),
    ("topic.metadata.refresh.fast.interval.ms", Err(PACED)),
    ("topic.metadata.refresh.sparse", Err("only the topics that are consumed are asked about")),
    ("topic.blacklist", Err("topics are consumed by name")),
    ("broker.address.ttl", Err("names are resolved anew for each connection")),
    ("broker.address.family", Err("every address of a name is tried")),
    ("broker.version.fallback", Err(VERSIONS)),
    ("api.version.request", Err(VERSIONS)),
    ("api.version.request.timeout.ms", Err(VERSIONS)),
    ("api.version.fallback.ms", Err(VERSIONS)),
    ("socket.keepalive.enable", Err("keepalive is always on")),
    ("socket.nagle.disable", Err("small requests are never held back")),
    ("socket.max.fails", Err(PACED)),
    ("socket.connection.setup.timeout.ms", Err(PACED)),
    ("socket.send.buffer.bytes", Err("the system chooses it")),
    ("socket.receive.buffer.bytes", Err("the system chooses it")),
    ("receive.message.max.bytes", Err("`kafka.fetch.max.bytes` bounds an answer")),
    ("message.max.bytes", Err(PRODUCER)),
    ("message.copy.max.bytes", Err(PRODUCER)),
    ("max.in.flight", Err(PRODUCER)),
    ("max.in.flight.requests.per.connection", Err(PRODUCER)),
    ("statistics.interval.ms", Err(METRICS)),
    ("debug", Err("`log.level` says how much is told")),
    ("log.connection.close", Err("`log.level` says how much is told")),
    ("log.queue", Err("events go to standard error")),
    ("log.thread.name", Err("events go to standard error")),
    ("enable.partition.eof", Err("`--until-end` ends at the end")),
    ("consume.callback.max.messages", Err("handlers are given batches as they were fetched")),
    ("coordinator.query.interval.ms", Err(PACED)),
    ("internal.termination.signal", Err("SIGTERM and SIGINT end steadfast in order")),
    ("plugin.library.paths", Err("no libraries are loaded")),
    ("group.protocol.type", Err("it is always `consumer`")),
];

/// What only producers have, in every client.
const PRODUCERS: &[&str] = &[
    "acks",
    "request.required.acks",
    "request.timeout.ms.producer",
    "retries",
    "message.send.max.retries",
    "linger.ms",
    "queue.buffering.max.ms",
    "queue.buffering.max.messages",
    "queue.buffering.max.kbytes",
    "batch.size",
    "batch.num.messages",
    "buffer.memory",
    "compression.type",
    "compression.codec",
    "compression.level",
    "delivery.timeout.ms",
    "message.timeout.ms",
    "enable.idempotence",
    "transactional.id",
    "transaction.timeout.ms",
    "partitioner",
    "partitioner.class",
    "key.serializer",
    "value.serializer",
    "max.block.ms",
    "max.request.size",
    "sticky.partitioning.linger.ms",
];

/// Spring's names, below `spring.kafka` or `spring.kafka.consumer`.
const SPRING: &[Row] = &[
    ("bootstrap-servers", Ok(("kafka.bootstrap.servers", How::Same))),
    ("client-id", Ok(("kafka.client.id", How::Same))),
    ("group-id", Ok(("kafka.group.id", How::Same))),
    ("auto-offset-reset", Ok(("kafka.auto.offset.reset", How::Same))),
    ("enable-auto-commit", Err(EACH_HANDLED)),
    ("auto-commit-interval", Ok(("checkpoint.interval", How::Duration))),
    ("heartbeat-interval", Ok(("kafka.heartbeat.interval.ms", How::Duration))),
    ("max-poll-interval", Ok(("kafka.max.poll.interval.ms", How::Duration))),
    ("isolation-level", Ok(("kafka.isolation.level", How::Underscored))),
    ("fetch-max-wait", Ok(("kafka.fetch.max.wait.ms", How::Duration))),
    ("fetch-min-size", Ok(("kafka.fetch.min.bytes", How::DataSize))),
    ("max-poll-records", Ok(("kafka.max.poll.records", How::Same))),
    ("key-deserializer", Err("records are passed on as bytes")),
    ("value-deserializer", Err("records are passed on as bytes")),
    ("security.protocol", Ok(("kafka.security.protocol", How::Upper))),
    ("ssl.trust-store-location", Ok(("kafka.ssl.truststore.location", How::File))),
    ("ssl.trust-store-type", Ok(("kafka.ssl.truststore.type", How::Same))),
    ("ssl.trust-store-certificates", Ok(("kafka.ssl.truststore.certificates", How::Same))),
    ("ssl.key-store-location", Ok(("kafka.ssl.keystore.location", How::File))),
    ("ssl.key-store-type", Ok(("kafka.ssl.keystore.type", How::Same))),
    ("ssl.key-store-key", Ok(("kafka.ssl.keystore.key", How::Same))),
    ("ssl.key-store-certificate-chain", Ok(("kafka.ssl.keystore.certificate.chain", How::Same))),
    ("ssl.trust-store-password", Err("PEM files are read, which have no password of their own")),
    ("ssl.key-store-password", Err("PEM files are read, which have no password of their own")),
    ("ssl.key-password", Err("encrypted keys are not read: decrypt it, for our eyes only")),
    (
        "ssl.bundle",
        Err("name its PEM files in `kafka.ssl.truststore.location` and `kafka.ssl.keystore.location`"),
    ),
    ("ssl.protocol", Err("TLS 1.2 and 1.3 are spoken")),
    ("jaas.options.username", Ok(("kafka.sasl.username", How::Same))),
    ("jaas.options.password", Ok(("kafka.sasl.password", How::Same))),
    ("jaas.enabled", Err("`kafka.security.protocol` says whether there are credentials")),
    ("jaas.control-flag", Err("there is one login")),
    ("jaas.login-module", Err("`kafka.sasl.mechanism` says how credentials are proven: set it")),
];

/// Whole rooms of Spring's, with what stands for them here.
const SPRING_ROOMS: &[(&str, &str)] = &[
    ("listener.ackmode", EACH_HANDLED),
    ("listener.acktime", EACH_HANDLED),
    ("listener.ackcount", EACH_HANDLED),
    ("listener.concurrency", "there is a handler for each partition"),
    ("listener.", "listeners are the sink, or handlers in Rust"),
    ("producer.", PRODUCER),
    ("template.", PRODUCER),
    ("admin.", "topics are never created"),
    ("streams.", "steadfast is a consumer"),
    ("retry.", "a batch that fails comes again; `[errors]` is about records that never succeed"),
    ("consumer.ssl.", "it is not known here"),
];

/// Where a setting of this client goes.
pub(super) fn find(client: Client, name: &str) -> To {
    match client {
        Client::Java => java(name),
        Client::Librdkafka => listed(LIBRDKAFKA, |row| row == name).unwrap_or_else(|| java(name)),
        Client::Spring => spring(name),
    }
}

fn listed(rows: &[Row], is: impl Fn(&str) -> bool) -> Option<To> {
    let (_, to) = rows.iter().find(|(row, _)| is(row))?;
    Some(match *to {
        Ok((key, how)) => known(key, how),
        Err(why) => To::Nowhere(why.to_owned()),
    })
}

/// A key that this version has.
fn known(key: &'static str, how: How) -> To {
    match reference::key(key) {
        Some(key) => To::Key(key.path, how),
        None => To::Nowhere("it has no equivalent in this version".to_owned()),
    }
}

fn java(name: &str) -> To {
    if name == "sasl.jaas.config" {
        return To::Login;
    }
    if matches!(name, "topics" | "topic") {
        return known("topics", How::List);
    }
    if let Some(key) = reference::key(&format!("kafka.{name}")) {
        return To::Key(key.path, How::Same);
    }
    if PRODUCERS.contains(&name) {
        return To::Nowhere(PRODUCER.to_owned());
    }
    let advice =
        kafka_keys::advice(name).map(|advice| advice.trim_start_matches("leave it out: ").to_owned());
    To::Nowhere(
        advice.unwrap_or_else(|| "it is no setting of Kafka's consumer that is known here".to_owned()),
    )
}

fn spring(name: &str) -> To {
    let below = |root: &str| {
        name.get(..root.len()).filter(|begin| uniform(begin) == root).map(|_| &name[root.len()..])
    };
    let Some(rest) = below("spring.kafka.") else { return java(name) };
    let rest = match rest.split_once('.') {
        Some((consumer, rest)) if uniform(consumer) == "consumer" => rest,
        _ => rest,
    };
    if let Some((properties, javas)) = rest.split_once('.')
        && uniform(properties) == "properties"
    {
        return java(javas.trim_start_matches('[').trim_end_matches(']'));
    }
    let rest = uniform(rest);
    let room = || SPRING_ROOMS.iter().find(|(room, _)| rest.starts_with(room));
    listed(SPRING, |row| uniform(row) == rest)
        .or_else(|| room().map(|(_, why)| To::Nowhere((*why).to_owned())))
        .unwrap_or_else(|| To::Nowhere("it is not known here".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_row_stands_there_twice_and_each_key_is_one_of_ours_or_of_security() {
        for rows in [LIBRDKAFKA, SPRING] {
            for (at, (name, to)) in rows.iter().enumerate() {
                assert!(!rows[at + 1..].iter().any(|(other, _)| other == name), "{name}");
                if let Ok((key, _)) = to {
                    let later = key.starts_with("kafka.ssl.") || key.starts_with("kafka.sasl.");
                    assert!(later || reference::key(key).is_some(), "{name} -> {key}");
                }
            }
        }
    }

    #[test]
    fn names_are_found_however_spring_spells_them() {
        for name in [
            "spring.kafka.consumer.group-id",
            "spring.kafka.consumer.groupId",
            "spring.kafka.consumer.GROUP_ID",
            "spring.kafka.properties.group.id",
            "spring.kafka.consumer.properties.[group.id]",
        ] {
            assert_eq!(find(Client::Spring, name), To::Key("kafka.group.id", How::Same), "{name}");
        }
    }

    #[test]
    fn what_goes_nowhere_has_a_reason() {
        for (client, name, part) in [
            (Client::Java, "metadata.max.age.ms", "drift.poll_interval"),
            (Client::Java, "linger.ms", "producer"),
            (Client::Java, "key.deserializer", "bytes"),
            (Client::Java, "bootstrap.severs", "known"),
            (Client::Librdkafka, "enable.auto.offset.store", "when its record was handled"),
            (Client::Spring, "spring.kafka.listener.ack-mode", "when its record was handled"),
            (Client::Spring, "spring.kafka.producer.acks", "producer"),
        ] {
            let To::Nowhere(why) = find(client, name) else { panic!("{name} goes somewhere") };
            assert!(why.contains(part), "{name}: {why}");
        }
    }
}

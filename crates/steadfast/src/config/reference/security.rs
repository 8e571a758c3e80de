//! How connections are secured: the same keys for the cluster that is consumed and for another one that is
//! written to, by their Java names.

use std::time::Duration;

use super::super::choices::{SaslMechanism, SecurityProtocol};
use super::Applies::{AsCredentials, AtStart};
use super::Fallback::{Is, Unset};
use super::{Applies, Key, Kind, key_of};

/// The keys below a table, with its name before each.
macro_rules! security_keys {
    ($table:literal, $applies:expr) => {
        &[
            key_of(
                concat!($table, ".security.protocol"),
                Kind::OneOf(SecurityProtocol::WORDS),
                Is("PLAINTEXT"),
                $applies,
                "How connections are secured: with TLS (SSL), with credentials (SASL), with both or not at all.",
            ),
            key_of(
                concat!($table, ".ssl.truststore.location"),
                Kind::Path,
                Unset("the system's authorities"),
                $applies,
                "A PEM file with the authorities to trust, and no others.",
            ),
            key_of(
                concat!($table, ".ssl.truststore.certificates"),
                Kind::Text,
                Unset("the system's authorities"),
                $applies,
                "The same as text.",
            ),
            key_of(
                concat!($table, ".ssl.truststore.type"),
                STORE,
                Is("PEM"),
                $applies,
                "What the truststore is.",
            ),
            key_of(
                concat!($table, ".ssl.keystore.location"),
                Kind::Path,
                Unset("no certificate is shown"),
                $applies,
                "A PEM file with our private key and certificate chain, for mutual TLS.",
            ),
            key_of(
                concat!($table, ".ssl.keystore.certificate.chain"),
                Kind::Text,
                Unset("no certificate is shown"),
                $applies,
                "Our certificate chain as text, instead of a keystore file.",
            ),
            key_of(
                concat!($table, ".ssl.keystore.key"),
                Kind::Secret,
                Unset("no certificate is shown"),
                $applies,
                "Our private key for it: PEM, not encrypted.",
            ),
            key_of(concat!($table, ".ssl.keystore.type"), STORE, Is("PEM"), $applies, "What the keystore is."),
            key_of(
                concat!($table, ".ssl.endpoint.identification.algorithm"),
                Kind::OrEmpty("https"),
                Is("https"),
                $applies,
                "Whether a broker's certificate must name the host that it advertises; if empty, it need not.",
            ),
            key_of(
                concat!($table, ".sasl.mechanism"),
                Kind::OneOf(SaslMechanism::WORDS),
                Unset("required by SASL"),
                $applies,
                "How credentials are proven.",
            ),
            key_of(
                concat!($table, ".sasl.username"),
                Kind::Text,
                Unset("see `sasl.jaas.config`"),
                $applies,
                "Who we are, for PLAIN and SCRAM.",
            ),
            key_of(
                concat!($table, ".sasl.password"),
                Kind::Secret,
                Unset("see `sasl.jaas.config`"),
                $applies,
                "The password.",
            ),
            key_of(
                concat!($table, ".sasl.jaas.config"),
                Kind::Secret,
                Unset("see `sasl.username`"),
                $applies,
                "Username and password as Java has them: `…PlainLoginModule required username=\"…\" \
                 password=\"…\";`",
            ),
            key_of(
                concat!($table, ".sasl.oauthbearer.token.endpoint.url"),
                Kind::Text,
                Unset("see `sasl.oauthbearer.token.command`"),
                $applies,
                "OAUTHBEARER: the file that holds the token, as `file:///path`; read for each authentication.",
            ),
            key_of(
                concat!($table, ".sasl.oauthbearer.token.command"),
                Kind::Words,
                Unset("see `sasl.oauthbearer.token.endpoint.url`"),
                $applies,
                "OAUTHBEARER: a program and its arguments; what it prints is the token. No shell is involved.",
            ),
            key_of(
                concat!($table, ".sasl.oauthbearer.token.timeout.ms"),
                Kind::Duration(Duration::from_millis(100)),
                Is("10s"),
                $applies,
                "OAUTHBEARER: how long that program may run before it is killed.",
            ),
        ]
    };
}

/// What Java calls a type of store.
const STORE: Kind = Kind::OneOf(&["PEM"]);

/// Those of the cluster that is consumed.
pub(super) const CONSUMED: &[Key] = security_keys!("kafka", AsCredentials);

const WRITTEN: Applies = AtStart;

/// Those of another cluster that is written to.
pub(super) const WRITTEN_TO: &[Key] = security_keys!("sink.kafka", WRITTEN);

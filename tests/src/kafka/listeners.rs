//! The brokers' listeners beside the plain one: with TLS, with SASL, with both, and with certificates that nobody
//! should believe.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::ports::{self, Port};
use crate::certificates::{Authority, Identity, Validity};

/// Who may come in by SASL.
pub const USER: &str = "steadfast";
/// The user's password: to be found nowhere but in a configuration.
pub const PASSWORD: &str = "planted-secret-9f2c41d7";
/// How long a connection that came in by SCRAM-SHA-256 lives without authenticating again (KIP-368).
pub const REAUTHENTICATION_MS: u64 = 2000;

/// A listener that every broker has, on a port of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Listener {
    /// TLS and SASL by any mechanism, known as `localhost`. SCRAM-SHA-256 has to be repeated.
    SaslSsl,
    /// SASL by any mechanism, without TLS.
    SaslPlaintext,
    /// TLS in which clients show certificates.
    Mutual,
    /// TLS with a certificate for another name.
    Misnamed,
    /// TLS with a certificate that is no longer in force.
    Expired,
}

use Listener::{Expired, Misnamed, Mutual, SaslPlaintext, SaslSsl};

const ALL: [Listener; 5] = [SaslSsl, SaslPlaintext, Mutual, Misnamed, Expired];
const MECHANISMS: &str = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER";

impl Listener {
    fn name(self) -> &'static str {
        match self {
            SaslSsl => "SECURED",
            SaslPlaintext => "SASL",
            Mutual => "MUTUAL",
            Misnamed => "MISNAMED",
            Expired => "EXPIRED",
        }
    }

    fn protocol(self) -> &'static str {
        match self {
            SaslSsl => "SASL_SSL",
            SaslPlaintext => "SASL_PLAINTEXT",
            Mutual | Misnamed | Expired => "SSL",
        }
    }

    /// What stands in front of its own properties.
    fn prefix(self) -> String {
        format!("listener.name.{}", self.name().to_lowercase())
    }

    /// The file with its certificate and key; none without TLS.
    fn identity(self) -> Option<&'static str> {
        match self {
            SaslSsl | Mutual => Some("broker.pem"),
            Misnamed => Some("misnamed.pem"),
            Expired => Some("expired.pem"),
            SaslPlaintext => None,
        }
    }
}

/// A port for each listener of a broker.
pub(super) fn ports() -> io::Result<BTreeMap<Listener, Port>> {
    ALL.into_iter().map(|listener| Ok((listener, ports::free()?))).collect()
}

/// What brokers and clients show each other, in files.
pub struct Papers {
    directory: PathBuf,
    authority: Authority,
}

impl Papers {
    /// New ones, in this directory.
    pub(super) fn issue(directory: PathBuf) -> io::Result<Papers> {
        fs::create_dir_all(&directory)?;
        let papers = Papers { directory, authority: Authority::new("steadfast tests")? };
        fs::write(papers.authority(), papers.authority.certificate())?;
        let here = ["localhost", "127.0.0.1"];
        for (file, names, validity) in [
            ("broker.pem", &here[..], Validity::InForce),
            ("misnamed.pem", &["elsewhere.example"], Validity::InForce),
            ("expired.pem", &here, Validity::Expired),
        ] {
            let Identity { certificate, key } = papers.authority.issue(names, validity)?;
            fs::write(papers.directory.join(file), key + &certificate)?;
        }
        Ok(papers)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file with the certificate of the authority that issued the brokers' certificates.
    pub fn authority(&self) -> PathBuf {
        self.directory.join("authority.pem")
    }

    /// A certificate that brokers accept from a client.
    ///
    /// # Errors
    /// No key can be made.
    pub fn client(&self) -> io::Result<Identity> {
        self.authority.issue(&[USER], Validity::InForce)
    }
}

/// The arguments with which Kafka's tool that formats directories makes the user known.
pub(super) fn users() -> Vec<String> {
    let user =
        |mechanism| ["--add-scram".to_owned(), format!("{mechanism}=[name={USER},password={PASSWORD}]")];
    ["SCRAM-SHA-256", "SCRAM-SHA-512"].into_iter().flat_map(user).collect()
}

/// These listeners as properties have them, each with a comma before it: bound, advertised, and mapped to
/// protocols.
pub(super) struct Lists {
    pub(super) bound: String,
    pub(super) advertised: String,
    pub(super) protocols: String,
}

impl Lists {
    pub(super) fn of(ports: &BTreeMap<Listener, Port>) -> Lists {
        let join = |text: &dyn Fn(Listener, u16) -> String| {
            ports.iter().map(|(listener, port)| format!(",{}", text(*listener, port.number))).collect()
        };
        Lists {
            bound: join(&|listener, port| format!("{}://127.0.0.1:{port}", listener.name())),
            advertised: join(&|listener, port| format!("{}://localhost:{port}", listener.name())),
            protocols: join(&|listener, _| format!("{}:{}", listener.name(), listener.protocol())),
        }
    }
}

/// The listeners' own properties.
pub(super) fn properties(papers: &Path) -> String {
    let mut properties = format!("sasl.enabled.mechanisms={MECHANISMS}\n");
    for listener in ALL {
        let prefix = listener.prefix();
        // Three threads each would be a hundred that do nothing.
        properties += &format!("{prefix}.num.network.threads=1\n");
        if let Some(identity) = listener.identity() {
            let identity = papers.join(identity);
            properties += &format!(
                "{prefix}.ssl.keystore.type=PEM\n{prefix}.ssl.keystore.location={}\n",
                identity.display()
            );
        }
        if listener == Mutual {
            let authority = papers.join("authority.pem");
            properties += &format!(
                "{prefix}.ssl.client.auth=required\n{prefix}.ssl.truststore.type=PEM\n\
                 {prefix}.ssl.truststore.location={}\n",
                authority.display()
            );
        }
        if listener.protocol().starts_with("SASL") {
            properties += &sasl(&prefix);
        }
    }
    properties += &format!(
        "{}.scram-sha-256.connections.max.reauth.ms={REAUTHENTICATION_MS}\n",
        Listener::SaslSsl.prefix()
    );
    properties
}

fn sasl(prefix: &str) -> String {
    const MODULES: &str = "org.apache.kafka.common.security";
    let config = |mechanism: &str, module: &str, options: &str| {
        format!("{prefix}.{mechanism}.sasl.jaas.config={MODULES}.{module} required{options};\n")
    };
    [
        config("plain", "plain.PlainLoginModule", &format!(" user_{USER}=\"{PASSWORD}\"")),
        config("scram-sha-256", "scram.ScramLoginModule", ""),
        config("scram-sha-512", "scram.ScramLoginModule", ""),
        // Without a validator of one's own it takes tokens that nobody signed.
        config(
            "oauthbearer",
            "oauthbearer.OAuthBearerLoginModule",
            " unsecuredLoginStringClaim_sub=\"broker\"",
        ),
    ]
    .concat()
}

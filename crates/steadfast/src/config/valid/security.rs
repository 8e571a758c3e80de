//! How connections are secured: `security.protocol`, `ssl.*` and `sasl.*`, with the files and secrets behind them
//! read, so that what is wrong with one is told with the key that names it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use steadfast_kafka::security::{Identity, Roots, Secret, Security, Tls, TlsError, TlsSettings};

use super::super::choices::SecurityProtocol;
use super::super::durations;
use super::super::read::Reader;
use super::super::{files, pem, reference, secrets};
use crate::env::real;

mod credentials;

/// How connections to a cluster are secured. Two are equal when their settings are, and the files and secrets behind
/// them. Cheap to clone.
#[derive(Clone)]
pub struct SecuritySettings(Arc<Settled>);

struct Settled {
    protocol: SecurityProtocol,
    said: BTreeMap<&'static str, Said>,
    files: BTreeSet<PathBuf>,
    security: Security,
    token_limit: Duration,
}

/// What stands under a key.
#[derive(PartialEq, Eq)]
struct Said {
    /// As it may be shown.
    shown: String,
    /// What it comes to, if that is more than what is shown: a secret, a file's content.
    content: Option<Secret>,
}

impl SecuritySettings {
    /// `security.protocol`.
    pub fn protocol(&self) -> SecurityProtocol {
        self.0.protocol
    }

    /// What connections are opened with.
    pub fn security(&self) -> &Security {
        &self.0.security
    }

    /// How long a connection waits for its token: longer than the command may run, so that what is told is what
    /// became of the command.
    pub fn token_limit(&self) -> Duration {
        self.0.token_limit
    }

    /// The files that were read for it.
    pub(in crate::config) fn files(&self) -> &BTreeSet<PathBuf> {
        &self.0.files
    }

    /// Every setting, as it may be shown: of a secret only that it is set.
    pub(in crate::config) fn shown(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.said.iter().map(|(key, said)| (*key, said.shown.as_str()))
    }

    /// The keys that come to something else in `other`.
    pub(in crate::config) fn differing(&self, other: &SecuritySettings) -> BTreeSet<&'static str> {
        let (ours, theirs) = (&self.0.said, &other.0.said);
        let keys = ours.keys().chain(theirs.keys()).copied();
        keys.filter(|key| ours.get(key) != theirs.get(key)).collect()
    }
}

impl PartialEq for SecuritySettings {
    fn eq(&self, other: &SecuritySettings) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.said == other.0.said
    }
}

impl fmt::Debug for SecuritySettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecuritySettings").field(&self.0.protocol).finish()
    }
}

/// What a token may take besides its command's time: to be killed, or to be read.
const TOKEN_MARGIN: Duration = Duration::from_secs(1);

/// No file of certificates is larger.
const LARGEST_PEM: u64 = 1 << 20;

const TLS_KEYS: [&str; 5] = [
    "ssl.truststore.location",
    "ssl.truststore.certificates",
    "ssl.keystore.location",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
];

const SASL_KEYS: [&str; 6] = [
    "sasl.mechanism",
    "sasl.username",
    "sasl.password",
    "sasl.jaas.config",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.oauthbearer.token.command",
];

/// The settings below `table`, `kafka` or `sink.kafka`.
pub(super) fn security(from: &mut Reader<'_>, table: &'static str) -> Option<SecuritySettings> {
    let mut table = Table { from, name: table, said: BTreeMap::new(), files: BTreeSet::new() };
    let protocol: SecurityProtocol = table.from.choice(table.key("security.protocol"))?;
    table.say("security.protocol", protocol.to_string());
    table.refuse_unused(protocol);
    let timeout = table.token_timeout();
    let tls = table.tls(protocol);
    let sasl = timeout.and_then(|timeout| table.sasl(protocol, timeout));
    let security = Security { tls: tls?, sasl: sasl? };
    let token_limit = timeout? + TOKEN_MARGIN;
    let Table { said, files, .. } = table;
    Some(SecuritySettings(Arc::new(Settled { protocol, said, files, security, token_limit })))
}

/// The keys below a table, as they are read.
struct Table<'r, 'a> {
    from: &'r mut Reader<'a>,
    name: &'static str,
    said: BTreeMap<&'static str, Said>,
    files: BTreeSet<PathBuf>,
}

impl Table<'_, '_> {
    /// The full name of a key below this table.
    fn key(&self, name: &str) -> &'static str {
        reference::key(&format!("{}.{name}", self.name)).map_or("", |key| key.path)
    }

    fn say(&mut self, name: &str, shown: String) {
        self.said.insert(self.key(name), Said { shown, content: None });
    }

    fn refuse(&mut self, name: &str, what: &str, advice: impl Into<String>) {
        let key = self.key(name);
        self.from.refuse(key, format!("`{key}` {what}"), advice);
    }

    fn is_set(&self, name: &str) -> bool {
        self.from.set_at(self.key(name)).is_some()
    }

    /// Who gives certificates or credentials wants them to be used.
    fn refuse_unused(&mut self, protocol: SecurityProtocol) {
        let tls = TLS_KEYS.iter().filter(|_| !protocol.has_tls()).map(|key| (*key, "SASL_SSL or SSL"));
        let sasl = SASL_KEYS.iter().filter(|_| !protocol.has_sasl()).map(|key| (*key, "SASL_SSL"));
        for (key, meant) in tls.chain(sasl).collect::<Vec<_>>() {
            if self.is_set(key) {
                let what = format!("is set, but `{}` is {protocol}", self.key("security.protocol"));
                self.refuse(key, &what, format!("leave it out, or write security.protocol = \"{meant}\""));
            }
        }
    }

    fn text(&mut self, name: &str) -> Option<Option<Secret>> {
        let key = self.key(name);
        let Some(text) = self.from.text_if_set(key)? else { return Some(None) };
        let text = Secret::new(text);
        self.resolved(name, &text, text.expose().to_owned()).map(Some)
    }

    fn secret(&mut self, name: &str) -> Option<Option<Secret>> {
        let key = self.key(name);
        let Some(text) = self.from.secret_if_set(key)? else { return Some(None) };
        self.resolved(name, &text, "set".to_owned()).map(Some)
    }

    /// What the text comes to: as it was read, and with its references' contents for comparison.
    fn resolved(&mut self, name: &str, text: &Secret, shown: String) -> Option<Secret> {
        let key = self.key(name);
        self.files.extend(secrets::files_in(text).into_iter().map(Path::to_owned));
        let resolved = self.from.resolved(key, text)?;
        self.said.insert(key, Said { shown, content: Some(resolved.clone()) });
        Some(resolved)
    }

    /// The PEM text of the file that a key names.
    fn pem_file(&mut self, name: &str) -> Option<Option<Secret>> {
        let key = self.key(name);
        let Some(path) = self.from.path_if_set(key)? else { return Some(None) };
        self.files.insert(path.clone());
        let content = match files::read(&path, LARGEST_PEM) {
            Ok(content) => content,
            Err(error) => {
                let what = format!("names {}, which cannot be read ({error})", path.display());
                self.refuse(name, &what, "name a PEM file that we may read");
                return None;
            }
        };
        let Ok(text) = std::str::from_utf8(&content) else {
            let (found, advice) = pem::other_format(&content)
                .unwrap_or(("no text", "name a PEM file: a text with BEGIN and END lines"));
            self.refuse(name, &format!("names {}, which is {found}; expected PEM", path.display()), advice);
            return None;
        };
        let content = Secret::new(text);
        let said = Said { shown: path.display().to_string(), content: Some(content.clone()) };
        self.said.insert(key, said);
        Some(Some(content))
    }

    /// Whether the type of store is one that is read.
    fn store_type(&mut self, name: &str) -> Option<()> {
        let key = self.key(name);
        let written = self.from.text(key)?;
        if written.eq_ignore_ascii_case("PEM") {
            self.say(name, "PEM".to_owned());
            return Some(());
        }
        let advice = match written.to_ascii_uppercase().as_str() {
            "JKS" => pem::FROM_JKS.to_owned(),
            "PKCS12" => pem::FROM_PKCS12.to_owned(),
            _ => "write \"PEM\" or leave it out".to_owned(),
        };
        self.refuse(name, "must be PEM: no other store is read", advice);
        None
    }

    fn tls(&mut self, protocol: SecurityProtocol) -> Option<Option<Tls>> {
        let types = (self.store_type("ssl.truststore.type"), self.store_type("ssl.keystore.type"));
        let verify_name = self.from.or_empty(self.key("ssl.endpoint.identification.algorithm"));
        if let Some(verify_name) = verify_name {
            let shown = if verify_name { "https" } else { "" };
            self.say("ssl.endpoint.identification.algorithm", shown.to_owned());
        }
        if !protocol.has_tls() {
            return types.0.and(types.1).and(verify_name).map(|_| None);
        }
        let (roots, identity) = (self.roots(), self.identity());
        let settings = TlsSettings { roots: roots?, identity: identity?, verify_name: verify_name? };
        types.0.and(types.1)?;
        self.built(&settings).map(Some)
    }

    fn built(&mut self, settings: &TlsSettings) -> Option<Tls> {
        let error = match Tls::new(settings) {
            Ok(tls) => return Some(tls),
            Err(error) => error,
        };
        let set = |names: [&'static str; 2]| names.into_iter().find(|name| self.is_set(name));
        let (name, advice) = match &error {
            TlsError::Roots(_) | TlsError::NoRoots(_) => (
                set(["ssl.truststore.location", "ssl.truststore.certificates"]),
                "name the authorities that issued the brokers' certificates with ssl.truststore.location",
            ),
            TlsError::Chain(_) | TlsError::Identity(_) => (
                set(["ssl.keystore.location", "ssl.keystore.certificate.chain"]),
                "give our certificate, those that lead to its authority, and the key that belongs to it, as PEM",
            ),
            TlsError::Key(_) | TlsError::EncryptedKey => (
                set(["ssl.keystore.location", "ssl.keystore.key"]),
                "give the private key of our certificate as PEM, not encrypted",
            ),
            TlsError::Setup(_) => (None, "see what it says"),
        };
        let name = name.unwrap_or("security.protocol");
        let at = self.said.get(self.key(name)).filter(|_| name.ends_with("location"));
        let at = at.map(|said| format!(" ({})", said.shown)).unwrap_or_default();
        self.refuse(name, &format!("cannot be used{at}: {error}"), advice);
        None
    }

    fn roots(&mut self) -> Option<Roots> {
        let file = self.pem_file("ssl.truststore.location");
        let text = self.text("ssl.truststore.certificates");
        match (file?, text?) {
            (None, None) => Some(Roots::System),
            (Some(pem), None) | (None, Some(pem)) => Some(Roots::Pem(pem.expose().as_bytes().to_vec())),
            (Some(_), Some(_)) => {
                self.refuse(
                    "ssl.truststore.certificates",
                    "is set, and `ssl.truststore.location` too",
                    "keep one of them",
                );
                None
            }
        }
    }

    fn identity(&mut self) -> Option<Option<Identity>> {
        let file = self.pem_file("ssl.keystore.location");
        let chain = self.text("ssl.keystore.certificate.chain");
        let key = self.secret("ssl.keystore.key");
        let (name, identity) = match (file?, chain?, key?) {
            (None, None, None) => return Some(None),
            (Some(store), None, None) => {
                let (chain, key) = pem::split(store.expose());
                ("ssl.keystore.location", Identity { chain: chain.into_bytes(), key })
            }
            (None, Some(chain), Some(key)) => {
                let chain = chain.expose().as_bytes().to_vec();
                ("ssl.keystore.certificate.chain", Identity { chain, key })
            }
            (None, Some(_), None) => {
                let what = "is set without `ssl.keystore.key`";
                self.refuse(
                    "ssl.keystore.certificate.chain",
                    what,
                    "give the private key of that certificate too",
                );
                return None;
            }
            (None, None, Some(_)) => {
                let what = "is set without `ssl.keystore.certificate.chain`";
                self.refuse("ssl.keystore.key", what, "give the certificate of that key too");
                return None;
            }
            (Some(_), _, _) => {
                let what = "is set, and our certificate or key as text too";
                self.refuse("ssl.keystore.location", what, "keep one of them");
                return None;
            }
        };
        self.in_force(name, &identity)?;
        Some(Some(identity))
    }

    /// A certificate that no broker will take is refused while an older one may still be in force.
    fn in_force(&mut self, name: &str, identity: &Identity) -> Option<()> {
        let ended =
            pem::ends_at(&identity.chain).filter(|end| end.timestamp_millis() <= real::wall_clock().millis());
        let Some(ended) = ended else { return Some(()) };
        let what = format!("gives a certificate that expired at {}", ended.to_rfc3339());
        self.refuse(name, &what, "have a new one issued");
        None
    }
}

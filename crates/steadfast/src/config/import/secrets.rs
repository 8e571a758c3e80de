//! Secrets are not copied: a reference stands in their place. Placeholders that others fill in are read as far as
//! they have a meaning here.

use steadfast_kafka::security::Secret;

use super::Pair;
use super::rows::TOKENS;
use super::written::{Draft, Line};
use crate::config::jaas;
use crate::config::reference::{self, Kind};

/// Why an option of a login besides username and password has no place.
const NO_OPTIONS: &str =
    "a login has a username and a password, and nothing else (delegation tokens are not in this version)";

/// Whether nobody may see what stands under this key of ours.
pub(super) fn is_secret(key: &str) -> bool {
    reference::key(key).is_some_and(|key| key.kind == Kind::Secret)
}

/// Whether something is to be filled in.
pub(super) fn has_placeholder(value: &str) -> bool {
    value.contains("${")
}

/// A whole value that is filled in by others.
enum Placeholder<'a> {
    /// `${NAME}`, `${env:NAME}`, and Spring's `${NAME:usually}`.
    Variable { name: &'a str, usually: Option<&'a str> },
    /// `${file:/path}`: the file's content.
    File,
}

/// The value's placeholder, if it is one and nothing else, and has a meaning here.
fn placeholder(value: &str) -> Option<Placeholder<'_>> {
    let inner = value.trim().strip_prefix("${")?.strip_suffix('}')?;
    if let Some(path) = inner.strip_prefix("file:") {
        // Java's provider has the key of a properties file after another colon.
        return (path.starts_with('/') && !path.contains(':')).then_some(Placeholder::File);
    }
    let inner = inner.strip_prefix("env:").unwrap_or(inner);
    let (name, usually) = match inner.split_once(':') {
        Some((name, usually)) => (name, Some(usually)),
        None => (inner, None),
    };
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then_some(Placeholder::Variable { name, usually })
}

/// Puts a reference in the place of a secret.
pub(super) fn refer(draft: &mut Draft, pair: &Pair, key: &'static str, value: &str) {
    match placeholder(value) {
        Some(Placeholder::File) => draft.put(key, Line::of(pair, value.trim())),
        Some(Placeholder::Variable { name, .. }) => draft.refer(key, pair, name),
        None => {
            let name = key.replace('.', "_").to_uppercase();
            draft.refer(key, pair, &name);
            draft.ask(format!(
                "{}: the secret is not copied. Put it into the environment variable {name}, or into a file: \
                 \"${{file:/path}}\".",
                pair.shown()
            ));
        }
    }
}

/// Fills in what has a usual value; references stay where they have a meaning.
pub(super) fn fill(draft: &mut Draft, pair: &Pair, key: &'static str, value: &str) {
    let variable = reference::key(key).map(reference::Key::variable).unwrap_or_default();
    let is_security = key.starts_with("kafka.sasl.") || key.starts_with("kafka.ssl.");
    match placeholder(value) {
        Some(Placeholder::Variable { usually: Some(usually), .. }) => {
            let note = format!("a placeholder there: {variable} in the environment goes over it");
            draft.put(key, Line::noted(pair, usually, &note));
        }
        Some(Placeholder::Variable { name, usually: None }) if is_security => draft.refer(key, pair, name),
        _ => draft.leave(pair, format!("its value is filled in there: set {variable} in the environment")),
    }
}

/// Takes user's name and password out of a line of JAAS.
pub(super) fn login(draft: &mut Draft, pair: &Pair) {
    let login = match jaas::parse(&Secret::new(pair.value.as_str())) {
        Ok(login) => login,
        Err(reason) => return draft.leave(pair, format!("it is no line of JAAS: {reason}")),
    };
    if login.module == "OAuthBearerLoginModule" {
        return draft.leave(pair, TOKENS.to_owned());
    }
    let mut options = login.options;
    let keys = ["kafka.sasl.username", "kafka.sasl.password"].map(reference::key);
    match (options.remove("username"), options.remove("password"), keys) {
        (Some(username), Some(password), [Some(name_key), Some(password_key)]) => {
            super::put(draft, pair, name_key.path, username.expose());
            refer(draft, pair, password_key.path, password.expose());
            if !options.is_empty() {
                let names: Vec<&str> = options.keys().map(String::as_str).collect();
                draft.leave(pair, format!("{} in it: {NO_OPTIONS}", names.join(", ")));
            }
        }
        (Some(_), Some(_), _) => draft.leave(pair, "it has no equivalent in this version".to_owned()),
        _ => draft.leave(pair, "only logins with username and password are known here".to_owned()),
    }
}

//! Who we say we are: `sasl.*`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use steadfast_kafka::security::{Sasl, ScramHash, Secret, TokenSource};

use super::super::super::choices::{SaslMechanism, SecurityProtocol};
use super::super::super::{files, jaas};
use super::{Said, Table, durations};
use crate::tokens::{LARGEST_TOKEN, TokenCommand, TokenFile};

/// The login module that belongs to a mechanism.
fn module(mechanism: SaslMechanism) -> &'static str {
    match mechanism {
        SaslMechanism::Plain => "PlainLoginModule",
        SaslMechanism::ScramSha256 | SaslMechanism::ScramSha512 => "ScramLoginModule",
        SaslMechanism::OauthBearer => "OAuthBearerLoginModule",
    }
}

/// The program and how many arguments it is given: one of them may be a secret.
fn command_shown(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [program] => program.clone(),
        [program, _] => format!("{program} with 1 argument"),
        [program, arguments @ ..] => format!("{program} with {} arguments", arguments.len()),
    }
}

impl Table<'_, '_> {
    pub(super) fn token_timeout(&mut self) -> Option<Duration> {
        let timeout = self.from.duration(self.key("sasl.oauthbearer.token.timeout.ms"))?;
        self.say("sasl.oauthbearer.token.timeout.ms", durations::to_text(timeout));
        Some(timeout)
    }

    pub(super) fn sasl(&mut self, protocol: SecurityProtocol, timeout: Duration) -> Option<Option<Sasl>> {
        if !protocol.has_sasl() {
            return Some(None);
        }
        if !self.is_set("sasl.mechanism") {
            let what = format!("is not set, and `{}` is {protocol}", self.key("security.protocol"));
            self.refuse(
                "sasl.mechanism",
                &what,
                "write PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, whichever the listener offers",
            );
            return None;
        }
        let mechanism: SaslMechanism = self.from.choice(self.key("sasl.mechanism"))?;
        self.say("sasl.mechanism", mechanism.to_string());
        if mechanism == SaslMechanism::OauthBearer {
            return self.bearer(timeout).map(Some);
        }
        let (username, password) = self.login(mechanism)?;
        let username: Arc<str> = username.expose().into();
        Some(Some(match mechanism {
            SaslMechanism::ScramSha256 => Sasl::Scram { hash: ScramHash::Sha256, username, password },
            SaslMechanism::ScramSha512 => Sasl::Scram { hash: ScramHash::Sha512, username, password },
            SaslMechanism::Plain | SaslMechanism::OauthBearer => Sasl::Plain { username, password },
        }))
    }

    /// Username and password, whichever of the two ways they are given in.
    fn login(&mut self, mechanism: SaslMechanism) -> Option<(Secret, Secret)> {
        for name in ["sasl.oauthbearer.token.endpoint.url", "sasl.oauthbearer.token.command"] {
            if self.is_set(name) {
                let what = format!("is set, but the mechanism is {mechanism}");
                self.refuse(name, &what, "leave it out, or write sasl.mechanism = \"OAUTHBEARER\"");
            }
        }
        if self.is_set("sasl.jaas.config") {
            return self.jaas_login(mechanism);
        }
        let (username, password) = (self.text("sasl.username"), self.secret("sasl.password"));
        match (username?, password?) {
            (Some(username), Some(password)) => Some((username, password)),
            (Some(_), None) => {
                let advice = "set the password, for instance as \"${file:/run/secrets/kafka}\"";
                self.refuse("sasl.password", "is not set, but `sasl.username` is", advice);
                None
            }
            (None, Some(_)) => {
                self.refuse(
                    "sasl.username",
                    "is not set, but `sasl.password` is",
                    "say whose password it is",
                );
                None
            }
            (None, None) => {
                let what =
                    format!("is not set, and neither is `sasl.jaas.config`: {mechanism} needs a username");
                self.refuse("sasl.username", &what, "set sasl.username and sasl.password");
                None
            }
        }
    }

    fn jaas_login(&mut self, mechanism: SaslMechanism) -> Option<(Secret, Secret)> {
        if let Some(name) = ["sasl.username", "sasl.password"].into_iter().find(|name| self.is_set(name)) {
            self.refuse(name, "is set, and `sasl.jaas.config` too", "keep one of the two ways");
            return None;
        }
        let mut login = self.jaas(mechanism)?;
        let (username, password) = (login.options.remove("username"), login.options.remove("password"));
        let (Some(username), Some(password)) = (username, password) else {
            let what = "has no username or no password among its options";
            self.refuse("sasl.jaas.config", what, "write username=\"…\" password=\"…\" after `required`");
            return None;
        };
        if !login.options.is_empty() {
            let what = "has options besides username and password";
            self.refuse(
                "sasl.jaas.config",
                what,
                "leave them out: delegation tokens are not in this version",
            );
            return None;
        }
        let (username, password) = (self.option(&username)?, self.option(&password)?);
        let content = Secret::new(format!("{}\n{}", username.expose(), password.expose()));
        self.said
            .insert(self.key("sasl.jaas.config"), Said { shown: "set".to_owned(), content: Some(content) });
        Some((username, password))
    }

    /// What an option of the line comes to: references in it are looked up after it was taken apart, so that
    /// passwords need no quoting.
    fn option(&mut self, text: &Secret) -> Option<Secret> {
        self.resolved("sasl.jaas.config", text, "set".to_owned())
    }

    fn jaas(&mut self, mechanism: SaslMechanism) -> Option<jaas::Login> {
        let line = self.from.secret_if_set(self.key("sasl.jaas.config"))??;
        let expected = module(mechanism);
        match jaas::parse(&line) {
            Ok(login) if login.module == expected => Some(login),
            Ok(_) => {
                let what = format!("names another login module than {expected}, which {mechanism} needs");
                self.refuse("sasl.jaas.config", &what, "correct it, or sasl.mechanism");
                None
            }
            Err(reason) => {
                let advice = format!(
                    "write it as {expected} required username=\"…\" password=\"…\"; or use sasl.username"
                );
                self.refuse("sasl.jaas.config", &format!("is no line of JAAS: {reason}"), advice);
                None
            }
        }
    }

    fn bearer(&mut self, timeout: Duration) -> Option<Sasl> {
        for name in ["sasl.username", "sasl.password"] {
            if self.is_set(name) {
                self.refuse(
                    name,
                    "is set, but the mechanism is OAUTHBEARER",
                    "leave it out: a token says who we are",
                );
            }
        }
        if self.is_set("sasl.jaas.config") && !self.jaas(SaslMechanism::OauthBearer)?.options.is_empty() {
            let what = "has options, and tokens are not asked for by steadfast itself in this version";
            let advice = "let sasl.oauthbearer.token.command print one, and leave the options out";
            self.refuse("sasl.jaas.config", what, advice);
            return None;
        }
        let url = self.text("sasl.oauthbearer.token.endpoint.url");
        let command = self.from.words_if_set(self.key("sasl.oauthbearer.token.command"));
        let tokens: Arc<dyn TokenSource> = match (url?, command?) {
            (Some(url), None) => Arc::new(self.token_file(url.expose())?),
            (None, Some(words)) => {
                let said =
                    Said { shown: command_shown(&words), content: Some(Secret::new(words.join("\0"))) };
                self.said.insert(self.key("sasl.oauthbearer.token.command"), said);
                Arc::new(TokenCommand::new(words, timeout))
            }
            (None, None) => {
                let what =
                    "is not set, and neither is `sasl.oauthbearer.token.command`: OAUTHBEARER needs a token";
                let advice = "name the file that holds it, or the command that prints it";
                self.refuse("sasl.oauthbearer.token.endpoint.url", what, advice);
                return None;
            }
            (Some(_), Some(_)) => {
                let what = "is set, and `sasl.oauthbearer.token.endpoint.url` too";
                self.refuse("sasl.oauthbearer.token.command", what, "keep one of them");
                return None;
            }
        };
        Some(Sasl::OauthBearer { tokens })
    }

    fn token_file(&mut self, url: &str) -> Option<TokenFile> {
        const KEY: &str = "sasl.oauthbearer.token.endpoint.url";
        let path = url.strip_prefix("file://").or_else(|| url.strip_prefix("file:"));
        let Some(path) = path.filter(|path| path.starts_with('/')).map(Path::new) else {
            let advice = "write it as file:///path, or let sasl.oauthbearer.token.command fetch the token";
            self.refuse(KEY, "must be a file: URL: tokens are not fetched over HTTP in this version", advice);
            return None;
        };
        if let Err(error) = files::read(path, LARGEST_TOKEN) {
            let what = format!("names {}, which cannot be read ({error})", path.display());
            self.refuse(KEY, &what, "name the file that holds the token");
            return None;
        }
        Some(TokenFile::new(path.to_owned()))
    }
}

//! Which cluster a client command asks, and as whom: a configuration file, or the command line alone.

use std::path::{Path, PathBuf};

use clap::Args;

use super::ConfigArgs;
use super::run::{environment, load};
use crate::config::{Config, ConfigError};

/// Which cluster is asked, and as whom. Environment variables count as for the service.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ClientArgs {
    /// The configuration file of a service (TOML), for the addresses and the security settings in it.
    #[arg(long, value_name = "FILE", required_unless_present = "bootstrap_server")]
    pub config: Option<PathBuf>,
    /// Where the cluster is: without a file, or in place of what the file says.
    #[arg(short = 'b', long, value_name = "HOST:PORT[,...]")]
    pub bootstrap_server: Option<String>,
    /// A setting by Kafka's name, such as security.protocol=SASL_SSL; may be repeated. Secrets come from the environment
    /// or as ${file:/path}.
    #[arg(short = 'X', value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// A setting over file and environment, such as endpoints.override=...; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub sets: Vec<String>,
}

/// What a configuration has to have and nobody asks for here: no topic is read, no group joined, nothing stored.
const WITHOUT_A_FILE: &str =
    "topics = [\"none\"]\nkafka.\"group.id\" = \"none\"\nstate.dir = \"/nonexistent\"\n";

impl ClientArgs {
    /// The configuration that connections are made by.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub(super) fn load(&self) -> Result<Config, ConfigError> {
        let sets = self.all_sets();
        match &self.config {
            Some(config) => load(&ConfigArgs { config: config.clone(), sets }).map(|(config, _)| config),
            None => {
                let nowhere = Path::new("(no file)");
                Config::from_text(nowhere, WITHOUT_A_FILE, environment().into_iter(), &sets)
            }
        }
    }

    fn all_sets(&self) -> Vec<String> {
        let bootstrap = self.bootstrap_server.iter().map(|at| format!("kafka.bootstrap.servers={at}"));
        let by_kafkas_names = self.settings.iter().map(|set| match set.starts_with("kafka.") {
            true => set.clone(),
            false => format!("kafka.{set}"),
        });
        self.sets.iter().cloned().chain(bootstrap).chain(by_kafkas_names).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(settings: &[&str]) -> ClientArgs {
        ClientArgs {
            config: None,
            bootstrap_server: Some("a:1,b:2".to_owned()),
            settings: settings.iter().map(|set| (*set).to_owned()).collect(),
            sets: Vec::new(),
        }
    }

    #[test]
    fn a_bootstrap_server_is_enough() {
        let config = args(&[]).load().unwrap();
        let servers: Vec<String> = config.kafka.bootstrap_servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["a:1", "b:2"]);
    }

    #[test]
    fn settings_have_kafkas_names_with_or_without_the_table() {
        let config = args(&["client.id=me", "kafka.request.timeout.ms=5s"]).load().unwrap();
        assert_eq!(config.kafka.client_id, "me");
        assert_eq!(config.kafka.request_timeout.as_secs(), 5);
    }

    #[test]
    fn a_wrong_setting_is_named_and_a_secret_is_refused() {
        let error = args(&["securty.protocol=SSL"]).load().unwrap_err().to_string();
        assert!(error.contains("kafka.securty.protocol") && error.contains("security.protocol"), "{error}");
        let error = args(&["sasl.password=hunter2"]).load().unwrap_err().to_string();
        assert!(error.contains("whoever lists processes") && !error.contains("hunter2"), "{error}");
    }
}

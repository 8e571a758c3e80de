//! Why a world could not be played to its end.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use steadfast_sim::topics::TopicError;
use tokio::sync::Notify;

use crate::config::ConfigError;
use crate::locked::locked;

/// Why a world could not be played to its end. It says nothing about the service.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The system gave no runtime.
    #[error("there is no runtime for a simulated world: {0}")]
    Runtime(#[source] io::Error),
    /// A service was started outside of a world.
    #[error("a service was started where there is no world")]
    NoSystem,
    /// The cluster has no such topic.
    #[error("the cluster in memory has no topic: {0}")]
    Topic(#[from] TopicError),
    /// A service's configuration is wrong.
    #[error("the configuration of {service} is wrong: {error}")]
    Configuration {
        /// The service.
        service: String,
        /// What is wrong.
        error: ConfigError,
    },
    /// A service's configuration file could not be written.
    #[error("{} cannot be written: {error}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What was to be done to the world cannot be done.
    #[error("{0}")]
    Deed(String),
}

/// The first failure of a world ends it. A clone is the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Failures {
    first: Arc<Mutex<Option<WorldError>>>,
    noted: Arc<Notify>,
}

impl Failures {
    pub(super) fn note(&self, error: WorldError) {
        locked(&self.first).get_or_insert(error);
        self.noted.notify_one();
    }

    pub(super) fn take(&self) -> Option<WorldError> {
        locked(&self.first).take()
    }

    /// Resolves with the first failure.
    pub(super) async fn first(&self) -> WorldError {
        loop {
            if let Some(error) = self.take() {
                return error;
            }
            self.noted.notified().await;
        }
    }
}

//! Where bad records go: a topic, or a file.

use std::sync::Arc;

use crate::config::{self, Config};
use crate::consume::letter::DeadLetters;
use crate::env::Env;
use crate::sinks::kafka::Target;

pub use file::LetterFile;
pub use topic::{LetterTopic, Letterhead};

mod file;
mod topic;

/// What the configuration names; none if bad records are not tolerated.
pub(crate) fn configured(config: &Config, env: &Env) -> Option<Arc<dyn DeadLetters>> {
    let head = Letterhead { group: config.kafka.group_id.clone(), instance: config.instance().to_owned() };
    match config.errors.dead_letters.as_ref()? {
        config::DeadLetters::File(path) => Some(Arc::new(LetterFile::new(path.clone(), head))),
        config::DeadLetters::Topic(topic) => {
            let bootstrap = topic.bootstrap_servers.clone();
            let bootstrap = bootstrap.unwrap_or_else(|| config.kafka.bootstrap_servers.clone());
            let target = Target::new(env.placement.io.clone(), topic.name.as_str(), bootstrap);
            Some(Arc::new(LetterTopic::new(target, topic.context_headers.then_some(head))))
        }
    }
}

//! Where bad records go: a topic, or a file.

use std::sync::Arc;

use steadfast_watch as watch;

use crate::config::{self, Config};
use crate::consume::letter::DeadLetters;
use crate::env::Env;
use crate::sinks::kafka::{Target, Written};

pub use file::LetterFile;
pub use topic::{LetterTopic, Letterhead};

mod file;
mod topic;

/// What the configuration names; none if bad records are not tolerated.
pub(crate) fn configured(configured: &watch::Sender<Arc<Config>>, env: &Env) -> Option<Arc<dyn DeadLetters>> {
    let config = Arc::clone(&configured.borrow());
    let head = Letterhead { group: config.kafka.group_id.clone(), instance: config.instance().to_owned() };
    match config.errors.dead_letters.as_ref()? {
        config::DeadLetters::File(path) => Some(Arc::new(LetterFile::new(path.clone(), head))),
        config::DeadLetters::Topic(topic) => {
            let cluster = Written::Consumed(configured.subscribe());
            let target = Target::new(env.placement.io.clone(), topic.name.as_str(), cluster);
            Some(Arc::new(LetterTopic::new(target, topic.context_headers.then_some(head))))
        }
    }
}

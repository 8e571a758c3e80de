//! A service that runs to the end of its topics, and what it says of itself when it stops. What fails panics, as a
//! trial does.
#![expect(clippy::unwrap_used, reason = "what fails here fails its trial")]

use std::time::Duration;

use serde_json::Value;

use crate::service::{Service, Workplace};

const LIMIT: Duration = Duration::from_secs(60);

/// A run to the end, which has to be a good one.
pub fn run_to_the_end(workplace: &Workplace, config: &str) -> Service {
    workplace.configure(config).unwrap();
    let mut service = Service::run(workplace, &["--until-end"]).unwrap();
    let status = service.wait(LIMIT).unwrap();
    assert_eq!(status.code(), Some(0), "{}", service.story());
    assert_eq!(service.strange_lines(), Vec::<String>::new());
    service
}

/// What `service.stopped` says.
pub fn stopped(service: &Service) -> Value {
    let events = service.events();
    let last = events.last().unwrap();
    assert_eq!(last.name, "service.stopped", "{}", service.story());
    last.json.clone()
}

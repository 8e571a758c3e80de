//! steadfast, as a process.

use std::io;
use std::time::Duration;

use steadfast_tests::checker::Checker;
use steadfast_tests::service::{Service, Workplace, usual_config};

use super::client::{Consumer, Place};
use crate::scene::binary;

const END_LIMIT: Duration = Duration::from_secs(10);

pub(super) struct Process {
    service: Service,
    /// Its configuration and state are in it.
    _workplace: Workplace,
}

impl Process {
    pub(super) fn start(Place { bootstrap, name }: Place<'_>) -> io::Result<Process> {
        let workplace = Workplace::new()?;
        workplace.configure(&usual_config(bootstrap, name, name))?;
        let service = Service::start(&binary()?, &workplace, &[])?;
        Ok(Process { service, _workplace: workplace })
    }
}

impl Consumer for Process {
    fn seen(&mut self) -> Checker {
        self.service.checker()
    }

    fn end(mut self: Box<Self>) {
        if let Err(error) = self.service.signal("TERM").and_then(|()| self.service.wait(END_LIMIT)) {
            eprintln!("steadfast did not end in order: {error}");
        }
    }
}

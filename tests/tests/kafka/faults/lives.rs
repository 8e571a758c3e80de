//! A service that ends and is started again, judged over all of its lives.

use std::path::Path;

use steadfast_tests::checker::Verdict;
use steadfast_tests::kafka::Cluster;
use steadfast_tests::service::Service;

use crate::rehearsal::{LIMIT, Opening, PARTITIONS, Rehearsal};

/// A rehearsal whose service has several lives.
pub(crate) struct Lives {
    pub(crate) rehearsal: Rehearsal,
    ended: Vec<Service>,
}

impl Lives {
    pub(crate) fn begin(opening: Opening<'_>, cluster: &Cluster) -> Lives {
        Lives { rehearsal: opening.begin(cluster), ended: Vec::new() }
    }

    /// Waits for the end of the current life; its exit code.
    pub(crate) fn await_end(&mut self) -> Option<i32> {
        self.rehearsal.service.wait(LIMIT).unwrap().code()
    }

    /// The next life of the service: by steadfast's own binary, or by another one.
    pub(crate) fn next(&mut self, binary: Option<&str>) {
        let workplace = &self.rehearsal.workplace;
        let next = match binary {
            Some(binary) => Service::start(Path::new(binary), workplace, &[]).unwrap(),
            None => Service::run(workplace, &[]).unwrap(),
        };
        self.ended.push(std::mem::replace(&mut self.rehearsal.service, next));
        let partitions = usize::try_from(PARTITIONS).unwrap();
        self.rehearsal.service.wait_until_consuming(LIMIT, partitions).unwrap();
    }

    /// Ends the load, waits until all of it came out of some life, ends the last life in order, and judges.
    pub(crate) fn finish(self) -> (Verdict, Service) {
        self.rehearsal.finish_after(&self.ended)
    }
}

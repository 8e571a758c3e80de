//! The example configurations, as steadfast reads them.

use std::fs;

use libtest_mimic::Trial;
use steadfast::config::Config;

use crate::mounted::Mounted;
use crate::path;
use crate::programs::trial;

pub(crate) fn trials() -> Vec<Trial> {
    vec![trial("examples::every_configuration_is_one", &[], loaded)]
}

fn loaded() {
    let mounted = Mounted::new();
    let mut found = 0;
    for entry in fs::read_dir(path("deploy/examples")).unwrap() {
        let file = entry.unwrap().path();
        let text = fs::read_to_string(&file).unwrap();
        if let Err(error) = Config::load(mounted.configuration(&text), std::iter::empty(), &[]) {
            panic!("{}: {error}", file.display());
        }
        found += 1;
    }
    assert!(found >= 6, "only {found} examples");
}

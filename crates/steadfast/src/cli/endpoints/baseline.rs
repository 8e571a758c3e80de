//! A view kept in a file, to compare with later.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use steadfast_core::endpoints::view::{Address, View};
use steadfast_core::ids::{ClusterId, NodeId};

use crate::drift::last_known_good::LastKnownGood;
use crate::env::{Store, real::Directory};

/// No view is larger: 1 MiB is some 20,000 brokers.
const MOST_BYTES: u64 = 1 << 20;

/// The file: what `endpoints.json` in the state directory holds, and when it was saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Saved {
    cluster: Option<ClusterId>,
    endpoints: BTreeMap<i32, Address>,
    /// In UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    saved_at: Option<String>,
}

/// What the agreed view is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Baseline {
    /// Where it was found.
    pub(super) from: PathBuf,
    /// When it was saved, where the file says so.
    pub(super) saved_at: Option<String>,
    pub(super) view: View<NodeId>,
}

impl Baseline {
    /// What `--save` left there, or a copy of `endpoints.json`.
    pub(super) fn read(from: &Path) -> io::Result<Baseline> {
        let mut bytes = Vec::new();
        File::open(from)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than 1 MiB"));
        }
        let Saved { cluster, endpoints, saved_at } = serde_json::from_slice(&bytes)?;
        let view = LastKnownGood { cluster, endpoints }.view();
        Ok(Baseline { from: from.to_owned(), saved_at, view })
    }
}

/// Writes `good` into the file at `path` in one step.
pub(super) fn save(path: &Path, good: LastKnownGood, saved_at: String) -> io::Result<()> {
    let LastKnownGood { cluster, endpoints } = good;
    let saved = Saved { cluster, endpoints, saved_at: Some(saved_at) };
    let mut bytes = serde_json::to_vec_pretty(&saved)?;
    bytes.push(b'\n');
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "it names no file"))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Directory(directory.unwrap_or(Path::new(".")).to_owned()).save(name, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> View<NodeId> {
        View::new(Some("c".into()), [(NodeId(1), Address::new("kafka-1", 9092))])
    }

    #[test]
    fn what_is_saved_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("before.json");
        save(&file, LastKnownGood::of(&view()), "2026-01-01T00:00:00.000Z".into()).unwrap();
        let read = Baseline::read(&file).unwrap();
        assert_eq!((read.view, read.saved_at.as_deref()), (view(), Some("2026-01-01T00:00:00.000Z")));
    }

    #[test]
    fn a_copy_of_the_state_file_is_a_baseline_too() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("endpoints.json");
        std::fs::write(&file, r#"{"cluster":"c","endpoints":{"1":"kafka-1:9092"}}"#).unwrap();
        assert_eq!(Baseline::read(&file).unwrap().view, view());
    }

    #[test]
    fn what_is_no_baseline_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("before.json");
        for wrong in ["", "[]", r#"{"cluster":"c"}"#, r#"{"cluster":"c","endpoints":{"1":"kafka"}}"#] {
            std::fs::write(&file, wrong).unwrap();
            assert!(Baseline::read(&file).is_err(), "{wrong:?}");
        }
        let long = format!("{{\"cluster\":\"{}\",\"endpoints\":{{}}}}", "c".repeat(2 << 20));
        std::fs::write(&file, long).unwrap();
        assert!(Baseline::read(&file).unwrap_err().to_string().contains("larger"));
    }
}

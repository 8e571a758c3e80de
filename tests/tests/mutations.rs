//! The deliberate defects of the mutation check, kept applicable to the code as it is.

use std::path::{Path, PathBuf};
use std::process::Command;

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn patches() -> Vec<PathBuf> {
    let listed = std::fs::read_dir(workspace().join("tests/mutations")).unwrap();
    let paths = listed.map(|entry| entry.unwrap().path());
    let mut patches: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "patch")).collect();
    patches.sort();
    patches
}

#[test]
fn there_are_ten_deliberate_defects() {
    assert_eq!(patches().len(), 10);
}

#[test]
fn every_deliberate_defect_still_applies() {
    for patch in patches() {
        let output = Command::new("git")
            .current_dir(workspace())
            .args(["apply", "--check", "--whitespace=nowarn"])
            .arg(patch.canonicalize().unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", patch.display());
    }
}

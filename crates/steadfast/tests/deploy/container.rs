//! The image's recipe, as far as it can be judged without a container engine.

use std::process::Command;

use libtest_mimic::Trial;

use crate::programs::{told, trial};
use crate::{path, read};

const DOCKERFILE: &str = "deploy/container/Dockerfile";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("container::the_recipe_is_one_without_a_warning", &["hadolint"], linted),
        trial("container::it_is_built_with_the_rust_that_the_sources_ask_for", &[], rust),
        trial("container::what_the_build_reads_is_not_ignored", &[], context),
        trial("container::the_image_and_the_pods_agree", &[], agreed),
    ]
}

fn linted() {
    let output = Command::new("hadolint").arg(path(DOCKERFILE)).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
}

fn rust() {
    let workspace = read("Cargo.toml");
    let (_, version) = workspace.split_once("\nrust-version = \"").unwrap();
    let (version, _) = version.split_once('"').unwrap();
    assert!(read(DOCKERFILE).contains(&format!("\nARG RUST={version}\n")), "{version}");
}

/// All members are there, for Cargo reads the manifest of each.
fn context() {
    let ignored = read("deploy/container/Dockerfile.dockerignore");
    let allowed: Vec<&str> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert!(ignored.lines().any(|line| line == "*"));
    for needed in ["Cargo.lock", "Cargo.toml", "crates", "tests/Cargo.toml"] {
        assert!(allowed.contains(&needed), "{needed} is not in {allowed:?}");
    }
    for entry in allowed {
        assert!(path(entry).exists(), "{entry} does not exist");
    }
}

/// A user, a state directory and a port.
fn agreed() {
    let (image, pods) = (read(DOCKERFILE), read("deploy/kubernetes/base/statefulset.yaml"));
    for (in_image, in_pods) in [
        ("\nUSER 65532:65532\n", "\n        runAsUser: 65532\n        runAsGroup: 65532\n"),
        ("STEADFAST_STATE_DIR=/var/lib/steadfast", "\n              value: /var/lib/steadfast\n"),
        ("STEADFAST_HTTP_LISTEN=0.0.0.0:9404", "\n              value: 0.0.0.0:9404\n"),
        ("\"/etc/steadfast/steadfast.toml\"", "/etc/steadfast/steadfast.toml"),
    ] {
        assert!(image.contains(in_image), "{in_image} is not in the image");
        assert!(pods.contains(in_pods), "{in_pods} is not in the pods");
    }
}

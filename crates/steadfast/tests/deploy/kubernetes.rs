//! The manifests: as kustomize builds them, as Kubernetes' schemas want them, and as steadfast reads what they set.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use serde::Deserialize;
use serde_yaml_ng::{Deserializer, Value};
use steadfast::config::Config;

use crate::mounted::Mounted;
use crate::path;
use crate::programs::{succeed, told, trial};

const BASE: &str = "deploy/kubernetes/base";
/// The oldest and the newest Kubernetes that manifests are held against.
const VERSIONS: [&str; 2] = ["1.30", "1.37"];
/// What `run` may take to end on top of `checkpoint.drain` (docs/operations.md).
const END: Duration = Duration::from_secs(30);

pub(crate) fn trials() -> Vec<Trial> {
    const VALIDATED: &[&str] = &["kustomize", "kubernetes-validate"];
    const BUILT: &[&str] = &["kustomize"];
    vec![
        trial("kubernetes::every_manifest_is_one_of_its_schema", VALIDATED, validated),
        trial("kubernetes::a_misspelt_manifest_is_noticed", VALIDATED, misspelt),
        trial("kubernetes::the_pods_configuration_is_one", BUILT, configured),
        trial("kubernetes::every_pod_is_a_static_member_of_its_own", BUILT, members),
        trial("kubernetes::a_pod_may_take_the_time_that_it_needs_to_end", BUILT, ended),
        trial("kubernetes::probes_ask_where_the_service_answers", BUILT, probed),
        trial("kubernetes::a_changed_configuration_is_swapped_in_place", BUILT, swapped),
        trial("kubernetes::pods_are_restricted", BUILT, restricted),
        trial("kubernetes::the_budget_covers_the_pods", BUILT, covered),
        trial("kubernetes::the_budget_names_its_pods_by_itself", &[], selects),
    ]
}

/// The base and all overlays.
fn all() -> Vec<String> {
    let overlays = fs::read_dir(path("deploy/kubernetes/overlays")).unwrap();
    let overlays =
        overlays.map(|of| format!("deploy/kubernetes/overlays/{}", of.unwrap().file_name().display()));
    let all: Vec<String> = overlays.chain([BASE.to_owned()]).collect();
    assert!(all.len() > 2, "{all:?}");
    all
}

fn build(directory: &str) -> String {
    succeed(Command::new("kustomize").arg("build").arg(path(directory)))
}

/// The manifests of a directory by their kinds.
fn manifests(directory: &str) -> BTreeMap<String, Value> {
    let text = build(directory);
    let documents = Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap());
    documents.map(|document| (document["kind"].as_str().unwrap().to_owned(), document)).collect()
}

/// The pods of a directory, as its StatefulSet makes them.
fn pod(directory: &str) -> Value {
    manifests(directory)["StatefulSet"]["spec"]["template"]["spec"].clone()
}

fn container(directory: &str) -> Value {
    pod(directory)["containers"][0].clone()
}

/// The environment of the pod that is called `name`.
fn environment(directory: &str, name: &str) -> BTreeMap<String, String> {
    let container = container(directory);
    let value = |variable: &Value| match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
        Some(field) => {
            assert_eq!(field, "metadata.name");
            name.to_owned()
        }
        None => variable["value"].as_str().unwrap().to_owned(),
    };
    let variables = container["env"].as_sequence().unwrap().iter();
    variables.map(|variable| (variable["name"].as_str().unwrap().to_owned(), value(variable))).collect()
}

/// The configuration of the pod that is called `name`, from its ConfigMap and its environment.
fn config(directory: &str, name: &str) -> Config {
    let manifests = manifests(directory);
    let text = manifests["ConfigMap"]["data"]["steadfast.toml"].as_str().unwrap();
    let mounted = Mounted::new();
    Config::load(mounted.configuration(text), environment(directory, name).into_iter(), &[]).unwrap()
}

/// What the schemas of a version have to say.
fn findings(manifests: &str, version: &str) -> String {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(manifests.as_bytes()).unwrap();
    let mut command = Command::new("kubernetes-validate");
    command.args(["--strict", "--quiet", "-k", version]).arg(file.path());
    let output = command.output().unwrap();
    if output.status.success() { String::new() } else { told(&output) }
}

fn validated() {
    for directory in all() {
        let manifests = build(&directory);
        for version in VERSIONS {
            assert_eq!(findings(&manifests, version), "", "{directory} on {version}");
        }
    }
}

fn misspelt() {
    let misspelt = build(BASE).replace("podManagementPolicy", "podManagmentPolicy");
    assert!(findings(&misspelt, VERSIONS[0]).contains("podManagmentPolicy"));
}

fn configured() {
    for directory in all() {
        let config = config(&directory, "steadfast-0");
        let pod = container(&directory);
        let writable =
            pod["volumeMounts"].as_sequence().unwrap().iter().filter(|mount| mount["readOnly"] != true);
        let writable: Vec<PathBuf> =
            writable.map(|mount| mount["mountPath"].as_str().unwrap().into()).collect();
        assert_eq!(writable, [config.state.dir], "{directory}");
    }
}

fn members() {
    for directory in all() {
        let spec = manifests(&directory)["StatefulSet"]["spec"].clone();
        assert!(spec["replicas"].as_u64().unwrap() > 1);
        for name in ["steadfast-0", "steadfast-1"] {
            assert_eq!(
                config(&directory, name).kafka.group_instance_id.as_deref(),
                Some(name),
                "{directory}"
            );
        }
        let replaced =
            Duration::from_secs(spec["template"]["spec"]["terminationGracePeriodSeconds"].as_u64().unwrap());
        let session = config(&directory, "steadfast-0").kafka.session_timeout;
        assert!(session > replaced + Duration::from_secs(30), "{session:?} is no time to be replaced in");
    }
}

fn ended() {
    for directory in all() {
        let grace = pod(&directory)["terminationGracePeriodSeconds"].as_u64().unwrap();
        let needed = config(&directory, "steadfast-0").checkpoint.drain + END;
        assert!(Duration::from_secs(grace) >= needed, "{directory}: {grace} s for {needed:?}");
    }
}

fn probed() {
    for directory in all() {
        let pod = container(&directory);
        let listen = environment(&directory, "steadfast-0")["STEADFAST_HTTP_LISTEN"].clone();
        let port = &pod["ports"][0];
        assert_eq!(listen, format!("0.0.0.0:{}", port["containerPort"].as_u64().unwrap()), "{directory}");
        for (probe, asked) in
            [("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")]
        {
            assert_eq!(pod[probe]["httpGet"]["path"], asked, "{directory}: {probe}");
            assert_eq!(pod[probe]["httpGet"]["port"], port["name"], "{directory}: {probe}");
        }
    }
}

/// Under one name for ever, and as a directory: only so the kubelet swaps its `..data`.
fn swapped() {
    for directory in all() {
        let manifests = manifests(&directory);
        let name = &manifests["ConfigMap"]["metadata"]["name"];
        assert_eq!(name, "steadfast");
        let volumes = pod(&directory)["volumes"].clone();
        let volume =
            volumes.as_sequence().unwrap().iter().find(|volume| volume["configMap"]["name"] == *name);
        let mounts = container(&directory)["volumeMounts"].clone();
        let mount =
            mounts.as_sequence().unwrap().iter().find(|mount| mount["name"] == volume.unwrap()["name"]);
        let mount = mount.unwrap();
        assert_eq!(
            (&mount["mountPath"], mount.get("subPath")),
            (&"/etc/steadfast".into(), None),
            "{directory}"
        );
    }
}

fn restricted() {
    for directory in all() {
        let (pod, container) = (pod(&directory), container(&directory));
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
        assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
        assert_eq!(container["securityContext"]["capabilities"]["drop"][0], "ALL");
    }
}

/// Whether the pods of a StatefulSet are among those that a budget is for. In policy/v1 a budget without a selector
/// is for none.
fn assert_covered(budget: &Value, labels: &Value, of: &str) {
    let wanted = budget["spec"]["selector"]["matchLabels"].as_mapping();
    let wanted = wanted.filter(|wanted| !wanted.is_empty()).unwrap_or_else(|| panic!("{of}: no selector"));
    for (label, value) in wanted {
        assert_eq!(labels.get(label), Some(value), "{of}: {label:?}");
    }
}

fn covered() {
    for directory in all() {
        let manifests = manifests(&directory);
        let template = &manifests["StatefulSet"]["spec"]["template"];
        assert_covered(&manifests["PodDisruptionBudget"], &template["metadata"]["labels"], &directory);
    }
}

/// As the files have it: whatever builds them, a selector that is not there is not filled in.
fn selects() {
    let read = |name: &str| -> Value {
        serde_yaml_ng::from_str(&fs::read_to_string(path(BASE).join(name)).unwrap()).unwrap()
    };
    let labels = read("kustomization.yaml")["labels"][0].clone();
    assert_eq!(labels["includeTemplates"], true);
    assert_covered(&read("poddisruptionbudget.yaml"), &labels["pairs"], BASE);
}

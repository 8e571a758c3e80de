//! What the figures were measured on.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use steadfast_tests::kafka::Version;

/// Machine and versions.
pub fn describe() -> Value {
    json!({
        "processor": processor(),
        "cores": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_mb": memory_mb(),
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "kafka": Version::chosen().to_string(),
        "java": said("java", &["-version"]),
        "rustc": said("rustc", &["--version"]),
        "steadfast": env!("CARGO_PKG_VERSION"),
        "commit": said("git", &["describe", "--always", "--dirty"]),
        "profile": if cfg!(debug_assertions) { "debug" } else { "release" },
    })
}

/// Processes that ran or waited to run, over the last minute: what else the machine had to do shows here.
pub fn load_average() -> f64 {
    let load = read("/proc/loadavg");
    load.split_whitespace().next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn processor() -> String {
    let info = read("/proc/cpuinfo");
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    model.map_or("unknown", |model| model.trim_start_matches([' ', '\t', ':'])).to_owned()
}

fn memory_mb() -> u64 {
    let info = read("/proc/meminfo");
    let total = info.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    total.and_then(|total| total.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// The first line that a program prints about itself.
fn said(program: &str, arguments: &[&str]) -> String {
    let Ok(output) = Command::new(program).args(arguments).output() else { return "unknown".to_owned() };
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").to_owned()
}

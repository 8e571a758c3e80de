//! What the documents show is so: examples are the code's, links lead somewhere.
#![expect(clippy::unwrap_used, reason = "a document that cannot be read fails its test")]

use std::fs;
use std::path::{Path, PathBuf};

use steadfast::config::Config;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// What stands in the first block of this language.
fn example<'a>(text: &'a str, language: &str) -> &'a str {
    let (_, from) = text.split_once(&format!("```{language}\n")).unwrap();
    from.split_once("```").unwrap().0
}

/// README.md and everything under docs/, as paths from the root.
fn documents() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("README.md")];
    let mut open = vec![PathBuf::from("docs")];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(root().join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let path = directory.join(entry.file_name());
            if entry.path().is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// The targets of `[text](target)`.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0)).collect()
}

/// A heading's anchor, as far as our headings need it.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn the_readme_s_library_example_is_that_of_the_library() {
    let service = read("crates/steadfast/src/service.rs");
    let documented = service.lines().filter_map(|line| line.strip_prefix("///"));
    let documented = documented.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let text: String = documented.map(|line| format!("{line}\n")).collect();
    let shown: String = example(&text, "no_run").lines().filter(|line| !line.starts_with('#')).collect();
    let readme = read("README.md");
    let printed: String = example(&readme, "rust").lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(printed, shown);
}

#[test]
fn the_readme_s_configuration_is_one() {
    let text = format!("{}\n[state]\ndir = \"/tmp\"\n", example(&read("README.md"), "toml"));
    let config = Config::from_toml_str(&text).unwrap();
    assert_eq!(config.topics.names(), ["orders".into()]);
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let documents = documents();
    assert!(documents.len() > 10, "only {} documents were found", documents.len());
    let mut broken = Vec::new();
    for document in documents {
        let text = fs::read_to_string(root().join(&document)).unwrap();
        for link in links(&text).into_iter().filter(|link| !link.contains("://")) {
            let (path, part) = link.split_once('#').unwrap_or((link, ""));
            let target = root().join(document.parent().unwrap()).join(path);
            let has_part = || {
                let text = fs::read_to_string(&target).unwrap_or_default();
                text.lines()
                    .any(|line| line.starts_with('#') && anchor(line.trim_start_matches(['#', ' '])) == part)
            };
            if !target.exists() || (!part.is_empty() && !has_part()) {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

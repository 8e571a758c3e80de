//! Secrets that stand elsewhere: `${file:/path}` and `${env:NAME}`, in the manner of Kafka's config providers.

use std::collections::BTreeMap;
use std::path::Path;

use steadfast_kafka::security::Secret;

use super::files;

/// What is wrong with a reference; it never says what stands there.
pub(super) struct Wrong {
    pub(super) what: String,
    pub(super) advice: &'static str,
}

/// No password is longer, and no key by far.
const LARGEST: u64 = 64 << 10;

/// Whether the whole text is one reference.
pub(super) fn is_reference(text: &str) -> bool {
    let inner = text.trim().strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    inner.is_some_and(|inner| Reference::of(inner).is_some() && !inner.contains('}'))
}

/// The files that the text refers to.
pub(super) fn files_in(text: &Secret) -> Vec<&Path> {
    let file = |part| match part {
        Part::Reference(Reference::File(path)) => Some(Path::new(path)),
        Part::Reference(Reference::Variable(_)) | Part::Text(_) => None,
    };
    parts(text.expose()).into_iter().filter_map(file).collect()
}

/// The text with what its references name in their place.
pub(super) fn resolve(text: &Secret, environment: &BTreeMap<String, String>) -> Result<Secret, Wrong> {
    let parts = parts(text.expose());
    let resolved: Result<Vec<Secret>, Wrong> =
        parts.into_iter().map(|part| part.resolve(environment)).collect();
    let whole: zeroize::Zeroizing<String> =
        zeroize::Zeroizing::new(resolved?.iter().map(Secret::expose).collect());
    Ok(Secret::new(whole.as_str()))
}

enum Part<'a> {
    Text(&'a str),
    Reference(Reference<'a>),
}

enum Reference<'a> {
    File(&'a str),
    Variable(&'a str),
}

impl<'a> Reference<'a> {
    fn of(inner: &'a str) -> Option<Reference<'a>> {
        match inner.split_once(':')? {
            ("file", path) => Some(Reference::File(path)),
            ("env", name) => Some(Reference::Variable(name)),
            _ => None,
        }
    }
}

/// What is no reference is text: a password may well hold a brace.
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut from, mut look) = (0, 0);
    while let Some(start) = text[look..].find("${").map(|at| look + at) {
        look = start + 2;
        let Some(end) = text[look..].find('}').map(|at| look + at) else { break };
        if let Some(reference) = Reference::of(&text[look..end]) {
            parts.push(Part::Text(&text[from..start]));
            parts.push(Part::Reference(reference));
            (from, look) = (end + 1, end + 1);
        }
    }
    parts.push(Part::Text(&text[from..]));
    parts
}

impl Part<'_> {
    fn resolve(self, environment: &BTreeMap<String, String>) -> Result<Secret, Wrong> {
        match self {
            Part::Text(text) => Ok(Secret::new(text)),
            Part::Reference(Reference::Variable(name)) => environment
                .get(name)
                .filter(|text| !text.is_empty())
                .map(|text| Secret::new(text.as_str()))
                .ok_or_else(|| Wrong {
                    what: format!(
                        "the secret is to be found in the environment variable {name}, which is not set"
                    ),
                    advice: "set it, or refer to another one",
                }),
            Part::Reference(Reference::File(path)) => in_file(Path::new(path)),
        }
    }
}

/// The whole file, without the newline at its end.
fn in_file(path: &Path) -> Result<Secret, Wrong> {
    let wrong = |reason: String| Wrong {
        what: format!("the secret is to be found in {}, which {reason}", path.display()),
        advice: "see that the file holds the secret and nothing else, and that we may read it",
    };
    let bytes = files::read(path, LARGEST).map_err(|error| wrong(format!("cannot be read ({error})")))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("is no text".to_owned()))?;
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() { Err(wrong("is empty".to_owned())) } else { Ok(Secret::new(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Result<String, String> {
        let environment = BTreeMap::from([("PW".to_owned(), "from-env".to_owned())]);
        let resolved = resolve(&Secret::new(text), &environment);
        resolved.map(|secret| secret.expose().to_owned()).map_err(|wrong| wrong.what)
    }

    #[test]
    fn what_is_no_reference_stays_as_it_is() {
        for text in ["plain", "${", "a${b}c", "${vault:x}", "}{$", "${file", "ä${ö}"] {
            assert_eq!(resolved(text).unwrap(), text);
            assert!(!is_reference(text));
        }
    }

    #[test]
    fn references_stand_for_what_they_name() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        let reference = format!("${{file:{}}}", file.display());
        for (content, secret) in
            [("s3cret", "s3cret"), ("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), (" s \n\n", " s \n")]
        {
            std::fs::write(&file, content).unwrap();
            assert_eq!(resolved(&reference).unwrap(), secret);
        }
        assert_eq!(resolved("<${env:PW}>${env:PW}").unwrap(), "<from-env>from-env");
        assert!(is_reference(&reference) && is_reference("${env:PW}") && !is_reference("x${env:PW}"));
        assert_eq!(files_in(&Secret::new(format!("x{reference}"))), [file]);
    }

    #[test]
    fn what_cannot_be_had_is_told_without_what_stands_there() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let told = |name: &str| resolved(&format!("${{file:{}}}", at(name).display())).unwrap_err();
        assert!(told("absent").contains("cannot be read"));
        assert!(told(".").contains("no regular file"));
        std::fs::write(at("empty"), "\n").unwrap();
        assert!(told("empty").contains("is empty"));
        std::fs::write(at("large"), "x".repeat((64 << 10) + 1)).unwrap();
        assert!(told("large").contains("over 65536 bytes"));
        std::fs::write(at("binary"), [0xff, 0xfe]).unwrap();
        assert!(told("binary").contains("is no text"));
        assert!(resolved("${env:ABSENT}").unwrap_err().contains("ABSENT, which is not set"));
    }
}

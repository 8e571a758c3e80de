//! Which Apache Kafka the suites run against.

use std::fmt;
use std::sync::OnceLock;

/// Names another version than the pom's, for instance 3.9.2.
const CHOICE: &str = "KAFKA_VERSION";
const POM: &str = include_str!("../../kafka/pom.xml");

/// A version of Apache Kafka.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(Vec<u32>);

impl Version {
    /// The version that the environment names in `KAFKA_VERSION`, else the pom's.
    ///
    /// # Panics
    /// The environment names no version.
    pub fn chosen() -> &'static Version {
        static CHOSEN: OnceLock<Version> = OnceLock::new();
        CHOSEN.get_or_init(|| {
            let named = std::env::var(CHOICE).ok().filter(|named| !named.is_empty());
            let named = named.unwrap_or_else(|| of_pom(POM).to_owned());
            read(&named)
                .unwrap_or_else(|| panic!("{CHOICE}: expected a version such as 3.9.2, found {named:?}"))
        })
    }

    /// Whether it is this one or newer.
    pub fn is_since(&self, major: u32, minor: u32) -> bool {
        self.0.as_slice() >= [major, minor].as_slice()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&parts.join("."))
    }
}

fn of_pom(pom: &str) -> &str {
    let version = pom.split_once("<kafka.version>").and_then(|(_, rest)| rest.split_once('<'));
    version.map_or("", |(version, _)| version)
}

/// Numbers and dots only: it becomes part of a path.
fn read(text: &str) -> Option<Version> {
    let parts: Option<Vec<u32>> = text.split('.').map(|part| part.parse().ok()).collect();
    parts.filter(|parts| parts.len() == 3).map(Version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pom_names_a_version() {
        assert!(read(of_pom(POM)).unwrap().is_since(4, 0));
    }

    #[test]
    fn versions_are_three_numbers_and_nothing_else() {
        assert_eq!(read("3.9.2").unwrap().to_string(), "3.9.2");
        for text in ["", "3.9", "3.9.2.1", "3.9.x", "../3.9.2", "4.2.0 "] {
            assert_eq!(read(text), None, "{text:?}");
        }
    }

    #[test]
    fn versions_are_compared_number_by_number() {
        let version = read("3.10.0").unwrap();
        assert!(version.is_since(3, 9) && version.is_since(3, 10));
        assert!(!version.is_since(3, 11) && !version.is_since(4, 0));
    }
}

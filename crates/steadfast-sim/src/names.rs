//! Names and what they resolve to: the simulated DNS.

use std::collections::BTreeMap;

/// A table of names, changeable while it is used. A name that is not in it resolves to itself, so that plain hosts
/// work without an entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    hosts: BTreeMap<String, Vec<String>>,
}

impl Names {
    /// Has `name` resolve to these hosts, in this order; to none, as a name that does not exist.
    pub fn set(&mut self, name: impl Into<String>, hosts: impl IntoIterator<Item = String>) {
        self.hosts.insert(name.into(), hosts.into_iter().collect());
    }

    /// Has `name` resolve to itself again.
    pub fn forget(&mut self, name: &str) {
        self.hosts.remove(name);
    }

    /// What `name` resolves to now.
    pub fn resolve(&self, name: &str) -> Vec<String> {
        self.hosts.get(name).cloned().unwrap_or_else(|| vec![name.to_owned()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_resolves_to_what_it_was_last_given_and_otherwise_to_itself() {
        let mut names = Names::default();
        assert_eq!(names.resolve("kafka"), ["kafka"]);
        names.set("kafka", ["10.0.0.1".to_owned(), "10.0.0.2".to_owned()]);
        assert_eq!(names.resolve("kafka"), ["10.0.0.1", "10.0.0.2"]);
        names.set("kafka", []);
        assert!(names.resolve("kafka").is_empty());
        names.forget("kafka");
        assert_eq!(names.resolve("kafka"), ["kafka"]);
    }
}

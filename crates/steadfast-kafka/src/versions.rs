//! Which version of each API a connection speaks: the highest that both sides know.

use std::collections::BTreeMap;
use std::fmt;

use crate::api::Api;

/// A range of an API's versions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRange {
    /// The lowest version.
    pub min: i16,
    /// The highest version.
    pub max: i16,
}

impl VersionRange {
    /// The versions from `min` to `max`.
    pub const fn new(min: i16, max: i16) -> VersionRange {
        VersionRange { min, max }
    }

    /// Without the versions below `first`, if `needed`.
    pub(crate) fn starting_at_if(self, first: i16, needed: bool) -> VersionRange {
        if needed { VersionRange::new(first, self.max) } else { self }
    }

    /// The highest version in both ranges.
    pub fn highest_common(self, other: VersionRange) -> Option<i16> {
        let highest = self.max.min(other.max);
        (highest >= self.min.max(other.min)).then_some(highest)
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.min, self.max)
    }
}

/// The two sides share no version of an API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no common version of {api}: we speak {ours}, the broker speaks {}", .theirs.map_or("none".to_owned(), |theirs| theirs.to_string()))]
pub struct NoCommonVersion {
    /// The API's name.
    pub api: &'static str,
    /// The versions that this request can be sent in.
    pub ours: VersionRange,
    /// The versions that the broker offers; none if it does not know the API.
    pub theirs: Option<VersionRange>,
}

/// The versions that a broker offers, by API key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BrokerVersions(pub BTreeMap<i16, VersionRange>);

impl BrokerVersions {
    /// The version to send `request` in: the highest that both sides speak and that can express it.
    pub fn for_request<A: Api>(&self, request: &A) -> Result<i16, NoCommonVersion> {
        let ours = request.versions();
        let theirs = self.0.get(&A::KEY).copied();
        theirs.and_then(|theirs| ours.highest_common(theirs)).ok_or(NoCommonVersion {
            api: A::NAME,
            ours,
            theirs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::metadata::Metadata;

    fn offered(min: i16, max: i16) -> BrokerVersions {
        BrokerVersions([(Metadata::KEY, VersionRange::new(min, max))].into())
    }

    #[test]
    fn the_highest_version_that_both_speak_is_taken() {
        let request = Metadata { topics: Some(Vec::new()) };
        let ours = Metadata::VERSIONS;
        assert_eq!(offered(0, ours.max + 5).for_request(&request), Ok(ours.max));
        assert_eq!(offered(0, ours.max - 1).for_request(&request), Ok(ours.max - 1));
        assert_eq!(offered(ours.min, ours.min).for_request(&request), Ok(ours.min));
    }

    #[test]
    fn ranges_that_do_not_meet_are_both_named() {
        let request = Metadata { topics: None };
        let error = offered(0, 8).for_request(&request).unwrap_err();
        assert_eq!(
            error.to_string(),
            "no common version of Metadata: we speak 9 to 13, the broker speaks 0 to 8"
        );
        let error = BrokerVersions::default().for_request(&request).unwrap_err();
        assert_eq!(error.theirs, None);
    }
}

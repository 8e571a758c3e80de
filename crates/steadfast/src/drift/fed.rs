//! Addresses that the user's own actors know of: a service registry's, an operator's.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use steadfast_core::endpoints::view::Address;
use steadfast_watch as watch;

/// What each source says now.
pub(crate) type Fed = Arc<BTreeMap<Arc<str>, BTreeSet<Address>>>;

/// How many sources may feed.
pub const MOST_SOURCES: usize = 16;
/// How many addresses each of them may name.
pub const MOST_ADDRESSES: usize = 256;

/// A feed was not taken; what the source said before stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FeedError {
    /// Too many sources feed already.
    #[error("expected at most {MOST_SOURCES} sources of endpoints, found {source_name:?} beside them")]
    TooManySources {
        /// The one that is too many.
        source_name: String,
    },
    /// It names too many addresses.
    #[error("expected at most {MOST_ADDRESSES} addresses of {source_name:?}, found {found}")]
    TooManyAddresses {
        /// The source.
        source_name: String,
        /// How many it names.
        found: usize,
    },
}

/// What `source` says from now on, beside what the others say; says whether that is news.
pub(crate) fn feed(
    fed: &watch::Sender<Fed>,
    source: &str,
    addresses: impl IntoIterator<Item = Address>,
) -> Result<bool, FeedError> {
    let addresses: BTreeSet<Address> = addresses.into_iter().collect();
    let source_name = || source.to_owned();
    if addresses.len() > MOST_ADDRESSES {
        return Err(FeedError::TooManyAddresses { source_name: source_name(), found: addresses.len() });
    }
    let mut outcome = Ok(false);
    fed.send_if_modified(|fed| {
        let mut sources = BTreeMap::clone(fed);
        match addresses.is_empty() {
            true => drop(sources.remove(source)),
            false => drop(sources.insert(source.into(), addresses)),
        }
        let news = sources != **fed;
        if sources.len() > MOST_SOURCES {
            outcome = Err(FeedError::TooManySources { source_name: source_name() });
            return false;
        }
        outcome = Ok(news);
        *fed = Arc::new(sources);
        news
    });
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> Address {
        Address::new("kafka", port)
    }

    #[test]
    fn what_a_source_says_replaces_what_it_said_before() {
        let (fed, view) = watch::channel(Fed::default());
        assert_eq!(feed(&fed, "registry", [at(1), at(2)]), Ok(true));
        assert_eq!(feed(&fed, "operator", [at(9)]), Ok(true));
        assert_eq!(feed(&fed, "registry", [at(2), at(1)]), Ok(false));
        assert_eq!(feed(&fed, "registry", [at(3)]), Ok(true));
        assert_eq!(view.borrow()["registry"], BTreeSet::from([at(3)]));
        assert_eq!(feed(&fed, "registry", []), Ok(true));
        assert_eq!(view.borrow().keys().map(|name| &**name).collect::<Vec<_>>(), ["operator"]);
    }

    #[test]
    fn feeds_are_bounded() {
        let (fed, view) = watch::channel(Fed::default());
        let many = (1..=MOST_ADDRESSES + 1).map(|port| at(port as u16));
        let error = feed(&fed, "registry", many).unwrap_err().to_string();
        assert_eq!(error, "expected at most 256 addresses of \"registry\", found 257");
        for number in 0..MOST_SOURCES {
            assert_eq!(feed(&fed, &number.to_string(), [at(1)]), Ok(true));
        }
        assert!(matches!(feed(&fed, "more", [at(1)]), Err(FeedError::TooManySources { .. })));
        assert_eq!(feed(&fed, "0", [at(2)]), Ok(true));
        assert_eq!(view.borrow().len(), MOST_SOURCES);
    }
}

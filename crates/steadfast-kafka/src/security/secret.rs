//! A password, a token or a private key.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

/// A text that is never shown: neither `Debug` nor `Display` gives it away. Clones share one copy, which is
/// overwritten when the last of them is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Takes `text` into custody.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(Arc::new(Zeroizing::new(text.into())))
    }

    /// The text itself, for whoever sends it to where it belongs.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// `text` without this secret, should somebody have quoted it back at us.
    pub(crate) fn struck_from(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { text.replace(self.expose(), HIDDEN) }
    }
}

const HIDDEN: &str = "[secret]";

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_exposed_by_name_only() {
        let secret = Secret::new("hunter2");
        assert_eq!((format!("{secret}"), format!("{secret:?}")), (HIDDEN.into(), HIDDEN.into()));
        assert_eq!(secret.expose(), "hunter2");
    }

    #[test]
    fn what_quotes_a_secret_is_told_without_it() {
        assert_eq!(Secret::new("hunter2").struck_from("not hunter2"), "not [secret]");
        assert_eq!(Secret::new("").struck_from("nothing"), "nothing");
    }
}

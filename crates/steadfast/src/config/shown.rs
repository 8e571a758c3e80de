//! The settings in force, each with where it comes from.

use std::collections::BTreeMap;
use std::path::Path;

use super::load;
use super::problem::{ConfigError, Place};
use super::raw::Raw;
use super::reference::{KEYS, Kind};
use super::valid::Config;

/// One setting in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its key.
    pub key: &'static str,
    /// Its value, written as in the environment; of a secret only that it is set. None: it is not set.
    pub value: Option<String>,
    /// Where it was found; [`Place::Unset`] for what holds by itself.
    pub place: Place,
}

impl Config {
    /// Every setting in force, in the order of the documentation, of the configuration that
    /// [`Config::load`] makes.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn shown(
        path: &Path,
        environment: impl Iterator<Item = (String, String)>,
        sets: &[String],
    ) -> Result<Vec<Shown>, ConfigError> {
        let text = load::text(path)?;
        let environment: BTreeMap<String, String> = environment.collect();
        let (raw, problems) = Raw::gather(path, &text, &environment, sets);
        let settings = Config::of(&raw, problems)?.settings();
        let shown = |key: &super::reference::Key| Shown {
            key: key.path,
            value: settings.get(key.path).cloned(),
            place: raw.place(key.path),
        };
        // What is set under another name of a key stands there.
        Ok(KEYS.iter().filter(|key| !matches!(key.kind, Kind::SameAs(_))).map(shown).collect())
    }
}

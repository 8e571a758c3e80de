//! What was set, before anything is believed: file under environment under `--set`, every key known.

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::{Dict, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::document;
use super::layer::Layer;
use super::problem::{Place, Problem};
use super::reference::{KEYS, Key, Kind};

/// One setting as it was found. It may be a secret: it is not to be shown.
#[derive(Clone)]
pub(super) struct Setting {
    /// The key under which it was found: Java's name where that was used.
    pub(super) key: &'static Key,
    /// Its value, of any type.
    pub(super) value: Value,
    /// Where it was found.
    pub(super) place: Place,
}

impl Setting {
    /// Whether numbers and flags may be written as text: the environment and `--set` have nothing else, and
    /// Java's properties are texts too.
    pub(super) fn is_textual(&self) -> bool {
        !matches!(self.place, Place::File { .. }) || self.is_kafkas()
    }

    /// Whether a bare number is milliseconds, as in Java.
    pub(super) fn is_kafkas(&self) -> bool {
        self.key.path.starts_with("kafka.") || self.key.path.starts_with("errors.")
    }
}

/// Every setting, by key.
#[derive(Clone, Default)]
pub(super) struct Raw {
    settings: BTreeMap<&'static str, Setting>,
    /// Every variable, for references to them.
    environment: BTreeMap<String, String>,
}

impl Raw {
    /// Merges the sources, and tells what is wrong with them.
    pub(super) fn gather(
        path: &Path,
        text: &str,
        environment: &BTreeMap<String, String>,
        sets: &[String],
    ) -> (Raw, Vec<Problem>) {
        let layers = [
            Layer::defaults(environment),
            document::parse(path, text),
            Layer::environment(environment),
            Layer::sets(sets),
        ];
        let mut problems: Vec<Problem> = layers.iter().flat_map(|layer| layer.problems.clone()).collect();
        let mut raw = Raw { settings: merge(&layers), environment: environment.clone() };
        raw.resolve_aliases(&mut problems);
        (raw, problems)
    }

    /// What was found for a key.
    pub(super) fn get(&self, path: &str) -> Option<&Setting> {
        self.settings.get(path)
    }

    /// The variables of the environment.
    pub(super) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// Where a key's value was found.
    pub(super) fn place(&self, path: &str) -> Place {
        self.get(path).map_or(Place::Unset, |setting| setting.place.clone())
    }

    /// Puts what is set under Java's names where ours are read; both at once is a problem.
    fn resolve_aliases(&mut self, problems: &mut Vec<Problem>) {
        for alias in KEYS.iter() {
            let Kind::SameAs(ours) = alias.kind else { continue };
            let Some(setting) = self.settings.remove(alias.path) else { continue };
            match self.place(ours) {
                Place::Unset => drop(self.settings.insert(ours, setting)),
                place => problems.push(Problem::new(
                    format!("`{}` and `{ours}` say the same and both are set, the second", alias.path),
                    place,
                    format!("keep one; `{}` stands in {}", alias.path, setting.place),
                )),
            }
        }
    }
}

/// Later layers win. Figment merges and remembers which layer each value came from.
fn merge(layers: &[Layer]) -> BTreeMap<&'static str, Setting> {
    let figment = layers.iter().fold(Figment::new(), |figment, layer| figment.merge(layer));
    let values: Dict =
        figment.data().ok().and_then(|mut all| all.remove(&Profile::Default)).unwrap_or_default();
    let setting = |key: &'static Key| {
        let value = values.get(key.path)?.clone();
        let source = figment.get_metadata(value.tag()).map(|from: &Metadata| from.name.as_ref())?;
        let layer = layers.iter().find(|layer| layer.metadata().name == source)?;
        let place = layer.places.get(key.path).cloned().unwrap_or(Place::Unset);
        Some((key.path, Setting { key, value, place }))
    };
    KEYS.iter().filter_map(setting).collect()
}

//! One source of settings: the defaults, the file, the environment or `--set`.

use std::collections::BTreeMap;

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

use super::names;
use super::problem::{MOST_PROBLEMS, Place, Problem};
use super::reference::{Fallback, KEYS, Key, Kind, variable};
use super::secrets;

/// The settings of one source, under their full names, and what was wrong in it.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    name: &'static str,
    values: Dict,
    /// Where each of the values was found.
    pub(super) places: BTreeMap<&'static str, Place>,
    /// What could not be taken.
    pub(super) problems: Vec<Problem>,
}

impl Layer {
    /// A source of this name without settings.
    pub(super) fn new(name: &'static str) -> Layer {
        Layer { name, values: Dict::new(), places: BTreeMap::new(), problems: Vec::new() }
    }

    /// Adds a setting. What the same source said of it before is replaced.
    pub(super) fn put(&mut self, key: &'static Key, value: Value, place: Place) {
        self.values.insert(key.path.to_owned(), value);
        self.places.insert(key.path, place);
    }

    /// Notes a problem; false when there are so many that looking on is pointless.
    pub(super) fn note(&mut self, problem: Problem) -> bool {
        self.problems.push(problem);
        self.problems.len() < MOST_PROBLEMS
    }

    /// What holds when nobody sets it, given the variables of the environment.
    pub(super) fn defaults(environment: &BTreeMap<String, String>) -> Layer {
        let mut layer = Layer::new("defaults");
        for key in KEYS.iter() {
            if let Fallback::Is(text) = key.default {
                layer.put(key, Value::from(text), Place::Unset);
            }
        }
        if let (Some(key), Some(dir)) = (super::reference::key("state.dir"), state_dir(environment)) {
            layer.put(key, Value::from(dir), Place::Unset);
        }
        layer
    }

    /// The `STEADFAST_` variables of the environment.
    pub(super) fn environment(environment: &BTreeMap<String, String>) -> Layer {
        let mut layer = Layer::new("environment");
        for (name, text) in environment.iter().filter(|(name, _)| name.starts_with(&variable(""))) {
            let more = match names::known_variable(name) {
                Ok(key) => {
                    layer.put(key, Value::from(text.as_str()), Place::Environment(name.clone()));
                    true
                }
                Err(_) if is_service_link(name, text) => true,
                Err(problem) => layer.note(problem),
            };
            if !more {
                break;
            }
        }
        layer
    }

    /// The `--set` arguments, `key=value` each; of two for the same key the later one counts.
    pub(super) fn sets(sets: &[String]) -> Layer {
        let mut layer = Layer::new("--set");
        for set in sets {
            let Some((path, text)) = set.split_once('=') else {
                let place = Place::Set(names::shorten(set));
                layer.note(Problem::new("no `=` found", place, "write --set key=value"));
                continue;
            };
            let place = Place::Set(names::shorten(path));
            match names::known(path.trim(), &place) {
                Ok(key) if key.kind == Kind::Secret && !secrets::is_reference(text) => {
                    layer.note(shown_to_all(key, place));
                }
                Ok(key) => layer.put(key, Value::from(text), place),
                Err(problem) => drop(layer.note(problem)),
            }
        }
        layer
    }
}

fn shown_to_all(key: &Key, place: Place) -> Problem {
    let advice = format!(
        "set it as {}, or write \"${{file:/path}}\" in the file; and change the secret, for it was seen",
        variable(key.path)
    );
    Problem::new(format!("`{}` is a secret, and whoever lists processes reads it", key.path), place, advice)
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.values.clone()))
    }
}

/// The systemd directory (of several the first), or the one the XDG base directory specification names.
fn state_dir(environment: &BTreeMap<String, String>) -> Option<String> {
    let absolute = |name: &str| environment.get(name).filter(|dir| dir.starts_with('/'));
    if let Some(dirs) = absolute("STATE_DIRECTORY") {
        return dirs.split(':').next().map(str::to_owned);
    }
    if let Some(dir) = absolute("XDG_STATE_HOME") {
        return Some(format!("{dir}/steadfast"));
    }
    absolute("HOME").map(|dir| format!("{dir}/.local/state/steadfast"))
}

/// Kubernetes and Docker describe every service in the environment of every container; a service whose name
/// begins with "steadfast" must not keep steadfast from starting.
fn is_service_link(name: &str, text: &str) -> bool {
    let parts: Vec<&str> = name.split('_').collect();
    let numbered = |port: &str| !port.is_empty() && port.bytes().all(|c| c.is_ascii_digit());
    let transport = |name: &str| matches!(name, "TCP" | "UDP" | "SCTP");
    match parts.as_slice() {
        [.., "SERVICE", "HOST"] => true,
        [.., "PORT", port, protocol] => numbered(port) && transport(protocol),
        [.., "PORT", port, protocol, "ADDR" | "PORT" | "PROTO"] => numbered(port) && transport(protocol),
        [.., "PORT"] if text.contains("://") => true,
        parts => parts.windows(2).any(|pair| pair == ["SERVICE", "PORT"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
        variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn services_that_are_called_steadfast_do_not_disturb() {
        for name in [
            "STEADFAST_SERVICE_HOST",
            "STEADFAST_SERVICE_PORT",
            "STEADFAST_SERVICE_PORT_HTTP",
            "STEADFAST_EU_SERVICE_HOST",
            "STEADFAST_PORT",
            "STEADFAST_PORT_9404_TCP",
            "STEADFAST_PORT_9404_TCP_ADDR",
        ] {
            let layer = Layer::environment(&environment(&[(name, "tcp://10.0.0.1:9404")]));
            assert_eq!(layer.problems, [], "{name}");
            assert!(layer.places.is_empty());
        }
    }

    #[test]
    fn other_unknown_variables_are_refused() {
        for name in ["STEADFAST_DRIFT_TRESHOLD", "STEADFAST_", "STEADFAST_HTTP_PORT", "STEADFAST_PORT_X_TCP"]
        {
            assert_eq!(Layer::environment(&environment(&[(name, "1")])).problems.len(), 1, "{name}");
        }
        assert_eq!(Layer::environment(&environment(&[("STEADFASTLY", "1")])).problems, []);
    }

    #[test]
    fn the_state_directory_is_found_where_the_system_says() {
        let all = [("STATE_DIRECTORY", "/s1:/s2"), ("XDG_STATE_HOME", "/xdg"), ("HOME", "/home/me")];
        for (variables, dir) in [
            (&all[..], Some("/s1")),
            (&all[1..], Some("/xdg/steadfast")),
            (&all[2..], Some("/home/me/.local/state/steadfast")),
            (&[("XDG_STATE_HOME", "relative")], None),
            (&[], None),
        ] {
            assert_eq!(state_dir(&environment(variables)).as_deref(), dir);
        }
    }
}

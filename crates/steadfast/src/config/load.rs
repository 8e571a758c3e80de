//! Where a configuration comes from: a file, the environment, `--set`.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use super::problem::{ConfigError, Place, Problem};
use super::raw::Raw;
use super::valid::Config;

/// A larger file is no configuration.
const LARGEST_FILE: u64 = 1 << 20;

impl Config {
    /// The configuration of the file at `path`, with the environment's `STEADFAST_` variables over it and
    /// `sets` (`key=value`) over those. The environment names the default of `state.dir` too. (Its variables
    /// are given as text because `std::env::vars` panics at one that is none.)
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn load(
        path: impl AsRef<Path>,
        environment: impl Iterator<Item = (String, String)>,
        sets: &[String],
    ) -> Result<Config, ConfigError> {
        let path = path.as_ref();
        let text = text(path)?;
        Config::from_text(path, &text, environment, sets)
    }

    /// [`Config::load`] of a file at `path` that was read already.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn from_text(
        path: &Path,
        text: &str,
        environment: impl Iterator<Item = (String, String)>,
        sets: &[String],
    ) -> Result<Config, ConfigError> {
        let (raw, problems) = Raw::gather(path, text, &environment.collect::<BTreeMap<_, _>>(), sets);
        Config::of(&raw, problems)
    }

    /// The configuration of this TOML alone. Without an environment `state.dir` has no default: it must be
    /// set.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn from_toml_str(text: &str) -> Result<Config, ConfigError> {
        Config::from_text(Path::new("steadfast.toml"), text, std::iter::empty(), &[])
    }
}

/// The text of the configuration file.
pub(super) fn text(path: &Path) -> Result<String, ConfigError> {
    read(path).map_err(|error| ConfigError::new(vec![unreadable(path, &error)]))
}

/// The text of the file, unless it is too large or no UTF-8.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    std::fs::File::open(path)?.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
    match text.len() as u64 > LARGEST_FILE {
        true => Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is over 1 MiB")),
        false => Ok(text),
    }
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let place = Place::File { path: path.to_owned(), line: None };
    Problem::new(format!("the file cannot be read ({error})"), place, "name one that can with --config FILE")
}

//! What is wrong with a configuration: told to a person, all of it at once.

use std::fmt;
use std::path::PathBuf;

/// At most this many problems are looked for in one configuration: past that the file is another one.
pub(super) const MOST_PROBLEMS: usize = 50;

/// Where a setting, or a problem, was found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// In the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1, where it is known.
        line: Option<usize>,
    },
    /// In this environment variable.
    Environment(String),
    /// In this `--set` argument.
    Set(String),
    /// Nobody set it.
    Unset,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { path, line: Some(line) } => write!(f, "{}, line {line}", path.display()),
            Place::File { path, line: None } => write!(f, "{}", path.display()),
            Place::Environment(name) => write!(f, "the environment variable {name}"),
            Place::Set(key) => write!(f, "--set {key}"),
            Place::Unset => f.write_str("neither file, environment nor --set"),
        }
    }
}

/// One thing that is wrong: what, where, and what to do. Displayed it is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What was expected and what was found.
    pub what: String,
    /// Where it stands.
    pub place: Place,
    /// What to do about it.
    pub advice: String,
}

impl Problem {
    pub(super) fn new(what: impl Into<String>, place: Place, advice: impl Into<String>) -> Problem {
        Problem { what: what.into(), place, advice: advice.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Unset => write!(f, "{}: {}", self.what, self.advice),
            place => write!(f, "{} in {place}: {}", self.what, self.advice),
        }
    }
}

/// A configuration that cannot be used, with every problem that was found. Displayed it is several lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn new(mut problems: Vec<Problem>) -> ConfigError {
        problems.truncate(MOST_PROBLEMS);
        ConfigError { problems }
    }

    /// All that is wrong, in the order in which it was found.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// All that is wrong, in one line: for a log.
    pub fn one_line(&self) -> String {
        let lines: Vec<String> = self.problems.iter().map(Problem::to_string).collect();
        lines.join("; ")
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.problems.len() == 1 { "" } else { "s" };
        write!(f, "the configuration has {} problem{plural}", self.problems.len())?;
        for (number, problem) in (1..).zip(&self.problems) {
            write!(f, "\n\n  {number}. {}", problem.what)?;
            if problem.place != Place::Unset {
                write!(f, "\n     where: {}", problem.place)?;
            }
            write!(f, "\n     what to do: {}", problem.advice)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> ConfigError {
        let at = Place::File { path: "steadfast.toml".into(), line: Some(7) };
        ConfigError::new(vec![
            Problem::new("unknown key `drift.treshold`", at, "did you mean `drift.threshold`?"),
            Problem::new("`topics` is not set", Place::Unset, "set it"),
        ])
    }

    #[test]
    fn people_read_what_where_and_what_to_do() {
        let expected = "the configuration has 2 problems\n\n  1. unknown key `drift.treshold`\n     where: \
                        steadfast.toml, line 7\n     what to do: did you mean `drift.threshold`?\n\n  2. \
                        `topics` is not set\n     what to do: set it";
        assert_eq!(two().to_string(), expected);
    }

    #[test]
    fn logs_read_one_line() {
        let expected = "unknown key `drift.treshold` in steadfast.toml, line 7: did you mean \
                        `drift.threshold`?; `topics` is not set: set it";
        assert_eq!(two().one_line(), expected);
    }
}

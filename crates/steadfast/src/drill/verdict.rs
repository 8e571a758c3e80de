//! How a scenario went.

use serde::Serialize;

/// How a scenario went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All was as it should be.
    Passed,
    /// Something was not.
    Failed,
    /// It cannot be played here.
    Skipped,
}

impl Verdict {
    /// Passed if nothing was found.
    pub fn of(found: &[String]) -> Verdict {
        if found.is_empty() { Verdict::Passed } else { Verdict::Failed }
    }

    /// As the tables have it.
    pub fn text(self) -> &'static str {
        match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "FAILED",
            Verdict::Skipped => "skipped",
        }
    }
}

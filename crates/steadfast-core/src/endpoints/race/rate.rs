//! How often a discovery may begin, by what it begins on.

use std::time::Duration;

use super::Evidence;
use crate::endpoints::budget::Budget;
use crate::tick::Tick;

/// The tokens of discoveries. All take one of `any`; those that begin on silence take one of `silent` too, which
/// comes back early when a discovery finds something.
#[derive(Debug, Clone)]
pub struct Rate {
    any: Budget,
    silent: Budget,
    /// Whether the last discovery began on silence.
    on_silence: bool,
}

impl Rate {
    /// Any discoveries take tokens of the first budget, those that begin on silence of the second too.
    pub fn new(any: Budget, silent: Budget) -> Rate {
        Rate { any, silent, on_silence: false }
    }

    /// Takes what a discovery on this evidence needs, or nothing. The error says when it is there; none where a
    /// budget is zero.
    pub(super) fn take(&mut self, evidence: Evidence, now: Tick) -> Result<(), Option<Tick>> {
        let any = self.any.check(now);
        let silent = match evidence {
            Evidence::Broken => Ok(()),
            Evidence::Silent => self.silent.check(now),
        };
        if let Some(latest) = [any, silent].into_iter().filter_map(Result::err).map(|error| error.until).max()
        {
            return Err(latest);
        }
        let _checked = self.any.take(now);
        self.on_silence = evidence == Evidence::Silent;
        if evidence == Evidence::Silent {
            let _checked = self.silent.take(now);
        }
        Ok(())
    }

    /// The last discovery found something: if it began on silence, that was a good reason after all.
    pub(super) fn found(&mut self) {
        if std::mem::take(&mut self.on_silence) {
            self.silent.give_back();
        }
    }
}

impl Default for Rate {
    /// Five discoveries a second, and one in five seconds on silence.
    ///
    /// The first window is short because it is also the longest that a suspicion which matters may have to wait
    /// behind those that did not. Silence is weak evidence: a broker that pauses for garbage or is throttled by a
    /// quota (KIP-219) is silent again and again, and asking everybody each time would add to its load.
    fn default() -> Rate {
        Rate::new(Budget::new(5, Duration::from_secs(1)), Budget::new(1, Duration::from_secs(5)))
    }
}

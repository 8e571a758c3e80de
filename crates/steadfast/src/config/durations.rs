//! Durations as people write them: `"30s"`, `"1h 30m"`; under `[kafka]` a bare number is milliseconds.

use std::time::Duration;

/// No duration may be longer: Kafka's protocol counts milliseconds in 31 bits.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 24 * 60 * 60);

/// The duration that `text` names with its unit. None when it is none, or no whole milliseconds.
pub(super) fn of_text(text: &str) -> Option<Duration> {
    let duration = humantime::parse_duration(text.trim()).ok()?;
    duration.subsec_nanos().is_multiple_of(1_000_000).then_some(duration)
}

/// The duration as text that [`of_text`] reads back.
pub(super) fn to_text(duration: Duration) -> String {
    humantime::format_duration(duration).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_units() {
        for (text, millis) in
            [("30s", 30_000), ("500ms", 500), ("1h 30m", 5_400_000), (" 2min ", 120_000), ("0s", 0), ("0", 0)]
        {
            assert_eq!(of_text(text), Some(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_has_no_unit_or_is_too_fine_is_no_duration() {
        for text in ["", "30", "1.5", "soon", "10us", "-1s", "99999999999999999999s"] {
            assert_eq!(of_text(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for millis in [0, 1, 999, 45_000, 600_000, 86_400_000 + 1] {
            let duration = Duration::from_millis(millis);
            assert_eq!(of_text(&to_text(duration)), Some(duration));
        }
    }
}

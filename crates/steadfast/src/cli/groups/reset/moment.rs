//! A moment as kafka-consumer-groups takes it: ISO 8601, in UTC unless it says otherwise.

use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime};

/// Milliseconds since 1970-01-01 UTC, not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(i64);

impl Moment {
    pub(super) fn millis(self) -> i64 {
        self.0
    }
}

impl FromStr for Moment {
    type Err = String;

    fn from_str(text: &str) -> Result<Moment, String> {
        let millis = DateTime::parse_from_rfc3339(text).map(|at| at.timestamp_millis());
        let in_utc = || NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(|at| at.and_utc());
        let millis = millis.or_else(|_| in_utc().map(|at| at.timestamp_millis()));
        match millis {
            Ok(millis @ 0..) => Ok(Moment(millis)),
            Ok(_) => Err("expected a moment since 1970".to_owned()),
            Err(_) => {
                Err("expected a moment such as 2026-11-22T05:30:00 or 2026-11-22T05:30:00.000+01:00"
                    .to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_utc_unless_they_say_otherwise() {
        for text in [
            "2026-11-22T05:30:00",
            "2026-11-22T05:30:00.000",
            "2026-11-22T05:30:00Z",
            "2026-11-22T06:30:00+01:00",
            "2026-11-22T04:30:00.000-01:00",
        ] {
            assert_eq!(text.parse(), Ok(Moment(1_795_325_400_000)), "{text}");
        }
        assert_eq!("2026-11-22T05:30:00.250".parse(), Ok(Moment(1_795_325_400_250)));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in ["", "yesterday", "2026-11-22", "2026-13-22T05:30:00", "1969-12-31T23:59:59Z"] {
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}

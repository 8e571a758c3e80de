//! How a foreign value is written here.

/// How a foreign value is written here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// As it is.
    Same,
    /// In capitals.
    Upper,
    /// `read-committed` is `read_committed`.
    Underscored,
    /// Names with commas between them.
    List,
    /// librdkafka's words for where to begin.
    Reset,
    /// `none` is an empty text.
    NoneIsEmpty,
    /// A number of KiB.
    Kibibytes,
    /// Spring's `DataSize`, in which KB is 1024.
    DataSize,
    /// Spring's `Duration`: `5s`, `PT5S`, or milliseconds.
    Duration,
    /// A file as Spring names it: `file:/path`.
    File,
    /// One of syslog's numbers.
    Syslog,
}

impl How {
    /// The value, or why it cannot be written. The reason does not hold it.
    pub(super) fn value(self, text: &str) -> Result<String, String> {
        let text = text.trim();
        let wrong = |expected: &str| format!("its value is not {expected}");
        match self {
            How::Same | How::List => Ok(text.to_owned()),
            How::Upper => Ok(text.to_uppercase()),
            How::Underscored => Ok(text.to_lowercase().replace('-', "_")),
            How::Reset => match text {
                "smallest" | "beginning" | "earliest" => Ok("earliest".to_owned()),
                "largest" | "end" | "latest" => Ok("latest".to_owned()),
                _ => Err("an error is no place to begin: choose `earliest` or `latest`".to_owned()),
            },
            How::NoneIsEmpty => {
                Ok(if text.eq_ignore_ascii_case("none") { String::new() } else { text.to_owned() })
            }
            How::Kibibytes => {
                text.parse::<u32>().map(|number| format!("{number}KiB")).map_err(|_| wrong("a number of KiB"))
            }
            How::DataSize => data_size(text).ok_or_else(|| wrong("a size such as 1MB")),
            How::Duration => duration(text).ok_or_else(|| wrong("a duration such as 5s")),
            How::File => match text.strip_prefix("file:") {
                Some(path) => Ok(format!("/{}", path.trim_start_matches('/'))),
                None if text.starts_with("classpath:") => {
                    Err("it is inside of a Java archive: unpack it, and name the file".to_owned())
                }
                None => Ok(text.to_owned()),
            },
            How::Syslog => match text {
                "0" | "1" | "2" | "3" => Ok("error".to_owned()),
                "4" => Ok("warn".to_owned()),
                "5" | "6" => Ok("info".to_owned()),
                "7" => Ok("debug".to_owned()),
                _ => Err(wrong("a number from 0 to 7")),
            },
        }
    }
}

fn data_size(text: &str) -> Option<String> {
    const UNITS: [(&str, u64); 5] =
        [("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10), ("B", 1)];
    let upper = text.to_uppercase();
    let with_unit = UNITS.iter().find_map(|(unit, bytes)| Some((upper.strip_suffix(unit)?, *bytes)));
    let (number, bytes) = with_unit.unwrap_or((&upper, 1));
    number.trim().parse::<u64>().ok()?.checked_mul(bytes).map(|bytes| bytes.to_string())
}

/// A number is milliseconds; ISO 8601 has no more than hours here.
fn duration(text: &str) -> Option<String> {
    if text.parse::<u64>().is_ok() {
        return Some(format!("{text}ms"));
    }
    let iso = text.to_uppercase();
    let Some(iso) = iso.strip_prefix("PT") else {
        let lower = text.to_lowercase();
        return humantime::parse_duration(&lower).is_ok().then_some(lower);
    };
    let spaced: String = iso
        .chars()
        .flat_map(|c| if c.is_alphabetic() { vec![c.to_ascii_lowercase(), ' '] } else { vec![c] })
        .collect();
    let spaced = spaced.trim().to_owned();
    humantime::parse_duration(&spaced).is_ok().then_some(spaced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_to_the_same() {
        for (how, text, expected) in [
            (How::Upper, "sasl_ssl", "SASL_SSL"),
            (How::Underscored, "READ-COMMITTED", "read_committed"),
            (How::Reset, "smallest", "earliest"),
            (How::Reset, "end", "latest"),
            (How::NoneIsEmpty, "none", ""),
            (How::Kibibytes, "65536", "65536KiB"),
            (How::DataSize, "1MB", "1048576"),
            (How::DataSize, "17", "17"),
            (How::Duration, "5000", "5000ms"),
            (How::Duration, "5s", "5s"),
            (How::Duration, "PT1M30S", "1m 30s"),
            (How::File, "file:///etc/ca.pem", "/etc/ca.pem"),
            (How::File, "file:/etc/ca.pem", "/etc/ca.pem"),
            (How::Syslog, "6", "info"),
        ] {
            assert_eq!(how.value(text), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_not_repeated_in_the_reason() {
        for how in [How::Reset, How::Kibibytes, How::DataSize, How::Duration, How::Syslog] {
            let why = how.value("hunter2").unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
        assert!(How::File.value("classpath:ca.pem").is_err());
        assert!(How::DataSize.value("99999999999TB").is_err());
    }
}

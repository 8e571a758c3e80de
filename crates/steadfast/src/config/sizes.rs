//! Numbers of bytes as people write them: `1048576`, `"1MiB"`.

const UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// The bytes that `text` names, with a unit (B, KiB, MiB, GiB) or without.
pub(super) fn of_text(text: &str) -> Option<u64> {
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim() {
        "" => 1,
        unit => UNITS.iter().find(|(name, _)| unit.eq_ignore_ascii_case(name))?.1,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// The number of bytes in the largest unit that divides it.
pub(super) fn to_text(bytes: u64) -> String {
    match UNITS.iter().find(|(_, factor)| bytes > 0 && bytes.is_multiple_of(*factor)) {
        Some((unit, factor)) if *factor > 1 => format!("{}{unit}", bytes / factor),
        _ => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_or_are_bytes() {
        for (text, bytes) in
            [("0", 0), ("17", 17), ("17 B", 17), ("1KiB", 1024), ("2 mib", 2 << 20), ("3GiB", 3 << 30)]
        {
            assert_eq!(of_text(text), Some(bytes), "{text}");
        }
        for text in ["", "MiB", "1.5MiB", "-1", "1MB", "1 2", "99999999999GiB"] {
            assert_eq!(of_text(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (bytes, text) in [(0, "0"), (1, "1"), (1025, "1025"), (1 << 20, "1MiB"), (5 << 30, "5GiB")] {
            assert_eq!(to_text(bytes), text);
            assert_eq!(of_text(text), Some(bytes));
        }
    }
}

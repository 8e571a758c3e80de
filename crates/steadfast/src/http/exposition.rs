//! The older of Prometheus' text formats, made from OpenMetrics.
//!
//! They differ in what counts here in two things: OpenMetrics names the family of a counter without `_total`, and it
//! has an end mark.

/// The OpenMetrics text in Prometheus' format 0.0.4, which `promtool check metrics` reads.
pub(super) fn of_openmetrics(text: &str) -> String {
    let mut converted = String::with_capacity(text.len() + 1024);
    let mut help = None;
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some("#"), Some("EOF"), None, None) | (Some("#"), Some("UNIT"), Some(_), _) => {}
            // The type decides the name, and comes second.
            (Some("#"), Some("HELP"), Some(name), Some(text)) => help = Some((name, text)),
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let suffix = if kind == "counter" { "_total" } else { "" };
                if let Some((_, text)) = help.take().filter(|(of, _)| *of == name) {
                    converted.push_str(&format!("# HELP {name}{suffix} {text}\n"));
                }
                converted.push_str(&format!("# TYPE {name}{suffix} {kind}\n"));
            }
            _ => {
                converted.push_str(line);
                converted.push('\n');
            }
        }
    }
    converted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_have_their_whole_name_and_there_is_no_end_mark() {
        let open = "# HELP polls Questions for metadata.\n# TYPE polls counter\n\
                    polls_total{outcome=\"# EOF\"} 7\n# HELP lag Records.\n# TYPE lag gauge\nlag 1.0\n# EOF\n";
        let text = "# HELP polls_total Questions for metadata.\n# TYPE polls_total counter\n\
                    polls_total{outcome=\"# EOF\"} 7\n# HELP lag Records.\n# TYPE lag gauge\nlag 1.0\n";
        assert_eq!(of_openmetrics(open), text);
    }
}

//! Java's `.properties`: the format of `java.util.Properties`.

use super::{ImportError, Pair};

/// Reads pairs: `#` and `!` begin comments, a backslash at its end continues a line, `=`, `:` or blanks end a name.
pub(super) fn read(text: &str) -> Result<Vec<Pair>, ImportError> {
    let mut pairs = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((number, line)) = lines.next() {
        let mut line = line.trim_start().to_owned();
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        while is_continued(&line) {
            line.pop();
            line += lines.next().map(|(_, next)| next.trim_start()).unwrap_or_default();
            if line.is_empty() {
                break;
            }
        }
        let (name, value) = split(&line);
        let escape = |text: &str| {
            unescaped(text).ok_or_else(|| ImportError::Malformed {
                expected: "Java properties",
                reason: format!("line {number} has an escape that is none"),
            })
        };
        pairs.push(Pair { name: escape(name)?, value: escape(value)?, line: Some(number) });
    }
    Ok(pairs)
}

/// Whether an odd number of backslashes ends the line.
fn is_continued(line: &str) -> bool {
    line.chars().rev().take_while(|c| *c == '\\').count() % 2 == 1
}

fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.char_indices().find(|(_, c)| {
        let ends = !escaped && (c.is_whitespace() || matches!(c, '=' | ':'));
        escaped = *c == '\\' && !escaped;
        ends
    });
    let Some((at, _)) = end else { return (line, "") };
    let (name, rest) = line.split_at(at);
    let rest = rest.trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (name, value.trim_start())
}

fn unescaped(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 4)?;
                out.push(char::from_u32(code)?);
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Vec<(String, String)> {
        read(text).unwrap().into_iter().map(|pair| (pair.name, pair.value)).collect()
    }

    #[test]
    fn names_and_values_are_read_as_java_does() {
        let text = "# a comment\n! another\n\n  a.b = c d \n e:f\ng h\n\\ i\\=j = k\\:\\\\\nlong=one,\\\n    two,\\\n  three\n\
                    u=\\u0041\\t\nempty\nlast=\\";
        let expected = [
            ("a.b", "c d "),
            ("e", "f"),
            ("g", "h"),
            (" i=j", "k:\\"),
            ("long", "one,two,three"),
            ("u", "A\t"),
            ("empty", ""),
            ("last", ""),
        ];
        assert_eq!(pairs(text), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(read("\n\na=b\\\nc\nd=e").unwrap()[1].line, Some(5));
    }

    #[test]
    fn an_escape_that_is_none_is_told_with_its_line() {
        for text in ["a=1\nb=\\u12", "a=1\nb=\\uXYZW", "a=1\nb=\\ud800"] {
            assert!(read(text).unwrap_err().to_string().contains("line 2"));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a\\\\=: \\n\\r#!u0]{0,60}") {
            if let Ok(pairs) = read(&text) {
                prop_assert!(pairs.len() <= text.lines().count());
            }
        }
    }
}

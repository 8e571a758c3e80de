//! A line of `sasl.jaas.config`: a login module and its options. What is wrong with it is told without its content.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use steadfast_kafka::security::Secret;

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Login {
    /// The last part of the module's class name.
    pub(super) module: String,
    /// Its options.
    pub(super) options: BTreeMap<String, Secret>,
}

/// The longest line that is read, in bytes.
const LONGEST: usize = 64 << 10;

/// Reads `Module required key="value" …;`, in which values may stand in double or single quotes or bare.
pub(super) fn parse(line: &Secret) -> Result<Login, &'static str> {
    let line = line.expose();
    if line.len() > LONGEST {
        return Err("it is too long");
    }
    let mut words = Words { rest: line.chars().peekable() };
    let class = words.next()?.ok_or("it is empty")?;
    let module = class.expose().rsplit('.').next().unwrap_or_default().to_owned();
    let flag = words.next()?.ok_or("the word `required` is missing after the module's name")?;
    if !["required", "requisite", "sufficient", "optional"].contains(&&*flag.expose().to_ascii_lowercase()) {
        return Err("the word `required` is missing after the module's name");
    }
    let mut options = BTreeMap::new();
    while let Some(key) = words.next()? {
        if !words.skip('=') {
            return Err("an option is not written as key=\"value\"");
        }
        let value = words.next()?.ok_or("an option has no value")?;
        if options.insert(key.expose().to_owned(), value).is_some() {
            return Err("an option stands there twice");
        }
    }
    if !words.skip(';') {
        return Err("the semicolon at its end is missing");
    }
    words.blank();
    if words.rest.next().is_some() {
        Err("something follows the first semicolon")
    } else {
        Ok(Login { module, options })
    }
}

struct Words<'a> {
    rest: Peekable<Chars<'a>>,
}

impl Words<'_> {
    /// The next word; none before a semicolon or at the end.
    fn next(&mut self) -> Result<Option<Secret>, &'static str> {
        self.blank();
        match self.rest.peek() {
            None | Some(';') => Ok(None),
            Some(quote @ ('"' | '\'')) => {
                let quote = *quote;
                self.rest.next();
                self.quoted(quote).map(Some)
            }
            Some('=') => Err("an equals sign stands where a word is expected"),
            Some(_) => {
                let mut word = String::new();
                while let Some(c) = self.rest.next_if(|c| !c.is_whitespace() && !matches!(c, ';' | '=' | '"'))
                {
                    word.push(c);
                }
                if word.is_empty() {
                    Err("a quote stands where a word is expected")
                } else {
                    Ok(Some(Secret::new(word)))
                }
            }
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Secret, &'static str> {
        let mut text = String::new();
        loop {
            match self.rest.next().ok_or("a quote is not closed")? {
                '\\' => text.push(self.rest.next().ok_or("a quote is not closed")?),
                c if c == quote => return Ok(Secret::new(text)),
                c => text.push(c),
            }
        }
    }

    fn skip(&mut self, wanted: char) -> bool {
        self.blank();
        self.rest.next_if_eq(&wanted).is_some()
    }

    fn blank(&mut self) {
        while self.rest.next_if(|c| c.is_whitespace()).is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Login, &'static str> {
        parse(&Secret::new(line))
    }

    #[test]
    fn a_line_as_javas_documentation_has_it() {
        let login = read(
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"alice\"\n \
             password = 'it''s' ;",
        );
        assert_eq!(login, Err("an option is not written as key=\"value\""));
        let login = read(
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"alice\"\n \
             password = \"a \\\"b\\\\ ;=c\" bare=true ; \n",
        )
        .unwrap();
        assert_eq!(login.module, "ScramLoginModule");
        assert_eq!(login.options["password"].expose(), "a \"b\\ ;=c");
        assert_eq!((login.options["username"].expose(), login.options["bare"].expose()), ("alice", "true"));
    }

    #[test]
    fn what_is_no_line_is_told_without_its_content() {
        for line in [
            "",
            ";",
            "hunter2",
            "M username=\"hunter2\";",
            "M required username=\"hunter2;",
            "M required username=\"hunter2\"",
            "M required hunter2;",
            "M required =hunter2;",
            "M required a=\"hunter2\" a=\"b\";",
            "M required a=\"hunter2\"; N required;",
            "M required a\"hunter2\";",
            "M required a=;",
        ] {
            let told = read(line).unwrap_err();
            assert!(!told.contains("hunter2"), "{line}: {told}");
        }
        assert_eq!(read(&"x".repeat(LONGEST + 1)), Err("it is too long"));
    }
}

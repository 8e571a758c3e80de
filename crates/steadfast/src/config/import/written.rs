//! Our configuration, as it comes into being.

use std::collections::{BTreeMap, BTreeSet};

use super::{Imported, Pair};

/// What stands where nothing was found that has to be there.
pub(super) const PLACEHOLDERS: [(&str, &str, &str); 3] = [
    ("topics", "change-me", "not set there: clients name their topics in their code"),
    ("kafka.bootstrap.servers", "change-me:9092", "not set there"),
    ("kafka.group.id", "change-me", "not set there"),
];

/// A value, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    value: String,
    note: String,
}

impl Pair {
    /// Its name and line.
    pub(super) fn shown(&self) -> String {
        match self.line {
            Some(line) => format!("{} (line {line})", self.name),
            None => self.name.clone(),
        }
    }
}

impl Line {
    pub(super) fn of(pair: &Pair, value: &str) -> Line {
        Line { value: value.to_owned(), note: pair.shown() }
    }

    pub(super) fn noted(pair: &Pair, value: &str, note: &str) -> Line {
        Line { value: value.to_owned(), note: format!("{}, {note}", pair.shown()) }
    }
}

/// Our configuration, as it comes into being.
pub(super) struct Draft {
    head: String,
    lines: BTreeMap<&'static str, Line>,
    /// Refused, and why.
    refused: BTreeMap<&'static str, (Line, String)>,
    left: Vec<String>,
    to_do: Vec<String>,
    variables: BTreeSet<String>,
}

/// A line of the file, and the key that it sets.
type Written = (Option<&'static str>, String);

impl Draft {
    pub(super) fn of(file: &str, client: &str) -> Draft {
        let file: String = file.chars().filter(|c| !c.is_control()).collect();
        Draft {
            head: format!("# Imported from {file} ({client}) by steadfast."),
            lines: BTreeMap::new(),
            refused: BTreeMap::new(),
            left: Vec::new(),
            to_do: Vec::new(),
            variables: BTreeSet::new(),
        }
    }

    /// Sets a key; of two settings the later holds, as it does there.
    pub(super) fn put(&mut self, key: &'static str, line: Line) {
        self.lines.insert(key, line);
    }

    /// Has a key refer to an environment variable.
    pub(super) fn refer(&mut self, key: &'static str, pair: &Pair, variable: &str) {
        self.variables.insert(variable.to_owned());
        self.put(key, Line::of(pair, &format!("${{env:{variable}}}")));
    }

    /// Sets a key that nobody has set.
    pub(super) fn otherwise(&mut self, key: &'static str, value: &str, note: &str) {
        let line = Line { value: value.to_owned(), note: note.to_owned() };
        if !self.lines.contains_key(key) {
            if PLACEHOLDERS.iter().any(|(placeholder, _, _)| *placeholder == key) {
                self.ask(format!("{key}: {note}. Write yours in the place of `{value}`."));
            }
            self.lines.insert(key, line);
        }
    }

    /// Leaves a setting out.
    pub(super) fn leave(&mut self, pair: &Pair, why: String) {
        self.left.push(format!("{}: {why}", pair.shown()));
    }

    /// Notes what is to be done by hand.
    pub(super) fn ask(&mut self, what: String) {
        self.to_do.push(what);
    }

    /// Notes what is wrong with the whole.
    pub(super) fn remark(&mut self, what: String) {
        self.left.push(what);
    }

    /// The variables that it refers to, each with some value.
    pub(super) fn variables(&self) -> impl Iterator<Item = (String, String)> {
        self.variables.iter().map(|name| (name.clone(), "x".to_owned()))
    }

    /// Takes the settings out that stand in these lines (counted from 1), for these reasons; false if there was none.
    /// What refers to a variable stays: what will stand there is not known.
    pub(super) fn refuse(&mut self, reasons: &BTreeMap<usize, String>) -> bool {
        let written = self.render();
        let mut any = false;
        for (number, reason) in reasons {
            let key = number.checked_sub(1).and_then(|at| written.get(at)).and_then(|(key, _)| *key);
            let known =
                key.filter(|key| self.lines.get(key).is_some_and(|line| !line.value.contains("${env:")));
            let Some((key, line)) = known.and_then(|key| self.lines.remove_entry(key)) else { continue };
            self.left.push(format!("{}: {reason}", line.note));
            self.refused.insert(key, (line, reason.clone()));
            any = true;
        }
        any
    }

    pub(super) fn toml(&self) -> String {
        self.render().into_iter().map(|(_, line)| line + "\n").collect()
    }

    pub(super) fn written(self) -> Imported {
        let toml = self.toml();
        Imported { toml, left: self.left, to_do: self.to_do }
    }

    fn render(&self) -> Vec<Written> {
        let mut written: Vec<Written> = vec![(None, self.head.clone())];
        let mut table = "";
        let keys: BTreeSet<&'static str> = self.lines.keys().chain(self.refused.keys()).copied().collect();
        let (tables, roots): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| key.contains('.'));
        for key in roots.into_iter().chain(tables) {
            let of = key.split_once('.').map(|(table, _)| table).unwrap_or_default();
            if table != of || written.len() == 1 {
                written.push((None, String::new()));
            }
            if table != of {
                written.push((None, format!("[{of}]")));
                table = of;
            }
            if let Some((line, reason)) = self.refused.get(key) {
                written.push((None, comment(&format!("Refused: {reason}"))));
                written.push((None, comment(&setting(key, line))));
            }
            if let Some(line) = self.lines.get(key) {
                written.push((Some(key), setting(key, line)));
            }
        }
        for (title, what) in [("By hand:", &self.to_do), ("Not carried over:", &self.left)] {
            if !what.is_empty() {
                written.push((None, format!("\n# {title}")));
                written.extend(what.iter().map(|line| (None, comment(&format!("- {line}")))));
            }
        }
        written
    }
}

fn setting(key: &str, line: &Line) -> String {
    let name = match key.split_once('.') {
        Some(("kafka", name)) => text(name),
        Some((_, name)) => name.to_owned(),
        None => key.to_owned(),
    };
    format!("{name} = {}  {}", value(key, &line.value), comment(&line.note))
}

fn value(key: &str, value: &str) -> String {
    if key == "topics" {
        let names: Vec<String> = value.split(',').map(|name| text(name.trim())).collect();
        return format!("[{}]", names.join(", "));
    }
    let is_bare = value.parse::<u32>().is_ok_and(|number| number.to_string() == value);
    if is_bare || matches!(value, "true" | "false") { value.to_owned() } else { text(value) }
}

/// A basic string of TOML: that of JSON, but for one character.
fn text(value: &str) -> String {
    let json = serde_json::Value::from(value).to_string();
    json.replace('\u{7f}', "\\u007f")
}

fn comment(text: &str) -> String {
    format!("# {}", text.replace(|c: char| c.is_control(), " "))
}

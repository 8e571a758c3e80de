//! The configuration file: TOML, taken apart into full key names.

use std::path::Path;

use figment::value::{Dict, Value};
use toml_edit::{ImDocument, Item, TableLike};

use super::layer::Layer;
use super::names;
use super::problem::{Place, Problem};
use super::reference::{self, Kind};

/// Deeper tables hold nothing that we know.
const DEEPEST: usize = 12;

/// The settings that `text`, the content of `path`, makes; and what is wrong with it.
pub(super) fn parse(path: &Path, text: &str) -> Layer {
    let mut document = Document { path, text, layer: Layer::new("file") };
    match ImDocument::parse(text) {
        Ok(parsed) => drop(document.table("", parsed.as_table(), DEEPEST)),
        Err(error) => {
            let place = document.place(error.span());
            let what = format!("no TOML: {}", error.message().replace('\n', ", "));
            let advice = "correct it; strings and keys with dots in them are quoted in TOML";
            document.layer.note(Problem::new(what, place, advice));
        }
    }
    document.layer
}

struct Document<'a> {
    path: &'a Path,
    text: &'a str,
    layer: Layer,
}

impl Document<'_> {
    /// Takes each entry of a table; false when there are too many problems to go on.
    fn table(&mut self, above: &str, table: &dyn TableLike, depth: usize) -> bool {
        table.iter().all(|(name, item)| {
            let path = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
            let span = item.span().or_else(|| table.key(name).and_then(|key| key.span()));
            self.entry(&path, item, self.place(span), depth)
        })
    }

    fn entry(&mut self, path: &str, item: &Item, place: Place, depth: usize) -> bool {
        let is_map = reference::key(path).is_some_and(|key| key.kind == Kind::AddressMap);
        match item.as_table_like() {
            Some(table) if !is_map && reference::key(path).is_none() && depth > 0 => {
                self.table(path, table, depth - 1)
            }
            _ => self.setting(path, item, place),
        }
    }

    fn setting(&mut self, path: &str, item: &Item, place: Place) -> bool {
        let key = match names::known(path, &place) {
            Ok(key) => key,
            Err(problem) => return self.layer.note(problem),
        };
        if let Some(first) = self.layer.places.get(key.path) {
            let what = format!("`{path}` is set twice, first in {first}, once more");
            let advice = "keep one; a quoted and a dotted key are the same";
            return self.layer.note(Problem::new(what, place, advice));
        }
        self.layer.put(key, value(item), place);
        true
    }

    fn place(&self, span: Option<std::ops::Range<usize>>) -> Place {
        let before = span.and_then(|span| self.text.get(..span.start));
        let line = before.map(|text| text.matches('\n').count() + 1);
        Place::File { path: self.path.to_owned(), line }
    }
}

/// The item as figment's value. What no setting takes (dates) becomes text.
fn value(item: &Item) -> Value {
    if let Some(table) = item.as_table_like() {
        let entries: Dict = table.iter().map(|(name, item)| (name.to_owned(), value(item))).collect();
        return Value::from(entries);
    }
    match item {
        Item::Value(inner) => scalar(inner),
        Item::ArrayOfTables(tables) => Value::from(vec!["a table"; tables.len()]),
        Item::None | Item::Table(_) => Value::from(""),
    }
}

fn scalar(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => Value::from(text.value().as_str()),
        toml_edit::Value::Integer(number) => Value::from(*number.value()),
        toml_edit::Value::Float(number) => Value::from(*number.value()),
        toml_edit::Value::Boolean(flag) => Value::from(*flag.value()),
        toml_edit::Value::Datetime(date) => Value::from(date.value().to_string()),
        toml_edit::Value::Array(items) => Value::from(items.iter().map(scalar).collect::<Vec<Value>>()),
        toml_edit::Value::InlineTable(table) => {
            let entries = table.iter().map(|(name, value)| (name.to_owned(), scalar(value)));
            Value::from(entries.collect::<Dict>())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        parse(Path::new("f.toml"), text).problems.iter().map(Problem::to_string).collect()
    }

    fn keys(text: &str) -> Vec<&'static str> {
        let layer = parse(Path::new("f.toml"), text);
        assert_eq!(layer.problems, []);
        layer.places.into_keys().collect()
    }

    #[test]
    fn kafkas_settings_are_quoted_or_dotted() {
        for text in [
            "[kafka]\n\"group.id\" = \"g\"",
            "[kafka]\ngroup.id = \"g\"",
            "[kafka.group]\nid = \"g\"",
            "kafka.group.id = \"g\"",
            "kafka = { \"group.id\" = \"g\" }",
        ] {
            assert_eq!(keys(text), ["kafka.group.id"], "{text}");
        }
    }

    #[test]
    fn a_key_set_both_ways_is_refused() {
        assert_eq!(
            problems("[kafka]\n\"group.id\" = \"a\"\ngroup.id = \"b\""),
            [
                "`kafka.group.id` is set twice, first in f.toml, line 2, once more in f.toml, line 3: keep one; \
              a quoted and a dotted key are the same"
            ]
        );
    }

    #[test]
    fn every_unknown_key_is_told_with_its_line() {
        assert_eq!(
            problems("topics = []\n\n[drift]\ntreshold = 1\nsetle = \"2s\""),
            [
                "unknown key `drift.treshold` in f.toml, line 4: did you mean `drift.threshold`?",
                "unknown key `drift.setle` in f.toml, line 5: did you mean `drift.settle`?",
            ]
        );
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        let told = problems("topics = [\"a\"]\n[kafka\n");
        assert!(told[0].starts_with("no TOML: ") && told[0].contains("f.toml, line 2"), "{told:?}");
    }

    #[test]
    fn deep_long_and_broken_files_end_in_problems() {
        let deep = format!("{} = 1", vec!["a"; 100_000].join("."));
        let tables = format!("[{}]\nx = 1", ["a"; 60].join("."));
        let nested = format!("a = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
        let many: String = (0..10_000).map(|n| format!("k{n} = 1\n")).collect();
        for text in
            [deep.as_str(), &tables, &nested, &many, "[[topicz]]\nx = 1\n[[topicz]]", "\u{0}", "[kafka"]
        {
            let told = problems(text).len();
            assert!((1..=super::super::problem::MOST_PROBLEMS).contains(&told), "{told}");
        }
        assert_eq!(problems(&many).len(), super::super::problem::MOST_PROBLEMS);
    }
}

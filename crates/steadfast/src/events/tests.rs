//! docs/events.md is made from the list of events, its doc comments and the catalogue. `just events` writes it anew.

use std::collections::BTreeMap;
use std::fmt::Write;

use syn::{Attribute, Expr, ExprLit, Field, Fields, Item, Lit, LitStr, Meta};

use super::catalogue::chapters;

const BEGIN: &str = include_str!("introduction.md");
const LIST: &str = include_str!("../events.rs");
const PARTS: &str = include_str!("parts.rs");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/events.md");

/// An event or a field as its source describes it.
struct Described {
    name: String,
    meaning: String,
    fields: Vec<Described>,
}

#[test]
fn the_document_is_what_the_list_says() {
    let made = document();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(DOCUMENT, &made).unwrap();
    }
    let stands = std::fs::read_to_string(DOCUMENT).unwrap();
    assert!(
        stands == made,
        "docs/events.md is not what the list of events says: `just events` writes it anew"
    );
}

#[test]
fn the_fields_that_are_described_are_those_that_are_written() {
    let failure = super::Failure::new("failed", "disk full");
    let place = super::Place::new("orders", 3);
    let event = super::Event::BatchReturned { place, from: super::Offset(7), failure };
    let serde_json::Value::Object(mut written) = serde_json::to_value(event).unwrap() else { panic!() };
    let name = written.remove("event.name").unwrap();
    let event = events().remove("BatchReturned").unwrap();
    assert_eq!(name, event.name.as_str());
    let mut described: Vec<String> = event.fields.into_iter().map(|field| field.name).collect();
    described.sort();
    assert_eq!(written.keys().cloned().collect::<Vec<_>>(), described);
}

fn document() -> String {
    let mut events = events();
    let mut document = BEGIN.to_owned();
    for (chapter, entries) in chapters() {
        write!(document, "\n## {chapter}\n").unwrap();
        for (event, entry) in entries {
            let Described { name, meaning, fields } = events.remove(event).unwrap();
            let advice = entry.advice().map(|advice| format!(" *Do:* {advice}")).unwrap_or_default();
            let limited = if entry.limited() { ", limited" } else { "" };
            let text = wrapped(&format!("{meaning}{advice}"));
            write!(
                document,
                "\n### `{name}` ({}{limited})\n{text}\n\n| field | meaning |\n|---|---|\n",
                entry.level()
            )
            .unwrap();
            for field in fields {
                writeln!(document, "| `{}` | {} |", field.name, field.meaning).unwrap();
            }
        }
    }
    document
}

/// In lines of 120 characters at most.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().unwrap();
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > 120 {
            lines.push(word.to_owned());
        } else {
            let space = if line.is_empty() { "" } else { " " };
            write!(line, "{space}{word}").unwrap();
        }
    }
    lines.join("\n")
}

/// The events by their names in the type.
fn events() -> BTreeMap<String, Described> {
    let parts: BTreeMap<String, Vec<Field>> = items(PARTS)
        .filter_map(|item| match item {
            Item::Struct(part) => Some((part.ident.to_string(), part.fields.into_iter().collect())),
            _ => None,
        })
        .collect();
    let list = items(LIST).find_map(|item| match item {
        Item::Enum(list) if list.ident == "Event" => Some(list),
        _ => None,
    });
    let described = |event: syn::Variant| {
        let Fields::Named(named) = &event.fields else { panic!("{}: fields without names", event.ident) };
        let fields = named.named.iter().flat_map(|field| described(field, &parts)).collect();
        let (name, meaning) = (written(&event.attrs, &event.ident.to_string()), meaning(&event.attrs));
        (event.ident.to_string(), Described { name, meaning, fields })
    };
    list.unwrap().variants.into_iter().map(described).collect()
}

fn items(source: &str) -> impl Iterator<Item = Item> {
    syn::parse_file(source).unwrap().items.into_iter()
}

/// A field, or what stands in its place in the log: the fields of its type.
fn described(field: &Field, parts: &BTreeMap<String, Vec<Field>>) -> Vec<Described> {
    let (meaning, key) = (meaning(&field.attrs), field.ident.as_ref().unwrap().to_string());
    if !serde(&field.attrs, "flatten").0 {
        return vec![Described { name: written(&field.attrs, &key), meaning, fields: vec![] }];
    }
    let part = &parts[&last_name(&field.ty)];
    let mut inner: Vec<Described> = part.iter().flat_map(|field| described(field, parts)).collect();
    // What the event says of its failure goes before what every failure is.
    if key == "failure" {
        inner[0].meaning = meaning;
    }
    inner
}

/// `Server` of `Option<Server>` and of `Server`.
fn last_name(of: &syn::Type) -> String {
    let syn::Type::Path(path) = of else { panic!("a part of an event is no named type") };
    let last = path.path.segments.last().unwrap();
    match &last.arguments {
        syn::PathArguments::AngleBracketed(inner) => match inner.args.first() {
            Some(syn::GenericArgument::Type(inner)) => last_name(inner),
            _ => panic!("a part of an event is no named type"),
        },
        _ => last.ident.to_string(),
    }
}

/// The name in the log.
fn written(attributes: &[Attribute], name: &str) -> String {
    serde(attributes, "rename").1.unwrap_or_else(|| name.to_owned())
}

/// Whether serde is told this, and with which text.
fn serde(attributes: &[Attribute], key: &str) -> (bool, Option<String>) {
    let mut found = (false, None);
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute
            .parse_nested_meta(|meta| {
                let value = meta.value().and_then(|value| value.parse::<LitStr>()).ok();
                if meta.path.is_ident(key) {
                    found = (true, value.map(|value| value.value()));
                }
                Ok(())
            })
            .unwrap();
    }
    found
}

fn meaning(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(doc) if doc.path.is_ident("doc") => match &doc.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    };
    attributes.iter().filter_map(line).collect::<Vec<_>>().join(" ")
}

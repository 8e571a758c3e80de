//! Single settings as types: each is read under the rule that the reference states for its key.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use figment::value::Value;
use steadfast_core::endpoints::drift::Threshold;
use steadfast_core::endpoints::view::Address;
use steadfast_kafka::security::Secret;

use super::choices::{Assignor, Choice};
use super::names;
use super::problem::{Place, Problem};
use super::raw::{Raw, Setting};
use super::reference::{Fallback, Kind};
use super::topics::{TopicPattern, Topics};
use super::{durations, secrets, sizes};

/// Choices that Kafka, or a later steadfast, knows.
const LATER: &[&str] = &["GSSAPI", "JKS", "PKCS12", "none", "http", "command"];

/// Kafka's rule for the names of topics, which it applies to instance ids too (KIP-345).
const LONGEST_NAME: usize = 249;

/// Why a value was not taken.
enum Wrong {
    /// It is none of what the key takes.
    Kind,
    /// It is nearly, but for this.
    Because(String),
    /// It is none of what the key takes, and is not shown.
    Hidden,
}

type Read<T> = Result<T, Wrong>;

/// Reads settings and collects what is wrong with them.
pub(super) struct Reader<'a> {
    raw: &'a Raw,
    /// What is wrong so far.
    pub(super) problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// A reader of these settings, with what is known to be wrong already.
    pub(super) fn new(raw: &'a Raw, problems: Vec<Problem>) -> Reader<'a> {
        Reader { raw, problems }
    }

    /// Where somebody set the key; none when nobody did.
    pub(super) fn set_at(&self, path: &str) -> Option<Place> {
        Some(self.raw.place(path)).filter(|place| *place != Place::Unset)
    }

    /// Unless `holds`, notes what is wrong with the value of `path`.
    pub(super) fn require(&mut self, holds: bool, path: &str, what: impl Into<String>, advice: &str) {
        if !holds {
            self.problems.push(Problem::new(what, self.raw.place(path), advice));
        }
    }

    /// A text.
    pub(super) fn text(&mut self, path: &'static str) -> Option<String> {
        self.read(path, text)
    }

    /// A text, or none when nobody set it.
    pub(super) fn text_if_set(&mut self, path: &'static str) -> Option<Option<String>> {
        self.if_set(path, Reader::text)
    }

    /// A name under Kafka's rules.
    pub(super) fn name(&mut self, path: &'static str) -> Option<String> {
        self.read(path, |setting| text(setting).and_then(|text| name(&text).map(|()| text)))
    }

    /// A name, or none when nobody set it.
    pub(super) fn name_if_set(&mut self, path: &'static str) -> Option<Option<String>> {
        self.if_set(path, Reader::name)
    }

    /// A list of names.
    pub(super) fn names(&mut self, path: &'static str) -> Option<Vec<Arc<str>>> {
        self.read(path, |setting| {
            let names = texts(setting)?;
            names.iter().try_for_each(|one| name(one))?;
            distinct(&names)?;
            Ok(names.into_iter().map(Arc::from).collect())
        })
    }

    /// What to consume: one of two keys says it.
    pub(super) fn topics(&mut self) -> Option<Topics> {
        match (self.set_at("topics"), self.set_at("topics_pattern")) {
            (_, None) => self.names("topics").map(Topics::Named),
            (None, Some(_)) => self.pattern("topics_pattern").map(Topics::Matching),
            (Some(_), Some(_)) => {
                let what = "`topics_pattern` is set, and so is `topics`";
                self.refuse("topics_pattern", what, "leave one of them out");
                None
            }
        }
    }

    fn pattern(&mut self, path: &'static str) -> Option<TopicPattern> {
        self.read(path, |setting| TopicPattern::new(&text(setting)?).map_err(Wrong::Because))
    }

    /// A list of addresses.
    pub(super) fn addresses(&mut self, path: &'static str) -> Option<Vec<Address>> {
        self.read(path, |setting| {
            let texts = texts(setting)?;
            distinct(&texts)?;
            texts.iter().map(|text| address(text)).collect()
        })
    }

    /// A list of addresses, or none when nobody set it.
    pub(super) fn addresses_if_set(&mut self, path: &'static str) -> Option<Option<Vec<Address>>> {
        self.if_set(path, Reader::addresses)
    }

    /// Where to listen; none when nowhere.
    pub(super) fn listen(&mut self, path: &'static str) -> Option<Option<SocketAddr>> {
        self.read(path, |setting| {
            let Value::String(_, text) = &setting.value else { return Err(Wrong::Kind) };
            match text.trim() {
                "" | "off" => Ok(None),
                address => address.parse().map(Some).map_err(|_| {
                    let shown = names::shorten(address);
                    Wrong::Because(format!("{shown:?} is neither"))
                }),
            }
        })
    }

    /// A table of addresses.
    pub(super) fn address_map(&mut self, path: &'static str) -> Option<BTreeMap<Address, Address>> {
        self.read(path, |setting| {
            let mut map = BTreeMap::new();
            for (from, to) in pairs(setting)? {
                if map.insert(address(&from)?, address(&to)?).is_some() {
                    return Err(Wrong::Because(format!("`{}` stands there twice", names::shorten(&from))));
                }
            }
            Ok(map)
        })
    }

    /// One of a few words.
    pub(super) fn choice<T: Choice>(&mut self, path: &'static str) -> Option<T> {
        self.read(path, |setting| {
            let word = text(setting)?;
            T::of_word(&word).ok_or_else(|| no_choice(&word))
        })
    }

    /// One of a few words, none if it is not set.
    pub(super) fn choice_if_set<T: Choice>(&mut self, path: &'static str) -> Option<Option<T>> {
        self.if_set(path, Reader::choice)
    }

    /// Assignors in order of preference.
    pub(super) fn assignors(&mut self, path: &'static str) -> Option<Vec<Assignor>> {
        self.read(path, |setting| {
            let of = |name: &String| Assignor::of_name(name).ok_or_else(|| no_choice(name));
            let assignors: Vec<Assignor> = texts(setting)?.iter().map(of).collect::<Read<_>>()?;
            distinct(&assignors.iter().map(Assignor::to_string).collect::<Vec<_>>())?;
            Ok(assignors)
        })
    }

    /// A duration.
    pub(super) fn duration(&mut self, path: &'static str) -> Option<Duration> {
        self.read(path, |setting| {
            let duration = duration(setting)?;
            match super::reference::key(path).map(|key| key.kind) {
                Some(Kind::Duration(least)) if duration < least => Err(Wrong::Kind),
                _ if duration > durations::LONGEST => Err(Wrong::Kind),
                _ => Ok(duration),
            }
        })
    }

    /// A duration, or none when nobody set it.
    pub(super) fn duration_if_set(&mut self, path: &'static str) -> Option<Option<Duration>> {
        self.if_set(path, Reader::duration)
    }

    /// A whole number.
    pub(super) fn integer<T: TryFrom<i64>>(&mut self, path: &'static str) -> Option<T> {
        self.read(path, |setting| {
            let number = integer(setting)?;
            match super::reference::key(path).map(|key| key.kind) {
                Some(Kind::Integer(least, most)) if !(least..=most).contains(&number) => Err(Wrong::Kind),
                _ => T::try_from(number).map_err(|_| Wrong::Kind),
            }
        })
    }

    /// A number of bytes.
    pub(super) fn bytes<T: TryFrom<u64>>(&mut self, path: &'static str) -> Option<T> {
        self.read(path, |setting| {
            let number = bytes(setting)?;
            match super::reference::key(path).map(|key| key.kind) {
                Some(Kind::Bytes(least, most)) if !(least..=most).contains(&number) => Err(Wrong::Kind),
                _ => T::try_from(number).map_err(|_| Wrong::Kind),
            }
        })
    }

    /// A share.
    pub(super) fn share(&mut self, path: &'static str) -> Option<Threshold> {
        self.read(path, |setting| Threshold::try_from(share(setting)?).map_err(|_| Wrong::Kind))
    }

    /// Yes or no.
    pub(super) fn flag(&mut self, path: &'static str) -> Option<bool> {
        self.read(path, flag)
    }

    /// A file or directory.
    pub(super) fn path(&mut self, path: &'static str) -> Option<PathBuf> {
        self.text(path).map(PathBuf::from)
    }

    /// This word (true) or an empty text (false).
    pub(super) fn or_empty(&mut self, path: &'static str) -> Option<bool> {
        self.read(path, |setting| match (&setting.value, setting.key.kind) {
            (Value::String(_, text), _) if text.trim().is_empty() => Ok(false),
            (Value::String(_, text), Kind::OrEmpty(word)) if text.trim().eq_ignore_ascii_case(word) => {
                Ok(true)
            }
            _ => Err(Wrong::Kind),
        })
    }

    /// A list of words, or none when nobody set it.
    pub(super) fn words_if_set(&mut self, path: &'static str) -> Option<Option<Vec<String>>> {
        self.if_set(path, |reader, path| reader.read(path, texts))
    }

    /// A file or directory, or none when nobody set it.
    pub(super) fn path_if_set(&mut self, path: &'static str) -> Option<Option<PathBuf>> {
        self.if_set(path, Reader::path)
    }

    /// A secret as it is written, references and all, or none when nobody set it.
    pub(super) fn secret_if_set(&mut self, path: &'static str) -> Option<Option<Secret>> {
        let Some(setting) = self.raw.get(path) else { return Some(None) };
        let Value::String(_, text) = &setting.value else {
            self.problems.push(refused(path, setting, Wrong::Hidden));
            return None;
        };
        if text.is_empty() {
            self.problems.push(refused(path, setting, Wrong::Hidden));
            return None;
        }
        Some(Some(Secret::new(text.as_str())))
    }

    /// This text with what its references name in their place.
    pub(super) fn resolved(&mut self, path: &'static str, text: &Secret) -> Option<Secret> {
        let resolved = secrets::resolve(text, self.raw.environment());
        resolved.map_err(|wrong| self.refuse(path, wrong.what, wrong.advice)).ok()
    }

    /// Notes what is wrong with a key.
    pub(super) fn refuse(&mut self, path: &str, what: impl Into<String>, advice: impl Into<String>) {
        self.problems.push(Problem::new(what, self.raw.place(path), advice));
    }

    fn if_set<T>(
        &mut self,
        path: &'static str,
        read: impl FnOnce(&mut Self, &'static str) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.raw.get(path) {
            Some(_) => read(self, path).map(Some),
            None => Some(None),
        }
    }

    fn read<T>(&mut self, path: &'static str, read: impl FnOnce(&Setting) -> Read<T>) -> Option<T> {
        let Some(setting) = self.raw.get(path) else {
            self.problems.push(missing(path));
            return None;
        };
        read(setting).map_err(|wrong| self.problems.push(refused(path, setting, wrong))).ok()
    }
}

fn missing(path: &str) -> Problem {
    let how = match super::reference::key(path).map(|key| key.default) {
        Some(Fallback::Found(how)) => format!(", and the environment names none ({how})"),
        _ => String::new(),
    };
    let advice =
        format!("set it in the file, as {} or with --set {path}=…", super::reference::variable(path));
    Problem::new(format!("`{path}` is not set{how}"), Place::Unset, advice)
}

fn refused(path: &str, setting: &Setting, wrong: Wrong) -> Problem {
    let written = setting.key.path;
    let kind = super::reference::key(path).map_or(setting.key.kind, |key| key.kind);
    let what = match wrong {
        Wrong::Kind => format!("`{written}` must be {kind}, found {}", found(&setting.value)),
        Wrong::Hidden => format!("`{written}` must be {kind}, found something else"),
        Wrong::Because(reason) => format!("`{written}` must be {kind}, but {reason}"),
    };
    Problem::new(what, setting.place.clone(), format!("write for instance {}", example(kind, setting)))
}

fn example(kind: Kind, setting: &Setting) -> String {
    let bare = match kind {
        Kind::Names => "orders,payments",
        Kind::Pattern => "orders-.*",
        Kind::Addresses => "kafka-1:9092,kafka-2:9092",
        Kind::Words => "get-token,--quiet",
        Kind::Secret => "${file:/run/secrets/kafka}",
        Kind::OrEmpty(word) => word,
        Kind::AddressMap => "old-host:9092=new-host:9092",
        Kind::Listen => "127.0.0.1:9404",
        Kind::OneOf(words) => words.first().copied().unwrap_or_default(),
        Kind::Assignors => "range,cooperative-sticky",
        Kind::Duration(_) => "30s",
        Kind::Integer(..) => "3",
        Kind::Bytes(..) => "1MiB",
        Kind::Share => "0.5",
        Kind::Flag => "true",
        Kind::Path => "/var/lib/steadfast",
        Kind::Text | Kind::Name | Kind::SameAs(_) => "billing",
    };
    match (&setting.place, kind) {
        (Place::File { .. }, Kind::Integer(..) | Kind::Share | Kind::Flag) => bare.to_owned(),
        (Place::File { .. }, Kind::AddressMap) => "\"old-host:9092\" = \"new-host:9092\"".to_owned(),
        (Place::File { .. }, Kind::Names | Kind::Addresses | Kind::Assignors | Kind::Words) => {
            format!("[\"{}\"]", bare.replace(',', "\", \""))
        }
        (Place::File { .. }, _) => format!("\"{bare}\""),
        _ => bare.to_owned(),
    }
}

fn found(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("the text {:?}", names::shorten(text)),
        Value::Char(_, c) => format!("the text {c:?}"),
        Value::Bool(_, flag) => format!("{flag}"),
        Value::Num(_, number) => match (number.to_i128(), number.to_f64()) {
            (Some(whole), _) => format!("the number {whole}"),
            (None, Some(number)) => format!("the number {number}"),
            (None, None) => "a number".to_owned(),
        },
        Value::Empty(..) => "nothing".to_owned(),
        Value::Dict(..) => "a table".to_owned(),
        Value::Array(_, items) => format!("a list of {}", items.len()),
    }
}

fn text(setting: &Setting) -> Read<String> {
    match &setting.value {
        Value::String(_, text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        _ => Err(Wrong::Kind),
    }
}

/// A list that is not empty: a TOML array, or one text with commas where texts are all there is.
fn texts(setting: &Setting) -> Read<Vec<String>> {
    let texts: Vec<String> = match &setting.value {
        Value::Array(_, items) => {
            let of = |item: &Value| item.as_str().map(|text| text.trim().to_owned());
            items.iter().map(of).collect::<Option<_>>().ok_or(Wrong::Kind)?
        }
        Value::String(_, text) if setting.is_textual() => {
            text.split(',').map(|part| part.trim().to_owned()).collect()
        }
        _ => return Err(Wrong::Kind),
    };
    match texts.iter().any(String::is_empty) || texts.is_empty() {
        true => Err(Wrong::Because("it, or one of its entries, is empty".to_owned())),
        false => Ok(texts),
    }
}

fn pairs(setting: &Setting) -> Read<Vec<(String, String)>> {
    match &setting.value {
        Value::Dict(_, table) => {
            let of = |(from, to): (&String, &Value)| Some((from.clone(), to.as_str()?.to_owned()));
            table.iter().map(of).collect::<Option<_>>().ok_or(Wrong::Kind)
        }
        Value::String(_, text) if text.is_empty() => Ok(Vec::new()),
        Value::String(_, text) if setting.is_textual() => {
            let of = |pair: &str| pair.split_once('=').map(|(from, to)| (from.to_owned(), to.to_owned()));
            text.split(',').map(of).collect::<Option<_>>().ok_or(Wrong::Kind)
        }
        _ => Err(Wrong::Kind),
    }
}

fn distinct(texts: &[String]) -> Read<()> {
    let mut sorted: Vec<&String> = texts.iter().collect();
    sorted.sort();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(Wrong::Because(format!("`{}` stands there twice", names::shorten(pair[0])))),
        None => Ok(()),
    }
}

fn name(text: &str) -> Read<()> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let dots = matches!(text, "." | "..");
    match text.chars().all(legal) && !dots && (1..=LONGEST_NAME).contains(&text.len()) {
        true => Ok(()),
        false => {
            let shown = names::shorten(text);
            Err(Wrong::Because(format!(
                "{shown:?} is no name for Kafka: letters, digits, `.`, `_` and `-`, at most {LONGEST_NAME} \
                 of them, and neither `.` nor `..`"
            )))
        }
    }
}

fn address(text: &str) -> Read<Address> {
    let shortened = names::shorten(text);
    text.parse()
        .map_err(|_| Wrong::Because(format!("{shortened:?} is no host:port with a port from 1 to 65535")))
}

fn no_choice(word: &str) -> Wrong {
    match LATER.iter().any(|later| later.eq_ignore_ascii_case(word)) {
        true => Wrong::Because(format!("`{word}` is not in this version")),
        false => Wrong::Because(format!("found `{}`", names::shorten(word))),
    }
}

fn duration(setting: &Setting) -> Read<Duration> {
    let millis = match &setting.value {
        Value::Num(_, number) if setting.is_kafkas() => number.to_i128(),
        Value::String(_, text) if setting.is_kafkas() => text.trim().parse().ok(),
        _ => None,
    };
    match (millis, &setting.value) {
        (Some(millis), _) => Ok(Duration::from_millis(u64::try_from(millis).map_err(|_| Wrong::Kind)?)),
        (None, Value::String(_, text)) => durations::of_text(text).ok_or(Wrong::Kind),
        (None, _) => Err(Wrong::Kind),
    }
}

fn integer(setting: &Setting) -> Read<i64> {
    match &setting.value {
        Value::Num(_, number) => number.to_i128().and_then(|number| i64::try_from(number).ok()),
        Value::String(_, text) if setting.is_textual() => text.trim().parse().ok(),
        _ => None,
    }
    .ok_or(Wrong::Kind)
}

fn bytes(setting: &Setting) -> Read<u64> {
    match &setting.value {
        Value::Num(_, number) => number.to_i128().and_then(|number| u64::try_from(number).ok()),
        Value::String(_, text) => sizes::of_text(text),
        _ => None,
    }
    .ok_or(Wrong::Kind)
}

fn share(setting: &Setting) -> Read<f64> {
    match &setting.value {
        Value::Num(_, number) => match number.to_i128() {
            Some(0) => Some(0.0),
            Some(1) => Some(1.0),
            Some(_) => None,
            None => number.to_f64(),
        },
        Value::String(_, text) if setting.is_textual() => text.trim().parse().ok(),
        _ => None,
    }
    .ok_or(Wrong::Kind)
}

fn flag(setting: &Setting) -> Read<bool> {
    match &setting.value {
        Value::Bool(_, flag) => Ok(*flag),
        Value::String(_, text) if setting.is_textual() => text.trim().parse().map_err(|_| Wrong::Kind),
        _ => Err(Wrong::Kind),
    }
}

//! What is told, for histories that are whole and for those that are not.

use proptest::prelude::*;

use super::*;

/// Written by the service: a start, two moves of every endpoint, one silent, a rebalance, a stop.
const WHOLE: &str = include_str!("fixtures/whole.jsonl");

fn history(text: &str) -> History {
    let mut history = History::default();
    history.add(text);
    history
}

fn titles(history: &History, choice: Choice) -> Vec<String> {
    history.chosen(choice).iter().map(|episode| episode.facts.title()).collect()
}

/// Compares with what stands in fixtures/. `BLESS=1` writes it anew instead, to be read before it is committed.
fn assert_told(history: &History, file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/history/fixtures").join(file);
    let story = history.story("billing", Choice::default());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &story).unwrap();
    }
    assert_eq!(story, std::fs::read_to_string(path).unwrap());
}

#[test]
fn a_whole_history_is_told_as_in_the_file_beside_it() {
    assert_told(&history(WHOLE), "whole.md");
}

#[test]
fn a_history_with_holes_says_what_is_not_known() {
    assert_told(&history(include_str!("fixtures/holes.jsonl")), "holes.md");
}

#[test]
fn the_last_episode_is_the_last_in_which_anything_went_on() {
    let whole = history(WHOLE);
    let last = Choice { last: true, ..Choice::default() };
    assert_eq!(titles(&whole, last), ["rebalance, generation 2"]);
    let first_line = WHOLE.lines().next().unwrap();
    assert_eq!(titles(&history(first_line), last), ["start"]);
    assert_eq!(titles(&history(""), last), Vec::<String>::new());
}

#[test]
fn what_ended_before_is_left_out() {
    let since = DateTime::parse_from_rfc3339("2026-11-21T19:04:00Z").unwrap().with_timezone(&Utc);
    let whole = history(WHOLE);
    let all = titles(&whole, Choice::default());
    let late = titles(&whole, Choice { since: Some(since), ..Choice::default() });
    assert!(!late.is_empty() && late.len() < all.len() && all.ends_with(&late), "{late:?} of {all:?}");
    assert!(
        whole.story("g", Choice { since: Some(DateTime::<Utc>::MAX_UTC), last: true }).contains("Nothing")
    );
}

#[test]
fn programs_get_the_figures() {
    let json = history(WHOLE).json(Choice::default());
    let recovery = &json[1];
    assert_eq!(recovery["title"], "3 endpoints moved, consumer 2 took over");
    assert_eq!((&recovery["gap"], &recovery["redelivered"]), (&0.into(), &0.into()));
    assert_eq!(recovery["changes"][0]["to"], "127.0.0.1:5001");
    let phases = recovery["respawns"][0]["phases_ms"].as_object().unwrap();
    let sum: f64 = phases.values().map(|ms| ms.as_f64().unwrap()).sum();
    assert!((sum - recovery["pause_ms"].as_f64().unwrap()).abs() < 1e-6, "{recovery}");
}

#[test]
fn both_files_are_read_and_a_torn_line_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(History::read(directory.path()).unwrap(), None);
    let lines: Vec<&str> = WHOLE.lines().collect();
    let (older, younger) = lines.split_at(lines.len() / 2);
    std::fs::write(directory.path().join("history.jsonl.1"), older.join("\n")).unwrap();
    std::fs::write(directory.path().join("history.jsonl"), younger.join("\n") + "\n{\"timestamp\":\"20")
        .unwrap();
    let read = History::read(directory.path()).unwrap().unwrap();
    assert_eq!((&read.entries, read.unreadable), (&history(WHOLE).entries, 1));
}

#[test]
fn a_sink_that_was_away_and_a_release_are_told() {
    let line = |second: u8, name: &str, message: &str| {
        format!(
            r#"{{"timestamp":"2026-11-21T08:00:0{second}.000Z","event.name":"{name}","message":"{message}"}}"#
        )
    };
    let lines = [
        line(1, "sink.unavailable", "orders/3 waits at 7: no space left"),
        line(2, "sink.unavailable", "orders/3 waits at 7: no space left"),
        line(3, "sink.recovered", "the target of orders/3 is back"),
        line(4, "partition.released", "orders/4 is tried again from 9 on"),
    ];
    let history = history(&lines.join("\n"));
    assert_eq!(
        titles(&history, Choice::default()),
        ["the sink away, released from quarantine, the sink is back"]
    );
    let story = history.story("billing", Choice::default());
    for told in ["**Why:** orders/3 waits at 7: no space left", "orders/4 is tried again from 9 on"] {
        assert!(story.contains(told), "{story}");
    }
}

proptest! {
    /// Lines may be missing, torn, doubled and out of order.
    #[test]
    fn whatever_lines_are_left_a_story_is_told(
        picked in prop::collection::vec((0..WHOLE.lines().count(), 0..400_usize), 0..40),
    ) {
        let lines: Vec<&str> = WHOLE.lines().collect();
        let torn = |(at, length): &(usize, usize)| {
            let line = lines[*at];
            if *length < 100 { line.get(..*length).unwrap_or(line) } else { line }
        };
        let text: Vec<&str> = picked.iter().map(torn).collect();
        let left = history(&text.join("\n"));
        let story = left.story("billing", Choice::default());
        let told: usize = left.chosen(Choice::default()).iter().map(|episode| episode.entries.len()).sum();
        prop_assert_eq!(told, left.entries.len());
        prop_assert!(story.starts_with("# History of group billing\n") && story.ends_with('\n'));
        left.json(Choice { last: true, ..Choice::default() });
    }
}

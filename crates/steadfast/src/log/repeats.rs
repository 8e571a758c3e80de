//! Holds back lines that say the same about the same thing again and again, and counts them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Line;

/// About one thing, at most so many lines in a [`WINDOW`].
const LINES: u32 = 10;
const WINDOW: Duration = Duration::from_secs(60);
/// At most so many things are told apart; what else there is counts as one thing for each name.
const SUBJECTS: usize = 1024;

/// What a line is about: its name, and what else tells it from others of that name.
pub(super) type Subject = (String, String);

/// Which lines were written lately. Of a thing's lines in a window the first [`LINES`] are written at once. When the
/// window is over, the last of the rest is written with the next line of the log, whatever that is about, and says
/// in the field `repeated` for how many it stands.
#[derive(Default)]
pub(super) struct Limit(Mutex<BTreeMap<Subject, Window>>);

struct Window {
    until: Instant,
    written: u32,
    held_back: Option<(Line, u64)>,
}

impl Limit {
    /// What is to be written now that `line` has come: what was held back and is due, then the line, unless it is
    /// held back itself. A line without a subject never is.
    pub(super) fn pass(&self, line: Line, subject: Option<Subject>, now: Instant) -> Vec<Line> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = due(&mut windows, now);
        match subject {
            None => lines.push(line),
            Some(subject) => lines.extend(admit(&mut windows, subject, line, now)),
        }
        lines
    }

    /// Everything that is held back: nothing is written any more after `line`.
    pub(super) fn end(&self, line: Line) -> Vec<Line> {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held_back = std::mem::take(&mut *windows).into_values().filter_map(|window| window.held_back);
        held_back.map(summed_up).chain([line]).collect()
    }
}

/// A window that held lines back is followed by another, in which their sum is the first line.
fn due(windows: &mut BTreeMap<Subject, Window>, now: Instant) -> Vec<Line> {
    let mut lines = Vec::new();
    windows.retain(|_, window| {
        if now < window.until {
            return true;
        }
        let Some(held_back) = window.held_back.take() else { return false };
        lines.push(summed_up(held_back));
        *window = Window { until: now + WINDOW, written: 1, held_back: None };
        true
    });
    lines
}

fn admit(
    windows: &mut BTreeMap<Subject, Window>,
    subject: Subject,
    line: Line,
    now: Instant,
) -> Option<Line> {
    let room = windows.len() < SUBJECTS || windows.contains_key(&subject);
    let subject = if room { subject } else { (subject.0, String::new()) };
    let fresh = || Window { until: now + WINDOW, written: 0, held_back: None };
    let window = windows.entry(subject).or_insert_with(fresh);
    if window.written < LINES {
        window.written += 1;
        return Some(line);
    }
    let earlier = window.held_back.take().map_or(0, |(_, count)| count);
    window.held_back = Some((line, earlier + 1));
    None
}

fn summed_up((mut line, count): (Line, u64)) -> Line {
    line.fields.insert("repeated".to_owned(), count.into());
    line
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;
    use tracing::Level;

    use super::*;

    fn line(message: &str) -> Line {
        Line {
            level: Level::WARN,
            name: "partition.refused".to_owned(),
            instance: "billing".into(),
            message: message.to_owned(),
            fields: serde_json::Map::new(),
        }
    }

    fn say(limit: &Limit, about: &str, message: &str) -> Vec<String> {
        let subject = Some(("partition.refused".to_owned(), about.to_owned()));
        told(limit.pass(line(message), subject, Instant::now()))
    }

    fn told(lines: Vec<Line>) -> Vec<String> {
        let told = |line: Line| match line.fields.get("repeated") {
            Some(count) => format!("{} x{count}", line.message),
            None => line.message,
        };
        lines.into_iter().map(told).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn ten_lines_a_minute_are_written_and_the_rest_is_one_line_with_its_count() {
        let limit = Limit::default();
        let written: Vec<String> = (0..25).flat_map(|number| say(&limit, "a", &number.to_string())).collect();
        assert_eq!(written, (0..10).map(|number| number.to_string()).collect::<Vec<_>>());
        advance(WINDOW - Duration::from_millis(1)).await;
        assert_eq!(say(&limit, "b", "other"), ["other"]);
        advance(Duration::from_millis(1)).await;
        assert_eq!(say(&limit, "b", "other"), ["24 x15", "other"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_for_hours_is_ten_lines_a_minute_at_most_and_none_is_lost() {
        let limit = Limit::default();
        let (mut lines, mut stand_for) = (0, 0);
        for _ in 0..3600 {
            for said in say(&limit, "a", "again") {
                lines += 1;
                stand_for += said.split_once(" x").map_or(1, |(_, count)| count.parse().unwrap());
            }
            advance(Duration::from_secs(1)).await;
        }
        assert!(lines <= 600, "{lines}");
        let rest = told(limit.end(line("end")));
        stand_for += rest[0].split_once(" x").map_or(0, |(_, count)| count.parse().unwrap());
        assert_eq!((stand_for, rest.last().unwrap().as_str()), (3600, "end"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_rare_is_always_written() {
        let limit = Limit::default();
        for _ in 0..100 {
            assert_eq!(say(&limit, "a", "again"), ["again"]);
            advance(WINDOW / 10).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_without_a_subject_is_always_written() {
        let limit = Limit::default();
        for _ in 0..100 {
            assert_eq!(told(limit.pass(line("respawned"), None, Instant::now())), ["respawned"]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn more_things_than_can_be_told_apart_share_one_limit() {
        let limit = Limit::default();
        for number in 0..SUBJECTS {
            assert_eq!(say(&limit, &number.to_string(), "known").len(), 1);
        }
        let more = (0..1000).flat_map(|number| say(&limit, &format!("more {number}"), "more")).count();
        assert_eq!(more, 10);
        assert_eq!(limit.0.lock().unwrap().len(), SUBJECTS + 1);
        advance(WINDOW).await;
        assert_eq!(say(&limit, "more 0", "more"), ["more x990", "more"]);
    }
}

//! The past as a person wants to read it after an incident: in Markdown.

use std::fmt::{Display, Write};

use chrono::{DateTime, Utc};

use super::episode::Episode;
use super::facts::{Facts, PHASES, Respawn};

/// Signs of one kind in a row that are told one by one.
const TOLD_IN_FULL: usize = 3;

/// The story of these episodes. Ends with a newline.
pub(super) fn markdown(group: &str, episodes: &[Episode<'_>], unreadable: usize) -> String {
    let mut text = format!("# History of group {}\n\n", plain(group));
    match (episodes.first(), episodes.last()) {
        (Some(first), Some(last)) => {
            text += &format!("From {} to {} (UTC).", day(first.begin()), day(last.end()));
        }
        _ => text += "Nothing that is kept happened in this time.",
    }
    if unreadable > 0 {
        text += &format!(" Lines that cannot be read: {unreadable}.");
    }
    text += "\n";
    if !episodes.is_empty() {
        text += &summary(episodes);
    }
    episodes.iter().for_each(|episode| text += &told(episode));
    text
}

fn summary(episodes: &[Episode<'_>]) -> String {
    let mut text =
        "\n| # | when (UTC) | what | pause | gap | redelivered |\n|--:|---|---|--:|--:|--:|\n".to_owned();
    for episode in episodes {
        let Episode { number, facts, .. } = episode;
        let pause = facts.pause_ms().map(millis).unwrap_or_default();
        let (gap, redelivered) = (shown(facts.gap()), shown(facts.redelivered()));
        let (when, what) = (day(episode.begin()), plain(&facts.title()));
        text += &format!("| {number} | {when} | {what} | {pause} | {gap} | {redelivered} |\n");
    }
    text
}

fn told(episode: &Episode<'_>) -> String {
    let facts = &episode.facts;
    let mut text = format!("\n## {}. {}\n\n", episode.number, plain(&capitalised(&facts.title())));
    text += &format!("**When:** {} UTC", day(episode.begin()));
    if episode.end() > episode.begin() {
        let took = (episode.end() - episode.begin()).num_milliseconds();
        text += &format!(", the last of it {} later", millis(took as f64));
    }
    text += "\n\n";
    if let Some(why) = facts.why() {
        text += &format!("**Why:** {}\n\n", plain(why));
    }
    let cost = cost(facts);
    if !cost.is_empty() {
        text += &format!("**What it cost:** {}\n\n", cost.join("; "));
    }
    text += &endpoints(facts);
    facts.replacements().for_each(|respawn| text += &phases(respawn));
    text += &timeline(episode);
    let unknown = facts.not_known();
    if !unknown.is_empty() {
        text += "\n**Not known:**\n\n";
        unknown.iter().for_each(|what| text += &format!("- {what}\n"));
    }
    text
}

fn cost(facts: &Facts<'_>) -> Vec<String> {
    let mut cost = Vec::new();
    if let Some(gap) = facts.gap() {
        cost.push(format!("gap {gap}"));
    }
    if let Some(redelivered) = facts.redelivered() {
        cost.push(format!("redelivered {redelivered}"));
    }
    if let Some(pause) = facts.pause_ms() {
        cost.push(format!("a pause of at most {} after the first sign", millis(pause)));
    } else if facts.was_taken_in_place() {
        cost.push("the pause of what is taken in place is not measured".to_owned());
    }
    if let Some(degraded) = facts.degraded_ms() {
        cost.push(format!("degraded for {}", millis(degraded)));
    }
    for entry in &facts.rebalances {
        if let Some(took) = entry.number("took_ms") {
            cost.push(format!("a rebalance of {}", millis(took)));
        }
    }
    cost
}

fn endpoints(facts: &Facts<'_>) -> String {
    if facts.changes.is_empty() {
        return String::new();
    }
    let mut text = "| broker | | from | to |\n|--:|---|---|---|\n".to_owned();
    for change in &facts.changes {
        let (from, to) =
            (change.from.as_deref().unwrap_or_default(), change.to.as_deref().unwrap_or_default());
        text += &format!(
            "| {} | {} | {} | {} |\n",
            plain(&change.node),
            plain(&change.kind),
            plain(from),
            plain(to)
        );
    }
    text + "\n"
}

fn phases(respawn: &Respawn) -> String {
    if respawn.phases.iter().all(Option::is_none) {
        return String::new();
    }
    let incarnation = respawn.incarnation.map(|number| format!(" to consumer {number}")).unwrap_or_default();
    let mut text = format!("| phase{incarnation} | took | |\n|---|--:|---|\n");
    for ((name, _, meaning), ms) in PHASES.iter().zip(respawn.phases) {
        let ms = ms.map_or("not seen".to_owned(), millis);
        text += &format!("| {name} | {ms} | {meaning} |\n");
    }
    text + "\n"
}

fn timeline(episode: &Episode<'_>) -> String {
    let mut text = "What happened, in UTC:\n\n".to_owned();
    for same in episode.entries.chunk_by(|one, next| one.name == next.name) {
        let (full, rest) = same.split_at(same.len().min(TOLD_IN_FULL));
        for entry in full {
            let time = entry.at.format("%H:%M:%S%.3f");
            // A String takes everything.
            let _ = writeln!(text, "- `{time}` {}", plain(&entry.message));
        }
        if !rest.is_empty() {
            let _ = writeln!(text, "- and {} more of these", rest.len());
        }
    }
    text
}

fn day(at: DateTime<Utc>) -> impl Display {
    at.format("%Y-%m-%d %H:%M:%S%.3f")
}

fn millis(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 10_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1e3),
    }
}

fn shown(number: Option<i64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Text that others wrote, on one line and without meaning in Markdown's tables and HTML.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .replace('|', "\\|")
        .replace('<', "&lt;")
}

//! The figures for people, for a document, and for machines.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::play::{Change, Kind, Life};

/// The longest that a record of a partition may wait that stays where it is.
const KEPT: Duration = Duration::from_millis(50);
/// The longest that a record of a partition may wait that moves when a member joins.
const MOVED_ON_JOIN: Duration = Duration::from_millis(50);
/// The same when a member leaves.
const MOVED_ON_LEAVE: Duration = Duration::from_millis(500);
/// The longest until a group is balanced.
const BALANCED: Duration = Duration::from_millis(500);

/// One line for each change of a life, and one for itself.
pub fn progress(life: &Life) -> Vec<String> {
    let title = life.client.title();
    let mut lines: Vec<String> =
        life.changes.iter().map(|change| format!("{title:<31} {}", line(change))).collect();
    lines.push(format!(
        "{title:<31} acknowledged {}, lost {}, redelivered {}; idle {:.2} requests/s of each member",
        life.acknowledged, life.lost, life.redelivered, life.idle
    ));
    lines
}

fn line(change: &Change) -> String {
    let cost = &change.cost;
    let requests: u64 = change.requests.values().sum();
    format!(
        "{:<5} kept {:>7.1} ms  moved {:>7.1} ms ({} partitions)  balanced {:>7.1} ms  redelivered {}  requests {} in \
         {:.1} s  load {:.1}",
        name(change.kind),
        ms(cost.kept),
        ms(cost.moved),
        cost.moves,
        ms(cost.balanced),
        cost.redelivered,
        requests,
        change.counted_for.as_secs_f64(),
        change.load
    )
}

/// One table, as Markdown: medians, and in brackets the worst.
pub fn markdown(lives: &[Life]) -> Vec<String> {
    let mut lines = vec![
        "| client | change | times | kept, ms | moved, ms | balanced, ms | redelivered | lost | requests/s of a member, \
         idle | requests around a change |"
            .to_owned(),
        "|---|---|---|---|---|---|---|---|---|---|".to_owned(),
    ];
    for client in clients(lives) {
        lines.extend([Kind::Join, Kind::Leave].map(|kind| Row::of(lives, client, kind).line()));
    }
    lines.extend(["", "| client | version | set |", "|---|---|---|"].map(str::to_owned));
    let said = |client: Client| format!("| {} | {} | {} |", client.title(), client.version(), set(client));
    lines.extend(clients(lives).into_iter().map(said));
    lines
}

fn set(client: Client) -> String {
    let settings: Vec<String> =
        client.settings().into_iter().map(|(key, value)| format!("`{key}={value}`")).collect();
    if settings.is_empty() { "nothing".to_owned() } else { settings.join(", ") }
}

/// What steadfast misses, in words.
pub fn missed(lives: &[Life]) -> Vec<String> {
    let ours = clients(lives).into_iter().filter(|client| client.is_ours());
    ours.flat_map(|client| {
        [Kind::Join, Kind::Leave].map(|kind| Row::of(lives, client, kind).missed()).concat()
    })
    .collect()
}

/// One life as JSON; times in milliseconds.
pub fn json(life: &Life) -> Value {
    let change = |change: &Change| {
        json!({
            "change": name(change.kind),
            "kept_ms": ms(change.cost.kept),
            "moved_ms": ms(change.cost.moved),
            "moves": change.cost.moves,
            "balanced_ms": ms(change.cost.balanced),
            "redelivered": change.cost.redelivered,
            "requests": change.requests,
            "requests_counted_for_ms": ms(change.counted_for),
            "load_average": change.load,
        })
    };
    json!({
        "client": life.client.name(),
        "version": life.client.version(),
        "settings": life.client.settings().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "life": life.number,
        "changes": life.changes.iter().map(change).collect::<Vec<_>>(),
        "idle_requests_per_second_of_a_member": life.idle,
        "acknowledged": life.acknowledged,
        "lost": life.lost,
        "redelivered": life.redelivered,
    })
}

/// Of these lives, in their order.
fn clients(lives: &[Life]) -> Vec<Client> {
    let mut clients: Vec<Client> = lives.iter().map(|life| life.client).collect();
    clients.sort_unstable();
    clients.dedup();
    clients
}

/// One kind of change to the groups of one client.
struct Row<'a> {
    client: Client,
    kind: Kind,
    lives: Vec<&'a Life>,
    changes: Vec<&'a Change>,
}

impl Row<'_> {
    fn of(lives: &[Life], client: Client, kind: Kind) -> Row<'_> {
        let lives: Vec<&Life> = lives.iter().filter(|life| life.client == client).collect();
        let changes =
            lives.iter().flat_map(|life| &life.changes).filter(|change| change.kind == kind).collect();
        Row { client, kind, lives, changes }
    }

    /// The middle one and the worst.
    fn times(&self, of: impl Fn(&Change) -> Duration) -> (Duration, Duration) {
        let mut times: Vec<Duration> = self.changes.iter().map(|change| of(change)).collect();
        times.sort_unstable();
        let median = match times.len() {
            0 => Duration::ZERO,
            even if even % 2 == 0 => (times[even / 2 - 1] + times[even / 2]) / 2,
            odd => times[odd / 2],
        };
        (median, times.last().copied().unwrap_or_default())
    }

    fn redelivered(&self) -> usize {
        self.changes.iter().map(|change| change.cost.redelivered).sum()
    }

    fn lost(&self) -> usize {
        self.lives.iter().map(|life| life.lost).sum()
    }

    fn line(&self) -> String {
        let pair = |of: fn(&Change) -> Duration| {
            let (median, worst) = self.times(of);
            format!("{:.0} ({:.0})", ms(median), ms(worst))
        };
        let idle = self.lives.iter().map(|life| life.idle).sum::<f64>() / self.lives.len().max(1) as f64;
        let requests: u64 = self.changes.iter().map(|change| change.requests.values().sum::<u64>()).sum();
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {idle:.2} | {:.0} |",
            self.client.title(),
            name(self.kind),
            self.changes.len(),
            pair(|change| change.cost.kept),
            pair(|change| change.cost.moved),
            pair(|change| change.cost.balanced),
            self.redelivered(),
            self.lost(),
            requests as f64 / self.changes.len().max(1) as f64,
        )
    }

    fn missed(&self) -> Vec<String> {
        let (join, moved) = match self.kind {
            Kind::Join => (true, MOVED_ON_JOIN),
            Kind::Leave => (false, MOVED_ON_LEAVE),
        };
        let what = format!("{}, {}", self.client.title(), name(self.kind));
        let over = |name: &str, limit: Duration, found: Duration| {
            (found > limit).then(|| {
                format!("{what}: {name}: expected at most {:.0} ms, found {:.0}", ms(limit), ms(found))
            })
        };
        let counted = |name: &str, found: usize| {
            (found > 0).then(|| format!("{what}: {name}: expected 0, found {found}"))
        };
        let balanced = self.times(|change| change.cost.balanced).1;
        [
            over("worst wait of kept partitions", KEPT, self.times(|change| change.cost.kept).1),
            over("worst wait of moved partitions", moved, self.times(|change| change.cost.moved).1),
            join.then(|| over("balanced", BALANCED, balanced)).flatten(),
            counted("redelivered", self.redelivered()),
            counted("lost", self.lost()),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Join => "join",
        Kind::Leave => "leave",
    }
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e4).round() / 10.0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::rebalance::window::Cost;

    fn change(kind: Kind, kept: u64, moved: u64, balanced: u64) -> Change {
        let ms = Duration::from_millis;
        let cost =
            Cost { kept: ms(kept), moved: ms(moved), moves: 3, balanced: ms(balanced), redelivered: 0 };
        let requests = BTreeMap::from([("Heartbeat", 10), ("JoinGroup", 4)]);
        Change { kind, cost, requests, counted_for: Duration::from_secs(3), load: 1.0 }
    }

    fn life(client: Client, changes: Vec<Change>, lost: usize) -> Life {
        Life { client, number: 1, changes, idle: 2.5, acknowledged: 100, lost, redelivered: 0 }
    }

    #[test]
    fn the_table_has_the_median_and_the_worst_of_each_change() {
        let joins = [10, 30, 20].map(|ms| change(Kind::Join, ms, 2 * ms, 10 * ms)).to_vec();
        let lines = markdown(&[life(Client::Steadfast, joins, 0)]);
        let row =
            "| steadfast, defaults (eager) | join | 3 | 20 (30) | 40 (60) | 200 (300) | 0 | 0 | 2.50 | 14 |";
        assert!(lines.iter().any(|line| line == row), "{lines:#?}");
    }

    #[test]
    fn only_ours_is_held_against_the_targets() {
        let slow = || vec![change(Kind::Join, 60, 40, 600), change(Kind::Leave, 10, 400, 900)];
        let missed =
            missed(&[life(Client::SteadfastCooperative, slow(), 0), life(Client::JavaRange, slow(), 3)]);
        assert_eq!(
            missed,
            [
                "steadfast, cooperative-sticky, join: worst wait of kept partitions: expected at most 50 ms, found 60",
                "steadfast, cooperative-sticky, join: balanced: expected at most 500 ms, found 600",
            ]
        );
    }
}

//! A promotion: instances are added and removed in bursts while handlers are slow (S1.12).

use std::io;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use steadfast_tests::checker::Mark;
use steadfast_tests::kafka::Cluster;

use super::client::Client;
use super::group::{Group, Leaver};
use super::member::{Place, Rounds};
use super::window::Window;
use crate::ground::Ground;
use crate::machine::load_average;

/// Before the first burst.
const MEMBERS: usize = 3;
/// How many come, and go again, in a burst.
const BURST: usize = 3;
/// Between two of a burst.
const APART: Duration = Duration::from_millis(500);
/// After each half of a burst.
const REST: Duration = Duration::from_secs(15);
/// Until the first members have begun.
const BEGIN: Duration = Duration::from_secs(10);
/// What a handler works at a record: three members that take one record after the other cannot keep up.
const WORK_MS: u64 = 20;
/// A fiftieth of its default, as the promotion lasts a minute instead of an hour: a poll of 500 records is worked at for
/// longer.
const POLL_INTERVAL: (&str, &str) = ("max.poll.interval.ms", "6000");
/// S1.12: what is left of the rebalances, and how long one may take.
const LEFT: f64 = 0.25;
const MEAN: Duration = Duration::from_millis(1200);

/// The groups before and after.
pub const CLIENTS: [Client; 2] = [Client::JavaRange, Client::SteadfastCooperative];

/// What one group went through.
#[derive(Debug, Clone, PartialEq)]
pub struct Promotion {
    /// Of whom.
    pub client: Client,
    /// Generations that the group went through.
    pub rebalances: i64,
    /// Of a member's round, as it says itself.
    pub mean: Duration,
    /// Of a record's wait.
    pub p99: Duration,
    /// Records that came in a second.
    pub throughput: f64,
    /// How long it was measured.
    pub lasted: Duration,
    /// The machine's load average at its end.
    pub load: f64,
}

/// Plays one group's promotion.
///
/// # Errors
/// A member does not do what it is told, or what it is measured with fails.
pub fn play(cluster: &Cluster, client: Client, number: usize, bursts: usize) -> io::Result<Promotion> {
    let name = format!("promotion-{}-{number}", client.name());
    let ground = Ground::begin(cluster, &name)?;
    let bootstrap = ground.proxy.bootstrap().to_string();
    let place = Place { bootstrap, name, work: Some(WORK_MS), further: vec![POLL_INTERVAL] };
    let mut group = Group::new(client, place);
    for _ in 0..MEMBERS {
        let member = group.prepare()?;
        group.join(member)?;
    }
    std::thread::sleep(BEGIN);
    let (from, before) = (SystemTime::now(), group.rounds());
    let mut leavers = Vec::new();
    for _ in 0..bursts {
        leavers.extend(burst(&mut group)?);
    }
    let (until, load) = (SystemTime::now(), load_average());
    let acked: Vec<(Mark, SystemTime)> = ground.load.acked_since(from);
    for leaver in leavers {
        group.dismiss(leaver)?;
    }
    let after = group.rounds();
    let window = Window { from, until, given: group.given(), acked: &acked };
    let promotion = told(client, &window, (before, after), load);
    group.disband()?;
    Ok(promotion)
}

fn told(client: Client, window: &Window<'_>, (before, after): (Rounds, Rounds), load: f64) -> Promotion {
    let mut waits: Vec<Duration> = window.waits().into_iter().map(|(_, wait)| wait).collect();
    waits.sort_unstable();
    let came = window.given.iter().filter(|(_, one)| (window.from..window.until).contains(&one.at));
    let lasted = window.until.duration_since(window.from).unwrap_or_default();
    let (count, took_ms) = (after.count - before.count, after.took_ms - before.took_ms);
    Promotion {
        client,
        rebalances: after.generation - before.generation,
        mean: Duration::from_secs_f64(took_ms.max(0.0) / count.max(1.0) / 1e3),
        p99: waits.get(waits.len() * 99 / 100).copied().unwrap_or_default(),
        throughput: came.count() as f64 / lasted.as_secs_f64().max(1e-9),
        lasted,
        load,
    }
}

/// Some come, and after a while as many go: those, who are not waited for.
fn burst(group: &mut Group) -> io::Result<Vec<Leaver>> {
    let ready = (0..BURST).map(|_| group.prepare()).collect::<io::Result<Vec<_>>>()?;
    for member in ready {
        group.join(member)?;
        std::thread::sleep(APART);
    }
    std::thread::sleep(REST);
    let mut leavers = Vec::new();
    for _ in 0..BURST {
        leavers.push(group.leave()?.1);
        std::thread::sleep(APART);
    }
    std::thread::sleep(REST);
    Ok(leavers)
}

/// In words, for whoever repeats it.
pub fn settings() -> String {
    let (key, value) = POLL_INTERVAL;
    format!(
        "{MEMBERS} members, {BURST} more come {APART:?} apart and as many go {REST:?} later; {WORK_MS} ms of work at \
         each record; {key}={value} in both"
    )
}

/// One table, as Markdown.
pub fn markdown(promotions: &[Promotion]) -> Vec<String> {
    let mut lines = vec![
        "| client | rebalances a minute | mean duration, ms | p99 of a record's wait, ms | records/s |"
            .to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    lines.extend(promotions.iter().map(|one| {
        let (mean, p99) = (one.mean.as_secs_f64() * 1e3, one.p99.as_secs_f64() * 1e3);
        let (title, frequency, throughput) = (one.client.title(), one.frequency(), one.throughput);
        format!("| {title} | {frequency:.1} | {mean:.0} | {p99:.0} | {throughput:.0} |")
    }));
    lines
}

/// One as JSON.
pub fn json(one: &Promotion) -> Value {
    json!({
        "client": one.client.name(),
        "rebalances": one.rebalances,
        "rebalances_per_minute": one.frequency(),
        "mean_ms": one.mean.as_secs_f64() * 1e3,
        "p99_wait_ms": one.p99.as_secs_f64() * 1e3,
        "records_per_second": one.throughput,
        "lasted_ms": one.lasted.as_secs_f64() * 1e3,
        "load_average": one.load,
    })
}

/// What steadfast misses, in words.
pub fn missed(promotions: &[Promotion]) -> Vec<String> {
    let frequency = |ours: bool| {
        let of = promotions.iter().filter(|one| one.client.is_ours() == ours).map(Promotion::frequency);
        let of: Vec<f64> = of.collect();
        (!of.is_empty()).then(|| of.iter().sum::<f64>() / of.len() as f64)
    };
    let mut missed = Vec::new();
    if let (Some(before), Some(after)) = (frequency(false), frequency(true))
        && after > LEFT * before
    {
        let most = LEFT * before;
        missed.push(format!("promotion: rebalances a minute: expected at most {most:.1}, found {after:.1}"));
    }
    for one in promotions.iter().filter(|one| one.client.is_ours() && one.mean > MEAN) {
        missed.push(format!("promotion: mean duration: expected at most {MEAN:?}, found {:?}", one.mean));
    }
    missed
}

impl Promotion {
    fn frequency(&self) -> f64 {
        self.rebalances as f64 / self.lasted.as_secs_f64().max(1e-9) * 60.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn promotion(client: Client, rebalances: i64, mean_ms: u64) -> Promotion {
        let (mean, lasted) = (Duration::from_millis(mean_ms), Duration::from_secs(60));
        Promotion { client, rebalances, mean, p99: mean, throughput: 300.0, lasted, load: 1.0 }
    }

    #[test]
    fn ours_is_held_against_a_quarter_of_what_was_before() {
        let played = |ours, mean| {
            [promotion(Client::JavaRange, 40, 5000), promotion(Client::SteadfastCooperative, ours, mean)]
        };
        assert_eq!(missed(&played(10, 1200)), Vec::<String>::new());
        assert_eq!(
            missed(&played(11, 1300)),
            [
                "promotion: rebalances a minute: expected at most 10.0, found 11.0",
                "promotion: mean duration: expected at most 1.2s, found 1.3s",
            ]
        );
    }
}

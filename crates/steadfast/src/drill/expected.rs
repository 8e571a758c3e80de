//! What a scenario may cost, and how a breach of that is told.

use std::time::Duration;

use super::figures::Figures;
use super::tally::Tally;

/// What a scenario may cost. Nothing may be lost or come twice in any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// From each mark to the first record on every partition.
    pub recovery: Duration,
    /// Consumers replaced because of drift, at least and at most.
    pub respawns: (u32, u32),
    /// Generations of the group, at least and at most.
    pub rebalances: (u32, u32),
    /// At most this many discoveries begin within this time.
    pub discoveries: Option<(usize, Duration)>,
    /// In any second brokers accept at most so many connections, and get so many requests for metadata.
    pub burst: Option<(u32, u32)>,
    /// The same of any one service.
    pub burst_of_one: Option<(u32, u32)>,
    /// Drifts that may be taken in place at most; none: as many as there are.
    pub adaptations: Option<u32>,
    /// Actors that are begun anew.
    pub restarts: u32,
    /// What shows where the cluster is does so for this long only; none: for good.
    pub grace: Option<Duration>,
}

impl Expected {
    /// Recovery within this time, and nothing else happens.
    pub fn within(recovery: Duration) -> Expected {
        Expected {
            recovery,
            respawns: (0, 0),
            rebalances: (0, 0),
            discoveries: None,
            burst: None,
            burst_of_one: None,
            adaptations: None,
            restarts: 0,
            grace: None,
        }
    }

    /// Exactly so many respawns.
    pub fn respawns(self, count: u32) -> Expected {
        Expected { respawns: (count, count), ..self }
    }

    /// At most so many respawns, and one at least if there may be any.
    pub fn respawns_up_to(self, most: u32) -> Expected {
        Expected { respawns: (most.min(1), most), ..self }
    }

    /// So many actors are begun anew.
    pub fn restarts(self, count: u32) -> Expected {
        Expected { restarts: count, ..self }
    }

    /// What shows where the cluster is does so for this long only.
    pub fn grace(self, time: Duration) -> Expected {
        Expected { grace: Some(time), ..self }
    }

    /// So many generations of the group.
    pub fn rebalances(self, least: u32, most: u32) -> Expected {
        Expected { rebalances: (least, most), ..self }
    }

    /// At most this many discoveries begin within this time.
    pub fn discoveries(self, most: usize, within: Duration) -> Expected {
        Expected { discoveries: Some((most, within)), ..self }
    }

    /// In any second brokers accept at most so many connections, and get so many requests for metadata.
    pub fn burst(self, connections: u32, metadata: u32) -> Expected {
        Expected { burst: Some((connections, metadata)), ..self }
    }

    /// In any second any one service opens at most so many connections, and writes so many requests for metadata.
    pub fn burst_of_one(self, connections: u32, metadata: u32) -> Expected {
        Expected { burst_of_one: Some((connections, metadata)), ..self }
    }

    /// At most so many drifts are taken in place.
    pub fn adaptations(self, most: u32) -> Expected {
        Expected { adaptations: Some(most), ..self }
    }

    /// Everything that is not as it should be, in words.
    pub(super) fn breaches(&self, figures: &Figures, tally: &Tally) -> Vec<String> {
        let mut found = Vec::new();
        let mut note = |breach: Option<String>| found.extend(breach);
        let records = |of: std::collections::BTreeMap<_, std::collections::BTreeSet<_>>| -> usize {
            of.values().map(std::collections::BTreeSet::len).sum()
        };
        note(more(records(tally.missing()), "lost"));
        note(more(records(tally.redelivered()), "delivered again"));
        note(self.late(figures));
        note(outside("respawns", figures.respawns, self.respawns));
        note(outside("rebalances", figures.rebalances, self.rebalances));
        note(outside("actors begun anew", figures.restarts, (self.restarts, self.restarts)));
        if let Some((connections, metadata)) = self.burst {
            note(outside("connections in a second", figures.connections.most(), (0, connections)));
            note(outside("requests for metadata in a second", figures.metadata.most(), (0, metadata)));
        }
        if let Some((connections, metadata)) = self.burst_of_one {
            let (opened, asked) = (figures.connections.most_of_one(), figures.metadata.most_of_one());
            note(outside("connections of one service in a second", opened, (0, connections)));
            note(outside("requests for metadata of one service in a second", asked, (0, metadata)));
        }
        if let Some(most) = self.adaptations {
            note(outside("drifts taken in place", figures.adaptations, (0, most)));
        }
        if let Some((most, within)) = self.discoveries {
            let count = figures.most_discoveries(within);
            let within = seconds(within);
            note(
                (count > most)
                    .then(|| format!("{count} discoveries within {within}, at most {most} expected")),
            );
        }
        found
    }

    /// What is worth knowing although it is as it should be.
    pub(super) fn notes(&self, figures: &Figures) -> Vec<String> {
        let mut notes = Vec::new();
        if self.burst.or(self.burst_of_one).is_some() {
            let Figures { connections, metadata, .. } = figures;
            notes.push(format!(
                "at most {} connections and {} requests for metadata in a second, {} and {} of one service",
                connections.most(),
                metadata.most(),
                connections.most_of_one(),
                metadata.most_of_one(),
            ));
        }
        if let Some((_, within)) = self.discoveries {
            let (all, most) = (figures.discoveries.len(), figures.most_discoveries(within));
            notes.push(format!("{all} discoveries, at most {most} within {}", seconds(within)));
        }
        notes
    }

    /// Whether a recovery took too long, or did not end.
    pub(super) fn is_late(&self, figures: &Figures) -> bool {
        self.late(figures).is_some()
    }

    fn late(&self, figures: &Figures) -> Option<String> {
        for mark in &figures.marks {
            match mark.recovery() {
                None => {
                    let waits: Vec<String> = mark.open.keys().map(ToString::to_string).collect();
                    return Some(format!("no record of {} since {}", waits.join(", "), mark.at));
                }
                Some(recovery) if recovery > self.recovery => {
                    return Some(format!(
                        "recovery took {}, {} expected",
                        seconds(recovery),
                        seconds(self.recovery)
                    ));
                }
                Some(_) => {}
            }
        }
        None
    }
}

/// A time as people read it.
pub fn seconds(time: Duration) -> String {
    match time {
        time if time < Duration::from_secs(1) => format!("{} ms", time.as_millis()),
        time => format!("{:.1} s", time.as_secs_f64()),
    }
}

fn more(count: usize, what: &str) -> Option<String> {
    (count > 0).then(|| format!("{count} {} {what}", if count == 1 { "record" } else { "records" }))
}

fn outside(what: &str, count: u32, (least, most): (u32, u32)) -> Option<String> {
    (count < least || count > most).then(|| match (least, most) {
        (least, most) if least == most => format!("{count} {what}, {least} expected"),
        (0, most) => format!("{count} {what}, at most {most} expected"),
        (least, most) => format!("{count} {what}, {least} to {most} expected"),
    })
}

//! `steadfast groups lag`: samples over a window, and what they say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use steadfast_core::ids::Partition;
use steadfast_core::lag::{Sample, Verdict, Window, worst};
use steadfast_core::tick::Tick;
use tokio::time::{Instant, sleep_until};

use super::asker::{Asker, Failure};
use super::described::Kind;
use super::offsets::{Row, WithOffsets, with_offsets};
use super::{LagArgs, repeat, table};
use crate::config::Config;
use crate::exit::Exit;

/// Between samples, when nothing else is said.
const EVERY: Duration = Duration::from_secs(1);
/// However rarely somebody looks, verdicts look back on so many intervals.
const FEWEST_LOOKS: u32 = 6;

/// A group's lag.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Lag {
    pub(super) group: Arc<str>,
    #[serde(rename = "type")]
    pub(super) kind: Kind,
    pub(super) state: Arc<str>,
    /// The worst of the partitions'; none if there is none.
    pub(super) verdict: Option<Verdict>,
    pub(super) total_lag: u64,
    /// What the samples cover, in seconds.
    pub(super) window_s: f64,
    pub(super) samples: u64,
    pub(super) partitions: Vec<Row>,
}

/// Runs the command.
pub(super) async fn lag(args: &LagArgs, config: Arc<Config>) -> Exit {
    let looks = args.how.watch.unwrap_or_default().saturating_mul(FEWEST_LOOKS);
    let mut watched = Watched::new(args.window.max(looks));
    let once = args.how.watch.is_none();
    repeat::repeat(
        &args.how,
        config,
        async |asker| match once {
            true => watched.whole_window(asker, &args.group).await,
            false => watched.look(asker, &args.group).await,
        },
        table::lag,
        |lag| match lag.verdict {
            Some(verdict) if verdict.is_error() => Exit::Found,
            Some(_) | None => Exit::Fine,
        },
    )
    .await
}

/// What was seen of a group until now.
struct Watched {
    span: Duration,
    began: Instant,
    windows: BTreeMap<Partition, Window>,
    samples: u64,
}

impl Watched {
    fn new(span: Duration) -> Watched {
        Watched { span, began: Instant::now(), windows: BTreeMap::new(), samples: 0 }
    }

    /// Samples until the window is full, or there is no lag to be judged.
    async fn whole_window(&mut self, asker: &mut Asker, group: &Arc<str>) -> Result<Lag, Failure> {
        let mut next = Instant::now();
        let until = next + self.span;
        loop {
            next += EVERY;
            let lag = self.look(asker, group).await?;
            let judged = lag.partitions.iter().all(|row| row.lag == Some(0) || row.committed.is_none());
            if judged || next > until {
                return Ok(lag);
            }
            sleep_until(next).await;
        }
    }

    /// One more sample, and what all of them say.
    async fn look(&mut self, asker: &mut Asker, group: &Arc<str>) -> Result<Lag, Failure> {
        let seen = with_offsets(asker, group).await?;
        Ok(self.judged(seen, Tick::at(self.began.elapsed())))
    }

    fn judged(&mut self, seen: WithOffsets, at: Tick) -> Lag {
        let WithOffsets { group, total_lag, mut partitions } = seen;
        self.samples += 1;
        let mut windows = std::mem::take(&mut self.windows);
        for row in &mut partitions {
            let partition = Partition::new(Arc::clone(&row.topic), row.partition);
            // One that cannot be seen for a moment keeps what was seen of it.
            let mut window = windows.remove(&partition).unwrap_or_else(|| Window::new(self.span));
            if let (Some(committed), Some(end)) = (row.committed, row.end) {
                window.push(Sample { at, committed, end, held: row.member.is_some() });
                row.verdict = window.verdict();
            }
            self.windows.insert(partition, window);
        }
        let covered = self.windows.values().map(Window::covered).max().unwrap_or_default();
        Lag {
            group: group.group,
            kind: group.kind,
            state: group.state,
            verdict: worst(partitions.iter().filter_map(|row| row.verdict)),
            total_lag,
            window_s: (covered.as_secs_f64() * 10.0).round() / 10.0,
            samples: self.samples,
            partitions,
        }
    }
}

#[cfg(test)]
mod tests {
    use steadfast_core::endpoints::view::Address;
    use steadfast_core::ids::{NodeId, Offset};

    use super::super::asker::Coordinator;
    use super::super::described::Group;
    use super::*;

    fn seen(rows: &[(i32, Option<i64>, i64, bool)]) -> WithOffsets {
        let group = Group {
            group: "g".into(),
            kind: Kind::Classic,
            state: "Stable".into(),
            coordinator: Coordinator { broker: NodeId(1), address: Address::new("k", 1) },
            protocol_type: None,
            assignor: None,
            epoch: None,
            assignment_epoch: None,
            members: Vec::new(),
        };
        let row = |(partition, committed, end, held): &(i32, Option<i64>, i64, bool)| Row {
            topic: "t".into(),
            partition: *partition,
            committed: committed.map(Offset),
            end: Some(Offset(*end)),
            lag: committed.map(|committed| u64::try_from(end - committed).unwrap()),
            verdict: None,
            member: held.then(|| "m".into()),
            client: None,
            host: None,
            problem: None,
        };
        WithOffsets { group, total_lag: 0, partitions: rows.iter().map(row).collect() }
    }

    fn at(seconds: u64) -> Tick {
        Tick::at(Duration::from_secs(seconds))
    }

    #[tokio::test]
    async fn each_partition_is_judged_by_its_own_samples_and_the_group_by_the_worst() {
        let mut watched = Watched::new(Duration::from_secs(12));
        let first = seen(&[(0, Some(5), 5, true), (1, Some(5), 9, true), (2, None, 9, true)]);
        assert_eq!(watched.judged(first, at(0)).verdict, Some(Verdict::Ok));
        let next = seen(&[(0, Some(5), 6, true), (1, Some(5), 10, true), (2, None, 10, true)]);
        let lag = watched.judged(next, at(1));
        let verdicts: Vec<_> = lag.partitions.iter().map(|row| row.verdict).collect();
        assert_eq!(verdicts, [Some(Verdict::Ok), Some(Verdict::Stall), None]);
        assert_eq!((lag.verdict, lag.samples, lag.window_s), (Some(Verdict::Stall), 2, 1.0));
    }

    #[tokio::test]
    async fn a_partition_that_is_gone_is_forgotten() {
        let mut watched = Watched::new(Duration::from_secs(12));
        watched.judged(seen(&[(0, Some(5), 9, true), (1, Some(5), 9, true)]), at(0));
        watched.judged(seen(&[(0, Some(5), 9, true)]), at(1));
        assert_eq!(watched.windows.len(), 1);
    }
}

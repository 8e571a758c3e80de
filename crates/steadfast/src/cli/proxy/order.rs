//! What the proxy may be told to do.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::time::Duration;

use steadfast_sim::proxy::{Nodes, Old};

/// One line of standard input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// These brokers are given new addresses; what becomes of the old ones, if it is said.
    Move(Nodes, Option<Old>),
    /// These two brokers are given each other's address.
    Swap(i32, i32),
    /// The connections that stand to these brokers fall silent.
    Silence(Nodes),
    /// What becomes of old addresses, of earlier moves and of later ones.
    Old(Old),
    /// Old addresses lead to the cluster again.
    Heal,
    /// The bootstrap address ends.
    Fence(Option<Old>),
    /// Tell where everybody is.
    Show,
    /// Tell what may be said.
    Help,
    /// End.
    Quit,
}

impl Order {
    /// All brokers move, in the usual way.
    pub(super) const MOVE: Order = Order::Move(Nodes::All, None);
}

/// The orders, for people.
pub(super) const HELP: &str = "\
Commands on standard input (SIGUSR1 is `move`, SIGINT and SIGTERM are `quit`):
  move [N[,N]...] [HOW]   all brokers, or these, are given new ports
  swap N,N                two brokers are given each other's address
  silence [N[,N]...]      connections that stand, all or those to these brokers, stay open and silent; new ones work
  refuse | blackhole | drop
                          old addresses refuse, accept and are silent, or answer no SYN (Linux): those of earlier
                          and of later moves
  heal                    old addresses lead to the cluster again, beside the new ones
  fence [HOW]             the bootstrap address ends too, until `heal`
  show                    who is where, what old addresses do, who is connected
  help, quit
HOW, if not as before: refuse, blackhole, drop, grace DURATION (go on for so long, naming the new ones, then refuse)
or stale DURATION (the same, naming the old ones)";

impl FromStr for Order {
    type Err = String;

    fn from_str(line: &str) -> Result<Order, String> {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["move"] => Ok(Order::MOVE),
            ["move", first, how @ ..] if first.starts_with(|c: char| c.is_ascii_digit()) => {
                Ok(Order::Move(nodes(first)?, old_if_said(how)?))
            }
            ["move", "all", how @ ..] | ["move", how @ ..] => Ok(Order::Move(Nodes::All, old_if_said(how)?)),
            ["swap", two] => swap(two),
            ["silence"] | ["silence", "all"] => Ok(Order::Silence(Nodes::All)),
            ["silence", some] => nodes(some).map(Order::Silence),
            ["fence", how @ ..] => Ok(Order::Fence(old_if_said(how)?)),
            ["heal"] => Ok(Order::Heal),
            ["show"] => Ok(Order::Show),
            [] | ["help"] => Ok(Order::Help),
            ["quit" | "exit"] => Ok(Order::Quit),
            ["refuse" | "refused" | "blackhole" | "drop"] => old(&words).map(Order::Old),
            _ => Err(format!(
                "expected move, swap, silence, refuse, blackhole, drop, heal, fence, show, help or quit, found {line:?}"
            )),
        }
    }
}

fn swap(text: &str) -> Result<Order, String> {
    let two = text.split_once(',').and_then(|(one, other)| Some((one.parse().ok()?, other.parse().ok()?)));
    two.map(|(one, other)| Order::Swap(one, other))
        .ok_or_else(|| format!("expected two brokers' ids as in 1,2, found {text:?}"))
}

fn nodes(text: &str) -> Result<Nodes, String> {
    let ids: Result<BTreeSet<i32>, _> = text.split(',').map(str::parse).collect();
    ids.map(Nodes::Some).map_err(|_| format!("expected brokers' ids as in 1,2, found {text:?}"))
}

fn old_if_said(words: &[&str]) -> Result<Option<Old>, String> {
    if words.is_empty() { Ok(None) } else { old(words).map(Some) }
}

fn old(words: &[&str]) -> Result<Old, String> {
    match words {
        ["refuse" | "refused"] => Ok(Old::Refuse),
        ["blackhole"] => Ok(Old::BlackHole),
        ["drop"] => Ok(Old::Drop),
        ["grace", time] => lasting(time).map(Old::Grace),
        ["stale", time] => lasting(time).map(Old::Stale),
        _ => Err(format!(
            "expected refuse, blackhole, drop, grace DURATION or stale DURATION, found {:?}",
            words.join(" ")
        )),
    }
}

fn lasting(time: &str) -> Result<Duration, String> {
    humantime::parse_duration(time)
        .map_err(|error| format!("expected a duration as in 10s, found {time:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(nodes: impl IntoIterator<Item = i32>) -> Nodes {
        Nodes::Some(nodes.into_iter().collect())
    }

    #[test]
    fn every_order_of_the_help_is_one() {
        let grace = Old::Grace(Duration::from_secs(10));
        for (line, expected) in [
            ("move", Order::MOVE),
            ("move all", Order::MOVE),
            ("move blackhole", Order::Move(Nodes::All, Some(Old::BlackHole))),
            ("move 1,2", Order::Move(some([1, 2]), None)),
            (" move  3 grace 10s ", Order::Move(some([3]), Some(grace))),
            ("move drop", Order::Move(Nodes::All, Some(Old::Drop))),
            ("move 1 stale 10s", Order::Move(some([1]), Some(Old::Stale(Duration::from_secs(10))))),
            ("swap 1,2", Order::Swap(1, 2)),
            ("silence", Order::Silence(Nodes::All)),
            ("silence 2,3", Order::Silence(some([2, 3]))),
            ("refuse", Order::Old(Old::Refuse)),
            ("drop", Order::Old(Old::Drop)),
            ("blackhole", Order::Old(Old::BlackHole)),
            ("heal", Order::Heal),
            ("fence", Order::Fence(None)),
            ("fence grace 10s", Order::Fence(Some(grace))),
            ("show", Order::Show),
            ("", Order::Help),
            ("help", Order::Help),
            ("quit", Order::Quit),
        ] {
            assert_eq!(line.parse(), Ok(expected), "{line}");
        }
    }

    #[test]
    fn what_is_no_order_says_what_is_one() {
        for (line, part) in [
            ("jump", "expected move, swap"),
            ("move 1,x", "brokers' ids"),
            ("move somewhere", "refuse, blackhole, drop"),
            ("move 1 grace", "refuse, blackhole, drop"),
            ("swap 1", "two brokers' ids"),
            ("silence everybody", "brokers' ids"),
            ("move grace soon", "10s"),
            ("grace 10s", "expected move"),
        ] {
            let error = line.parse::<Order>().unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}

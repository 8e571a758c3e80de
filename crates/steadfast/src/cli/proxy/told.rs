//! What the proxy says about itself.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::SocketAddr;

use serde_json::{Value, json};
use steadfast_core::endpoints::view::Address;
use steadfast_sim::proxy::{Connection, Door, Moved, Now, Old};

type Endpoints = BTreeMap<i32, SocketAddr>;
type Upstream = BTreeMap<i32, (String, u16)>;
type OldEndpoints = BTreeMap<SocketAddr, (Door, Now)>;

/// Something that happened, or was asked for.
#[derive(Debug)]
pub(super) enum Told {
    Began {
        bootstrap: SocketAddr,
        endpoints: Endpoints,
        upstream: Upstream,
    },
    Moved {
        moved: Moved,
        old: Old,
    },
    Swapped(Moved),
    Silenced(usize),
    Turned {
        old: Old,
        endpoints: OldEndpoints,
    },
    Healed {
        endpoints: OldEndpoints,
    },
    Fenced {
        bootstrap: SocketAddr,
        old: Old,
    },
    Shown {
        bootstrap: SocketAddr,
        endpoints: Endpoints,
        upstream: Upstream,
        old: OldEndpoints,
        connections: Vec<Connection>,
    },
    Help(&'static str),
    Refused(String),
}

impl Told {
    /// For people; `time` is that of day.
    pub(super) fn text(&self, time: &str) -> String {
        match self {
            Told::Began { bootstrap, endpoints, upstream } => format!(
                "{time}  give this to your client: bootstrap.servers={bootstrap}{}",
                brokers(endpoints, upstream)
            ),
            Told::Moved { moved, old } => format!("{time}  moved; {}{}", becomes(*old), journeys(moved)),
            Told::Swapped(moved) => {
                format!("{time}  swapped; connections that stood there are reset{}", journeys(moved))
            }
            Told::Silenced(connections) => {
                format!("{time}  {connections} connections are open and silent; new ones work")
            }
            Told::Turned { old, endpoints } => format!("{time}  {}{}", becomes(*old), old_ones(endpoints)),
            Told::Healed { endpoints } => {
                format!("{time}  healed: old addresses lead to the cluster again{}", old_ones(endpoints))
            }
            Told::Fenced { bootstrap, old } => {
                format!("{time}  the bootstrap address {bootstrap} is an old one; {}", becomes(*old))
            }
            Told::Shown { bootstrap, endpoints, upstream, old, connections } => {
                let mut text =
                    format!("{time}  bootstrap address {bootstrap}{}", brokers(endpoints, upstream));
                text += &old_ones(old);
                text += &connected(connections);
                text
            }
            Told::Help(help) => (*help).to_owned(),
            Told::Refused(reason) => format!("{time}  {reason}"),
        }
    }

    /// For programs.
    pub(super) fn json(&self, time: &str) -> Value {
        let mut told = match self {
            Told::Began { bootstrap, endpoints, upstream } => {
                json!({"told": "began", "bootstrap": bootstrap, "endpoints": endpoints, "upstream": places(upstream)})
            }
            Told::Moved { moved, old } => json!({
                "told": "moved", "generation": moved.generation, "from": moved.from, "to": moved.to, "old": name(*old),
            }),
            Told::Swapped(moved) => json!({
                "told": "swapped", "generation": moved.generation, "from": moved.from, "to": moved.to,
            }),
            Told::Silenced(connections) => json!({"told": "silenced", "connections": connections}),
            Told::Turned { old, endpoints } => {
                json!({"told": "turned", "old": name(*old), "old_endpoints": old_places(endpoints)})
            }
            Told::Healed { endpoints } => json!({"told": "healed", "old_endpoints": old_places(endpoints)}),
            Told::Fenced { bootstrap, old } => {
                json!({"told": "fenced", "bootstrap": bootstrap, "old": name(*old)})
            }
            Told::Shown { bootstrap, endpoints, upstream, old, connections } => json!({
                "told": "shown", "bootstrap": bootstrap, "endpoints": endpoints, "upstream": places(upstream),
                "old_endpoints": old_places(old), "connections": connections.iter().map(connection).collect::<Vec<_>>(),
            }),
            Told::Help(help) => json!({"told": "help", "text": help}),
            Told::Refused(reason) => json!({"told": "refused", "reason": reason}),
        };
        told["timestamp"] = time.into();
        told
    }
}

fn becomes(old: Old) -> String {
    match old {
        Old::Refuse => "old addresses refuse, standing connections are reset".to_owned(),
        Old::BlackHole => "old addresses and standing connections are open and silent".to_owned(),
        Old::Drop => "old addresses answer no SYN, standing connections are open and silent".to_owned(),
        Old::Grace(time) => {
            format!("old addresses go on for {}, then they refuse", humantime::format_duration(time))
        }
        Old::Stale(time) => {
            let time = humantime::format_duration(time);
            format!("old addresses go on for {time} and name each other, then they refuse")
        }
    }
}

fn name(old: Old) -> &'static str {
    match old {
        Old::Refuse => "refused",
        Old::BlackHole => "blackhole",
        Old::Drop => "drop",
        Old::Grace(_) => "grace",
        Old::Stale(_) => "stale",
    }
}

fn does(now: Now) -> &'static str {
    match now {
        Now::Leads => "leads to the cluster",
        Now::Stale => "leads to the cluster, names the old addresses",
        Now::Elsewhere => "leads to another cluster",
        Now::Silent => "silent",
        Now::Drops => "answers no SYN",
        Now::Refuses => "refuses",
    }
}

/// Who went where.
fn journeys(moved: &Moved) -> String {
    let mut text = String::new();
    for (node, to) in &moved.to {
        let from = moved.from.get(node).map(ToString::to_string).unwrap_or_default();
        line(&mut text, &format!("broker {node}"), &format!("{from} -> {to}"));
    }
    text
}

fn line(text: &mut String, what: &str, rest: &str) {
    // A String takes everything.
    let _ = write!(text, "\n              {what:<10}  {rest}");
}

fn brokers(endpoints: &Endpoints, upstream: &Upstream) -> String {
    let mut text = String::new();
    for (node, at) in endpoints {
        let really = upstream.get(node).map(|(host, port)| Address::new(host.as_str(), *port).to_string());
        line(&mut text, &format!("broker {node}"), &format!("{at}, really {}", really.unwrap_or_default()));
    }
    text
}

fn old_ones(old: &OldEndpoints) -> String {
    let mut text = String::new();
    for (at, (door, now)) in old {
        line(&mut text, "old", &format!("{at}, {door}: {}", does(*now)));
    }
    text
}

/// How many connections each client has at each address.
fn connected(connections: &[Connection]) -> String {
    let mut counted: BTreeMap<(Door, &str), usize> = BTreeMap::new();
    for connection in connections {
        let client = connection.client_id.as_deref().unwrap_or("a client that has said nothing yet");
        *counted.entry((connection.door, client)).or_default() += 1;
    }
    let mut text = String::new();
    for ((door, client), count) in counted {
        line(&mut text, "connected", &format!("{client}, {count} times by {door}"));
    }
    text
}

fn places(upstream: &Upstream) -> Value {
    let at = |(node, (host, port)): (&i32, &(String, u16))| {
        (node.to_string(), Address::new(host.as_str(), *port).to_string().into())
    };
    Value::Object(upstream.iter().map(at).collect())
}

fn old_places(old: &OldEndpoints) -> Value {
    let one = |(at, (door, now)): (&SocketAddr, &(Door, Now))| {
        let now = match now {
            Now::Leads => "leads",
            Now::Stale => "stale",
            Now::Elsewhere => "elsewhere",
            Now::Silent => "silent",
            Now::Drops => "drops",
            Now::Refuses => "refuses",
        };
        json!({"address": at, "door": door.to_string(), "now": now})
    };
    old.iter().map(one).collect()
}

fn connection(open: &Connection) -> Value {
    json!({"door": open.door.to_string(), "peer": open.peer, "client_id": open.client_id, "requests": open.requests})
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn moved() -> Told {
        let moved =
            Moved { at: UNIX_EPOCH, generation: 2, from: [(1, at(9001))].into(), to: [(1, at(9002))].into() };
        Told::Moved { moved, old: Old::Grace(Duration::from_secs(10)) }
    }

    #[test]
    fn a_move_says_who_went_where_and_what_becomes_of_the_old_address() {
        assert_eq!(
            moved().text("12:00:00.000"),
            "12:00:00.000  moved; old addresses go on for 10s, then they refuse\n              \
             broker 1    127.0.0.1:9001 -> 127.0.0.1:9002"
        );
        let json = moved().json("t");
        assert_eq!(
            (&json["from"]["1"], &json["to"]["1"]),
            (&json!("127.0.0.1:9001"), &json!("127.0.0.1:9002"))
        );
    }

    #[test]
    fn what_is_shown_names_old_addresses_and_who_is_connected() {
        let open = |client: Option<&str>| Connection {
            door: Door::Bootstrap,
            peer: at(1),
            client_id: client.map(str::to_owned),
            requests: BTreeMap::new(),
            first_answers: BTreeMap::new(),
        };
        let shown = Told::Shown {
            bootstrap: at(9000),
            endpoints: [(1, at(9002))].into(),
            upstream: [(1, ("kafka-1".to_owned(), 9092))].into(),
            old: [(at(9001), (Door::Broker { node: 1, generation: 0 }, Now::Silent))].into(),
            connections: vec![open(Some("java")), open(Some("java")), open(None)],
        };
        let text = shown.text("t");
        for part in [
            "127.0.0.1:9002, really kafka-1:9092",
            "127.0.0.1:9001, broker 1 of generation 0: silent",
            "java, 2 times by bootstrap",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }
}

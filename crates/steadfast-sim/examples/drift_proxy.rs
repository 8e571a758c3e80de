//! The drift proxy by hand, in front of a cluster that runs already:
//!
//! ```text
//! cargo run -p steadfast-sim --example drift_proxy -- 127.0.0.1:9092
//! ```
//!
//! It prints a JSON line with the addresses, then reads commands from its input and prints one for each:
//! `move all|ID,ID refuse|blackhole|grace SECONDS`, `fence refuse|blackhole|grace SECONDS`, `endpoints`,
//! `requests`, `connections`. It ends with its input.

use std::error::Error;
use std::io::BufRead;
use std::net::SocketAddr;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use steadfast_sim::proxy::{DriftProxy, Moved, Nodes, Old};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let upstream = std::env::args().skip(1).map(|address| address.parse());
    let proxy = DriftProxy::start(upstream.collect::<Result<Vec<SocketAddr>, _>>()?).await?;
    println!("{}", json!({"bootstrap": proxy.bootstrap(), "endpoints": proxy.endpoints()}));
    let (lines, mut commands) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    while let Some(line) = commands.recv().await {
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = obey(&proxy, &words).await;
        println!("{}", answer.unwrap_or_else(|error| json!({"error": error.to_string(), "command": line})));
    }
    Ok(())
}

async fn obey(proxy: &DriftProxy, words: &[&str]) -> Outcome<Value> {
    match words {
        ["endpoints"] => Ok(json!({"generation": proxy.generation(), "endpoints": proxy.endpoints()})),
        ["requests"] => {
            let counted = proxy
                .requests()
                .into_iter()
                .map(|(door, apis)| json!({"door": door.to_string(), "apis": apis}));
            Ok(json!({"requests": counted.collect::<Vec<_>>()}))
        }
        ["connections"] => {
            let open = proxy.connections().into_iter().map(|open| {
                json!({"door": open.door.to_string(), "peer": open.peer, "client_id": open.client_id, "apis": open.requests})
            });
            Ok(json!({"connections": open.collect::<Vec<_>>()}))
        }
        ["fence", how @ ..] => {
            proxy.fence_bootstrap(old(how)?).await?;
            Ok(json!({"fenced": proxy.bootstrap()}))
        }
        ["move", who, how @ ..] => {
            let Moved { at, generation, from, to } = proxy.move_endpoints(nodes(who)?, old(how)?).await?;
            let at_ms = at.duration_since(UNIX_EPOCH)?.as_millis() as u64;
            Ok(json!({"at_ms": at_ms, "generation": generation, "from": from, "to": to}))
        }
        _ => Err("expected move, fence, endpoints, requests or connections".into()),
    }
}

fn nodes(who: &str) -> Outcome<Nodes> {
    if who == "all" {
        return Ok(Nodes::All);
    }
    Ok(Nodes::Some(who.split(',').map(str::parse).collect::<Result<_, _>>()?))
}

fn old(how: &[&str]) -> Outcome<Old> {
    match how {
        ["refuse"] => Ok(Old::Refuse),
        ["blackhole"] => Ok(Old::BlackHole),
        ["grace", seconds] => Ok(Old::Grace(Duration::try_from_secs_f64(seconds.parse()?)?)),
        _ => Err("expected refuse, blackhole or grace SECONDS".into()),
    }
}

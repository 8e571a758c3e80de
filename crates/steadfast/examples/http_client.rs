//! An HTTP client whose list of servers drifts: `cargo run --example http_client -- 127.0.0.1:8001`. A server answers
//! `GET /servers` with a line `name host:port` for each server, and works for `GET /`.
#![expect(clippy::disallowed_methods, reason = "nothing of this is simulated: it goes to the network itself")]

use std::{io, time::Duration};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use steadfast_core::endpoints::race::{Evidence, Source};
use steadfast_core::endpoints::respawn::{Respawn, Settings};
use steadfast_core::endpoints::supervised::{Event, Order, Supervised};
use steadfast_core::endpoints::{backoff::Jitter, view::Address, view::View};
use steadfast_core::ids::ConsumerIncarnation;
use steadfast_core::tick::Tick;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, sleep_until, timeout};

const LIMIT: Duration = Duration::from_secs(1);

async fn get(at: &Address, path: &str) -> io::Result<String> {
    let asked = async {
        let mut stream = TcpStream::connect((at.host.as_str(), at.port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.take(1 << 16).read_to_string(&mut answer).await?;
        let body = answer.strip_prefix("HTTP/1.1 200").and_then(|rest| rest.split_once("\r\n\r\n"));
        body.map(|(_, body)| body.to_owned()).ok_or(io::ErrorKind::InvalidData.into())
    };
    timeout(LIMIT, asked).await?
}

async fn ask(at: Address) -> Event<String> {
    let server =
        |line: &str| line.split_once(' ').and_then(|(name, at)| Some((name.into(), at.parse().ok()?)));
    match get(&at, "/servers").await {
        Ok(list) => Event::Answered { witness: at, view: View::new(None, list.lines().filter_map(server)) },
        Err(error) => Event::Failed { address: at, reason: error.to_string() },
    }
}

/// The successor is ready when one of its servers has worked for it.
async fn make(incarnation: ConsumerIncarnation, view: View<String>) -> Event<String> {
    for endpoint in view.endpoints.values() {
        if get(&endpoint.address, "/").await.is_ok() {
            return Event::Ready { incarnation };
        }
    }
    Event::NotReady { incarnation, reason: "no server works".to_owned() }
}

/// Sends requests to one server after the other, without end, and hands the answers to `done`.
pub(crate) async fn supervise(seeds: Vec<Address>, mut done: impl FnMut(&Address, io::Result<String>)) {
    let (began, mut turn) = (Instant::now(), interval(LIMIT / 50));
    let mut supervised = Supervised::new(Settings::default(), Respawn::<String>::usual_budget(), None);
    let mut doing: FuturesUnordered<BoxFuture<'static, Event<String>>> = FuturesUnordered::new();
    let (mut client, mut successor): (Option<View<String>>, Option<View<String>>) = (None, None);
    let suspected = Event::Suspected { evidence: Evidence::Broken };
    let sources = seeds.into_iter().map(|at| (at, Source::Configuration)).collect();
    let mut events = vec![Event::Sources(sources), suspected.clone()];
    for number in 0.. {
        for event in std::mem::take(&mut events) {
            for order in supervised.handle(event, Jitter::FULL, Tick::at(began.elapsed())) {
                match order {
                    Order::Ask { address } => doing.push(ask(address).boxed()),
                    Order::Make { incarnation, view } => {
                        doing.push(make(incarnation, successor.insert(view).clone()).boxed());
                    }
                    Order::Promote { .. } => client = successor.take(),
                    Order::Discard { .. } => successor = None,
                    Order::Adapt { view, .. } => client = Some(view),
                    told @ (Order::Degraded { .. } | Order::Report(_)) => eprintln!("{told:?}"),
                }
            }
        }
        let next = supervised.next_deadline().map_or(began.elapsed() + LIMIT, Tick::since_start);
        tokio::select! {
            biased;
            Some(event) = doing.next() => events.push(event),
            () = sleep_until(began + next) => events.push(Event::Elapsed),
            _ = turn.tick() => {
                let servers = client.iter().flat_map(|view| &view.endpoints);
                let verified: Vec<_> = servers.filter_map(|(name, _)| supervised.address(name)).cloned().collect();
                let Some(at) = verified.get(number % verified.len().max(1)) else { continue };
                // Each answer comes with the server's own list: the old servers tell of the new ones.
                let (answer, list) = (get(at, "/").await, ask(at.clone()).await);
                let same = matches!(&list, Event::Answered { view, .. } if Some(view) == client.as_ref());
                events.extend((!same || answer.is_err()).then(|| suspected.clone()));
                done(at, answer);
            }
        }
    }
}

#[tokio::main]
async fn main() {
    let seeds = std::env::args().skip(1).filter_map(|at| at.parse().ok()).collect();
    supervise(seeds, |at, answer| println!("{at} {answer:?}")).await;
}

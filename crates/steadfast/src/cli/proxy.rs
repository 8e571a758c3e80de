//! `steadfast proxy`: stands in front of a cluster and moves its advertised endpoints on command, so that any client
//! can be tried.

mod order;
mod session;
mod told;

use std::io::{self, BufRead, Read};
use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use steadfast_core::endpoints::view::Address;
use steadfast_kafka::transport::{Resolver, SystemResolver};
use steadfast_sim::proxy::{DriftProxy, Ports};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::{Exit, Output, duration};
use order::Order;
use session::Session;

/// Arguments of `steadfast proxy`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(after_help = order::HELP)]
pub struct ProxyArgs {
    /// Where the cluster is reached: a plain-text listener, without TLS and SASL.
    #[arg(long, value_name = "HOST:PORT[,...]", value_delimiter = ',', required = true)]
    pub upstream: Vec<Address>,
    /// Where to listen, which is also what clients are told: an address of this machine, with or without a range of
    /// ports. The first free one is the bootstrap address; each broker has one more, and each move takes others.
    #[arg(long, value_name = "HOST[:FROM-TO]", default_value = "127.0.0.1")]
    pub listen: Ports,
    /// What becomes of the old addresses after a move.
    #[arg(long, value_enum, default_value_t = Mode::Refused)]
    pub mode: Mode,
    /// Move all brokers again and again.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub move_every: Option<Duration>,
    /// With --move-every: how many times. The proxy goes on after that.
    #[arg(long, value_name = "N", requires = "move_every")]
    pub count: Option<u64>,
    /// How what happens is printed: text, or one JSON object a line.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// What becomes of old addresses, unless an order says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// They refuse, and standing connections are reset.
    Refused,
    /// They accept and stay silent, standing connections too.
    Blackhole,
    /// They answer no SYN, standing connections are silent. On Linux only.
    Drop,
}

/// How long the resolver may take.
const RESOLVED_WITHIN: Duration = Duration::from_secs(5);
/// An order that is longer is none.
const LONGEST_ORDER: u64 = 4096;

/// Runs the command.
pub fn proxy(args: &ProxyArgs) -> Exit {
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no runtime: {error}");
            return Exit::Internal;
        }
    };
    runtime.block_on(async {
        match begin(args).await {
            Ok(proxy) => attend(Session::new(proxy, args), args).await,
            Err(error) => {
                eprintln!("{error}{}", hint(error.kind()));
                exit(error.kind())
            }
        }
    })
}

async fn begin(args: &ProxyArgs) -> io::Result<DriftProxy> {
    let mut upstream = Vec::new();
    for address in &args.upstream {
        upstream.extend(resolve(address).await?);
    }
    DriftProxy::start_at(upstream, args.listen.clone()).await
}

async fn resolve(address: &Address) -> io::Result<Vec<SocketAddr>> {
    let found = timeout(RESOLVED_WITHIN, SystemResolver.resolve(&address.host, address.port)).await;
    let found = found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    found.map_err(|error| {
        io::Error::new(io::ErrorKind::HostUnreachable, format!("{} is not resolved: {error}", address.host))
    })
}

/// What a listener does that is given something else than it expects.
fn hint(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::InvalidData
        | io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::TimedOut => {
            "\nIt has to be a plain-text listener: with TLS the answers that name the brokers are encrypted and \
             cannot be rewritten, and with SASL the proxy has no credentials for its own first question."
        }
        _ => "",
    }
}

fn exit(kind: io::ErrorKind) -> Exit {
    match kind {
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable | io::ErrorKind::PermissionDenied => {
            Exit::Usage
        }
        _ => Exit::Unreachable,
    }
}

/// Obeys until it is told to quit, by a word or by a signal. The end of the input is no such word: who starts the
/// proxy in the background gives it none.
async fn attend(mut session: Session, args: &ProxyArgs) -> Exit {
    let Ok(mut signals) = Signals::listen() else {
        eprintln!("signals cannot be listened to");
        return Exit::Internal;
    };
    let mut orders = input();
    let mut moves = args.move_every.map(|every| Moves::begin(every, args.count.unwrap_or(u64::MAX)));
    session.begun();
    loop {
        let order = tokio::select! {
            biased;
            order = signals.next() => order,
            Some(line) = orders.recv() => match line.parse::<Order>() {
                Ok(order) => order,
                Err(error) => {
                    session.complain(&error);
                    continue;
                }
            },
            () = next(&mut moves) => Order::MOVE,
        };
        if order == Order::Quit {
            return Exit::Fine;
        }
        session.obey(order).await;
    }
}

/// Lines of standard input, read by a thread that dies with the process.
fn input() -> mpsc::Receiver<String> {
    let (lines, received) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut from = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = from.by_ref().take(LONGEST_ORDER).read_until(b'\n', &mut line);
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            if !read.is_ok_and(|read| read > 0) || lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    received
}

/// Moves that nobody has to ask for.
struct Moves {
    every: Duration,
    at: Instant,
    left: u64,
}

impl Moves {
    fn begin(every: Duration, left: u64) -> Moves {
        Moves { every, at: Instant::now() + every, left }
    }
}

/// Waits for the next such move; for ever when there is none.
async fn next(moves: &mut Option<Moves>) {
    match moves {
        Some(moves) if moves.left > 0 => {
            sleep_until(moves.at).await;
            moves.at += moves.every;
            moves.left -= 1;
        }
        _ => std::future::pending().await,
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    user: Signal,
}

impl Signals {
    fn listen() -> io::Result<Signals> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            user: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Order {
        tokio::select! {
            biased;
            _ = self.interrupt.recv() => Order::Quit,
            _ = self.terminate.recv() => Order::Quit,
            _ = self.user.recv() => Order::MOVE,
        }
    }
}

//! Streams to brokers as a parameter: TCP in the field, in-memory pipes under test.

use std::future::ready;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use steadfast_core::endpoints::view::Address;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub use memory::{Listener, Memory};

mod memory;

/// A two-way byte stream that a connection can own and move between threads.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// An open stream to a broker.
pub struct Stream {
    /// The bytes in both directions.
    pub io: Box<dyn Duplex>,
    /// The resolved address at the other end; none where there is no network.
    pub peer: Option<SocketAddr>,
}

/// Opens streams. It sets no deadline of its own: its caller does.
pub trait Transport: Send + Sync {
    /// Opens a stream to `to`. The error names what was tried.
    fn connect<'a>(&'a self, to: &'a Address) -> BoxFuture<'a, io::Result<Stream>>;

    /// What the host of `to` resolves to now, each with its port, in the order in which they would be tried. Nothing
    /// where there are no names. It sets no deadline of its own: its caller does.
    fn resolve<'a>(&'a self, _to: &'a Address) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(ready(Ok(Vec::new())))
    }
}

/// Turns a host's name into addresses. It sets no deadline of its own: its caller does.
pub trait Resolver: Send + Sync {
    /// All addresses of `host`, each with `port`, in the order in which they should be tried.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    #[expect(clippy::disallowed_methods, reason = "this is the door to the system's resolver")]
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// How long one resolved address is tried alone before the next one is tried beside it (RFC 8305).
pub const STAGGER: Duration = Duration::from_millis(250);

/// How many resolved addresses of one name are tried.
pub const MOST_CANDIDATES: usize = 16;

/// Idle time before the first keepalive probe, and the time between probes.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(3));

/// How long sent bytes may stay unacknowledged before the kernel gives the connection up.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// TCP over a resolver: all addresses of a name, each begun [`STAGGER`] after the one before or as soon as
/// one fails, the first that answers wins. Sockets get TCP_NODELAY, keepalive and, on Linux,
/// TCP_USER_TIMEOUT, so that the kernel too finds out that a peer is gone.
#[derive(Debug, Clone, Default)]
pub struct Tcp<R = SystemResolver> {
    resolver: R,
}

impl<R: Resolver> Tcp<R> {
    /// TCP to the addresses that `resolver` gives.
    pub fn new(resolver: R) -> Tcp<R> {
        Tcp { resolver }
    }
}

impl<R: Resolver> Transport for Tcp<R> {
    fn connect<'a>(&'a self, to: &'a Address) -> BoxFuture<'a, io::Result<Stream>> {
        Box::pin(async move {
            let candidates = self.resolve(to).await?;
            let (socket, peer) = first_to_answer(candidates, dial).await?;
            Ok(Stream { io: Box::new(socket), peer: Some(peer) })
        })
    }

    fn resolve<'a>(&'a self, to: &'a Address) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            let mut candidates = interleaved(self.resolver.resolve(&to.host, to.port).await?);
            candidates.truncate(MOST_CANDIDATES);
            Ok(candidates)
        })
    }
}

/// The address families take turns, beginning with that of the first (RFC 8305, section 4): a family without a route
/// costs one [`STAGGER`] and not one for each of its addresses.
fn interleaved(resolved: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first = resolved.first().map(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) = resolved.into_iter().partition(|at| Some(at.is_ipv6()) == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut turns = Vec::with_capacity(one.len() + other.len());
    loop {
        let pair = [one.next(), other.next()];
        if pair == [None, None] {
            return turns;
        }
        turns.extend(pair.into_iter().flatten());
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the door to the network")]
async fn dial(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(to).await?;
    socket.set_nodelay(true)?;
    let options = SockRef::from(&socket);
    options.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE.0).with_interval(KEEPALIVE.1))?;
    #[cfg(target_os = "linux")]
    options.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(socket)
}

/// Dials the candidates in turn, staggered; the first success wins and the other attempts are dropped.
async fn first_to_answer<T, F>(
    candidates: Vec<SocketAddr>,
    dial: impl Fn(SocketAddr) -> F,
) -> io::Result<(T, SocketAddr)>
where
    F: Future<Output = io::Result<T>>,
{
    let begin = |at| {
        let attempt = dial(at);
        async move { (at, attempt.await) }
    };
    let mut waiting = candidates.into_iter();
    let mut running = FuturesUnordered::new();
    let mut failures = Vec::new();
    loop {
        if let Some(at) = waiting.next() {
            running.push(begin(at));
        }
        tokio::select! {
            biased;
            Some((at, outcome)) = running.next() => match outcome {
                Ok(stream) => return Ok((stream, at)),
                Err(error) => failures.push((at, error)),
            },
            () = tokio::time::sleep(STAGGER), if waiting.len() > 0 => {}
            else => return Err(nobody_answered(&failures)),
        }
    }
}

fn nobody_answered(failures: &[(SocketAddr, io::Error)]) -> io::Error {
    let Some((_, last)) = failures.last() else {
        return io::Error::new(io::ErrorKind::NotFound, "the name resolves to no address");
    };
    let tried: Vec<String> = failures.iter().map(|(at, error)| format!("{at}: {error}")).collect();
    io::Error::new(last.kind(), tried.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::{Instant, sleep};

    fn candidates(count: u8) -> Vec<SocketAddr> {
        (1..=count).map(|last| SocketAddr::from(([10, 0, 0, last], 9092))).collect()
    }

    /// Resolves every name to the same addresses.
    struct Names(Vec<SocketAddr>);

    impl Resolver for Names {
        fn resolve<'a>(&'a self, _: &'a str, _: u16) -> BoxFuture<'a, io::Result<Vec<SocketAddr>>> {
            Box::pin(ready(Ok(self.0.clone())))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_family_without_a_route_costs_one_stagger() {
        let v6 = |last: u16| SocketAddr::from(([0xfd00, 0, 0, 0, 0, 0, 0, last], 9092));
        let v4 = candidates(2);
        let tcp = Tcp::new(Names(vec![v6(1), v6(2), v6(3), v4[0], v4[1]]));
        let resolved = tcp.resolve(&Address::new("kafka", 9092)).await.unwrap();
        assert_eq!(resolved, [v6(1), v4[0], v6(2), v4[1], v6(3)]);
        let start = Instant::now();
        let dial = |at: SocketAddr| async move {
            if at.is_ipv6() {
                sleep(Duration::from_secs(60)).await;
            }
            Ok(())
        };
        let ((), at) = first_to_answer(resolved, dial).await.unwrap();
        assert_eq!((at, start.elapsed()), (v4[0], STAGGER));
    }

    #[tokio::test]
    async fn of_too_many_addresses_the_first_are_tried() {
        let tcp = Tcp::new(Names(candidates(200)));
        assert_eq!(tcp.resolve(&Address::new("kafka", 9092)).await.unwrap().len(), MOST_CANDIDATES);
    }

    fn refused<T>() -> io::Result<T> {
        Err(io::ErrorKind::ConnectionRefused.into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_address_delays_the_next_by_the_stagger_only() {
        let start = Instant::now();
        let all = candidates(3);
        let answers = all[2];
        let dial = |at| async move {
            if at != answers {
                sleep(Duration::from_secs(60)).await;
            }
            Ok(())
        };
        let ((), at) = first_to_answer(all, dial).await.unwrap();
        assert_eq!((at, start.elapsed()), (answers, STAGGER * 2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_moves_on_at_once() {
        let start = Instant::now();
        let all = candidates(3);
        let answers = all[2];
        let dial = |at| async move { if at == answers { Ok(()) } else { refused() } };
        assert_eq!(first_to_answer(all, dial).await.unwrap().1, answers);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_refuse_the_error_names_each() {
        let error = first_to_answer(candidates(2), |_| async { refused::<()>() }).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let text = error.to_string();
        assert!(text.contains("10.0.0.1:9092: ") && text.contains("10.0.0.2:9092: "), "{text}");
    }

    #[tokio::test]
    async fn a_name_without_addresses_is_an_error() {
        let error = first_to_answer(Vec::new(), |_| async { refused::<()>() }).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn tcp_reaches_a_listener_and_reports_the_resolved_peer() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let to = Address::new("127.0.0.1", at.port());
        let stream = Tcp::new(SystemResolver).connect(&to).await.unwrap();
        assert_eq!(stream.peer, Some(at));
    }
}

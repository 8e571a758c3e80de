//! `steadfast probe`: asks a running service how it is, for images in which nothing else could.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::time::Instant;

use super::{Exit, duration};

/// Arguments of `steadfast probe`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ProbeArgs {
    /// What is asked for: whether the process turns, or whether the service is ready.
    #[arg(value_enum)]
    pub probe: Probe,
    /// Where the service answers: its http.listen, with an address that can be connected to.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9404")]
    pub address: SocketAddr,
    /// How long the answer may take.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration)]
    pub timeout: Duration,
}

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Probe {
    /// /livez
    Live,
    /// /readyz
    Ready,
}

/// No answer is longer.
const LONGEST: usize = 64 << 10;

/// Runs the command: 0 if the answer is yes, 1 if it is no, 69 if there is none.
pub fn probe(args: &ProbeArgs) -> Exit {
    match ask(args) {
        Ok(answer) => {
            println!("{}", answer.body.trim_end());
            if answer.yes { Exit::Fine } else { Exit::Found }
        }
        Err(error) => {
            eprintln!("{} does not answer: {error}", args.address);
            Exit::Unreachable
        }
    }
}

struct Answer {
    yes: bool,
    body: String,
}

fn ask(args: &ProbeArgs) -> io::Result<Answer> {
    let until = Instant::now() + args.timeout;
    let mut stream = TcpStream::connect_timeout(&args.address, left(until)?)?;
    let path = match args.probe {
        Probe::Live => "/livez",
        Probe::Ready => "/readyz",
    };
    stream.set_write_timeout(Some(left(until)?))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", args.address);
    stream.write_all(request.as_bytes())?;
    read(&until_closed(&mut stream, until)?)
}

/// What comes until the other side closes.
fn until_closed(stream: &mut TcpStream, until: Instant) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    while answer.len() < LONGEST {
        stream.set_read_timeout(Some(left(until)?))?;
        match stream.read(&mut part)? {
            0 => return Ok(answer),
            length => answer.extend_from_slice(&part[..length]),
        }
    }
    Err(io::Error::other("the answer has no end"))
}

fn read(answer: &[u8]) -> io::Result<Answer> {
    let answer = String::from_utf8_lossy(answer);
    let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    match (status, answer.split_once("\r\n\r\n")) {
        (Some(status @ ("200" | "503")), Some((_, body))) => {
            Ok(Answer { yes: status == "200", body: body.to_owned() })
        }
        (Some(status), _) => Err(io::Error::other(format!("status {status} is no answer to a probe"))),
        (None, _) => Err(io::Error::other("what came is no HTTP")),
    }
}

fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

//! `steadfast probe`, asked of the service itself and of others that answer badly.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output};
use std::time::Duration;

use libtest_mimic::Trial;

use crate::STEADFAST;
use crate::manager::Manager;
use crate::programs::{told, trial};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("probe::a_service_without_a_cluster_lives_and_is_not_ready", &[], without_cluster),
        trial("probe::no_answer_in_time_is_none", &[], silent),
        trial("probe::an_answer_that_never_ends_is_none", &[], endless),
        trial("probe::what_is_no_answer_to_a_probe_is_none", &[], strange),
    ]
}

fn ask(probe: &str, address: SocketAddr) -> Output {
    let address = address.to_string();
    Command::new(STEADFAST).args(["probe", probe, "--address", &address]).output().unwrap()
}

fn assert_none(output: &Output, reason: &str) {
    assert_eq!(output.status.code(), Some(69), "{}", told(output));
    assert!(told(output).contains(reason), "{}", told(output));
}

fn without_cluster() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let manager = Manager::probed_at(free);
    manager.hear_until(|message| message == "READY=1");
    let live = ask("live", free);
    assert_eq!(live.status.code(), Some(0), "{}", told(&live));
    let ready = ask("ready", free);
    assert_eq!(ready.status.code(), Some(1), "{}", told(&ready));
    assert!(told(&ready).contains("cluster"), "{}", told(&ready));
}

fn silent() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = ["probe", "live", "--timeout", "100ms", "--address", &address];
    assert_none(&Command::new(STEADFAST).args(asked).output().unwrap(), "does not answer");
}

/// Somebody who answers one question with `answer`, again and again if `again`.
fn answering(answer: &'static [u8], again: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        while stream.write_all(answer).is_ok() && again {}
    });
    address
}

fn endless() {
    assert_none(&ask("live", answering(b"HTTP/1.1 200 OK\r\n\r\nand so on ", true)), "no end");
}

fn strange() {
    assert_none(&ask("ready", answering(b"SSH-2.0-OpenSSH_9.2\r\n", false)), "no HTTP");
    assert_none(&ask("ready", answering(b"HTTP/1.1 404 Not Found\r\n\r\n", false)), "status 404");
}

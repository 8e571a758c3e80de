//! The example of a client that is not Kafka's: the list of its servers moves, and it goes on.
#![expect(clippy::unwrap_used, reason = "a server that cannot be started fails its test")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use steadfast_core::endpoints::view::Address;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

#[path = "../examples/http_client.rs"]
#[expect(dead_code, reason = "its main function is the example's")]
mod http_client;

const LIMIT: Duration = Duration::from_secs(30);

/// What every server tells of all of them.
type List = Arc<Mutex<String>>;

/// A server that ends with its set of tasks.
async fn server(tasks: &mut JoinSet<()>, list: &List) -> Address {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, list) = (listener.local_addr().unwrap(), Arc::clone(list));
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A client that has gone away is no trouble of the server.
            let _ = answer(stream, &list).await;
        }
    });
    Address::new(at.ip().to_string(), at.port())
}

async fn answer(stream: TcpStream, list: &List) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut request = String::new();
    stream.read_line(&mut request).await?;
    let mut header = request.clone();
    while !header.trim().is_empty() {
        header.clear();
        stream.read_line(&mut header).await?;
    }
    let body = match request.starts_with("GET /servers ") {
        true => list.lock().unwrap().clone(),
        false => "worked".to_owned(),
    };
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.get_mut().write_all(answer.as_bytes()).await
}

fn lines(one: &Address, two: &Address) -> String {
    format!("one {one}\ntwo {two}\n")
}

#[tokio::test]
async fn when_all_servers_move_requests_go_on_without_a_failed_one_after_the_switch() {
    let list = List::default();
    let (mut old_tasks, mut new_tasks) = (JoinSet::new(), JoinSet::new());
    let old = [server(&mut old_tasks, &list).await, server(&mut old_tasks, &list).await];
    let new = [server(&mut new_tasks, &list).await, server(&mut new_tasks, &list).await];
    *list.lock().unwrap() = lines(&old[0], &old[1]);

    let (sender, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let seeds = vec![old[0].clone()];
    let client =
        http_client::supervise(seeds, move |at, answer| drop(sender.send((at.clone(), answer.is_ok()))));
    let client = tokio::spawn(client);
    let mut next = async || timeout(LIMIT, answers.recv()).await.unwrap().unwrap();

    let mut seen = Vec::new();
    while !old.iter().all(|at| seen.contains(&(at.clone(), true))) {
        seen.push(next().await);
    }
    *list.lock().unwrap() = lines(&new[0], &new[1]);
    let mut switched = false;
    while !switched {
        let (at, worked) = next().await;
        assert!(worked, "{at} failed while the old servers were there");
        switched = new.contains(&at);
    }
    old_tasks.abort_all();
    for _ in 0..50 {
        let (at, worked) = next().await;
        assert!(worked && new.contains(&at), "{at}: {worked}");
    }
    client.abort();
}

#[tokio::test]
async fn when_the_servers_are_gone_it_goes_on_as_soon_as_one_that_it_knows_is_back() {
    let list = List::default();
    let mut tasks = JoinSet::new();
    let seed = server(&mut tasks, &list).await;
    let (sender, mut answers) = tokio::sync::mpsc::unbounded_channel();
    let client = tokio::spawn(http_client::supervise(vec![seed.clone()], move |_, answer| {
        // At the end of the test nobody listens any more.
        let _ = sender.send(answer.is_ok());
    }));
    // A server that lists nobody has no voice: nothing is sent yet.
    tokio::task::yield_now().await;
    assert!(answers.try_recv().is_err());
    *list.lock().unwrap() = format!("only {seed}\n");
    assert_eq!(timeout(LIMIT, answers.recv()).await.unwrap(), Some(true));
    client.abort();
}

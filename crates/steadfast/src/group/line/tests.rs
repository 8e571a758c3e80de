use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use futures::future::BoxFuture;
use steadfast_kafka::api::find_coordinator::FindCoordinator;
use steadfast_kafka::transport::{Stream, Transport};
use steadfast_sim::cluster::Cluster as Brokers;
use steadfast_sim::network::{Door, Machine, Network};
use steadfast_sim::serve::Served;

use super::*;
use crate::config::Config;
use crate::dialler::Refusals;
use crate::observers::Events;

const NODE: NodeId = NodeId(1);

/// A network on which connecting may come to take for ever. Counts who begins to connect.
#[derive(Default)]
struct Wire {
    network: Network,
    stuck: AtomicBool,
    begun: AtomicU32,
    given_up: Arc<AtomicU32>,
}

/// Counts that a connecting ended.
struct Ends(Arc<AtomicU32>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wire {
    fn begun(&self) -> u32 {
        self.begun.load(Ordering::Relaxed)
    }
}

impl Transport for Wire {
    fn connect<'a>(&'a self, to: &'a Address) -> BoxFuture<'a, io::Result<Stream>> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        async move {
            if self.stuck.load(Ordering::Relaxed) {
                let _ends = Ends(Arc::clone(&self.given_up));
                std::future::pending::<()>().await;
            }
            Ok(Stream { io: Box::new(self.network.connect(to).await?), peer: None })
        }
        .boxed()
    }
}

/// With settings that differ in nothing that a broker sees.
fn config(token_timeout: &str) -> Arc<Config> {
    let text = format!(
        "topics = [\"t\"]\nstate.dir = \"/s\"\nkafka.bootstrap.servers = \"k:1\"\nkafka.group.id = \"g\"\n\
         kafka.sasl.oauthbearer.token.timeout.ms = \"{token_timeout}\""
    );
    Arc::new(Config::from_toml_str(&text).unwrap())
}

struct Setting {
    wire: Arc<Wire>,
    machine: Arc<Machine>,
    configured: watch::Sender<Arc<Config>>,
    line: Line,
    to: Coordinator,
}

impl Setting {
    fn new() -> Setting {
        let wire = Arc::<Wire>::default();
        let address = Address::new("k", 1);
        let served = Served::start(Brokers::new("c", [(NODE, address.clone())]));
        let machine = Arc::new(Machine::new(served, NODE, 7));
        wire.network.lead(&address, Door::Open(Arc::clone(&machine), None));
        let (configured, view) = watch::channel(config("10s"));
        let events = Events::new("test", Vec::new());
        let dialler = Dialler {
            transport: wire.clone(),
            client_id: "test".into(),
            config: view,
            settled: None,
            refusals: Arc::new(Refusals::new(events.clone())),
        };
        let line = Line::new(dialler, Route::channel().1, events);
        Setting {
            wire,
            machine,
            configured,
            line,
            to: Coordinator { node: NODE, address, pin: None, resolution: 0 },
        }
    }

    /// Whether a request is answered, which has to be soon.
    async fn is_answered(&self) -> bool {
        let asked = Instant::now();
        let question = FindCoordinator { group: "g".into() };
        let answer = self.line.call(&self.to, question, Duration::from_secs(5)).await;
        answer.is_ok() && asked.elapsed() < Duration::from_millis(100)
    }

    async fn connection(&self) -> Connection {
        self.line.connection(&self.to, QUESTION_LIMIT).await.unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn while_other_settings_are_tried_the_standing_connection_answers() {
    let setting = Setting::new();
    assert!(setting.is_answered().await);
    let standing = setting.connection().await;
    assert_eq!(setting.wire.begun(), 1);

    // A try takes a second, and a second's rest follows.
    setting.wire.stuck.store(true, Ordering::Relaxed);
    setting.configured.send_replace(config("20s"));
    for _ in 0..100 {
        assert!(setting.is_answered().await);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let (begun, given_up) = (setting.wire.begun() - 1, setting.wire.given_up.load(Ordering::Relaxed));
        assert!(begun - given_up <= 1, "one at a time");
    }
    assert!((7..=11).contains(&setting.wire.begun()), "{} tries", setting.wire.begun());
    assert!(!standing.is_closed());

    setting.wire.stuck.store(false, Ordering::Relaxed);
    drop(standing);
    let tries = setting.wire.begun();
    for _ in 0..20 {
        assert!(setting.is_answered().await);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(setting.wire.begun(), tries + 1, "changed over, and it is not tried any more");
    let open = locked(&setting.line.open);
    assert!(open.as_ref().unwrap().terms.security == config("20s").kafka.security);
}

#[tokio::test(start_paused = true)]
async fn a_try_ends_with_its_line_and_with_its_settings() {
    let setting = Setting::new();
    assert!(setting.is_answered().await);
    setting.wire.stuck.store(true, Ordering::Relaxed);
    let given_up = Arc::clone(&setting.wire.given_up);
    for (settings, earlier) in [("20s", 0), ("30s", 1)] {
        setting.configured.send_replace(config(settings));
        assert!(setting.is_answered().await);
        assert_eq!(given_up.load(Ordering::Relaxed), earlier);
    }
    drop(setting);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(given_up.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_leads_elsewhere_is_followed_without_a_request_that_waits() {
    let mut setting = Setting::new();
    let standing = setting.connection().await;
    setting.to.resolution += 1;
    assert!(setting.is_answered().await);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(setting.is_answered().await && setting.is_answered().await);
    assert_eq!(setting.wire.begun(), 2);
    assert!(!standing.is_closed(), "whoever still waits for an answer there gets it");
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_that_works_the_settings_in_force_are_waited_for() {
    let setting = Setting::new();
    let standing = setting.connection().await;
    setting.configured.send_replace(config("20s"));
    standing.close(steadfast_kafka::connection::CloseReason::Dropped);
    assert!(setting.is_answered().await);
    let open = locked(&setting.line.open);
    assert!(open.as_ref().unwrap().terms.security == config("20s").kafka.security);
}

const QUESTION_LIMIT: Duration = Duration::from_secs(10);

fn question() -> FindCoordinator {
    FindCoordinator { group: "g".into() }
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed_and_the_question_repeated_over_a_fresh_one() {
    let setting = Setting::new();
    let standing = setting.connection().await;
    setting.machine.silence();
    let asked = Instant::now();
    setting.line.insist(&setting.to, question(), QUESTION_LIMIT).await.unwrap();
    assert_eq!(asked.elapsed(), OVERDUE_FLOOR);
    assert!(standing.is_closed());
    assert!(setting.is_answered().await);
    assert_eq!(setting.wire.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_repeated_unseen_comes_back_with_its_connection_closed() {
    let setting = Setting::new();
    let standing = setting.connection().await;
    setting.machine.silence();
    let (first, second) = (question(), question());
    let (first, second) = futures::join!(
        setting.line.ask(&setting.to, &first, QUESTION_LIMIT),
        setting.line.ask(&setting.to, &second, QUESTION_LIMIT),
    );
    for outcome in [first, second] {
        assert!(matches!(outcome, Err(LineError::Silent { .. })), "{outcome:?}");
    }
    assert!(standing.is_closed());
    setting.line.ask(&setting.to, &question(), ms(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_is_slow_is_not_left_and_is_known_to_be_slow() {
    let setting = Setting::new();
    let standing = setting.connection().await;
    setting.machine.change_link(|link| link.latency = ms(400));
    for _ in 0..20 {
        setting.line.insist(&setting.to, question(), QUESTION_LIMIT).await.unwrap();
    }
    assert!(!standing.is_closed());
    assert_eq!(setting.wire.begun(), 2, "overdue once");
}

#[tokio::test(start_paused = true)]
async fn where_no_fresh_connection_can_be_had_the_answer_is_waited_for() {
    let setting = Setting::new();
    let standing = setting.connection().await;
    setting.machine.silence();
    setting.wire.stuck.store(true, Ordering::Relaxed);
    let asked = Instant::now();
    let outcome = setting.line.insist(&setting.to, question(), QUESTION_LIMIT).await;
    assert!(matches!(&outcome, Err(LineError::Call(_))), "{outcome:?}");
    assert_eq!((asked.elapsed(), standing.is_closed()), (QUESTION_LIMIT, true));
    assert!((5..=7).contains(&setting.wire.begun()), "{} tries", setting.wire.begun());
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_answer_may_be_held_back_is_not_sent_over_a_connection_that_died_since_the_last_one()
{
    let setting = Setting::new();
    let standing = setting.connection().await;
    tokio::time::sleep(HEARD_LATELY).await;
    setting.machine.silence();
    let asked = Instant::now();
    setting.line.call(&setting.to, question(), Duration::from_secs(65)).await.unwrap();
    assert_eq!(asked.elapsed(), OVERDUE_FLOOR);
    assert!(standing.is_closed());
}

#[tokio::test(start_paused = true)]
async fn where_nothing_proves_to_work_a_request_that_may_be_held_back_fails_soon() {
    let setting = Setting::new();
    setting.connection().await;
    tokio::time::sleep(HEARD_LATELY).await;
    setting.machine.silence();
    setting.wire.stuck.store(true, Ordering::Relaxed);
    let asked = Instant::now();
    let outcome = setting.line.call(&setting.to, question(), Duration::from_secs(65)).await;
    assert!(matches!(&outcome, Err(LineError::Call(_))), "{outcome:?}");
    assert_eq!(asked.elapsed(), PROVEN_WITHIN);
}

#[tokio::test(start_paused = true)]
async fn a_line_that_is_found_silent_takes_the_one_beside_it_along() {
    let rounds = Setting::new();
    let line =
        Line::new(rounds.line.dialler.clone(), rounds.line.suspect.clone(), rounds.line.events.clone());
    let beats = line.beside(&rounds.line);
    let standing = rounds.connection().await;
    beats.insist(&rounds.to, question(), QUESTION_LIMIT).await.unwrap();
    rounds.machine.silence();
    let asked = Instant::now();
    // It was heard just now, so nothing is proven: the answer might be held back for good reason.
    let (held_back, beat) = futures::join!(
        rounds.line.call(&rounds.to, question(), Duration::from_secs(65)),
        beats.insist(&rounds.to, question(), QUESTION_LIMIT),
    );
    held_back.unwrap();
    beat.unwrap();
    assert_eq!(asked.elapsed(), OVERDUE_FLOOR);
    assert!(standing.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_line_that_spoke_since_is_not_taken_along() {
    let rounds = Setting::new();
    let line =
        Line::new(rounds.line.dialler.clone(), rounds.line.suspect.clone(), rounds.line.events.clone());
    let beats = line.beside(&rounds.line);
    beats.insist(&rounds.to, question(), QUESTION_LIMIT).await.unwrap();
    rounds.machine.silence();
    let speaks = async {
        tokio::time::sleep(ms(100)).await;
        rounds.connection().await
    };
    let (beat, standing) = futures::join!(beats.insist(&rounds.to, question(), QUESTION_LIMIT), speaks);
    beat.unwrap();
    assert!(!standing.is_closed());
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_request_covers_connecting_which_goes_on_for_the_next_one() {
    let setting = Setting::new();
    setting.wire.stuck.store(true, Ordering::Relaxed);
    let (short, long) = (ms(200), ms(700));
    let asked = Instant::now();
    let first = async {
        let outcome = setting.line.insist(&setting.to, question(), short).await;
        (outcome, asked.elapsed())
    };
    let second = async {
        let outcome = setting.line.ask(&setting.to, &question(), long).await;
        (outcome, asked.elapsed())
    };
    let (first, second) = futures::join!(first, second);
    for ((outcome, took), limit) in [(first, short), (second, long)] {
        assert!(matches!(&outcome, Err(error) if error.evidence() == Evidence::Silent), "{outcome:?}");
        assert_eq!(took, limit);
    }
    assert_eq!(setting.wire.begun(), 1);
    setting.wire.stuck.store(false, Ordering::Relaxed);
    // The dial's own limit is a second: what is left of it is waited for.
    let outcome = setting.line.ask(&setting.to, &question(), QUESTION_LIMIT).await;
    assert!(matches!(outcome, Err(LineError::Connect(_))), "{outcome:?}");
    assert_eq!(asked.elapsed(), ms(1000));
    assert!(setting.is_answered().await);
    assert_eq!(setting.wire.begun(), 2);
}

//! The command line as its users see it: exit codes, signals, the configuration file, `check`.

use std::io::{PipeReader, Read};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use libtest_mimic::Trial;
use serde_json::{Value, json};
use steadfast_tests::checker::Checker;
use steadfast_tests::finished::{run_to_the_end, stopped};
use steadfast_tests::kafka::Cluster;
use steadfast_tests::load::{Load, Plan};
use steadfast_tests::offsets::committed;
use steadfast_tests::service::{Service, Workplace, binary, usual_config};
use steadfast_tests::stage::Stage;
use steadfast_tests::within;
use steadfast_tests::writer::Filling;

const LIMIT: Duration = Duration::from_secs(60);
/// Discard: nobody listens there.
const NOBODY: &str = "127.0.0.1:9";

pub(crate) fn trials(stage: &Stage) -> Vec<Trial> {
    vec![
        stage.beside("cli::until_end_tells_what_the_run_did", until_end),
        stage.beside("cli::until_end_gives_an_absent_cluster_up", absent),
        stage.beside("cli::run_waits_for_an_absent_cluster", waits),
        stage.beside("cli::a_signal_in_full_flow_costs_no_record_and_repeats_none", terminated),
        stage.beside("cli::a_second_signal_ends_at_once", second_signal),
        stage.beside("cli::a_handler_that_does_not_finish_in_time_is_told_by_75", drain_exceeded),
        stage.beside("cli::what_cannot_be_run_says_so", wrong),
        stage.beside("cli::an_invalid_file_leaves_the_old_configuration_in_force", rejected),
        stage.beside("cli::an_unwatched_file_is_read_again_on_sighup", hang_up),
        stage.beside("cli::a_changed_interval_applies_at_once", interval),
        stage.beside("cli::latest_begins_at_the_end", latest),
        stage.beside("cli::check_tells_what_is_fine_and_what_is_not", check),
    ]
}

fn load(cluster: &Cluster, topic: &str, partitions: i32) -> Load {
    cluster.create_topic(topic, partitions, &[]).unwrap();
    let (bootstrap, topic) = (cluster.bootstrap(), topic.to_owned());
    Load::start(Plan { bootstrap, topic, partitions, per_second: 300 }).unwrap()
}

fn start(workplace: &Workplace, config: &str, arguments: &[&str]) -> Service {
    workplace.configure(config).unwrap();
    Service::run(workplace, arguments).unwrap()
}

/// Waits until `more` further records came.
fn await_records(service: &Service, more: usize) {
    let wanted = service.records().len() + more;
    let came = || service.records().len() >= wanted;
    within(LIMIT, || if came() { Ok(()) } else { Err(service.story()) }).unwrap();
}

fn end(service: &mut Service, code: i32) {
    service.signal("TERM").unwrap();
    assert_eq!(service.wait(LIMIT).unwrap().code(), Some(code), "{}", service.story());
}

fn until_end(cluster: &Cluster) {
    const TOPIC: &str = "cli-until-end";
    cluster.create_topic(TOPIC, 3, &[]).unwrap();
    let bootstrap = cluster.bootstrap();
    let acked = Filling::new(&bootstrap, TOPIC, 3, 700).write().unwrap();
    let began = SystemTime::now();
    let service = run_to_the_end(&Workplace::new().unwrap(), &usual_config(&bootstrap, TOPIC, TOPIC));
    let took = began.elapsed().unwrap();
    assert!(service.checker().verdict(&acked).is_clean());
    let stopped = stopped(&service);
    assert_eq!(
        (&stopped["reason"], &stopped["records"], &stopped["redelivered"], &stopped["unfinished"]),
        (&json!("until_end"), &json!(2100), &json!(0), &json!(0))
    );
    let values: usize =
        service.records().iter().map(|record| record["payload"].as_str().unwrap().len()).sum();
    let bytes = stopped["bytes"].as_u64().unwrap();
    assert!(bytes >= values as u64 && bytes < 3 * values as u64, "{bytes} for {values} bytes of values");
    let elapsed = stopped["elapsed_ms"].as_f64().unwrap();
    assert!(elapsed > 0.0 && elapsed <= took.as_secs_f64() * 1e3, "{elapsed} of {took:?}");
}

fn absent(_: &Cluster) {
    let workplace = Workplace::new().unwrap();
    let began = SystemTime::now();
    let mut service = start(
        &workplace,
        &usual_config(NOBODY, "cli-absent", "cli-absent"),
        &["--until-end", "--start-timeout", "1500ms"],
    );
    assert_eq!(service.wait(LIMIT).unwrap().code(), Some(69), "{}", service.story());
    let took = began.elapsed().unwrap();
    assert!(took >= Duration::from_millis(1500) && took < Duration::from_secs(10), "{took:?}");
    assert!(stopped(&service)["reason"].to_string().contains("--start-timeout"), "{}", service.story());
}

fn waits(cluster: &Cluster) {
    const TOPIC: &str = "cli-waits";
    let load = load(cluster, TOPIC, 3);
    let workplace = Workplace::new().unwrap();
    let mut service = start(&workplace, &usual_config(NOBODY, TOPIC, TOPIC), &[]);
    let degraded = service.wait_for(LIMIT, "service.degraded", |_| true).unwrap();
    assert!(degraded.json["missing"].to_string().contains(NOBODY), "{}", degraded.json);
    workplace.configure(&usual_config(&cluster.bootstrap(), TOPIC, TOPIC)).unwrap();
    let acked = load.stop().unwrap();
    let verdict = service.verdict_within(LIMIT, &acked).unwrap();
    assert!(verdict.is_clean(), "{verdict:?}");
    end(&mut service, 0);
}

/// The deliveries of several runs as one reader would have seen them.
fn together(services: &[&Service]) -> Checker {
    let mut all = Checker::default();
    let deliveries = services.iter().flat_map(|service| service.checker().delivered().to_vec());
    deliveries.for_each(|delivered| all.see(delivered));
    all
}

fn terminated(cluster: &Cluster) {
    const TOPIC: &str = "cli-terminated";
    let load = load(cluster, TOPIC, 12);
    let workplace = Workplace::new().unwrap();
    let config = usual_config(&cluster.bootstrap(), TOPIC, TOPIC);
    let mut runs = Vec::new();
    for signal in ["TERM", "INT", "TERM"] {
        let mut service = start(&workplace, &config, &[]);
        await_records(&service, 200);
        service.signal(signal).unwrap();
        assert_eq!(service.wait(LIMIT).unwrap().code(), Some(0), "{}", service.story());
        let stopped = stopped(&service);
        assert_eq!((&stopped["reason"], &stopped["unfinished"]), (&json!("signal"), &json!(0)));
        assert_eq!(stopped["redelivered"], 0, "{}", service.story());
        assert_eq!(service.strange_lines(), Vec::<String>::new());
        runs.push(service);
    }
    let acked = load.stop().unwrap();
    runs.push(run_to_the_end(&workplace, &config));
    let verdict = together(&runs.iter().collect::<Vec<_>>()).verdict(&acked);
    assert!(verdict.is_clean(), "{verdict:?}");
}

/// A service whose output nobody reads: its sink is in the middle of a write. The reader's end is held open.
fn stuck(cluster: &Cluster, topic: &str, drain: &str) -> (Workplace, Service, PipeReader) {
    cluster.create_topic(topic, 3, &[]).unwrap();
    let bootstrap = cluster.bootstrap();
    Filling { padding: 1000, ..Filling::new(&bootstrap, topic, 3, 1000) }.write().unwrap();
    let workplace = Workplace::new().unwrap();
    let config = usual_config(&bootstrap, topic, topic)
        + &format!("\n[checkpoint]\ndrain = \"{drain}\"\ninterval = \"50ms\"\n");
    workplace.configure(&config).unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let service = Service::run_into(writer, &workplace, &[]).unwrap();
    let reader = first_byte(reader, &service);
    (workplace, service, reader)
}

/// Waits until a first byte is written. What is to be written with it is more than a pipe takes.
fn first_byte(mut reader: PipeReader, service: &Service) -> PipeReader {
    let (sender, read) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        reader.read_exact(&mut [0]).unwrap();
        sender.send(reader).unwrap();
    });
    read.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("nothing is written\n{}", service.story()))
}

fn second_signal(cluster: &Cluster) {
    let (_workplace, mut service, _reader) = stuck(cluster, "cli-second-signal", "30s");
    let began = SystemTime::now();
    // Signals of one kind that come before the first is taken are one: the second is sent until there is an end.
    let limit = Duration::from_secs(3);
    within(limit, || {
        service.signal("TERM").unwrap();
        service.wait(Duration::from_millis(100))
    })
    .unwrap();
    assert_eq!(service.wait(LIMIT).unwrap().code(), Some(143), "{}", service.story());
    assert!(began.elapsed().unwrap() < limit);
    assert!(service.events_named("partitions.revoked").is_empty(), "nothing was drained");
}

fn drain_exceeded(cluster: &Cluster) {
    const TOPIC: &str = "cli-drain";
    let (workplace, mut service, reader) = stuck(cluster, TOPIC, "500ms");
    end(&mut service, 75);
    assert!(stopped(&service)["unfinished"].as_u64().unwrap() > 0, "{}", service.story());
    drop(reader);
    let stored = committed(&cluster.brokers(), TOPIC, TOPIC, 3).unwrap();
    assert!(stored.values().any(|offset| *offset < 1000), "{stored:?}");
    // What was not acked comes again.
    let again = Service::run(&workplace, &["--until-end"]).unwrap();
    let left: i64 = stored.values().map(|offset| 1000 - offset).sum();
    within(LIMIT, || match i64::try_from(again.records().len()) {
        Ok(came) if came == left => Ok(()),
        _ => Err(again.story()),
    })
    .unwrap();
}

/// Runs `steadfast` with these arguments to its end, which has to come within the limit.
fn steadfast(arguments: &[&str], state: &Workplace) -> Output {
    let mut child = Command::new(binary().unwrap())
        .args(arguments)
        .env("STATE_DIRECTORY", state.path("state"))
        .env("STEADFAST_HTTP_LISTEN", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ended = within(LIMIT, || match child.try_wait() {
        Ok(Some(_)) => Ok(()),
        _ => Err(format!("steadfast {arguments:?} does not end")),
    });
    if ended.is_err() {
        child.kill().unwrap();
    }
    let output = child.wait_with_output().unwrap();
    ended.unwrap();
    output
}

/// The exit code, standard output and standard error.
pub(crate) fn told(arguments: &[&str], workplace: &Workplace) -> (i32, String, String) {
    let output = steadfast(arguments, workplace);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn wrong(cluster: &Cluster) {
    let workplace = Workplace::new().unwrap();
    let file = workplace.config().display().to_string();
    let good = usual_config(&cluster.bootstrap(), "cli-wrong", "cli-wrong");

    for usage in [vec![], vec!["walk"], vec!["run"], vec!["run", "--config", &file, "--until"]] {
        let (code, stdout, stderr) = told(&usage, &workplace);
        assert_eq!((code, stdout.as_str()), (64, ""), "{usage:?}");
        assert!(stderr.contains("Usage"), "{usage:?}: {stderr}");
    }

    let run = ["run", "--config", &file, "--until-end"];
    let (code, _, stderr) = told(&run, &workplace);
    assert!(code == 78 && stderr.contains(&file), "no file: {code}, {stderr}");
    workplace.configure(&good.replace("group.id", "group.di")).unwrap();
    let (code, _, stderr) = told(&run, &workplace);
    assert!(code == 78 && stderr.contains("group.di") && stderr.contains("group.id"), "{code}, {stderr}");
    workplace.configure("topics = [").unwrap();
    let (code, _, stderr) = told(&run, &workplace);
    assert!(code == 78 && stderr.contains("line 1"), "{code}, {stderr}");
    workplace.configure(&good).unwrap();
    let (code, _, stderr) = told(&[&run[..], &["--set", "drift.threshold=7"]].concat(), &workplace);
    assert!(code == 78 && stderr.contains("drift.threshold"), "{code}, {stderr}");

    std::fs::write(workplace.path("state"), "a file where the directory should be").unwrap();
    let (code, _, stderr) = told(&run, &workplace);
    assert!(code == 73 && stderr.contains("state.dir"), "{code}, {stderr}");
}

fn rejected(cluster: &Cluster) {
    const TOPIC: &str = "cli-rejected";
    let load = load(cluster, TOPIC, 3);
    let workplace = Workplace::new().unwrap();
    let good = usual_config(&cluster.bootstrap(), TOPIC, TOPIC);
    let mut service = start(&workplace, &good, &[]);
    await_records(&service, 10);
    workplace.configure(&(good.clone() + "\n[drift]\nthreshold = 7\n")).unwrap();
    let rejected = service.wait_for(LIMIT, "config.rejected", |_| true).unwrap();
    let reason = rejected.json["reason"].as_str().unwrap();
    assert!(reason.contains("drift.threshold") && !reason.contains('\n'), "{reason}");
    await_records(&service, 100);
    // One that is right again is taken.
    workplace.configure(&(good + "\n[checkpoint]\ninterval = \"4s\"\n")).unwrap();
    let taken = service.wait_for(LIMIT, "config.reloaded", |_| true).unwrap();
    assert_eq!(taken.json["applied"], json!(["checkpoint.interval"]));
    let acked = load.stop().unwrap();
    let verdict = service.verdict_within(LIMIT, &acked).unwrap();
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!(service.events_named("config.rejected").len(), 1, "{}", service.story());
    end(&mut service, 0);
}

fn hang_up(cluster: &Cluster) {
    const TOPIC: &str = "cli-hang-up";
    let load = load(cluster, TOPIC, 3);
    let workplace = Workplace::new().unwrap();
    let good = usual_config(&cluster.bootstrap(), TOPIC, TOPIC);
    let mut service = start(&workplace, &good, &["--no-watch-config"]);
    await_records(&service, 10);
    workplace.configure(&(good + "\n[checkpoint]\ninterval = \"4s\"\n")).unwrap();
    // 300 records are one second, and a watched file is read within a tenth of that.
    await_records(&service, 300);
    assert!(service.events_named("config.reloaded").is_empty(), "{}", service.story());
    service.signal("HUP").unwrap();
    service.wait_for(LIMIT, "config.reloaded", |_| true).unwrap();
    load.stop().unwrap();
    end(&mut service, 0);
}

fn interval(cluster: &Cluster) {
    const TOPIC: &str = "cli-interval";
    let load = load(cluster, TOPIC, 3);
    let workplace = Workplace::new().unwrap();
    let config = |interval: &str| {
        usual_config(&cluster.bootstrap(), TOPIC, TOPIC)
            + &format!("\n[log]\nlevel = \"debug\"\n\n[checkpoint]\ninterval = \"{interval}\"\n")
    };
    let mut service = start(&workplace, &config("1h"), &[]);
    await_records(&service, 300);
    assert!(service.events_named("checkpoint.committed").is_empty(), "{}", service.story());
    workplace.configure(&config("100ms")).unwrap();
    let by_interval = || {
        let events = service.events_named("checkpoint.committed");
        events.iter().filter(|event| event.json["occasion"] == "interval").count()
    };
    within(LIMIT, || if by_interval() >= 5 { Ok(()) } else { Err(service.story()) }).unwrap();
    let stored = committed(&cluster.brokers(), TOPIC, TOPIC, 3).unwrap();
    assert!(stored.values().sum::<i64>() >= 300, "{stored:?}");
    load.stop().unwrap();
    end(&mut service, 0);
}

fn latest(cluster: &Cluster) {
    const TOPIC: &str = "cli-latest";
    cluster.create_topic(TOPIC, 3, &[]).unwrap();
    let bootstrap = cluster.bootstrap();
    let before = Filling::new(&bootstrap, TOPIC, 3, 50);
    before.write().unwrap();
    let config = usual_config(&bootstrap, TOPIC, TOPIC) + "\"auto.offset.reset\" = \"latest\"\n";
    let workplace = Workplace::new().unwrap();
    let mut service = start(&workplace, &config, &[]);
    service.wait_until_consuming(LIMIT, 3).unwrap();
    for started in service.events_named("partition.started") {
        let begun = (&started.json["messaging.kafka.offset"], &started.json["source"]);
        assert_eq!(begun, (&json!(50), &json!("latest")));
    }
    let after = Filling { sequences: 50..80, ..before }.write().unwrap();
    let verdict = service.verdict_within(LIMIT, &after).unwrap();
    assert!(verdict.is_clean(), "{verdict:?}");
    assert_eq!(service.records().len(), 90, "nothing from before");
    end(&mut service, 0);
    assert_eq!(
        committed(&cluster.brokers(), TOPIC, TOPIC, 3).unwrap(),
        (0..3).map(|partition| (partition, 80)).collect()
    );
}

fn check(cluster: &Cluster) {
    const TOPIC: &str = "cli-check";
    cluster.create_topic(TOPIC, 3, &[]).unwrap();
    let workplace = Workplace::new().unwrap();
    let file = workplace.config().display().to_string();
    let check = |more: &[&str]| told(&[&["check", "--config", &file], more].concat(), &workplace);
    workplace.configure(&usual_config(&cluster.bootstrap(), TOPIC, TOPIC)).unwrap();

    let (code, stdout, stderr) = check(&[]);
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    for wanted in
        ["ok      configuration", "topic cli-check", "3 partitions", "coordinated by broker", "broker 3 at"]
    {
        assert!(stdout.contains(wanted), "{wanted} is missing in\n{stdout}");
    }
    let (code, stdout, _) = check(&["--output", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    assert!(code == 0 && rows.len() > 10 && rows.iter().all(|row| row["result"] != "failed"), "{stdout}");
    let warned: Vec<&Value> = rows.iter().filter(|row| row["result"] == "warning").collect();
    assert_eq!((warned.len(), &warned[0]["check"]), (1, &json!("bootstrap addresses")), "{stdout}");

    let (code, stdout, _) = check(&["--output", "json", "--set", "topics=cli-check,cli-no-such-topic"]);
    let rows: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    let failed: Vec<&Value> = rows.iter().filter(|row| row["result"] == "failed").collect();
    assert_eq!((code, failed.len()), (1, 1), "{stdout}");
    assert_eq!(failed[0]["check"], "topic cli-no-such-topic");
    assert!(failed[0]["advice"].as_str().unwrap().contains("create it"), "{stdout}");

    let nobody = format!("kafka.bootstrap.servers={NOBODY}");
    let (code, stdout, _) = check(&["--set", &nobody]);
    assert!(code == 69 && stdout.contains("FAILED") && stdout.contains("->"), "{code}: {stdout}");
    let (code, stdout, _) = check(&["--set", &nobody, "--offline"]);
    assert!(code == 0 && stdout.lines().count() == 1, "{code}: {stdout}");

    let (code, stdout, stderr) = check(&["--set", "kafka.group.di=x"]);
    assert!(
        code == 78 && stdout.contains("FAILED") && stderr.contains("group.di"),
        "{code}: {stdout}{stderr}"
    );
    let (code, stdout, _) = check(&["--set", "kafka.group.di=x", "--output", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &rows[0]["result"]), (78, &json!("failed")), "{stdout}");
}

//! The rules of the configuration, as tables.

use std::time::Duration;

use steadfast_core::endpoints::view::Address;

use super::reference::{Fallback, KEYS, Kind};
use super::*;

mod security;

const LEAST: &str = "topics = [\"orders\"]\nkafka.bootstrap.servers = \"k:9092\"\nkafka.group.id = \"g\"\n";

const ENVIRONMENT: &[(&str, &str)] = &[("HOME", "/home/me")];

fn load(text: &str, environment: &[(&str, &str)], sets: &[&str]) -> Result<Config, ConfigError> {
    let environment = ENVIRONMENT.iter().chain(environment).map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    Config::from_text("s.toml".as_ref(), text, environment, &sets)
}

/// The least configuration, with these further lines.
fn with(lines: &str) -> Result<Config, ConfigError> {
    load(&format!("{LEAST}{lines}"), &[], &[])
}

fn told(result: Result<Config, ConfigError>) -> String {
    result.unwrap_err().one_line()
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

#[test]
fn three_settings_are_enough_and_the_others_have_the_documented_defaults() {
    let settings = with("").unwrap().settings();
    for key in KEYS.iter() {
        let actual = settings.get(key.path).map(String::as_str);
        match (key.default, key.path) {
            (Fallback::Is(_), path) if path.starts_with("sink.") && path != "sink.type" => {
                assert_eq!(actual, None, "{path}")
            }
            (Fallback::Is(_), path) if path.starts_with("errors.deadletterqueue.") => {
                assert_eq!(actual, None, "{path}")
            }
            (Fallback::Is(text), path) => assert_eq!(actual, Some(text), "{path}"),
            (Fallback::Unset(_), path) => assert_eq!(actual, None, "{path}"),
            (Fallback::Found(_), path) => {
                assert_eq!((path, actual), ("state.dir", Some("/home/me/.local/state/steadfast")))
            }
            (Fallback::Required, path) => assert!(actual.is_some(), "{path}"),
        }
    }
    let file = with("sink = { type = \"file\", path = \"/r\" }").unwrap().settings();
    assert_eq!((file["sink.max_bytes"].as_str(), file["sink.keep"].as_str()), ("100MiB", "10"));
}

#[test]
fn what_is_missing_is_told_all_at_once() {
    let problems = Config::from_toml_str("").unwrap_err();
    let whats: Vec<&str> = problems.problems().iter().map(|problem| problem.what.as_str()).collect();
    assert_eq!(
        whats[..3],
        ["`topics` is not set", "`kafka.bootstrap.servers` is not set", "`kafka.group.id` is not set",]
    );
    assert!(whats[3].starts_with("`state.dir` is not set, and the environment names none ($STATE_DIRECTORY"));
    assert_eq!(
        problems.problems()[2].advice,
        "set it in the file, as STEADFAST_KAFKA_GROUP_ID or with --set kafka.group.id=…"
    );
}

#[test]
fn the_environment_is_over_the_file_and_set_over_both() {
    let text = format!("{LEAST}[drift]\nsettle = \"1s\"\npoll_interval = \"1s\"\nsweep_interval = \"1m\"");
    let environment =
        [("STEADFAST_DRIFT_POLL_INTERVAL", "2s"), ("STEADFAST_DRIFT_SWEEP_INTERVAL", "2m"), ("OTHER", "x")];
    let config = load(&text, &environment, &["drift.sweep_interval=3m", "drift.sweep_interval=4m"]).unwrap();
    assert_eq!(config.drift.settle, Duration::from_secs(1));
    assert_eq!(config.drift.poll_interval, Duration::from_secs(2));
    assert_eq!(config.drift.sweep_interval, Duration::from_secs(240));
}

#[test]
fn the_whole_configuration_may_come_from_the_environment() {
    let config = load(
        "",
        &[
            ("STEADFAST_TOPICS", "a, b"),
            ("STEADFAST_KAFKA_BOOTSTRAP_SERVERS", "k1:9092,[::1]:9093"),
            ("STEADFAST_KAFKA_GROUP_ID", "g"),
            ("STEADFAST_ENDPOINTS_OVERRIDE", "x:1=y:2,z:3=w:4"),
            ("STEADFAST_RESPAWN_BUDGET", "7"),
            ("STEADFAST_DRIFT_THRESHOLD", "0.25"),
            ("STEADFAST_CHECKPOINT_ENABLED", "false"),
        ],
        &[],
    )
    .unwrap();
    assert_eq!(config.topics.names(), ["a".into(), "b".into()]);
    assert_eq!(config.kafka.bootstrap_servers, [address("k1:9092"), address("[::1]:9093")]);
    assert_eq!(config.endpoint_overrides[&address("z:3")], address("w:4"));
    assert_eq!((config.respawn.budget, f64::from(config.drift.threshold)), (7, 0.25));
    assert!(!config.checkpoint.enabled);
}

#[test]
fn overrides_are_a_table_of_addresses() {
    let config = with("[endpoints.override]\n\"old.example:9092\" = \"10.0.0.1:19092\"").unwrap();
    assert_eq!(config.endpoint_overrides[&address("old.example:9092")], address("10.0.0.1:19092"));
    let replaced = load(
        &format!("{LEAST}[endpoints.override]\n\"a:1\" = \"b:1\""),
        &[("STEADFAST_ENDPOINTS_OVERRIDE", "c:1=d:1")],
        &[],
    )
    .unwrap();
    assert_eq!(replaced.endpoint_overrides.into_keys().collect::<Vec<_>>(), [address("c:1")]);
}

#[test]
fn under_kafka_a_bare_number_is_milliseconds() {
    for value in ["9000", "\"9000\"", "\"9s\"", "\"9000ms\""] {
        let config = with(&format!("kafka.session.timeout.ms = {value}")).unwrap();
        assert_eq!(config.kafka.session_timeout, Duration::from_secs(9), "{value}");
    }
    let config = load(LEAST, &[("STEADFAST_KAFKA_SESSION_TIMEOUT_MS", "9000")], &[]).unwrap();
    assert_eq!(config.kafka.session_timeout, Duration::from_secs(9));
}

#[test]
fn elsewhere_a_duration_needs_a_unit() {
    assert_eq!(
        told(with("drift.settle = 2")),
        "`drift.settle` must be a duration from 0s to 24days, found the number 2 in s.toml, line 4: write for \
         instance \"30s\""
    );
    assert!(
        told(load(LEAST, &[], &["drift.settle=2"])).contains("found the text \"2\" in --set drift.settle")
    );
}

#[test]
fn javas_properties_may_all_be_texts() {
    let config = with("kafka.fetch.min.bytes = \"17\"\nkafka.enable.auto.commit = \"false\"").unwrap();
    assert_eq!(config.kafka.fetch_min_bytes, 17);
    assert!(!config.checkpoint.enabled);
}

#[test]
fn javas_name_and_ours_exclude_each_other_wherever_they_stand() {
    for (ours, javas) in [
        ("checkpoint.interval = \"1s\"", "kafka.auto.commit.interval.ms=1000"),
        ("checkpoint.enabled = true", "kafka.enable.auto.commit=true"),
    ] {
        assert!(
            told(load(&format!("{LEAST}{ours}"), &[], &[javas])).contains("say the same and both are set")
        );
    }
    let config = with("kafka.auto.commit.interval.ms = 1000").unwrap();
    assert_eq!(config.checkpoint.interval, Duration::from_secs(1));
}

#[test]
fn values_of_a_wrong_kind_are_refused_with_what_was_expected_and_found() {
    for (line, expected, found) in [
        ("topics2 = 1", "unknown key `topics2`", "did you mean `topics`?"),
        ("drift.threshold = 1.5", "a number from 0 to 1", "found the number 1.5"),
        ("drift.threshold = nan", "a number from 0 to 1", "found the number NaN"),
        ("drift.threshold = \"0.5\"", "a number from 0 to 1", "found the text \"0.5\""),
        ("drift.settle = \"soon\"", "a duration", "found the text \"soon\""),
        ("drift.settle = \"-1s\"", "a duration", "found the text \"-1s\""),
        ("drift.sweep_interval = \"25days\"", "a duration", "found the text \"25days\""),
        ("drift.poll_interval = \"1ms\"", "a duration from 50ms", "found the text \"1ms\""),
        ("drift.cluster_id = \"\"", "a text that is not empty", "found the text \"\""),
        ("respawn.budget = 0", "a whole number from 1 to 10000", "found the number 0"),
        ("respawn.budget = 1.0", "a whole number from 1 to 10000", "found the number 1"),
        ("[[topics_]]", "unknown key `topics_`", "did you mean `topics`?"),
        ("[[respawn.budget]]", "a whole number from 1 to 10000", "found a list of 1"),
        ("respawn.budget = [3]", "a whole number from 1 to 10000", "found a list of 1"),
        ("checkpoint.enabled = 1", "true or false", "found the number 1"),
        ("checkpoint.enabled = \"yes\"", "true or false", "found the text \"yes\""),
        ("fetch.buffer_bytes = \"1 lot\"", "a size from 64KiB to 64GiB", "found the text \"1 lot\""),
        ("fetch.buffer_bytes = -1", "a size from 64KiB to 64GiB", "found the number -1"),
        ("kafka.fetch.max.bytes = 3000000000", "a size from 1", "found the number 3000000000"),
        ("kafka.session.timeout.ms = -5", "a duration from 1s", "found the number -5"),
        ("kafka.client.id = { a = 1 }", "a text that is not empty", "found a table"),
        ("kafka.group.instance.id = \"a b\"", "a name", "\"a b\" is no name for Kafka"),
        ("kafka.isolation.level = \"serial\"", "one of read_committed, read_uncommitted", "found `serial`"),
        ("kafka.auto.offset.reset = \"none\"", "one of earliest, latest", "`none` is not in this version"),
        (
            "kafka.security.protocol = \"TLS\"",
            "one of PLAINTEXT, SSL, SASL_PLAINTEXT, SASL_SSL",
            "found `TLS`",
        ),
        (
            "kafka.partition.assignment.strategy = \"uniform\"",
            "a list of range, roundrobin, sticky, cooperative-sticky",
            "found `uniform`",
        ),
        (
            "kafka.partition.assignment.strategy = [\"range\", \"RangeAssignor\"]",
            "a list",
            "`range` stands there twice",
        ),
        ("offsets.out_of_range = \"latest\"", "one of stop, earliest", "found `latest`"),
        ("sink.type = \"http\"", "one of stdout, discard, file, kafka", "`http` is not in this version"),
        ("http.listen = 9404", "an IP address with a port, or off", "found the number 9404"),
        ("http.listen = \"localhost:9404\"", "an IP address", "\"localhost:9404\" is neither"),
        ("endpoints.override = [\"a:1\"]", "a table of host:port to host:port", "found a list of 1"),
        ("endpoints.override = { \"a:1\" = 2 }", "a table of host:port to host:port", "found a table"),
        ("endpoints.override = { \"a\" = \"b:1\" }", "a table", "\"a\" is no host:port"),
        ("log.level = \"loud\"", "one of error, warn, info, debug, trace", "found `loud`"),
    ] {
        let told = told(with(line));
        assert!(told.contains(expected) && told.contains(found), "{line}\n{told}");
        assert!(told.contains("s.toml, line 4"), "{line}\n{told}");
    }
}

#[test]
fn topics_are_legal_names_none_twice() {
    for (topics, reason) in [
        ("[]", "is empty"),
        ("[\"\"]", "is empty"),
        ("[\"a\", \"a\"]", "`a` stands there twice"),
        ("[\"a/b\"]", "\"a/b\" is no name for Kafka"),
        ("[\".\"]", "\".\" is no name for Kafka"),
        ("[\"..\"]", "\"..\" is no name for Kafka"),
        ("[1]", "found a list of 1"),
        ("\"orders\"", "found the text \"orders\""),
    ] {
        let told = told(load(&LEAST.replace("[\"orders\"]", topics), &[], &[]));
        assert!(told.contains(reason), "{topics}\n{told}");
    }
    let long = |length: usize| LEAST.replace("orders", &"x".repeat(length));
    assert!(load(&long(249), &[], &[]).is_ok());
    assert!(load(&long(250), &[], &[]).is_err());
}

#[test]
fn bootstrap_servers_are_a_text_with_commas_or_a_list() {
    for (servers, right) in [
        ("\"a:1, b:2\"", true),
        ("[\"a:1\", \"b:2\"]", true),
        ("\"a:1,\"", false),
        ("\"a\"", false),
        ("\"a:0\"", false),
        ("[]", false),
        ("\"a:1,a:1\"", false),
        ("9092", false),
    ] {
        let result = load(&LEAST.replace("\"k:9092\"", servers), &[], &[]);
        assert_eq!(result.is_ok(), right, "{servers}");
    }
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (lines, at_the_limit, reason) in [
        ("kafka.heartbeat.interval.ms = 15001", "kafka.heartbeat.interval.ms = 15000", "over a third"),
        (
            "kafka.fetch.min.bytes = 11\nkafka.fetch.max.bytes = 10",
            "kafka.fetch.min.bytes = 10\nkafka.fetch.max.bytes = 10",
            "is over `kafka.fetch.max.bytes`",
        ),
        (
            "kafka.fetch.max.wait.ms = 30000\nfetch.stall_timeout = \"1m\"",
            "kafka.fetch.max.wait.ms = 29999\nfetch.stall_timeout = \"1m\"",
            "not below `kafka.request.timeout.ms`",
        ),
        (
            "checkpoint.drain = \"5m\"",
            "checkpoint.drain = \"4m 59s\"",
            "not below `kafka.max.poll.interval.ms`",
        ),
        (
            "drift.sweep_interval = \"4s\"",
            "drift.sweep_interval = \"5s\"",
            "shorter than `drift.poll_interval`",
        ),
        (
            "fetch.buffer_bytes = 1048575",
            "fetch.buffer_bytes = 1048576",
            "below `kafka.max.partition.fetch.bytes`",
        ),
        (
            "kafka.fetch.max.wait.ms = 2000\nfetch.stall_timeout = \"2s\"",
            "kafka.fetch.max.wait.ms = 1999\nfetch.stall_timeout = \"2s\"",
            "not over `kafka.fetch.max.wait.ms`",
        ),
    ] {
        let told = told(with(lines));
        assert!(told.contains(reason) && told.contains("s.toml, line"), "{lines}\n{told}");
        assert!(with(at_the_limit).is_ok(), "{at_the_limit}");
    }
}

#[test]
fn each_sink_has_its_own_settings() {
    let sink = |lines: &str| with(&format!("[sink]\n{lines}")).map(|config| config.sink);
    assert_eq!(sink("type = \"stdout\""), Ok(Sink::Stdout));
    assert_eq!(sink("type = \"discard\""), Ok(Sink::Discard));
    let file = FileSink { path: "/r.jsonl".into(), max_bytes: 1 << 20, keep: 0 };
    assert_eq!(
        sink("type = \"file\"\npath = \"/r.jsonl\"\nmax_bytes = \"1MiB\"\nkeep = 0"),
        Ok(Sink::File(file))
    );
    let same = Sink::Kafka(KafkaSink { topic: "copy".into(), elsewhere: None });
    assert_eq!(sink("type = \"kafka\"\ntopic = \"copy\""), Ok(same));
    let other = sink("type = \"kafka\"\ntopic = \"copy\"\nbootstrap_servers = [\"o:1\"]").unwrap();
    assert_eq!(other.elsewhere().unwrap().bootstrap_servers, [address("o:1")]);
    for (lines, reason) in [
        ("type = \"file\"", "`sink.path` is not set"),
        ("type = \"kafka\"", "`sink.topic` is not set"),
        ("path = \"/r\"", "`sink.path` is set, but `sink.type` is stdout"),
        ("type = \"file\"\npath = \"/r\"\ntopic = \"t\"", "`sink.topic` is set, but `sink.type` is file"),
        ("type = \"kafka\"\ntopic = \"orders\"", "is one of `topics`"),
        ("type = \"kafka\"\ntopic = \"orders\"\nbootstrap_servers = [\"k:9092\"]", "is one of `topics`"),
    ] {
        let told = sink(lines).unwrap_err().one_line();
        assert!(told.contains(reason), "{lines}\n{told}");
    }
    assert!(sink("type = \"kafka\"\ntopic = \"orders\"\nbootstrap_servers = [\"o:1\"]").is_ok());
}

#[test]
fn problems_of_all_sources_are_told_together() {
    let error = load(
        "topics = 1\nkafka.group.id = \"g\"\ndrift.treshold = 1",
        &[("STEADFAST_LOG_LEVLE", "info"), ("STEADFAST_LOG_LEVEL", "loud")],
        &["kafka.group.id", "respawn.budgett=3"],
    )
    .unwrap_err();
    let told: Vec<String> = error.problems().iter().map(Problem::to_string).collect();
    for part in [
        "unknown key `drift.treshold` in s.toml, line 3: did you mean `drift.threshold`?",
        "STEADFAST_LOG_LEVLE: did you mean `STEADFAST_LOG_LEVEL`?",
        "no `=` found in --set kafka.group.id: write --set key=value",
        "unknown key `respawn.budgett` in --set respawn.budgett",
        "`topics` must be a list of topic names, found the number 1 in s.toml, line 1",
        "`kafka.bootstrap.servers` is not set",
        "found `loud` in the environment variable STEADFAST_LOG_LEVEL",
    ] {
        assert!(told.iter().any(|line| line.contains(part)), "{part}\n{told:#?}");
    }
    assert_eq!(told.len(), 7, "{told:#?}");
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("steadfast.toml");
    let load = || Config::load(&path, ENVIRONMENT.iter().map(|(k, v)| ((*k).into(), (*v).into())), &[]);
    assert!(told(load()).contains("steadfast.toml: name one that can"));
    std::fs::write(&path, LEAST).unwrap();
    assert_eq!(load().unwrap(), with("").unwrap());
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert!(told(load()).contains("the file cannot be read"));
    std::fs::write(&path, "#".repeat((1 << 20) + 1)).unwrap();
    assert!(told(load()).contains("over 1 MiB"));
}

#[test]
fn changes_are_grouped_by_when_they_take_effect() {
    let before = with("").unwrap();
    assert!(before.diff(&before.clone()).is_empty());
    let after = load(
        &LEAST.replace("k:9092", "k2:9092").replace("\"g\"", "\"h\""),
        &[
            ("STEADFAST_ENDPOINTS_OVERRIDE", "a:1=b:1"),
            ("STEADFAST_RESPAWN_BUDGET", "9"),
            ("STEADFAST_DRIFT_POLL_INTERVAL", "1s"),
            ("STEADFAST_SINK_TYPE", "discard"),
        ],
        &["kafka.auto.commit.interval.ms=1000"],
    )
    .unwrap();
    let changes = before.diff(&after);
    assert_eq!(changes.endpoints, ["kafka.bootstrap.servers", "endpoints.override"]);
    assert_eq!(changes.at_once, ["drift.poll_interval", "checkpoint.interval"]);
    assert_eq!(changes.at_start, ["kafka.group.id", "respawn.budget", "sink.type"]);
}

#[test]
fn the_settings_in_force_make_the_same_configuration_again() {
    for lines in ["kafka.heartbeat.interval.ms = 1234", "kafka.group.protocol = \"consumer\""] {
        let config = with(&format!("sink = {{ type = \"file\", path = \"/r\" }}\n{lines}")).unwrap();
        let settings = config.settings();
        let sets: Vec<String> = settings.iter().map(|(key, text)| format!("{key}={text}")).collect();
        let again = Config::from_text("s.toml".as_ref(), "", std::iter::empty(), &sets);
        assert_eq!(again, Ok(config));
    }
}

#[test]
fn each_group_protocol_refuses_the_settings_of_the_other() {
    let consumer = "kafka.group.protocol = \"consumer\"\n";
    for setting in [
        "session.timeout.ms = 45000",
        "heartbeat.interval.ms = 3000",
        "partition.assignment.strategy = \"range\"",
    ] {
        let told = told(with(&format!("{consumer}kafka.{setting}")));
        assert!(told.contains("is set with `kafka.group.protocol"), "{told}");
    }
    assert!(told(with("kafka.group.remote.assignor = \"uniform\"")).contains("is set without"));
    let config = with(&format!("{consumer}kafka.group.remote.assignor = \"range\"")).unwrap();
    assert_eq!(config.kafka.group_remote_assignor, Some(RemoteAssignor::Range));
    assert!(told(with("kafka.group.protocol = \"eager\"")).contains("classic, consumer"));
}

#[test]
fn who_wants_no_http_says_off_or_nothing() {
    let listen = |line: &str| with(line).unwrap().http.listen.map(|at| at.to_string());
    assert_eq!(listen("").as_deref(), Some("127.0.0.1:9404"));
    assert_eq!(listen("http.listen = \"[::]:0\"").as_deref(), Some("[::]:0"));
    assert_eq!((listen("http.listen = \"off\""), listen("http.listen = \"\"")), (None, None));
    let config = load(LEAST, &[("STEADFAST_HTTP_LISTEN", "0.0.0.0:9404")], &[]).unwrap();
    assert_eq!(config.settings()["http.listen"], "0.0.0.0:9404");
}

#[test]
fn javas_names_apply_when_ours_do() {
    for key in KEYS.iter() {
        if let Kind::SameAs(ours) = key.kind {
            assert_eq!(key.applies, reference::key(ours).unwrap().applies, "{}", key.path);
        }
    }
}

#[test]
fn the_documented_example_is_a_configuration() {
    let documented = include_str!("../../../../docs/configuration.md");
    let (_, from) = documented.split_once("```toml\n").unwrap();
    let (example, _) = from.split_once("```").unwrap();
    assert_eq!(load(example, &[], &[]).unwrap().topics.names(), ["orders".into()]);
}

#[test]
fn the_documentation_lists_exactly_the_keys_there_are() {
    let documented = include_str!("../../../../docs/configuration.md");
    let rows: Vec<&str> = documented.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = KEYS.iter().map(row).collect();
    assert!(rows == expected, "docs/configuration.md should have these rows:\n{}\n", expected.join("\n"));
}

fn row(key: &reference::Key) -> String {
    let default = match key.default {
        Fallback::Is("") => "empty".to_owned(),
        Fallback::Is(text) => format!("`{text}`"),
        Fallback::Unset(meaning) | Fallback::Found(meaning) => meaning.to_owned(),
        Fallback::Required => "required".to_owned(),
    };
    format!("| `{}` | {} | {default} | {} | {} |", key.path, key.kind, key.applies, key.meaning)
}

#[test]
fn bad_records_are_never_dropped_silently() {
    let all = "errors.tolerance = \"all\"\n";
    let told_of = |lines: &str| told(with(&format!("{all}{lines}")));
    assert!(told_of("").contains("nothing says where bad records go"));
    assert!(told_of("errors.deadletterqueue.topic.name = \"orders\"").contains("is one of `topics`"));
    let both = "errors.deadletterqueue.topic.name = \"bad\"\nerrors.deadletterqueue.file = \"/f\"";
    assert!(told_of(both).contains("leave one of them out"));
    let unused = told(with("errors.deadletterqueue.topic.name = \"bad\""));
    assert!(unused.contains("is set, but `errors.tolerance` is none"), "{unused}");
    let topic = with(&format!("{all}errors.deadletterqueue.topic.name = \"bad\"")).unwrap();
    let expected = DeadLetterTopic { name: "bad".to_owned(), context_headers: true };
    assert_eq!(topic.errors.dead_letters, Some(DeadLetters::Topic(expected)));
    let file = with(&format!("{all}errors.deadletterqueue.file = \"/f\"")).unwrap();
    assert_eq!(file.errors.dead_letters, Some(DeadLetters::File("/f".into())));
}

#[test]
fn under_errors_a_bare_number_is_milliseconds_as_in_connect() {
    let config = with("[errors]\n\"retry.timeout\" = 300000\nretry.delay.max.ms = 60000").unwrap();
    assert_eq!(config.errors.retry_timeout, Duration::from_secs(300));
    assert_eq!(config.errors.retry_delay_max, Duration::from_secs(60));
}

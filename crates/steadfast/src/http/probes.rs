//! The probes' answers, as text like Kubernetes' own or as JSON.

use serde::Serialize;
use serde_json::json;

use crate::vitals::{Reading, Turning};

/// The body of a probe's answer, and whether the probe is passed.
pub(super) struct Answer {
    pub(super) ok: bool,
    pub(super) body: Body,
}

pub(super) enum Body {
    Text(String),
    Json(serde_json::Value),
}

/// How much is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `ok`, or what is not.
    Terse,
    /// Every check with its evidence.
    Verbose,
    /// The same for programs.
    Json,
}

struct Line {
    name: String,
    ok: bool,
    message: String,
}

/// Whether the process turns.
pub(super) fn livez(turning: &[Turning], form: Form) -> Answer {
    let line = |turning: &Turning| {
        let (age, limit) = (turning.age.as_secs_f64(), turning.limit.as_secs_f64());
        let message = format!("turned {age:.1} s ago, limit {limit} s");
        Line { name: turning.thread.clone(), ok: turning.ok, message }
    };
    let ok = turning.iter().all(|turning| turning.ok);
    #[derive(Serialize)]
    struct Live<'a> {
        live: bool,
        threads: &'a [Turning],
    }
    let json = || json!(Live { live: ok, threads: turning });
    answer("livez", ok, turning.iter().map(line).collect(), form, json)
}

/// Whether the service is ready, and by what evidence.
pub(super) fn readyz(reading: &Reading, form: Form) -> Answer {
    let line = |check: &crate::vitals::Check| Line {
        name: check.name.to_owned(),
        ok: check.ok,
        message: check.message.clone(),
    };
    let lines = reading.checks.iter().map(line).collect();
    answer("readyz", reading.ready, lines, form, || json!(reading))
}

fn answer(
    probe: &str,
    ok: bool,
    lines: Vec<Line>,
    form: Form,
    json: impl FnOnce() -> serde_json::Value,
) -> Answer {
    let body = match form {
        Form::Json => Body::Json(json()),
        Form::Terse if ok => Body::Text("ok".to_owned()),
        // Who asks for little and is told no wants to know why.
        Form::Terse => Body::Text(text(probe, ok, lines.into_iter().filter(|line| !line.ok))),
        Form::Verbose => Body::Text(text(probe, ok, lines)),
    };
    Answer { ok, body }
}

fn text(probe: &str, ok: bool, lines: impl IntoIterator<Item = Line>) -> String {
    let mut text = String::new();
    for Line { name, ok, message } in lines {
        let (mark, word) = if ok { ('+', "ok") } else { ('-', "failed") };
        text.push_str(&format!("[{mark}]{name} {word}: {message}\n"));
    }
    text + probe + if ok { " check passed\n" } else { " check failed\n" }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use steadfast_core::progress::Progress;

    use super::*;
    use crate::vitals::sample::{Sample, orders};

    fn shown(answer: Answer) -> String {
        match answer.body {
            Body::Text(text) => text,
            Body::Json(json) => json.to_string(),
        }
    }

    #[test]
    fn readiness_shows_its_evidence() {
        let sample = Sample::well(&[0, 1, 2]);
        sample.vitals.committed(sample.now());
        sample.after(812);
        let answer = readyz(&sample.read(), Form::Verbose);
        assert!(answer.ok);
        assert_eq!(
            shown(answer),
            "[+]service ok: runs\n\
             [+]cluster ok: 2 of 2 brokers verified\n\
             [+]metadata ok: 0.8 s ago, limit 15 s\n\
             [+]membership ok: generation 3, 3 partitions owned\n\
             [+]heartbeat ok: 0.8 s ago, limit 45 s\n\
             [+]fetch ok: 0.8 s ago, limit 30.5 s\n\
             [+]handlers ok: nothing is being processed\n\
             [+]commit ok: stored 0.8 s ago\n\
             [+]target ok: no target is away\n\
             [+]quarantine ok: no partition is quarantined\n\
             [+]stall ok: no partition stands still\n\
             readyz check passed\n"
        );
        assert_eq!(shown(readyz(&sample.read(), Form::Terse)), "ok");
    }

    #[test]
    fn who_is_told_no_is_told_why() {
        let sample = Sample::well(&[0, 1]);
        sample.table.update(&orders(1), Progress::quarantine);
        sample.after(52_100);
        let answer = readyz(&sample.read(), Form::Terse);
        assert!(!answer.ok);
        assert_eq!(
            shown(answer),
            "[-]metadata failed: 52.1 s ago, limit 15 s\n\
             [-]heartbeat failed: 52.1 s ago, limit 45 s\n\
             [-]fetch failed: orders-0 unanswered for 52.1 s, limit 30.5 s\n\
             [-]quarantine failed: orders-1 not fetched any more\n\
             readyz check failed\n"
        );
        let json: serde_json::Value =
            serde_json::from_str(&shown(readyz(&sample.read(), Form::Json))).unwrap();
        assert_eq!((&json["ready"], &json["checks"][4]["age_seconds"]), (&false.into(), &52.1.into()));
    }

    #[test]
    fn liveness_names_the_thread() {
        let turn = |thread: &str, age: u64, ok: bool| Turning {
            thread: thread.to_owned(),
            ok,
            age: Duration::from_millis(age),
            limit: Duration::from_secs(30),
        };
        let turning = [turn("control", 400, true), turn("member", 31_000, false)];
        let answer = livez(&turning, Form::Verbose);
        assert!(!answer.ok);
        assert_eq!(
            shown(answer),
            "[+]control ok: turned 0.4 s ago, limit 30 s\n\
             [-]member failed: turned 31.0 s ago, limit 30 s\n\
             livez check failed\n"
        );
        assert_eq!(shown(livez(&turning[..1], Form::Terse)), "ok");
    }
}

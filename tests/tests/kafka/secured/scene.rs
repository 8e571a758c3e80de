//! A service with a configuration of its own, and what stands in one.

use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use steadfast_tests::kafka::{Cluster, USER};
use steadfast_tests::service::{Service, Workplace, binary};

use crate::rehearsal::LIMIT;

/// A running service.
pub(super) struct Scene {
    pub(super) workplace: Workplace,
    pub(super) service: Service,
}

impl Scene {
    pub(super) fn run(config: &str, arguments: &[&str]) -> Scene {
        let workplace = Workplace::new().unwrap();
        workplace.configure(config).unwrap();
        let service = Service::run(&workplace, arguments).unwrap();
        Scene { workplace, service }
    }

    /// Waits for its end: its exit code.
    pub(super) fn ends(&mut self) -> i32 {
        self.service.wait(LIMIT).unwrap().code().unwrap()
    }
}

/// The lines that trust the brokers' authority.
pub(super) fn trusting(cluster: &Cluster) -> String {
    let authority = cluster.papers().unwrap().authority();
    format!("\"ssl.truststore.location\" = \"{}\"\n", authority.display())
}

/// The lines that name the user.
pub(super) fn by_password(mechanism: &str, password: &str) -> String {
    format!(
        "\"sasl.mechanism\" = \"{mechanism}\"\n\"sasl.username\" = \"{USER}\"\n\"sasl.password\" = \"{password}\"\n"
    )
}

/// A token for the user that nobody signed, for so many seconds (RFC 7515, A.5).
pub(super) fn token(lasts: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = format!("{{\"sub\":\"{USER}\",\"iat\":{},\"exp\":{}}}", now - 1, now + lasts);
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.", part("{\"alg\":\"none\"}"), part(&claims))
}

/// What `check` ends with, and all that it says.
pub(super) fn check(workplace: &Workplace, arguments: &[&str]) -> (i32, String) {
    told(workplace, &["check"], arguments)
}

/// What a command ends with, and all that it says.
pub(super) fn told(workplace: &Workplace, command: &[&str], arguments: &[&str]) -> (i32, String) {
    let output = Command::new(binary().unwrap())
        .args(command)
        .arg("--config")
        .arg(workplace.config())
        .args(arguments)
        .env("STATE_DIRECTORY", workplace.path("state"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

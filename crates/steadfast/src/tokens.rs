//! Where bearer tokens come from: a file that somebody renews, or a command that prints one.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Deserialize;
use steadfast_kafka::security::{Secret, TokenError, TokenSource};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio::sync::{OwnedMutexGuard, oneshot};
use tokio::time::timeout;
use zeroize::Zeroizing;

use crate::config::read_file;
use crate::env::{WallClock, real};

/// The longest token that is taken, in bytes.
pub(crate) const LARGEST_TOKEN: u64 = 64 << 10;

/// A file that holds a token, and nothing else but white space around it. Whoever renews it replaces it: it is read
/// each time.
pub(crate) struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    pub(crate) fn new(path: PathBuf) -> TokenFile {
        TokenFile { path }
    }

    fn read(&self) -> Result<Secret, TokenError> {
        let content = read_file(&self.path, LARGEST_TOKEN)
            .map_err(|error| TokenError(format!("{} cannot be read ({error})", self.path.display())))?;
        token_of(&content).map_err(|reason| TokenError(format!("{} {reason}", self.path.display())))
    }
}

impl TokenSource for TokenFile {
    fn token(&self) -> BoxFuture<'_, Result<Secret, TokenError>> {
        std::future::ready(self.read()).boxed()
    }
}

/// A command that prints a token. A token that tells until when it is in force is used for most of that time, by all
/// connections.
pub(crate) struct TokenCommand {
    words: Arc<[String]>,
    limit: Duration,
    clock: WallClock,
    kept: Arc<Mutex<Option<Kept>>>,
    /// Only one runs at a time: who comes meanwhile takes what it printed. Its thread has the turn.
    turn: Arc<tokio::sync::Mutex<()>>,
}

struct Kept {
    token: Secret,
    until: i64,
}

/// After this share of its time a token is renewed, as Java's clients do (`sasl.login.refresh.window.factor`).
const RENEWED_AFTER: f64 = 0.8;

impl TokenCommand {
    /// A program and its arguments, which may run for `limit`.
    pub(crate) fn new(words: Vec<String>, limit: Duration) -> TokenCommand {
        TokenCommand {
            words: words.into(),
            limit,
            clock: real::wall_clock(),
            kept: Arc::default(),
            turn: Arc::default(),
        }
    }

    fn kept(&self) -> Option<Secret> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|kept| self.clock.millis() < kept.until).map(|kept| kept.token.clone())
    }

    /// Runs it on a thread of its own: whoever waits may stop waiting, and what was printed is kept nevertheless.
    async fn run(&self, turn: OwnedMutexGuard<()>) -> Result<Secret, TokenError> {
        let (words, limit, kept, clock) =
            (Arc::clone(&self.words), self.limit, Arc::clone(&self.kept), self.clock.clone());
        let (done, printed) = oneshot::channel();
        let work = move || {
            let token = printed_by(&words, limit);
            if let Ok(token) = &token {
                let now = clock.millis();
                let until = renewed_at(token, now).unwrap_or(now);
                let fresh = Kept { token: token.clone(), until };
                *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(fresh);
            }
            // Nobody waits any more: the next one finds it.
            drop(done.send(token));
            drop(turn);
        };
        let thread = std::thread::Builder::new().name("token".to_owned()).spawn(work);
        thread.map_err(|error| TokenError(format!("no thread for the command ({error})")))?;
        printed.await.unwrap_or_else(|_| Err(TokenError("the command's thread ended".to_owned())))
    }
}

impl TokenSource for TokenCommand {
    fn token(&self) -> BoxFuture<'_, Result<Secret, TokenError>> {
        async {
            let turn = Arc::clone(&self.turn).lock_owned().await;
            match self.kept() {
                Some(token) => Ok(token),
                None => self.run(turn).await,
            }
        }
        .boxed()
    }
}

fn printed_by(words: &[String], limit: Duration) -> Result<Secret, TokenError> {
    let name = words.first().map_or("", String::as_str);
    let wrong = |reason: String| TokenError(format!("the command {name} {reason}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| wrong(format!("cannot be run ({error})")))?;
    runtime.block_on(async {
        let mut child = Command::new(name)
            .args(words.get(1..).unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Its complaints may quote what it was given: they are for whoever runs it by hand.
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| wrong(format!("cannot be run ({error})")))?;
        match timeout(limit, output_of(&mut child)).await {
            Ok(output) => {
                token_of(&output.map_err(wrong)?).map_err(|reason| wrong(format!("printed what {reason}")))
            }
            Err(_) => {
                // It is dead after this, or was before.
                let _ = timeout(limit, child.kill()).await;
                Err(wrong(format!("did not end within {limit:?} and was killed")))
            }
        }
    })
}

async fn output_of(child: &mut Child) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut output = Zeroizing::new(Vec::new());
    if let Some(stdout) = child.stdout.take() {
        let read = stdout.take(LARGEST_TOKEN + 1).read_to_end(&mut output).await;
        read.map_err(|error| format!("cannot be read ({error})"))?;
    }
    if output.len() as u64 > LARGEST_TOKEN {
        return Err(format!("printed more than {LARGEST_TOKEN} bytes"));
    }
    let status = child.wait().await.map_err(|error| format!("cannot be waited for ({error})"))?;
    if status.success() { Ok(output) } else { Err(format!("ended with {status}: run it by hand to see why")) }
}

/// The token, if it is one line of text that a header may hold (RFC 6750).
fn token_of(content: &[u8]) -> Result<Secret, &'static str> {
    let text = std::str::from_utf8(content).map_err(|_| "is no text")?.trim();
    if text.is_empty() {
        return Err("is empty");
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("is more than one word");
    }
    Ok(Secret::new(text))
}

#[derive(Deserialize)]
struct Claims {
    exp: Option<f64>,
}

/// When a token is to be renewed that tells its end (RFC 7519), in milliseconds.
fn renewed_at(token: &Secret, now: i64) -> Option<i64> {
    let claims = token.expose().split('.').nth(1)?;
    let claims = Zeroizing::new(URL_SAFE_NO_PAD.decode(claims).ok()?);
    let ends = serde_json::from_slice::<Claims>(&claims).ok()?.exp? * 1e3;
    let lasts = ends - now as f64;
    (lasts > 0.0).then(|| now.saturating_add((lasts * RENEWED_AFTER) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(exp: i64) -> String {
        let claims = URL_SAFE_NO_PAD.encode(format!("{{\"sub\":\"me\",\"exp\":{exp}}}"));
        format!("e30.{claims}.")
    }

    async fn run(script: &str, limit_ms: u64) -> Result<String, String> {
        let words = ["sh", "-c", script].map(str::to_owned).to_vec();
        let command = TokenCommand::new(words, Duration::from_millis(limit_ms));
        let token = command.token().await;
        token.map(|token| token.expose().to_owned()).map_err(|error| error.0)
    }

    #[tokio::test]
    async fn what_a_command_prints_is_the_token() {
        assert_eq!(run("echo '  t0ken'", 10_000).await.unwrap(), "t0ken");
    }

    #[tokio::test]
    async fn what_goes_wrong_is_told_without_what_was_printed() {
        for (script, limit, expected) in [
            ("echo s3cret; echo s3cret >&2; exit 3", 10_000, "exit status: 3"),
            ("echo s3cret two", 10_000, "more than one word"),
            ("true", 10_000, "is empty"),
            ("printf '\\377'", 10_000, "is no text"),
            ("echo s3cret; exec sleep 1000", 100, "did not end within 100ms and was killed"),
            ("exec yes s3cret", 10_000, "more than 65536 bytes"),
        ] {
            let told = run(script, limit).await.unwrap_err();
            assert!(told.contains(expected) && !told.contains("s3cret"), "{script}: {told}");
        }
        let absent = TokenCommand::new(vec!["/no/such/program".to_owned()], Duration::from_secs(1));
        assert!(absent.token().await.unwrap_err().0.contains("/no/such/program cannot be run"));
    }

    #[tokio::test]
    async fn a_token_that_tells_its_end_is_used_for_most_of_its_time() {
        let directory = tempfile::tempdir().unwrap();
        let runs = directory.path().join("runs");
        for (lasts, expected) in [(3600, 1), (-5, 2)] {
            std::fs::write(&runs, "").unwrap();
            let exp = real::wall_clock().millis() / 1000 + lasts;
            let script = format!("echo run >> {}; echo {}", runs.display(), token(exp));
            let command =
                TokenCommand::new(vec!["sh".to_owned(), "-c".to_owned(), script], Duration::from_secs(10));
            command.token().await.unwrap();
            command.token().await.unwrap();
            assert_eq!(std::fs::read_to_string(&runs).unwrap().lines().count(), expected);
        }
    }

    #[tokio::test]
    async fn no_command_is_started_beside_one_that_nobody_waits_for_any_more() {
        let directory = tempfile::tempdir().unwrap();
        let (running, may_end) = (directory.path().join("running"), directory.path().join("may_end"));
        // A directory can be made only once: a second command that runs beside the first fails.
        let script = format!(
            "mkdir {0} || exit 3; until test -e {1}; do sleep 0.01; done; rmdir {0}; echo t0ken",
            running.display(),
            may_end.display()
        );
        let words = vec!["sh".to_owned(), "-c".to_owned(), script];
        let command = TokenCommand::new(words, Duration::from_secs(60));
        let mut first = command.token();
        while !running.exists() {
            assert!((&mut first).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
        drop(first);
        let mut second = command.token();
        assert!((&mut second).now_or_never().is_none());
        assert!(command.turn.try_lock().is_err(), "the first command has the turn");
        std::fs::write(&may_end, "").unwrap();
        assert_eq!(second.await.unwrap().expose(), "t0ken");
    }

    #[test]
    fn a_token_is_renewed_before_its_end() {
        assert_eq!(renewed_at(&Secret::new(token(100)), 0), Some(80_000));
        assert_eq!(renewed_at(&Secret::new(token(100)), 50_000), Some(90_000));
        for opaque in ["opaque", "a.b.c", "e30.e30.", "..", &token(-1)] {
            assert_eq!(renewed_at(&Secret::new(opaque), 0), None);
        }
    }

    #[tokio::test]
    async fn a_file_is_read_each_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let source = TokenFile::new(path.clone());
        assert!(source.token().await.unwrap_err().0.contains("cannot be read"));
        for text in ["one", "two\n"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(source.token().await.unwrap().expose(), text.trim());
        }
    }
}

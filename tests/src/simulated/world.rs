//! The service's own world (`steadfast::drill`), played by tests: whatever cannot be done in it fails the test.

pub use steadfast::drill::world::*;

use super::journal::Happening;

/// The command that plays the scenario of this thread again: a test's thread has its name.
pub fn replay() -> String {
    let thread = std::thread::current();
    let name = thread.name().filter(|name| *name != "main").unwrap_or_default();
    format!("cargo test --package steadfast-tests --test simulated -- {name}")
}

/// Plays `scenario` in a world that is made for it, as [`steadfast::drill::world::simulate`] does.
///
/// # Panics
/// With the seed, if the world cannot be played to its end; and as `scenario` and `check` do.
pub fn simulate<T>(
    plan: Plan,
    check: impl FnMut(&World, &Happening) + Send + 'static,
    scenario: impl AsyncFnOnce(&World) -> T,
) -> (T, Report) {
    let seed = plan.seed;
    let played = steadfast::drill::world::simulate(plan, check, async |world| {
        let _last_words = LastWords(world.clone());
        scenario(world).await
    });
    played.unwrap_or_else(|error| panic!("seed {seed}: {error}"))
}

/// A world that ends by a panic tells what came before it.
struct LastWords(World);

/// How many lines that is.
const LAST_LINES: usize = 60;

impl Drop for LastWords {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.0.journal().log();
            let text = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = text.lines().rev().take(LAST_LINES).collect();
            for line in lines.iter().rev() {
                eprintln!("{line}");
            }
            eprintln!("{:?} ended by a panic\nReplay it: {}", self.0, replay());
        }
    }
}

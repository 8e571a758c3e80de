//! A box for dead letters that may be away.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::consume::letter::{DeadLetters, Letter, NotTaken};

/// Something that is on or off. A clone is the same one.
#[derive(Debug, Clone, Default)]
pub struct Switch(Arc<AtomicBool>);

impl Switch {
    /// Turns it on or off.
    pub fn turn(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }

    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl PartialEq for Switch {
    fn eq(&self, other: &Switch) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// Where the services of a world put bad records. A clone is the same one.
#[derive(Debug, Clone, Default)]
pub struct Letterbox {
    letters: Arc<Mutex<Vec<Letter>>>,
    /// While it is on, the box takes nothing.
    pub away: Switch,
}

impl Letterbox {
    /// Everything that was put in.
    pub fn letters(&self) -> Vec<Letter> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The partition and offset of each letter, once.
    pub fn places(&self) -> BTreeSet<(i32, i64)> {
        self.letters().iter().map(|letter| (letter.partition.index, letter.span.from.0)).collect()
    }
}

impl DeadLetters for Letterbox {
    fn put<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Result<(), NotTaken>> {
        async move {
            if self.away.is_on() {
                return Err(NotTaken::Away("the box is away".to_owned()));
            }
            self.letters.lock().unwrap_or_else(PoisonError::into_inner).push(letter.clone());
            Ok(())
        }
        .boxed()
    }
}

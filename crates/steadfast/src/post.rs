//! Letters that must not be lost with an actor: they lie in a box that no crash empties, and a message only wakes
//! whoever takes them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use steadfast_supervision::Route;

use crate::messages::Mail;

/// A box for letters to one actor. A clone is the same box.
#[derive(Clone)]
pub(crate) struct Post<T> {
    letters: Arc<Mutex<VecDeque<T>>>,
    wake: Route<Mail>,
}

impl<T> Post<T> {
    /// An empty box. Its actor takes what is in it on [`Mail`], and when it is begun anew.
    pub(crate) fn new(wake: Route<Mail>) -> Post<T> {
        Post { letters: Arc::default(), wake }
    }

    /// Puts a letter in.
    pub(crate) fn send(&self, letter: T) {
        self.letters().push_back(letter);
        // Who is down looks when it is begun anew.
        drop(self.wake.send(Mail));
    }

    /// The oldest letter.
    pub(crate) fn take(&self) -> Option<T> {
        self.letters().pop_front()
    }

    fn letters(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_to_who_is_down_is_there_when_it_looks() {
        let (_slot, nobody) = Route::channel();
        let post = Post::new(nobody);
        post.clone().send("crashed");
        post.send("prepared");
        assert_eq!([post.take(), post.take(), post.take()], [Some("crashed"), Some("prepared"), None]);
    }
}

//! A watched value: who watches is woken in the order in which they began to wait.
//!
//! tokio's own spreads its waiters at random, which spares contention among many threads and makes no two runs
//! equal: with several waiters on one value the whole service would not be reproducible under virtual time. What is
//! here of its interface is as it is there.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::task::{Context, Poll, Waker};

use thiserror::Error;

/// A value as it is now. Nobody can change it while this is held: never hold it over an await.
pub type Ref<'a, T> = RwLockReadGuard<'a, T>;

/// Who changes the value. A clone changes the same one.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

/// Who watches it. A clone has seen what the original has.
#[derive(Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

/// All senders are gone: the value changes no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("all senders are gone")]
pub struct Closed;

#[derive(Debug)]
struct Shared<T> {
    value: RwLock<T>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    version: u64,
    senders: usize,
    /// By the number under which each began to wait.
    waiting: BTreeMap<u64, Waker>,
    next: u64,
}

/// A watched value, and one who has seen it.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

impl<T> Sender<T> {
    /// A value that nobody watches yet.
    pub fn new(value: T) -> Sender<T> {
        Sender(Arc::new(Shared {
            value: RwLock::new(value),
            state: Mutex::new(State { senders: 1, ..State::default() }),
        }))
    }

    /// One more who watches; what the value is now it has seen.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver { seen: self.0.state().version, shared: Arc::clone(&self.0) }
    }

    /// The value as it is now.
    pub fn borrow(&self) -> Ref<'_, T> {
        self.0.value()
    }

    /// Another value; gives back the one before.
    pub fn send_replace(&self, mut value: T) -> T {
        self.send_modify(|current| std::mem::swap(current, &mut value));
        value
    }

    /// Changes the value in place.
    pub fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        self.send_if_modified(|value| {
            modify(value);
            true
        });
    }

    /// Changes the value in place, and wakes who watches if `modify` says that it did.
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        let woken = {
            let mut value = self.0.value.write().unwrap_or_else(PoisonError::into_inner);
            if !modify(&mut value) {
                return false;
            }
            // While the value is locked: who reads it then finds the version that belongs to it.
            let mut state = self.0.state();
            state.version += 1;
            std::mem::take(&mut state.waiting)
        };
        woken.into_values().for_each(Waker::wake);
        true
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.0.state().senders += 1;
        Sender(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let woken = {
            let mut state = self.0.state();
            state.senders -= 1;
            if state.senders > 0 {
                return;
            }
            std::mem::take(&mut state.waiting)
        };
        woken.into_values().for_each(Waker::wake);
    }
}

impl<T> Receiver<T> {
    /// The value as it is now.
    pub fn borrow(&self) -> Ref<'_, T> {
        self.shared.value()
    }

    /// The value as it is now, which counts as seen.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let value = self.shared.value();
        self.seen = self.shared.state().version;
        value
    }

    /// What the value is now counts as seen.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.state().version;
    }

    /// Whether there is anything unseen.
    ///
    /// # Errors
    /// If all senders are gone.
    pub fn has_changed(&self) -> Result<bool, Closed> {
        let state = self.shared.state();
        if state.senders == 0 { Err(Closed) } else { Ok(state.version != self.seen) }
    }

    /// Waits for something unseen, which then counts as seen. Loses nothing when it is dropped.
    ///
    /// # Errors
    /// If all senders are gone and everything is seen.
    pub async fn changed(&mut self) -> Result<(), Closed> {
        self.seen = self.shared.changed_since(self.seen).await?;
        Ok(())
    }

    /// Waits until the value is as `wanted` says.
    ///
    /// # Errors
    /// If all senders are gone and the last value is not.
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Result<Ref<'_, T>, Closed> {
        loop {
            {
                let value = self.shared.value();
                self.seen = self.shared.state().version;
                if wanted(&value) {
                    return Ok(value);
                }
            }
            self.shared.changed_since(self.seen).await?;
        }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        Receiver { shared: Arc::clone(&self.shared), seen: self.seen }
    }
}

impl<T> Shared<T> {
    fn value(&self) -> Ref<'_, T> {
        self.value.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn changed_since(&self, seen: u64) -> Result<u64, Closed> {
        let mut place = Place { shared: self, number: None };
        poll_fn(|cx| place.poll(seen, cx)).await
    }
}

/// A place among those who wait. Left when it is dropped.
struct Place<'a, T> {
    shared: &'a Shared<T>,
    number: Option<u64>,
}

impl<T> Place<'_, T> {
    fn poll(&mut self, seen: u64, cx: &mut Context<'_>) -> Poll<Result<u64, Closed>> {
        let mut state = self.shared.state();
        if state.version != seen {
            return Poll::Ready(Ok(state.version));
        }
        if state.senders == 0 {
            return Poll::Ready(Err(Closed));
        }
        let number = *self.number.get_or_insert_with(|| {
            state.next += 1;
            state.next
        });
        let known = state.waiting.get(&number).is_some_and(|waker| waker.will_wake(cx.waker()));
        let former = if known { None } else { state.waiting.insert(number, cx.waker().clone()) };
        // A waker may run code of others when it is dropped: not under the lock.
        drop(state);
        drop(former);
        Poll::Pending
    }
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        // A waker may run code of others when it is dropped: not under the lock.
        let left = self.shared.state().waiting.remove(&number);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use tokio::task::yield_now;

    use super::*;

    #[tokio::test]
    async fn who_waits_is_woken_in_the_order_of_waiting() {
        let (sender, receiver) = channel(0);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let tasks: Vec<_> = (0..32)
            .map(|number| {
                let (mut receiver, woken) = (receiver.clone(), Arc::clone(&woken));
                tokio::spawn(async move {
                    receiver.changed().await.unwrap();
                    woken.lock().unwrap().push(number);
                })
            })
            .collect();
        yield_now().await;
        sender.send_replace(1);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*woken.lock().unwrap(), (0..32).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_change_is_seen_once_and_the_last_value_also_after_the_sender_is_gone() {
        let (sender, mut receiver) = channel(0);
        assert_eq!(receiver.has_changed(), Ok(false));
        sender.send_modify(|value| *value += 1);
        assert_eq!(receiver.has_changed(), Ok(true));
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!((receiver.has_changed(), *receiver.borrow()), (Ok(false), 1));
        assert!(!sender.send_if_modified(|_| false));
        assert_eq!(receiver.has_changed(), Ok(false));
        let another = sender.clone();
        drop(sender);
        assert_eq!(another.send_replace(2), 1);
        drop(another);
        assert_eq!((receiver.has_changed(), *receiver.borrow()), (Err(Closed), 2));
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(receiver.changed().await, Err(Closed));
    }

    #[tokio::test]
    async fn a_wait_for_a_value_ends_with_it_or_with_the_sender() {
        let (sender, mut receiver) = channel(0);
        let mut other = receiver.clone();
        let waiting =
            tokio::spawn(async move { receiver.wait_for(|value| *value == 2).await.map(|value| *value) });
        for value in 1..3 {
            yield_now().await;
            sender.send_replace(value);
        }
        assert_eq!(waiting.await.unwrap(), Ok(2));
        drop(sender);
        assert_eq!(other.wait_for(|value| *value == 2).await.map(|value| *value), Ok(2));
        assert_eq!(other.wait_for(|value| *value == 3).await.map(|value| *value), Err(Closed));
    }

    #[tokio::test]
    async fn who_gives_up_waiting_leaves_nothing_behind() {
        let (sender, mut receiver) = channel(0);
        tokio::select! {
            biased;
            _ = receiver.changed() => unreachable!("nothing changed"),
            () = yield_now() => {}
        }
        assert!(sender.0.state().waiting.is_empty());
    }
}

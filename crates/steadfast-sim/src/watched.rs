//! A watched value. Who waits for a change is woken in the order of waiting: tokio's own watch spreads its waiters at
//! random, which would make no two runs equal.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A value that can be changed and watched. A clone is the same value.
#[derive(Debug, Clone)]
pub(crate) struct Watched<T>(Arc<Shared<T>>);

/// Who watches it.
#[derive(Debug, Clone)]
pub(crate) struct Watcher<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<T> {
    value: T,
    version: u64,
}

impl<T: Clone> Watched<T> {
    pub(crate) fn new(value: T) -> Watched<T> {
        let state = Mutex::new(State { value, version: 0 });
        Watched(Arc::new(Shared { state, changed: Notify::new() }))
    }

    /// The value as it is now.
    pub(crate) fn get(&self) -> T {
        self.0.state().value.clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut T)) {
        let mut state = self.0.state();
        change(&mut state.value);
        state.version += 1;
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// One more who watches; what the value is now counts as seen.
    pub(crate) fn watch(&self) -> Watcher<T> {
        Watcher { seen: self.0.state().version, shared: self.0.clone() }
    }
}

impl<T: Clone> Watcher<T> {
    /// The value as it is now, which counts as seen.
    pub(crate) fn see(&mut self) -> T {
        let state = self.shared.state();
        self.seen = state.version;
        state.value.clone()
    }

    /// Waits until there is something unseen. Loses nothing when it is dropped.
    pub(crate) async fn changed(&self) {
        loop {
            // Made before the look, so that a change after it is not missed.
            let changed = self.shared.changed.notified();
            if self.shared.state().version != self.seen {
                return;
            }
            changed.await;
        }
    }
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_waits_is_woken_in_the_order_of_waiting() {
        let value = Watched::new(0);
        let woken = Arc::new(Mutex::new(Vec::new()));
        let all: Vec<usize> = (0..20).collect();
        let tasks: Vec<_> = all
            .iter()
            .map(|number| {
                let (watcher, woken, number) = (value.watch(), woken.clone(), *number);
                tokio::spawn(async move {
                    watcher.changed().await;
                    woken.lock().unwrap().push(number);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        value.change(|value| *value += 1);
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!(*woken.lock().unwrap(), all);
    }

    #[tokio::test]
    async fn what_changed_before_the_wait_is_unseen_until_it_is_seen() {
        let value = Watched::new(0);
        let mut watcher = value.watch();
        value.change(|value| *value = 5);
        watcher.changed().await;
        assert_eq!(watcher.see(), 5);
        let wait = std::time::Duration::from_millis(1);
        assert!(tokio::time::timeout(wait, watcher.changed()).await.is_err());
    }
}

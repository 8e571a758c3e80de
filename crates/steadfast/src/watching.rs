//! A watched value as a stream of changes, for actors.

use std::marker::PhantomData;

use futures::Stream;
use futures::stream::unfold;
use steadfast_watch as watch;

/// The watched value changed; what it is now is read from the receiver that the actor holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Changed<T>(PhantomData<T>);

/// Ends when the sender is gone.
pub(crate) fn changes<T: Send + Sync + 'static>(from: watch::Receiver<T>) -> impl Stream<Item = Changed<T>> {
    unfold(from, |mut from| async move {
        from.changed().await.ok()?;
        from.mark_unchanged();
        Some((Changed(PhantomData), from))
    })
}

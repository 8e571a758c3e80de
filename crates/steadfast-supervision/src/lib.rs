//! OTP-style supervision for actix actors.
//!
//! An actor crashes; its supervisor hears of it, with the panic's message, and begins it anew: a fresh value
//! from a factory, in a fresh mailbox, after a pause, and not for ever. Whoever talks to it holds a [`Route`],
//! which leads to whichever incarnation is up, and gives a message back when none is.
//!
//! ```
//! use std::time::Duration;
//!
//! use actix::prelude::*;
//! use steadfast_supervision::{ChildSpec, Restart, Route, Supervisor};
//!
//! /// Divides what it is told to, and counts how often it did.
//! #[derive(Default)]
//! struct Divider(u32);
//!
//! impl Actor for Divider {
//!     type Context = Context<Self>;
//! }
//!
//! #[derive(Message)]
//! #[rtype(result = "(u32, u32)")]
//! struct Divide(u32, u32);
//!
//! impl Handler<Divide> for Divider {
//!     type Result = MessageResult<Divide>;
//!
//!     fn handle(&mut self, Divide(dividend, divisor): Divide, _: &mut Context<Self>) -> Self::Result {
//!         self.0 += 1;
//!         MessageResult((dividend / divisor, self.0))
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let limit = Duration::from_secs(5);
//! System::new().block_on(async {
//!     let here = Arbiter::current();
//!     let root = Supervisor::start("root", &here, Box::new(|| 0.5), |event| println!("{event:?}"));
//!
//!     let (slot, divider) = Route::channel();
//!     let spec = ChildSpec::new("divider", here, |_: &mut Context<Divider>, _incarnation| Divider::default())
//!         .publish(slot)
//!         .restart(Restart::Permanent)
//!         .on_exit(|report| println!("{report}"));
//!     root.start_child(spec).await?;
//!
//!     assert_eq!(divider.call(Divide(6, 3), limit).await?, (2, 1));
//!     assert!(divider.call(Divide(1, 0), limit).await.is_err()); // it panics: the answer is lost
//!     divider.wait_up(limit).await?;
//!     assert_eq!(divider.call(Divide(8, 2), limit).await?, (4, 1)); // a fresh value
//!
//!     root.shut_down().await;
//!     assert!(divider.send(Divide(9, 3)).is_err()); // retired: the message comes back
//!     Ok(())
//! })
//! # }
//! ```
//!
//! # What holds
//! - A panic in a child's factory, `started`, a handler, a future, `stopping`, `stopped` or `Drop` is caught,
//!   reported and survived, also two of them in a row. `stopped` runs after a panic too, as in actix itself,
//!   so never acknowledge anything there; its value is then dropped. What panics twice while one value is
//!   being dropped (an actor's `Drop`, and that of a message in its mailbox) still aborts the process: no
//!   code can prevent that.
//! - Each incarnation ends in exactly one [`ExitReport`]. [`ExitReason`] says how: it stopped, it panicked,
//!   its arbiter died under it, or it was abandoned because it did not start or stop in time.
//! - A stop takes the routes down, lets the actor handle what is in its mailbox, then is actix's own
//!   `stop()`. Nobody is waited for beyond its limit.
//! - A supervisor's children are independent of each other (one-for-one). One that exceeds its [`Intensity`]
//!   is given up, or ends its supervisor, which stops the rest, the youngest first, and tells its own parent
//!   or, at the root, [`SupervisorHandle::ended`].
//! - A [`Replaceable`] holds an actor that is replaced rather than restarted: make ready, promote, stop the
//!   old one; its owner decides.
//! - There is no clock here but tokio's, no randomness but what the root is given, and no hash order: under
//!   paused time on one thread, the same run gives the same events.
//!
//! # What it does not do
//! - A child that stalls its arbiter while it runs is noticed only when it is told to stop, and a panic in a
//!   task that an actor detached (`actix::spawn`, `tokio::spawn`) is not its actor's: await such tasks in
//!   the actor and raise their panics there.
//! - Keep supervisors, and the watchers of slots, off arbiters that may stall: their limits are kept there.

mod caught;
mod child;
mod deadline;
mod event;
mod exit;
mod handle;
mod intensity;
mod replaceable;
mod roster;
mod route;
mod shutdown;
mod spec;
mod supervisor;
mod tree;

pub use event::{Happening, SupervisionEvent};
pub use exit::{ExitReason, ExitReport, Incarnation};
pub use handle::{ChildId, StartError, StopError, SupervisorHandle, Which};
pub use intensity::{Backoff, ExitHistory, Intensity, Verdict};
pub use replaceable::{CandidateExists, PromoteError, Replaceable, ReplaceableEvent, ReplaceableSpec, Role};
pub use route::{CallError, NotUp, Refusal, Route, Slot, Undelivered};
pub use shutdown::{EndReason, Ended};
pub use spec::{AnyChildSpec, ChildSpec, OnExhausted, Restart, Worker};
pub use supervisor::Supervisor;
pub use tree::Tree;

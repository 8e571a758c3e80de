//! OTP-style supervision for actix actors.
mod caught;
mod child;
mod event;
mod exit;
mod handle;
mod intensity;
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
pub use route::{CallError, NotUp, Refusal, Route, Slot, Undelivered};
pub use shutdown::{EndReason, Ended};
pub use spec::{AnyChildSpec, ChildSpec, OnExhausted, Restart, Worker};
pub use supervisor::Supervisor;
pub use tree::Tree;

//! Panics as values.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Runs `code`; a panic in it becomes its message. Whatever the panic left half done is the caller's to
/// throw away: nothing that `code` touched may be used as if it were whole.
pub(crate) fn caught<T>(code: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(code)).map_err(|payload| message(payload.as_ref()))
}

/// Runs a callback of the user's; a panic in it is logged and changes nothing else.
pub(crate) fn guarded(whose: &str, callback: impl FnOnce()) {
    if let Err(message) = caught(callback) {
        tracing::error!(whose, message, "a supervision callback panicked");
    }
}

fn message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic whose payload is not text".to_owned()
    }
}

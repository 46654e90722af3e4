//! What a process does before its first request.
//!
//! Lambda gives a function a whole processor while it starts, and a share by its memory afterwards: connections and keys
//! are cheapest before the first request. They are a help only, so whatever goes wrong is logged and left to the request.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::port_error::PortError;

/// Maximum time by which what is done in advance delays the first request.
pub const MAX_PREPARATION: Duration = Duration::from_millis(300);

/// Does a part of it for at most this long. `what` names it in the log.
pub(crate) async fn prepare(what: &'static str, at_most: Duration, work: impl Future<Output = Result<(), PortError>>) {
    match tokio::time::timeout(at_most, AssertUnwindSafe(work).catch_unwind()).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(what, %error, "not prepared; the first request does it"),
        Ok(Err(_panic)) => tracing::error!(what, "not prepared, because of a panic; the first request does it"),
        Err(_elapsed) => tracing::warn!(what, ?at_most, "not prepared in time; the first request does it"),
    }
}

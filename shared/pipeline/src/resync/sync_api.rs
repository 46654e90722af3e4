//! NurtureCloud's Data API, as the resync calls it.

use std::future::Future;

use intake_providers::nurturecloud::resync::{SyncAnswer, SyncCall};

use crate::port_error::PortError;

/// NurtureCloud's Data API.
pub trait SyncApi: Send + Sync + 'static {
    /// Makes one call, once, within [`MAX_CALL_TIME`](super::MAX_CALL_TIME), and returns the answer whatever its status.
    fn call(&self, call: &SyncCall) -> impl Future<Output = Result<SyncAnswer, PortError>> + Send;
}

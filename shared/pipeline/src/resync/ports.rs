//! What the resync needs from the outside world.

use std::future::Future;

use intake_providers::nurturecloud::resync::{SyncAnswer, SyncCall};

use crate::ports::PortError;

/// NurtureCloud's Data API.
pub trait SyncApi: Send + Sync + 'static {
    /// Makes one call, once, within [`MAX_CALL_TIME`](super::MAX_CALL_TIME), and returns the answer whatever its status.
    fn call(&self, call: &SyncCall) -> impl Future<Output = Result<SyncAnswer, PortError>> + Send;
}

/// What became of a resume point that was to be saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    /// It is there, and durable.
    Done,
    /// Another run has put its own there since; that one stays.
    ChangedMeanwhile,
}

/// The place of the one document that tells how far the resync has come.
pub trait ResumePoints: Send + Sync + 'static {
    /// The document, unless there is none. It is the one that was saved last.
    fn load(&self) -> impl Future<Output = Result<Option<String>, PortError>> + Send;

    /// Puts a document in the place of the one that was seen last, atomically. A document that is there already counts
    /// as done, because an earlier try may have taken effect.
    fn save(&self, seen: Option<&str>, document: &str) -> impl Future<Output = Result<Saved, PortError>> + Send;
}

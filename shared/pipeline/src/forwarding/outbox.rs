//! The events that wait to be forwarded.

use std::collections::BTreeSet;
use std::future::Future;

use intake_providers::timestamp::Timestamp;

use crate::ledger::Entry;
use crate::port_error::PortError;

/// The place of an event in the order in which the ledger recorded events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position(pub i64);

/// Where events wait to be forwarded, in the order of the ledger. It outlives a crash.
pub trait Outbox: Send + Sync + 'static {
    /// Takes in what was recorded since the last call, and finds at most `most` events that may be sent now: of each partition of the
    /// ledger no other than the first one that waits, and none of those that are under way. So an entity's later event waits for
    /// its earlier one, and a conflict for the event that came first.
    fn due(
        &self,
        now: Timestamp,
        most: usize,
        under_way: &BTreeSet<Position>,
    ) -> impl Future<Output = Result<Due, PortError>> + Send;

    /// The receiver has the event, which no longer waits.
    fn delivered(&self, position: Position) -> impl Future<Output = Result<(), PortError>> + Send;

    /// An attempt failed, and there is to be another one.
    fn retry(&self, position: Position, failed: FailedAttempt) -> impl Future<Output = Result<(), PortError>> + Send;

    /// The event is a dead letter from now on, and those behind it no longer wait for it.
    fn give_up(&self, position: Position, failed: LastAttempt) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Makes all events due to which no answer came at their last attempt.
    fn retry_unanswered(&self) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Waits until something may have been recorded since the last wait.
    fn recorded(&self) -> impl Future<Output = ()> + Send;
}

/// What may be sent now.
#[derive(Clone, Debug, Default)]
pub struct Due {
    /// The events, in the order of the ledger.
    pub events: Vec<Outgoing>,
    /// When the next one is due of those that wait for another attempt.
    pub next_at: Option<Timestamp>,
}

/// An event that may be sent.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its place.
    pub position: Position,
    /// What the ledger has of it, or why that cannot be read.
    pub entry: Result<Box<Entry>, String>,
    /// Number of attempts that failed.
    pub failed_attempts: u32,
}

/// An attempt that is to be followed by another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedAttempt {
    /// Number of attempts until now, this one included.
    pub attempts: u32,
    /// Why it failed.
    pub reason: String,
    /// Whether no answer came.
    pub is_unanswered: bool,
    /// When the next one may be made.
    pub next_at: Timestamp,
}

/// The attempt after which an event is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastAttempt {
    /// Number of attempts until now, this one included.
    pub attempts: u32,
    /// Why it failed.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

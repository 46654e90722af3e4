//! The ledger's port: the one call that changes it, and two that read it.

use std::future::Future;

use intake_providers::timestamp::Timestamp;

use super::entity::EntityEntry;
use super::entry::Entry;
use super::key::EntryKey;
use crate::port_error::PortError;

/// The ledger, to be read: the events with their aliases, and the entities.
pub trait LedgerReader: Send + Sync + 'static {
    /// The entity at a key, as of the last put that succeeded before the call.
    fn entity(&self, key: &EntryKey) -> impl Future<Output = Result<Option<EntityEntry>, PortError>> + Send;

    /// The entry at a key, except an entity. It may miss a put that succeeded just before the call, so nothing found is a
    /// reason to put, and never a reason not to.
    fn find(&self, key: &EntryKey) -> impl Future<Output = Result<Option<Entry>, PortError>> + Send;
}

/// The ledger, to be changed.
pub trait Ledger: LedgerReader {
    /// Puts every entry, or none if a condition fails. `now` decides what is expired.
    ///
    /// The call is atomic: the existing entries that it returns are from the same moment.
    fn put(
        &self,
        now: Timestamp,
        puts: &[ConditionalPut],
    ) -> impl Future<Output = Result<PutOutcome, PortError>> + Send;
}

/// Condition of a put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The key is unused.
    Absent,
    /// The key is unused, its entry has expired (`expires_at` is not after now), or it is an alias that the event with this
    /// partition key owns.
    Claimable(String),
    /// The entry at the key is an entity of this version.
    Version(u64),
    /// The key is unused, or its entry is a quarantine that was not released.
    NotReleased,
    /// None: the entry replaces any other.
    Always,
}

/// An entry to put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionalPut {
    /// Key to write to.
    pub key: EntryKey,
    /// Entry to write.
    pub entry: Entry,
    /// Condition that must hold.
    pub condition: Condition,
}

/// Result of a put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// Every entry was put.
    Done,
    /// No entry was put. For each put, in order, the existing entry that its condition failed on, if any.
    ConditionFailed(Vec<Option<Entry>>),
}

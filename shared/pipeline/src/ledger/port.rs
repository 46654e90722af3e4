//! The ledger's port: the one call that changes it, and two that read it.

use std::future::Future;

use intake_providers::timestamp::Timestamp;

use super::entity::EntityEntry;
use super::entry::Entry;
use super::key::EntryKey;
use crate::port_error::PortError;

/// The table of events and of what is known beside them, and the table of entities.
pub trait Ledger: Send + Sync + 'static {
    /// Puts every entry, or none: each put names the condition under which it may happen. `now` decides what is expired.
    ///
    /// The call is atomic, and what it finds in the way it returns from the same moment.
    fn put(
        &self,
        now: Timestamp,
        puts: &[ConditionalPut],
    ) -> impl Future<Output = Result<PutOutcome, PortError>> + Send;

    /// The entity at a key, as of the last put that succeeded before the call.
    fn entity(&self, key: &EntryKey) -> impl Future<Output = Result<Option<EntityEntry>, PortError>> + Send;

    /// The entry at a key, except an entity. It may miss a put that succeeded just before the call, so nothing found is a
    /// reason to put, and never a reason not to.
    fn find(&self, key: &EntryKey) -> impl Future<Output = Result<Option<Entry>, PortError>> + Send;
}

/// When a put may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing lies at the key.
    Absent,
    /// Nothing lies at the key, or its `expires_at` is not after now.
    AbsentOrExpired,
    /// An entity of this version lies at the key.
    Version(u64),
    /// None: the entry replaces whatever is at the key.
    Always,
}

/// An entry to put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionalPut {
    /// Where.
    pub key: EntryKey,
    /// What.
    pub entry: Entry,
    /// When it may.
    pub condition: Condition,
}

/// What came of a put of several entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// Every entry is there.
    Done,
    /// No entry was put. For each put, in order: the entry in its way, if one was.
    ConditionFailed(Vec<Option<Entry>>),
}

//! What a listing found, and what it could not.

use intake_providers::timestamp::Timestamp;

use crate::ledger::EntryKey;

/// A listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// What was found.
    pub found: Vec<T>,
    /// The keys of entries that this version can't read, because they are damaged or a later version wrote them. They may or may
    /// not match the filter.
    pub unreadable: Vec<EntryKey>,
    /// Set if there may be more before this time. A store of many years does not look back without limit when the filter has no
    /// beginning, and it was here that it stopped.
    pub looked_back_to: Option<Timestamp>,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { found: Vec::new(), unreadable: Vec::new(), looked_back_to: None }
    }
}

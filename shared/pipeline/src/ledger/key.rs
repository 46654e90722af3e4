//! Keys of entries.

use serde::{Deserialize, Serialize};

/// The sort key of an event that has an identity of its own.
pub(crate) const EVENT_SORT: &str = "event";

/// The key of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EntryKey {
    /// The partition key.
    #[serde(rename = "pk")]
    pub partition: String,
    /// The sort key.
    #[serde(rename = "sk")]
    pub sort: String,
}

impl EntryKey {
    /// Key of the event beside which the one at this key is kept as a conflict.
    #[must_use]
    pub fn of_first(&self) -> Self {
        Self { partition: self.partition.clone(), sort: EVENT_SORT.to_owned() }
    }
}

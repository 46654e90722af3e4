//! Keys of entries.

use serde::{Deserialize, Serialize};

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

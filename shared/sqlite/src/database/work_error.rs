//! Why work on the database failed.

use intake_providers::json_place::JsonPlace;

/// Why work in a transaction failed; the transaction is rolled back.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// serde's message may quote the entry, so only the place is reported.
    #[error("the ledger's entry at {partition} {sort} is damaged ({place})")]
    DamagedEntry { partition: String, sort: String, place: JsonPlace },
    #[error("the record of delivery {delivery_id} is damaged ({place})")]
    DamagedRecord { delivery_id: String, place: JsonPlace },
    #[error("the entity at {partition} {sort} is missing")]
    NoEntity { partition: String, sort: String },
    #[error("the entry cannot be written as JSON: {0}")]
    Unwritable(serde_json::Error),
    #[error("one call puts two entries at {partition} {sort}")]
    RepeatedKey { partition: String, sort: String },
    #[error(
        "another process reads the file, which still holds what was erased; run the command again when that is done"
    )]
    Busy,
}

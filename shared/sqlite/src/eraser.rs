//! What erases in a database file.

use intake_pipeline::delivery_record::DeliveryRecords as _;
use intake_pipeline::erasure::{Eraser, RecordTombstone, Tombstone};
use intake_pipeline::ledger::{Ledger as _, PutOutcome};
use intake_pipeline::payloads::PayloadKey;
use intake_pipeline::port_error::PortError;
use intake_providers::timestamp::Timestamp;

use crate::{Database, SqliteDeliveryRecords, SqliteLedger};

/// Erases in a database file.
///
/// SQLite only marks the space of what is deleted or replaced as free. At the end the file is written again without it, and the
/// write-ahead log is emptied; other writers wait meanwhile.
#[derive(Clone, Debug)]
pub struct SqliteEraser {
    database: Database,
    ledger: SqliteLedger,
    delivery_records: SqliteDeliveryRecords,
}

impl SqliteEraser {
    /// In this file.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self {
            ledger: SqliteLedger::new(database.clone()),
            delivery_records: SqliteDeliveryRecords::new(database.clone()),
            database,
        }
    }
}

impl Eraser for SqliteEraser {
    async fn erase_entry(&self, now: Timestamp, tombstone: &Tombstone) -> Result<PutOutcome, PortError> {
        self.ledger.put(now, std::slice::from_ref(tombstone.put())).await
    }

    async fn erase_record(&self, tombstone: &RecordTombstone) -> Result<(), PortError> {
        self.delivery_records.put(tombstone.record()).await
    }

    async fn delete_payload(&self, key: &PayloadKey) -> Result<(), PortError> {
        let key = key.as_str().to_owned();
        self.database
            .transaction("sqlite delete payload", move |transaction| {
                transaction.prepare_cached("DELETE FROM payloads WHERE key = ?1")?.execute([&key])?;
                Ok(())
            })
            .await
    }

    async fn finish(&self) -> Result<(), PortError> {
        self.database.rewrite("sqlite rewrite the file").await
    }
}

//! The payload store as a table.

use bytes::Bytes;
use intake_pipeline::payloads::{PayloadKey, PayloadReader, Payloads};
use intake_pipeline::port_error::PortError;
use rusqlite::OptionalExtension as _;

use crate::database::Database;

const GET: &str = "sqlite get payload";

/// The payload store in a database file.
#[derive(Clone, Debug)]
pub struct SqlitePayloads(Database);

impl SqlitePayloads {
    /// The payload store in this file.
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self(database)
    }
}

impl PayloadReader for SqlitePayloads {
    async fn get(&self, key: &PayloadKey) -> Result<Bytes, PortError> {
        let name = key.as_str().to_owned();
        let found = self.0.look_up(GET, move |transaction| {
            let sql = "SELECT bytes FROM payloads WHERE key = ?1";
            let bytes: Option<Vec<u8>> =
                transaction.prepare_cached(sql)?.query_row([&name], |row| row.get(0)).optional()?;
            Ok(bytes.map(Bytes::from))
        });
        found.await?.ok_or_else(|| PortError::of(GET, format!("the payload {} is missing", key.as_str())).missing())
    }
}

impl Payloads for SqlitePayloads {
    async fn put(&self, key: &PayloadKey, bytes: Bytes) -> Result<(), PortError> {
        let key = key.as_str().to_owned();
        self.0
            .transaction("sqlite put payload", move |transaction| {
                let sql =
                    "INSERT INTO payloads (key, bytes) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET bytes = ?2";
                transaction.prepare_cached(sql)?.execute((&key, &*bytes))?;
                Ok(())
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_payload_is_read_as_it_was_stored_and_storing_again_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let payloads = SqlitePayloads::new(Database::open(&directory.path().join("intake.sqlite")).unwrap());
        let key = PayloadKey::new("deliveries/machnet/2026/11/21/1".to_owned());
        let bytes = Bytes::from_iter((0..2_000_000_u32).map(|number| number.to_le_bytes()[0]));
        payloads.put(&key, bytes.clone()).await.unwrap();
        payloads.put(&key, bytes.clone()).await.unwrap();
        assert_eq!(payloads.get(&key).await.unwrap(), bytes);
    }

    #[tokio::test]
    async fn a_missing_payload_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let payloads = SqlitePayloads::new(Database::open(&directory.path().join("intake.sqlite")).unwrap());
        let error = payloads.get(&PayloadKey::new("events/none".to_owned())).await.unwrap_err();
        assert_eq!(error.to_string(), "sqlite get payload failed: the payload events/none is missing");
    }
}

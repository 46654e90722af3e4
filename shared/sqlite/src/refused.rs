//! The requests that a development server refused, whole.
//!
//! They have a file of their own, which only its owner may read: what is in them may be a secret, such as a token or the end of a
//! URL. Nothing else depends on the file, so it may be deleted while no server runs.

use std::io;
use std::path::Path;

use intake_pipeline::port_error::PortError;
use intake_pipeline::refused::{RefusedReader, RefusedRequest, RefusedSummary};
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, Row};

use crate::database::{Database, OpenError, Schema, WorkError};
use crate::private_file::create_private_file;

/// Maximum number of requests that are kept. The oldest ones go first.
pub const MAX_REFUSED_REQUESTS: u32 = 1_000;

/// Maximum size of all kept requests together, in bytes: 64 MiB. The oldest ones go first.
pub const MAX_REFUSED_BYTES: u32 = 64 * 1024 * 1024;

/// What the file holds.
const SCHEMA: Schema = Schema { format: 1, tables: TABLES, upgrades: &[] };

const TABLES: &str = "
CREATE TABLE refused (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    received_at INTEGER NOT NULL,
    provider TEXT,
    status INTEGER NOT NULL,
    reason TEXT NOT NULL,
    method TEXT NOT NULL,
    target TEXT NOT NULL,
    head BLOB NOT NULL,
    body BLOB NOT NULL,
    is_whole INTEGER NOT NULL
) STRICT;
";

const COLUMNS: &str = "id, received_at, provider, status, reason, method, target, length(body), is_whole";

/// The refused requests of a development server.
#[derive(Clone, Debug)]
pub struct RefusedRequests(Database);

impl RefusedRequests {
    /// Opens the file, and creates it if it is missing.
    ///
    /// # Errors
    /// [`OpenError`] when SQLite cannot open the file, or another release wrote it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        // SQLite gives its further files the permissions of this one.
        match create_private_file(path, "") {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(OpenError::Private { path: path.to_owned(), source: error });
            }
            _ => {}
        }
        let failed = |source| OpenError::Sqlite { path: path.to_owned(), source };
        let connection = Connection::open(path).map_err(failed)?;
        // What is deleted is overwritten, and its space given to the next one or back to the disk.
        connection.pragma_update(None, "auto_vacuum", "full").map_err(failed)?;
        connection.pragma_update(None, "secure_delete", true).map_err(failed)?;
        Database::prepared(connection, path, &SCHEMA).map(Self)
    }

    /// Keeps a request, and deletes the oldest ones beyond the limits.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn keep(&self, request: RefusedRequest) -> Result<(), PortError> {
        self.keep_within(request, MAX_REFUSED_REQUESTS, MAX_REFUSED_BYTES).await
    }

    async fn keep_within(
        &self,
        RefusedRequest { summary, head, body }: RefusedRequest,
        max_requests: u32,
        max_bytes: u32,
    ) -> Result<(), PortError> {
        self.0
            .transaction("sqlite keep refused request", move |transaction| {
                transaction.execute(
                    "INSERT INTO refused (id, received_at, provider, status, reason, method, target, head, body, is_whole)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                    (
                        summary.id.to_string(),
                        summary.received_at.unix_milliseconds(),
                        summary.provider.map(ProviderName::as_str),
                        summary.status,
                        &summary.reason,
                        &summary.method,
                        &summary.target,
                        &head,
                        &*body,
                        summary.is_whole,
                    ),
                )?;
                transaction.execute(
                    "DELETE FROM refused WHERE number <= (
                         SELECT max(number) FROM (
                             SELECT number, row_number() OVER newest AS place,
                                 sum(length(head) + length(body)) OVER newest AS bytes
                             FROM refused WINDOW newest AS (ORDER BY number DESC)
                         ) WHERE place > ?1 OR bytes > ?2
                     )",
                    (max_requests, max_bytes),
                )?;
                Ok(())
            })
            .await
    }
}

impl RefusedReader for RefusedRequests {
    async fn list(&self, limit: u32) -> Result<Vec<RefusedSummary>, PortError> {
        self.0
            .read("sqlite list refused requests", move |transaction| {
                let sql = format!("SELECT {COLUMNS} FROM refused ORDER BY number DESC LIMIT ?1");
                let mut statement = transaction.prepare_cached(&sql)?;
                let rows = statement.query_map((limit,), summary)?;
                let mut summaries: Vec<RefusedSummary> =
                    rows.filter_map(Result::transpose).collect::<rusqlite::Result<_>>()?;
                summaries.reverse();
                Ok(summaries)
            })
            .await
    }

    async fn get(&self, id: DeliveryId) -> Result<Option<RefusedRequest>, PortError> {
        self.0
            .read("sqlite get refused request", move |transaction| {
                let sql = format!("SELECT {COLUMNS}, head, body FROM refused WHERE id = ?1");
                let found = transaction
                    .query_row(&sql, (id.to_string(),), |row| {
                        let (head, body): (Vec<u8>, Vec<u8>) = (row.get(9)?, row.get(10)?);
                        Ok(summary(row)?.map(|summary| RefusedRequest { summary, head, body: body.into() }))
                    })
                    .optional()?;
                Ok::<_, WorkError>(found.flatten())
            })
            .await
    }
}

/// A row; `None` if another release wrote what this one can't read.
fn summary(row: &Row<'_>) -> rusqlite::Result<Option<RefusedSummary>> {
    let (id, received_at, provider): (String, i64, Option<String>) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (Ok(id), Ok(received_at)) = (id.parse(), Timestamp::from_unix_milliseconds(received_at)) else {
        return Ok(None);
    };
    Ok(Some(RefusedSummary {
        id,
        received_at,
        provider: provider.and_then(|name| name.parse().ok()),
        status: row.get(3)?,
        reason: row.get(4)?,
        method: row.get(5)?,
        target: row.get(6)?,
        body_bytes: row.get::<_, i64>(7)?.try_into().unwrap_or(0),
        is_whole: row.get(8)?,
    }))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn request(number: u8, body: impl Into<Bytes>) -> RefusedRequest {
        let received_at = Timestamp::from_unix_milliseconds(i64::from(number) * 1_000).unwrap();
        let body = body.into();
        let summary = RefusedSummary {
            id: DeliveryId::new(received_at, [number; 10]),
            received_at,
            provider: number.is_multiple_of(2).then_some(ProviderName::Machnet),
            status: 409,
            reason: "signature-mismatch".to_owned(),
            method: "POST".to_owned(),
            target: "/webhooks/machnet".to_owned(),
            body_bytes: body.len() as u64,
            is_whole: true,
        };
        let head = b"POST /webhooks/machnet HTTP/1.1\r\nx-odd: \xff\r\n".to_vec();
        RefusedRequest { summary, head, body }
    }

    fn store(directory: &tempfile::TempDir) -> RefusedRequests {
        RefusedRequests::open(&directory.path().join("refused.sqlite")).unwrap()
    }

    #[tokio::test]
    async fn a_refused_request_is_kept_to_the_byte_and_found_by_its_id() {
        let directory = tempfile::tempdir().unwrap();
        let (kept, other) = (request(1, &b"\0\xff{}"[..]), request(2, ""));
        store(&directory).keep(kept.clone()).await.unwrap();
        let store = store(&directory);
        store.keep(other.clone()).await.unwrap();
        assert_eq!(store.get(kept.summary.id).await.unwrap(), Some(kept.clone()));
        assert_eq!(kept.raw(), b"POST /webhooks/machnet HTTP/1.1\r\nx-odd: \xff\r\n\r\n\0\xff{}");
        assert_eq!(store.list(10).await.unwrap(), [kept.summary, other.summary.clone()]);
        assert_eq!(store.list(1).await.unwrap(), [other.summary]);
        assert_eq!(store.get(request(3, "").summary.id).await.unwrap(), None);
    }

    #[tokio::test]
    async fn the_oldest_go_when_there_are_too_many_or_they_are_too_large() {
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        let keep = |number: u8, bytes: usize| store.keep_within(request(number, vec![b'x'; bytes]), 3, 1_000);
        let numbers = async || {
            let kept = store.list(100).await.unwrap();
            kept.iter().map(|summary| summary.received_at.unix_seconds()).collect::<Vec<_>>()
        };
        for number in 1..=5 {
            keep(number, 0).await.unwrap();
        }
        assert_eq!(numbers().await, [3, 4, 5]);
        keep(6, 800).await.unwrap();
        assert_eq!(numbers().await, [4, 5, 6]);
        keep(7, 800).await.unwrap();
        assert_eq!(numbers().await, [7]);
        keep(8, 2_000).await.unwrap();
        assert_eq!(numbers().await, [0_i64; 0], "one that is too large alone is not kept");
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn only_the_owner_may_read_the_file_and_what_sqlite_puts_beside_it() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let store = store(&directory);
        store.keep(request(1, "secret")).await.unwrap();
        let mut files = 0;
        for file in std::fs::read_dir(directory.path()).unwrap().flatten() {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
            files += 1;
        }
        assert!(files > 1, "{files}");
    }
}

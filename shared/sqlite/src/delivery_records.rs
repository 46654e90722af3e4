//! The delivery records as a table.

use intake_pipeline::delivery_record::{DeliveryRecord, DeliveryRecords, RecordedBody};
use intake_pipeline::port_error::PortError;
use intake_pipeline::records::{DeliveryFilter, Listing};
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::json_place::JsonPlace;
use intake_providers::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use crate::database::{Database, WorkError};

/// Maximum number of expired records that a put deletes, so that no put takes long.
const MAX_DELETED: u32 = 100;

/// The delivery records in a database file. What is expired is deleted, with its body, when another record is put.
#[derive(Clone, Debug)]
pub struct SqliteDeliveryRecords(Database);

impl SqliteDeliveryRecords {
    /// The records in this file.
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self(database)
    }

    /// The records that match, in the order in which their deliveries were received.
    pub(crate) async fn list(&self, filter: &DeliveryFilter) -> Result<Listing<DeliveryRecord>, PortError> {
        let filter = filter.clone();
        self.0
            .read("sqlite list deliveries", move |transaction| {
                let sql = "SELECT delivery_id, record FROM delivery_records
                     WHERE (?1 IS NULL OR provider = ?1) AND received_at >= ?2 AND received_at < ?3
                     ORDER BY received_at DESC, delivery_id DESC";
                let mut statement = transaction.prepare_cached(sql)?;
                let parameters = (
                    filter.provider.map(ProviderName::as_str),
                    filter.received.since.map_or(i64::MIN, Timestamp::unix_milliseconds),
                    filter.received.until.map_or(i64::MAX, Timestamp::unix_milliseconds),
                );
                let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
                let mut listing = Listing::default();
                for row in statement.query_map(parameters, read)? {
                    if filter.most.is_some_and(|most| listing.found.len() as u64 >= u64::from(most)) {
                        break;
                    }
                    let (delivery_id, text) = row?;
                    match parse(&delivery_id, &text) {
                        Ok(record) => listing.found.extend(Some(record).filter(|record| filter.matches(record))),
                        Err(_) => listing.unreadable.extend(delivery_id.parse().ok().map(DeliveryRecord::key)),
                    }
                }
                listing.found.reverse();
                Ok(listing)
            })
            .await
    }

    /// The record of a delivery.
    pub(crate) async fn find(&self, delivery_id: DeliveryId) -> Result<Option<DeliveryRecord>, PortError> {
        let delivery_id = delivery_id.to_string();
        self.0.look_up("sqlite find delivery", move |transaction| find(transaction, &delivery_id)).await
    }
}

impl DeliveryRecords for SqliteDeliveryRecords {
    async fn put(&self, record: &DeliveryRecord) -> Result<(), PortError> {
        const OPERATION: &str = "sqlite put delivery";
        // The thread that writes is spared what can be done before.
        let text =
            serde_json::to_string(record).map_err(|error| PortError::new(OPERATION, &WorkError::Unwritable(error)))?;
        let delivery_id = record.delivery_id.to_string();
        let (provider, received_at, expires_at) = (record.provider, record.received_at, record.expires_at);
        let recorded_at = record.recorded_at;
        let yielding = record.has_quarantined().then(|| record.clone());
        let body_key = match &record.body {
            RecordedBody::Payload { body_key } => Some(body_key.as_str().to_owned()),
            _ => None,
        };
        self.0
            .transaction(OPERATION, move |transaction| {
                // The record is new, so its time is the present.
                delete_expired(transaction, recorded_at.unix_seconds())?;
                if let Some(record) = &yielding
                    && matches!(find(transaction, &delivery_id), Ok(Some(standing)) if !record.replaces(&standing))
                {
                    return Ok(());
                }
                let sql = "INSERT OR REPLACE INTO delivery_records
                         (delivery_id, record, provider, received_at, expires_at, body_key)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                transaction.prepare_cached(sql)?.execute((
                    &delivery_id,
                    &text,
                    provider.as_str(),
                    received_at.unix_milliseconds(),
                    expires_at,
                    &body_key,
                ))?;
                Ok(())
            })
            .await
    }
}

fn find(transaction: &Connection, delivery_id: &str) -> Result<Option<DeliveryRecord>, WorkError> {
    let sql = "SELECT record FROM delivery_records WHERE delivery_id = ?1";
    let text: Option<String> =
        transaction.prepare_cached(sql)?.query_row([delivery_id], |row| row.get(0)).optional()?;
    text.map(|text| parse(delivery_id, &text)).transpose()
}

fn delete_expired(transaction: &Connection, now_seconds: i64) -> Result<(), WorkError> {
    // Most often there are none, and to find that out is less work than to delete nothing.
    let sql = "SELECT EXISTS (SELECT 1 FROM delivery_records WHERE expires_at <= ?1)";
    let has_expired: bool = transaction.prepare_cached(sql)?.query_row([now_seconds], |row| row.get(0))?;
    if !has_expired {
        return Ok(());
    }
    let expired = "SELECT delivery_id FROM delivery_records WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2";
    let bodies = format!(
        "DELETE FROM payloads WHERE key IN (SELECT body_key FROM delivery_records WHERE delivery_id IN ({expired}))"
    );
    transaction.prepare_cached(&bodies)?.execute((now_seconds, MAX_DELETED))?;
    let records = format!("DELETE FROM delivery_records WHERE delivery_id IN ({expired})");
    transaction.prepare_cached(&records)?.execute((now_seconds, MAX_DELETED))?;
    Ok(())
}

/// serde's message may quote the record, so only the place is reported.
fn parse(delivery_id: &str, text: &str) -> Result<DeliveryRecord, WorkError> {
    serde_json::from_str(text).map_err(|error| WorkError::DamagedRecord {
        delivery_id: delivery_id.to_owned(),
        place: JsonPlace::from(&error),
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use intake_pipeline::delivery_record::{EventOutcome, HeaderText, RecordedHeader};
    use intake_pipeline::ledger::{Outcome, OutcomeCounts, TimeIndex};
    use intake_pipeline::payloads::{PayloadKey, PayloadReader as _, Payloads as _};
    use intake_pipeline::records::TimeRange;
    use intake_providers::account::AccountName;
    use intake_providers::digest::Sha256Digest;
    use intake_providers::event::EventIndex;

    use super::*;
    use crate::SqlitePayloads;

    const DAY: i64 = 24 * 60 * 60;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_milliseconds(seconds * 1000).unwrap()
    }

    fn record(number: u8, provider: ProviderName, seconds: i64, body: RecordedBody) -> DeliveryRecord {
        let delivery_id = DeliveryId::new(at(seconds), [number; 10]);
        DeliveryRecord {
            delivery_id,
            provider,
            account: AccountName::new("main").unwrap(),
            key_fingerprint: "0011223344556677".to_owned(),
            received_at: at(seconds),
            recorded_at: at(seconds + 1),
            receive_count: 1,
            headers: vec![
                RecordedHeader("host".to_owned(), HeaderText::Text("\u{1f600}".to_owned())),
                RecordedHeader("x-odd".to_owned(), HeaderText::Base64 { base64: "/w==".to_owned() }),
            ],
            headers_over_limit: 0,
            body,
            body_bytes: 2,
            sha256: Sha256Digest::of(b"{}"),
            events: 2,
            outcomes: vec![EventOutcome {
                index: EventIndex(0),
                outcome: Outcome::Duplicate,
                first_delivery: Some(delivery_id),
            }],
            further_outcomes: OutcomeCounts { stored: 1, ..OutcomeCounts::default() },
            event_types: vec!["machnet.done".to_owned()],
            expires_at: seconds + 30 * DAY,
            time_index: TimeIndex { time_bucket: "b".to_owned(), time_order: format!("{number}") },
        }
    }

    fn text() -> RecordedBody {
        RecordedBody::Text { body: "{}".to_owned() }
    }

    #[tokio::test]
    async fn records_are_found_by_id_and_listed_by_provider_and_time_with_the_latest_kept() {
        let directory = tempfile::tempdir().unwrap();
        let records = SqliteDeliveryRecords::new(Database::open(&directory.path().join("intake.sqlite")).unwrap());
        let first = record(1, ProviderName::Machnet, 10, text());
        let second = record(2, ProviderName::Sterling, 20, text());
        let third = record(3, ProviderName::Machnet, 30, text());
        for record in [&third, &first, &second] {
            records.put(record).await.unwrap();
        }
        let list = async |filter: DeliveryFilter| records.list(&filter).await.unwrap().found;
        let machnet = Some(ProviderName::Machnet);
        assert_eq!(list(DeliveryFilter::default()).await, [first.clone(), second.clone(), third.clone()]);
        let of_machnet = list(DeliveryFilter { provider: machnet, ..DeliveryFilter::default() }).await;
        assert_eq!(of_machnet, [first.clone(), third.clone()]);
        let late = list(DeliveryFilter {
            received: TimeRange { since: Some(at(20)), until: None },
            ..DeliveryFilter::default()
        })
        .await;
        assert_eq!(late, [second.clone(), third.clone()]);
        let known = |record: &DeliveryRecord| (record.time_index.time_order.clone(), record.received_at);
        let except = Arc::new([known(&first), known(&third)].into());
        assert_eq!(list(DeliveryFilter { except, ..DeliveryFilter::default() }).await, std::slice::from_ref(&second));
        assert_eq!(list(DeliveryFilter { most: Some(1), ..DeliveryFilter::default() }).await, [third]);
        assert_eq!(records.find(second.delivery_id).await.unwrap(), Some(second));
        assert_eq!(records.find(DeliveryId::new(at(9), [9; 10])).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_damaged_record_is_named_by_a_listing_and_does_not_end_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("intake.sqlite");
        let records = SqliteDeliveryRecords::new(Database::open(&path).unwrap());
        let (first, second) =
            (record(1, ProviderName::Machnet, 10, text()), record(2, ProviderName::Machnet, 20, text()));
        for record in [&first, &second] {
            records.put(record).await.unwrap();
        }
        rusqlite::Connection::open(&path)
            .unwrap()
            .execute(
                "UPDATE delivery_records SET record = '{' WHERE delivery_id = ?1",
                [second.delivery_id.to_string()],
            )
            .unwrap();
        let listing = records.list(&DeliveryFilter::default()).await.unwrap();
        assert_eq!((listing.found, listing.unreadable), (vec![first], vec![DeliveryRecord::key(second.delivery_id)]));
    }

    #[tokio::test]
    async fn a_record_replaces_the_earlier_one_of_its_delivery() {
        let directory = tempfile::tempdir().unwrap();
        let records = SqliteDeliveryRecords::new(Database::open(&directory.path().join("intake.sqlite")).unwrap());
        let first = record(1, ProviderName::Machnet, 10, text());
        let again = DeliveryRecord { receive_count: 2, ..first.clone() };
        for record in [&first, &again] {
            records.put(record).await.unwrap();
        }
        assert_eq!(records.list(&DeliveryFilter::default()).await.unwrap().found, [again]);
    }

    #[tokio::test]
    async fn what_left_the_quarantine_is_not_told_to_be_in_it_by_an_attempt_that_was_held_up() {
        let directory = tempfile::tempdir().unwrap();
        let records = SqliteDeliveryRecords::new(Database::open(&directory.path().join("intake.sqlite")).unwrap());
        let read = record(1, ProviderName::Machnet, 10, text());
        let further_outcomes = OutcomeCounts { quarantined: 1, ..OutcomeCounts::default() };
        let quarantined = DeliveryRecord { further_outcomes, ..read.clone() };
        for (put, kept) in [(&quarantined, &quarantined), (&read, &read), (&quarantined, &read)] {
            records.put(put).await.unwrap();
            assert_eq!(records.find(read.delivery_id).await.unwrap().as_ref(), Some(kept));
        }
    }

    #[tokio::test]
    async fn what_is_expired_goes_with_its_body_and_nothing_else_does() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("intake.sqlite")).unwrap();
        let (records, payloads) = (SqliteDeliveryRecords::new(database.clone()), SqlitePayloads::new(database));
        let key = |name: &str| PayloadKey::new(format!("delivery-bodies/{name}"));
        let apart = |name: &str| RecordedBody::Payload { body_key: key(name) };
        for name in ["old", "young"] {
            payloads.put(&key(name), Bytes::from_static(b"{}")).await.unwrap();
        }
        let old = record(1, ProviderName::Machnet, 10, apart("old"));
        let young = record(2, ProviderName::Machnet, 10 + DAY, apart("young"));
        let newest = record(3, ProviderName::Machnet, 10 + 30 * DAY, text());
        for record in [&old, &young, &newest] {
            records.put(record).await.unwrap();
        }
        assert_eq!(records.list(&DeliveryFilter::default()).await.unwrap().found, [young, newest]);
        assert!(payloads.get(&key("old")).await.is_err());
        assert!(payloads.get(&key("young")).await.is_ok());
    }
}

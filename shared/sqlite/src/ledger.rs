//! The ledger as a table, and listings of its entries.

use std::collections::HashSet;

use intake_pipeline::ledger::entity::{ENTITY_SORT, EntityEntry};
use intake_pipeline::ledger::{
    Condition, ConditionalPut, Entry, EntryKey, EventEntry, Ledger, LedgerReader, Outcome, PutOutcome,
};
use intake_pipeline::port_error::PortError;
use intake_pipeline::records::{EventFilter, Listing, RecordedEvent};
use intake_providers::ProviderName;
use intake_providers::json_place::JsonPlace;
use intake_providers::timestamp::Timestamp;
use rusqlite::{Connection, OptionalExtension as _};

use crate::database::{Database, WorkError};

/// Number of events beyond twice those that are wanted at which a listing drops the earliest.
const MAX_SPARE_EVENTS: usize = 1024;

/// The ledger in a database file. Each entry has a position, which is the order in which entries were recorded.
#[derive(Clone, Debug)]
pub struct SqliteLedger(Database);

impl SqliteLedger {
    /// The ledger in this file.
    #[must_use]
    pub const fn new(database: Database) -> Self {
        Self(database)
    }

    /// The events that match, in the order in which they were received.
    pub(crate) async fn list(&self, filter: &EventFilter) -> Result<Listing<RecordedEvent>, PortError> {
        let filter = filter.clone();
        self.0
            .read("sqlite list events", move |transaction| {
                let sql = "SELECT partition, sort, received_at, entry FROM ledger
                     WHERE outcome IS NOT NULL AND (?1 IS NULL OR provider = ?1) AND (?2 IS NULL OR outcome = ?2)
                         AND received_at >= ?3 AND received_at < ?4
                     ORDER BY received_at DESC";
                let mut statement = transaction.prepare_cached(sql)?;
                let parameters = (
                    filter.provider.map(ProviderName::as_str),
                    filter.outcome.map(Outcome::as_str),
                    filter.received.since.map_or(i64::MIN, Timestamp::unix_milliseconds),
                    filter.received.until.map_or(i64::MAX, Timestamp::unix_milliseconds),
                );
                let most = filter.most.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
                let mut listing = Listing::default();
                let mut earliest = i64::MAX;
                let mut rows = statement.query(parameters)?;
                while let Some(row) = rows.next()? {
                    let received_at: i64 = row.get(2)?;
                    // The events of one delivery are recorded in any order, so the latest of one moment are known when all were read.
                    if listing.found.len() >= most && received_at < earliest {
                        break;
                    }
                    earliest = received_at;
                    if listing.found.len() > most.saturating_mul(2).saturating_add(MAX_SPARE_EVENTS) {
                        keep_latest(&mut listing.found, most);
                    }
                    let key = EntryKey { partition: row.get(0)?, sort: row.get(1)? };
                    // Decided by the key, so that whoever asks again and again costs little.
                    if !filter.may_match(&key) {
                        continue;
                    }
                    let text: String = row.get(3)?;
                    match parse(&key, &text) {
                        Ok(entry) => listing
                            .found
                            .extend(Some(RecordedEvent { entry, key }).filter(|event| filter.matches(event))),
                        Err(_) => listing.unreadable.push(key),
                    }
                }
                keep_latest(&mut listing.found, most);
                Ok(listing)
            })
            .await
    }
}

impl SqliteLedger {
    /// Lists entities of all businesses, ordered by component and id.
    pub(crate) async fn entities(&self) -> Result<Listing<EntityEntry>, PortError> {
        self.0
            .read("sqlite list entities", |transaction| {
                let mut statement =
                    transaction.prepare_cached("SELECT partition, entry FROM ledger WHERE sort = ?1")?;
                let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
                let mut listing = Listing::default();
                for row in statement.query_map((ENTITY_SORT,), read)? {
                    let (partition, text) = row?;
                    let key = EntryKey { partition, sort: ENTITY_SORT.to_owned() };
                    match parse(&key, &text) {
                        Ok(Entry::Entity(entity)) => listing.found.push(*entity),
                        Ok(_) | Err(_) => listing.unreadable.push(key),
                    }
                }
                listing.found.sort_by(|one: &EntityEntry, other| one.entity.cmp(&other.entity));
                Ok(listing)
            })
            .await
    }

    /// The events of one entity, in the order of arrival.
    pub(crate) async fn history(&self, entity: &EntryKey) -> Result<Listing<EventEntry>, PortError> {
        let partition = entity.partition.clone();
        self.0
            .read("sqlite list an entity's events", move |transaction| {
                let sql = "SELECT sort, entry FROM ledger
                     WHERE substr(partition, -12) = substr(?1, -12) AND sort >= 'event#' AND sort < 'event$'
                         AND partition = ?1
                     ORDER BY sort";
                let mut statement = transaction.prepare_cached(sql)?;
                let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
                let mut listing = Listing::default();
                for row in statement.query_map((&partition,), read)? {
                    let (sort, text) = row?;
                    let key = EntryKey { partition: partition.clone(), sort };
                    match parse(&key, &text) {
                        Ok(Entry::Event(event)) => listing.found.push(*event),
                        Ok(_) | Err(_) => listing.unreadable.push(key),
                    }
                }
                Ok(listing)
            })
            .await
    }
}

impl LedgerReader for SqliteLedger {
    async fn entity(&self, key: &EntryKey) -> Result<Option<EntityEntry>, PortError> {
        let key = key.clone();
        self.0
            .look_up("sqlite get entity", move |transaction| match at(transaction, &key)? {
                None => Ok(None),
                Some(Found { entry: Entry::Entity(entity), .. }) => Ok(Some(*entity)),
                Some(_) => Err(WorkError::NoEntity { partition: key.partition.clone(), sort: key.sort.clone() }),
            })
            .await
    }

    async fn find(&self, key: &EntryKey) -> Result<Option<Entry>, PortError> {
        let key = key.clone();
        self.0
            .look_up("sqlite find entry", move |transaction| Ok(at(transaction, &key)?.map(|found| found.entry)))
            .await
    }
}

impl Ledger for SqliteLedger {
    async fn put(&self, now: Timestamp, puts: &[ConditionalPut]) -> Result<PutOutcome, PortError> {
        const OPERATION: &str = "sqlite put entries";
        // The thread that writes is spared what can be done before.
        let rows = rows(puts).map_err(|error| PortError::new(OPERATION, &error))?;
        let outcome =
            self.0.transaction(OPERATION, move |transaction| put(transaction, now.unix_seconds(), &rows)).await?;
        if outcome == PutOutcome::Done {
            self.0.notify_recorded();
        }
        Ok(outcome)
    }
}

/// Sorts events by their arrival and their place in their delivery, and keeps the last ones.
fn keep_latest(events: &mut Vec<RecordedEvent>, most: usize) {
    events.sort_by(|one, other| (one.made(), &one.key).cmp(&(other.made(), &other.key)));
    events.drain(..events.len().saturating_sub(most));
}

/// An entry to put, as a row.
struct Row {
    key: EntryKey,
    condition: Condition,
    entry: String,
    columns: Columns,
}

fn rows(puts: &[ConditionalPut]) -> Result<Vec<Row>, WorkError> {
    let mut keys = HashSet::new();
    if let Some(put) = puts.iter().find(|put| !keys.insert(&put.key)) {
        // DynamoDB rejects such a transaction too; accepting it here would hide the mistake until deployment.
        let EntryKey { partition, sort } = put.key.clone();
        return Err(WorkError::RepeatedKey { partition, sort });
    }
    let rows = puts.iter().map(|ConditionalPut { key, entry, condition }| {
        Ok(Row {
            key: key.clone(),
            condition: condition.clone(),
            entry: serde_json::to_string(entry).map_err(WorkError::Unwritable)?,
            columns: Columns::of(entry),
        })
    });
    rows.collect()
}

fn put(transaction: &Connection, now_seconds: i64, rows: &[Row]) -> Result<PutOutcome, WorkError> {
    let found = rows.iter().map(|row| at(transaction, &row.key)).collect::<Result<Vec<_>, _>>()?;
    let positions: Vec<_> = found.iter().map(|found| found.as_ref().map(|found| found.position)).collect();
    let in_the_way = rows.iter().zip(found).map(|(row, found)| in_the_way(row, found, now_seconds));
    let in_the_way = in_the_way.collect::<Result<Vec<_>, _>>()?;
    if in_the_way.iter().any(Option::is_some) {
        return Ok(PutOutcome::ConditionFailed(in_the_way));
    }
    for (row, position) in rows.iter().zip(positions) {
        write(transaction, position, row)?;
    }
    Ok(PutOutcome::Done)
}

/// Replaces the entry at a position, which keeps it, or inserts one of which none has the key: no other transaction can insert it
/// meanwhile, because this one may write.
fn write(transaction: &Connection, position: Option<i64>, row: &Row) -> Result<(), WorkError> {
    let sql = "INSERT INTO ledger (position, partition, sort, entry, expires_at, provider, outcome, received_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (position) DO UPDATE SET
             (entry, expires_at, provider, outcome, received_at)
             = (excluded.entry, excluded.expires_at, excluded.provider, excluded.outcome, excluded.received_at)";
    let columns = &row.columns;
    transaction.prepare_cached(sql)?.execute((
        position,
        &row.key.partition,
        &row.key.sort,
        &row.entry,
        columns.expires_at,
        columns.provider.as_str(),
        columns.outcome.map(Outcome::as_str),
        columns.received_at.map(Timestamp::unix_milliseconds),
    ))?;
    Ok(())
}

/// The entry that was found at a put's key, if the put's condition fails on it.
fn in_the_way(put: &Row, found: Option<Found>, now_seconds: i64) -> Result<Option<Entry>, WorkError> {
    let gives_way = match (&put.condition, &found) {
        (Condition::Always, _) => true,
        (Condition::Absent, found) => found.is_none(),
        (Condition::Claimable(_), None) => true,
        (Condition::Claimable(owner), Some(Found { entry, expires_at, .. })) => {
            expires_at.is_some_and(|expires_at| expires_at <= now_seconds)
                || matches!(entry, Entry::Alias(alias) | Entry::Hint(alias) if alias.owner == *owner)
        }
        (Condition::NotReleased, None) => true,
        (Condition::NotReleased, Some(Found { entry, .. })) => {
            matches!(entry, Entry::Quarantine(entry) if entry.released.is_none() && entry.erased_at().is_none())
        }
        (Condition::Version(version), Some(Found { entry: Entry::Entity(entity), .. })) => entity.version == *version,
        // DynamoDB fails such a put too, and returns no item.
        (Condition::Version(_), _) => {
            let EntryKey { partition, sort } = put.key.clone();
            return Err(WorkError::NoEntity { partition, sort });
        }
    };
    Ok(found.filter(|_| !gives_way).map(|found| found.entry))
}

/// An entry in the table.
struct Found {
    position: i64,
    entry: Entry,
    expires_at: Option<i64>,
}

/// The entry at a key. It is looked for by the end of its partition, 48 bits of a digest or of a random id, because a partition
/// as a whole would make the index three times as large, of which each event changes a page. Others with the same end are read and left.
fn at(transaction: &Connection, key: &EntryKey) -> Result<Option<Found>, WorkError> {
    let mut statement = transaction.prepare_cached(AT)?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?));
    let found = statement.query_row((&key.partition, &key.sort), read).optional()?;
    found.map(|(position, text, expires_at)| Ok(Found { position, entry: parse(key, &text)?, expires_at })).transpose()
}

const AT: &str = "SELECT position, entry, expires_at FROM ledger
     WHERE substr(partition, -12) = substr(?1, -12) AND sort = ?2 AND partition = ?1";

pub(crate) fn parse(key: &EntryKey, text: &str) -> Result<Entry, WorkError> {
    serde_json::from_str(text).map_err(|error| WorkError::DamagedEntry {
        partition: key.partition.clone(),
        sort: key.sort.clone(),
        place: JsonPlace::from(&error),
    })
}

/// Members of an entry that are copied to columns, for queries.
struct Columns {
    provider: ProviderName,
    outcome: Option<Outcome>,
    received_at: Option<Timestamp>,
    expires_at: Option<i64>,
}

impl Columns {
    const fn of(entry: &Entry) -> Self {
        match entry {
            Entry::Event(event) | Entry::Conflict(event) => Self {
                provider: event.provider,
                outcome: Some(event.outcome),
                received_at: Some(event.received_at),
                expires_at: None,
            },
            Entry::Quarantine(quarantine) => Self {
                provider: quarantine.provider,
                outcome: Some(quarantine.outcome),
                received_at: Some(quarantine.received_at),
                expires_at: None,
            },
            Entry::Alias(alias) | Entry::Hint(alias) => {
                Self { provider: alias.provider, outcome: None, received_at: None, expires_at: Some(alias.expires_at) }
            }
            Entry::Entity(entity) => {
                Self { provider: entity.provider, outcome: None, received_at: None, expires_at: None }
            }
            Entry::Progress(progress) => Self {
                provider: progress.provider,
                outcome: None,
                received_at: None,
                expires_at: Some(progress.expires_at),
            },
        }
    }
}

#[cfg(test)]
mod tests;

//! DynamoDB: the events and entities with their conditions, the records of deliveries, and the stream of what is new.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use intake_pipeline::delivery_record::{DeliveryRecord, DeliveryRecords};
use intake_pipeline::ledger::entity::{Change, EntityEntry};
use intake_pipeline::ledger::{Condition, ConditionalPut, Entry, EntryKey, Ledger, LedgerReader, PutOutcome};
use intake_pipeline::port_error::PortError;
use intake_pipeline::publisher::{StreamItem, StreamRecord};
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::guarded::Guarded;
use crate::instance::Instance;
use crate::invariant::Invariant;
use crate::marks::Mark;
use crate::planted::Plant;
use crate::reference::Reference;
use crate::swarm::FaultClass;
use crate::world::{Call, Service, World};

const PUT_ITEM: &str = "dynamodb PutItem";
const TRANSACT_WRITE_ITEMS: &str = "dynamodb TransactWriteItems";
const GET_ITEM: &str = "dynamodb GetItem";

/// How long after a write an eventually consistent read may miss it.
const STALE_FOR: Duration = Duration::from_secs(1);

/// How late DynamoDB deletes an expired item at most.
const LATEST_TIME_TO_LIVE: Duration = Duration::from_secs(48 * 60 * 60);

/// Number of shards of the stream.
pub(crate) const STREAM_SHARDS: usize = 2;

/// How long an invocation of a processor may take, which is how old a decision may be that it still carries out.
const OLDEST_DECISION: Duration = Duration::from_secs(90);

#[derive(Clone, Debug)]
struct Stored {
    entry: Entry,
    written_at: Instant,
    /// What was there before.
    former: Option<Entry>,
    /// When DynamoDB deletes it, if it expires.
    deleted_at: Option<Instant>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<EntryKey, Stored>,
    records: BTreeMap<DeliveryId, DeliveryRecord>,
    streams: [Vec<StreamRecord>; STREAM_SHARDS],
    next_in_stream: u64,
}

/// The tables.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    world: World,
    reference: Reference,
    state: Arc<Guarded<State>>,
    /// Something is new in the stream.
    pub(crate) streamed: Arc<Notify>,
}

impl Tables {
    pub(crate) fn new(world: &World, reference: &Reference) -> Self {
        Self { world: world.clone(), reference: reference.clone(), state: Arc::default(), streamed: Arc::default() }
    }

    /// Every entry.
    pub(crate) fn entries(&self) -> BTreeMap<EntryKey, Entry> {
        self.state.get().entries.iter().map(|(key, stored)| (key.clone(), stored.entry.clone())).collect()
    }

    /// Every record of a delivery.
    pub(crate) fn records(&self) -> BTreeMap<DeliveryId, DeliveryRecord> {
        self.state.get().records.clone()
    }

    /// The records of a shard of the stream from a place on, at most this number.
    pub(crate) fn stream(&self, shard: usize, from: usize, count: usize) -> Vec<StreamRecord> {
        let state = self.state.get();
        state
            .streams
            .get(shard)
            .map(|records| records.iter().skip(from).take(count).cloned().collect())
            .unwrap_or_default()
    }

    /// Number of records in a shard of the stream.
    pub(crate) fn stream_length(&self, shard: usize) -> usize {
        self.state.get().streams.get(shard).map_or(0, Vec::len)
    }

    fn find(&self, key: &EntryKey, is_consistent: bool) -> Option<Entry> {
        let mut state = self.state.get();
        Self::expire(&mut state, key);
        let stored = state.entries.get(key)?;
        if !is_consistent && stored.written_at.elapsed() < STALE_FOR && self.world.happens(FaultClass::StaleReads) {
            self.world.marks.see(Mark::StaleRead);
            return stored.former.clone();
        }
        Some(stored.entry.clone())
    }

    /// Deletes an item whose time to live is over, if DynamoDB has come to it.
    fn expire(state: &mut State, key: &EntryKey) {
        let is_gone =
            state.entries.get(key).and_then(|stored| stored.deleted_at).is_some_and(|at| Instant::now() >= at);
        if is_gone {
            state.entries.remove(key);
        }
    }

    /// Whether an existing entry gives way to a put.
    fn gives_way(&self, condition: &Condition, existing: &Entry, now: Timestamp) -> bool {
        match (condition, existing) {
            (Condition::Absent, _) => self.world.is_planted(Plant::UnconditionalPut),
            (Condition::Claimable(owner), Entry::Alias(alias) | Entry::Hint(alias)) => {
                let is_expired =
                    alias.expires_at <= now.unix_seconds() && !self.world.is_planted(Plant::AliasNeverExpires);
                if is_expired {
                    self.world.marks.see(Mark::AliasExpired);
                    self.world.marks.see(Mark::ExpiredItemFound);
                }
                is_expired || alias.owner == *owner
            }
            (Condition::Version(version), Entry::Entity(entity)) => {
                entity.version == *version || self.world.is_planted(Plant::LostEntityUpdate)
            }
            (Condition::NotReleased, Entry::Quarantine(entry)) => {
                entry.released.is_none() && entry.erased_at().is_none()
            }
            (Condition::Always, _) => true,
            _ => false,
        }
    }

    /// Puts every entry, or none.
    fn put(&self, now: Timestamp, puts: &[ConditionalPut]) -> PutOutcome {
        let mut state = self.state.get();
        for put in puts {
            Self::expire(&mut state, &put.key);
        }
        let refused: Vec<Option<Entry>> = puts
            .iter()
            .map(|put| {
                let existing = state.entries.get(&put.key);
                // A condition on a version fails on an item that is not there, and then there is none to return.
                existing
                    .filter(|stored| !self.gives_way(&put.condition, &stored.entry, now))
                    .map(|stored| stored.entry.clone())
            })
            .collect();
        if refused.iter().any(Option::is_some) {
            self.notice_own(puts, &refused);
            return PutOutcome::ConditionFailed(refused);
        }
        let is_half = puts.len() > 1 && self.world.plant_shows(Plant::HalfTransaction);
        for put in puts.iter().take(if is_half { 1 } else { puts.len() }) {
            self.store(&mut state, put);
        }
        drop(state);
        self.streamed.notify_waiters();
        PutOutcome::Done
    }

    fn store(&self, state: &mut State, put: &ConditionalPut) {
        self.observe(put);
        let is_dropped = match &put.entry {
            Entry::Conflict(_) => self.world.is_planted(Plant::ConflictDropped),
            Entry::Event(event) => event.repeat_of.is_some() && self.world.is_planted(Plant::RepeatDropped),
            _ => false,
        };
        if is_dropped {
            return;
        }
        self.world.line("dynamodb", || format!("{} at {}", described(&put.entry), short(&put.key)));
        let former = state.entries.get(&put.key).map(|stored| stored.entry.clone());
        if former.is_none() {
            let item = match &put.entry {
                entry @ (Entry::Event(_) | Entry::Conflict(_)) => StreamItem::Entry(Box::new(entry.clone())),
                _ => StreamItem::Other,
            };
            state.next_in_stream += 1;
            let record = StreamRecord { sequence_number: format!("{:08}", state.next_in_stream), item };
            let shard = usize::from(put.key.partition.bytes().last().unwrap_or(0)) % STREAM_SHARDS;
            if let Some(stream) = state.streams.get_mut(shard) {
                stream.push(record);
            }
        }
        let expires_at = match &put.entry {
            Entry::Alias(alias) | Entry::Hint(alias) => Some(alias.expires_at),
            Entry::Progress(progress) => Some(progress.expires_at),
            _ => None,
        };
        let deleted_at = expires_at.map(|expires_at| {
            let left = expires_at.saturating_sub(self.world.now().unix_seconds()).max(0);
            let latest =
                if self.world.happens(FaultClass::PromptTimeToLive) { 1 } else { LATEST_TIME_TO_LIVE.as_secs() };
            Instant::now() + Duration::from_secs(left.unsigned_abs()) + self.world.random.seconds(1..=latest)
        });
        let stored = Stored { entry: put.entry.clone(), written_at: Instant::now(), former, deleted_at };
        state.entries.insert(put.key.clone(), stored);
    }

    /// What an observer of the table learns from a write.
    fn observe(&self, put: &ConditionalPut) {
        let marks = &self.world.marks;
        let now = self.world.now();
        match &put.entry {
            Entry::Alias(alias) => {
                let mut model = self.reference.model();
                let claims = model.claims.entry(put.key.partition.clone()).or_default();
                claims.insert(alias.owner_id.clone(), now.unix_milliseconds());
            }
            Entry::Event(event) => {
                if let (Some(alias), Some(owner)) = (&event.alias, &event.repeat_of) {
                    marks.see(Mark::Repeat);
                    let claimed =
                        self.reference.model().claims.get(alias).and_then(|claims| claims.get(owner).copied());
                    let oldest = self.world.swarm.repeat_window + OLDEST_DECISION;
                    let is_live = claimed.is_some_and(|at| {
                        let age = now.unix_milliseconds().saturating_sub(at);
                        u128::from(age.unsigned_abs()) <= oldest.as_millis()
                    });
                    if *owner == event.cloud_event.id {
                        self.world.violate(Invariant::RepeatsHaveAReason, format!("{owner} repeats itself"));
                    }
                    let is_of_a_window = event.provider == intake_providers::ProviderName::Machnet;
                    if claimed.is_none() || (is_of_a_window && !is_live) {
                        let text = format!("{} repeats {owner}, which holds no live claim", event.cloud_event.id);
                        self.world.violate(Invariant::RepeatsHaveAReason, text);
                    }
                }
                match event.entity.as_ref().map(|change| change.change) {
                    Some(Change::Merged) => marks.see(Mark::EntityMerged),
                    Some(Change::Revived) => marks.see(Mark::EntityRevived),
                    _ => {}
                }
            }
            Entry::Progress(progress) if progress.next_index.0 > 0 => marks.see(Mark::LongDeliveryResumed),
            Entry::Conflict(_) => marks.see(Mark::Conflict),
            Entry::Quarantine(_) => marks.see(Mark::Quarantined),
            _ => {}
        }
    }

    /// Notices a write that meets what an earlier attempt of the same event has put.
    fn notice_own(&self, puts: &[ConditionalPut], refused: &[Option<Entry>]) {
        for (put, existing) in puts.iter().zip(refused) {
            if let (Entry::Event(ours), Some(Entry::Event(existing))) = (&put.entry, existing)
                && ours.occurrence == existing.occurrence
            {
                self.world.marks.see(Mark::MetItsOwnEntry);
            }
        }
    }
}

/// An entry as the trace names it.
fn described(entry: &Entry) -> String {
    match entry {
        Entry::Event(event) => format!("{} event of delivery {}", event.outcome.as_str(), event.occurrence.delivery_id),
        Entry::Conflict(event) => format!("conflict of delivery {}", event.occurrence.delivery_id),
        Entry::Alias(_) => "alias".to_owned(),
        Entry::Hint(_) => "hint".to_owned(),
        Entry::Quarantine(entry) => format!("quarantine of delivery {}", entry.occurrence.delivery_id),
        Entry::Entity(entity) => format!("entity in version {}", entity.version),
        Entry::Progress(progress) => format!("progress of delivery {}", progress.delivery_id),
    }
}

/// A key without most of its digest. An account's key may be of a generated key, so nothing of it is printed but this.
fn short(key: &EntryKey) -> String {
    let partition: String = key.partition.chars().take(20).collect();
    let sort: String = key.sort.chars().take(16).collect();
    format!("{partition} {sort}")
}

/// The ledger as one process reaches it.
#[derive(Clone, Debug)]
pub(crate) struct DynamoLedger {
    tables: Tables,
    instance: Arc<Instance>,
}

impl DynamoLedger {
    pub(crate) fn new(tables: &Tables, instance: &Arc<Instance>) -> Self {
        Self { tables: tables.clone(), instance: Arc::clone(instance) }
    }

    async fn get(&self, key: &EntryKey, is_consistent: bool) -> Result<Option<Entry>, PortError> {
        let call = Call { service: Service::DynamoDb, operation: GET_ITEM, killed_after: None };
        let (tables, wanted) = (self.tables.clone(), key.clone());
        let effect = move || Ok(tables.find(&wanted, is_consistent));
        self.tables.world.call(&self.instance, call, || short(key), effect).await
    }
}

impl LedgerReader for DynamoLedger {
    async fn entity(&self, key: &EntryKey) -> Result<Option<EntityEntry>, PortError> {
        match self.get(key, true).await? {
            Some(Entry::Entity(entity)) => Ok(Some(*entity)),
            _ => Ok(None),
        }
    }

    async fn find(&self, key: &EntryKey) -> Result<Option<Entry>, PortError> {
        self.get(key, false).await
    }
}

impl Ledger for DynamoLedger {
    async fn put(&self, now: Timestamp, puts: &[ConditionalPut]) -> Result<PutOutcome, PortError> {
        let is_transaction = puts.len() > 1;
        let operation = if is_transaction { TRANSACT_WRITE_ITEMS } else { PUT_ITEM };
        if is_transaction && self.tables.world.happens(FaultClass::TransactionConflicts) {
            self.tables.world.marks.see(Mark::TransactionConflict);
            tokio::time::sleep(self.tables.world.random.milliseconds(100..=4_000)).await;
            return Err(PortError::of(operation, "other writers were in the way of every attempt"));
        }
        let killed_after = match puts.first().map(|put| &put.entry) {
            _ if is_transaction => Some(Mark::KilledAfterEntity),
            Some(Entry::Event(_) | Entry::Conflict(_)) => Some(Mark::KilledAfterEvent),
            Some(Entry::Alias(_)) => Some(Mark::KilledAfterAlias),
            Some(Entry::Hint(_)) => Some(Mark::KilledAfterHint),
            Some(Entry::Quarantine(_)) => Some(Mark::KilledAfterQuarantine),
            _ => None,
        };
        let call = Call { service: Service::DynamoDb, operation, killed_after };
        let (tables, owned) = (self.tables.clone(), puts.to_vec());
        let effect = move || Ok(tables.put(now, &owned));
        let about = || puts.iter().map(|put| described(&put.entry)).collect::<Vec<_>>().join(" and ");
        self.tables.world.call(&self.instance, call, about, effect).await
    }
}

impl DeliveryRecords for DynamoLedger {
    async fn put(&self, record: &DeliveryRecord) -> Result<(), PortError> {
        let killed_after = Some(Mark::KilledAfterRecord);
        let call = Call { service: Service::DynamoDb, operation: PUT_ITEM, killed_after };
        let (tables, owned) = (self.tables.clone(), record.clone());
        let effect = move || {
            let records = &mut tables.state.get().records;
            if records.get(&owned.delivery_id).is_none_or(|standing| owned.replaces(standing)) {
                records.insert(owned.delivery_id, owned.clone());
            }
            Ok(())
        };
        let about = || format!("record of delivery {}", record.delivery_id);
        self.tables.world.call(&self.instance, call, about, effect).await
    }
}

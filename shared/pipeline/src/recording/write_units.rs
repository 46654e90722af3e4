//! What recording costs in DynamoDB's units, and what an attacker gains by replaying a captured request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::HeaderMap;
use intake_providers::ProviderName;
use intake_providers::authentic::KeptHeader;
use intake_providers::delivery::DeliveryId;
use intake_providers::registry::Settings;
use intake_providers::split::Split as _;
use tokio::time::Instant;

use super::*;
use crate::ledger::LedgerReader;
use crate::ledger::entity::EntityEntry;
use crate::processor::{Processor, ProcessorSettings};
use crate::queue::QueueRecord;
use crate::queue_message::QueueMessage;
use crate::testing::{Memory, MemoryDeliveryRecords, MemoryLedger, MemoryPayloads, TestClock, delivery, verified};

/// What DynamoDB lets one partition write in a second, in units.
/// Source: AWS, "Burst and adaptive capacity".
const MAX_UNITS_OF_A_PARTITION: u64 = 1_000;

/// A ledger that counts units as DynamoDB does, and throttles a partition as DynamoDB does.
#[derive(Clone, Default)]
struct MeteredLedger {
    ledger: MemoryLedger,
    meter: Arc<Mutex<Meter>>,
}

#[derive(Default)]
struct Meter {
    write_units: u64,
    read_units: f64,
    second: Option<Instant>,
    of_partition: BTreeMap<String, u64>,
    throttled: usize,
}

impl MeteredLedger {
    fn size_bytes(key: &EntryKey, entry: &Entry) -> u64 {
        let text = serde_json::to_string(entry).unwrap();
        (text.len() + key.partition.len() + key.sort.len()) as u64
    }

    fn taken(&self) -> (u64, f64) {
        let mut meter = self.meter.lock().unwrap();
        (std::mem::take(&mut meter.write_units), std::mem::take(&mut meter.read_units))
    }

    fn reads(&self, key: &EntryKey, units_for_4_kib: f64) {
        let size = self.ledger.entries.lock().unwrap().get(key).map_or(0, |entry| Self::size_bytes(key, entry));
        self.meter.lock().unwrap().read_units += units_for_4_kib * size.div_ceil(4096).max(1) as f64;
    }
}

impl LedgerReader for MeteredLedger {
    async fn entity(&self, key: &EntryKey) -> Result<Option<EntityEntry>, PortError> {
        self.reads(key, 1.0);
        self.ledger.entity(key).await
    }

    async fn find(&self, key: &EntryKey) -> Result<Option<Entry>, PortError> {
        self.reads(key, 0.5);
        self.ledger.find(key).await
    }
}

impl Ledger for MeteredLedger {
    async fn put(&self, now: Timestamp, puts: &[ConditionalPut]) -> Result<PutOutcome, PortError> {
        let mut units = Vec::new();
        for put in puts {
            let before = self.ledger.entries.lock().unwrap().get(&put.key).cloned();
            let before = before.map_or(0, |entry| Self::size_bytes(&put.key, &entry));
            let size = before.max(Self::size_bytes(&put.key, &put.entry));
            units.push((put.key.partition.clone(), size.div_ceil(1024) * if puts.len() > 1 { 2 } else { 1 }));
        }
        {
            let mut meter = self.meter.lock().unwrap();
            let second = *meter.second.get_or_insert_with(Instant::now);
            if second.elapsed() >= Duration::from_secs(1) {
                meter.second = Some(Instant::now());
                meter.of_partition.clear();
            }
            for (partition, units) in &units {
                let of_partition = meter.of_partition.entry(partition.clone()).or_default();
                if *of_partition + units > MAX_UNITS_OF_A_PARTITION {
                    meter.throttled += 1;
                    return Err(PortError::of("ledger put", "throttled"));
                }
                *of_partition += units;
            }
            meter.write_units += units.iter().map(|(_, units)| units).sum::<u64>();
        }
        let written = self.ledger.put(now, puts).await?;
        if written == PutOutcome::Done {
            // The time index holds keys only.
            let indexed = puts
                .iter()
                .filter(|put| matches!(put.entry, Entry::Event(_) | Entry::Conflict(_) | Entry::Quarantine(_)));
            self.meter.lock().unwrap().write_units += indexed.count() as u64;
        }
        Ok(written)
    }
}

struct World {
    ledger: MeteredLedger,
    payloads: MemoryPayloads,
}

impl World {
    fn new() -> Self {
        Self { ledger: MeteredLedger::default(), payloads: MemoryPayloads::default() }
    }

    /// Records the one event of a delivery, and returns its outcome with the write and read units that it took.
    async fn record(&self, delivery: &Delivery) -> (Outcome, u64, f64) {
        let recorder =
            Recorder::<Memory<MeteredLedger>>::new(self.ledger.clone(), self.payloads.clone(), TestClock::default());
        let providers = Settings::default();
        let event = providers.split(delivery).unwrap().next().unwrap().unwrap();
        self.ledger.taken();
        let outcome = recorder.record(&Recording::of(delivery), EventIndex(0), event).await.unwrap().outcome;
        let (writes, reads) = self.ledger.taken();
        (outcome, writes, reads)
    }
}

/// The same body as another delivery, as a replay makes it.
fn of(provider: ProviderName, number: u64, body: &str) -> Delivery {
    let sample = delivery(1, body.to_owned());
    let received_at = sample.received_at.plus(Duration::from_secs(number));
    Delivery { provider, id: DeliveryId::new(received_at, [1; 10]), received_at, ..sample }
}

/// A body of each kind of event that is recorded in a way of its own, cut where the filling goes.
const BODIES: [(ProviderName, [&str; 2]); 5] = [
    (ProviderName::Accredit, [r#"{"Event":"Badge.Created","Timestamp":"2026-11-21T09:30:00Z","filling":""#, r#""}"#]),
    (ProviderName::Machnet, [r#"{"id":"1","event_name":"done","resource_id":"r","filling":""#, r#""}"#]),
    (ProviderName::NowCerts, [r#"{"filling":""#, r#""}"#]),
    (
        ProviderName::NurtureCloud,
        [
            r#"{"domainComponentName":"contact","state":"Updated","payload":{"organisationName":"o","businessId":"b","id":"1","filling":""#,
            r#""}}"#,
        ],
    ),
    (ProviderName::Sterling, [r#"{"code":"supplyChange","filling":""#, r#""}"#]),
];

fn body(provider: ProviderName, size_bytes: usize, variant: &str) -> String {
    let (_, [before, after]) = BODIES.into_iter().find(|(known, _)| *known == provider).unwrap();
    format!("{before}{}{variant}{after}", "x".repeat(size_bytes))
}

const SIZES_BYTES: [usize; 5] = [100, 1_500, 15_000, 250_000, 3_000_000];

#[tokio::test(start_paused = true)]
async fn a_replay_costs_at_most_two_write_units_whatever_its_size() {
    for provider in [ProviderName::Accredit, ProviderName::Machnet, ProviderName::Sterling] {
        for size in SIZES_BYTES {
            let world = World::new();
            let body = body(provider, size, "");
            assert_eq!(world.record(&of(provider, 1, &body)).await.0, Outcome::Stored);
            let (outcome, writes, reads) = world.record(&of(provider, 2, &body)).await;
            assert_eq!(outcome, Outcome::Duplicate);
            assert!(writes <= 2 && reads <= 2.5, "{provider} {size}: {writes} write units, {reads} read units");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_replayed_conflict_costs_at_most_two_write_units_whatever_its_size() {
    for size in SIZES_BYTES {
        let world = World::new();
        world.record(&of(ProviderName::Machnet, 1, &body(ProviderName::Machnet, size, "one"))).await;
        let other = body(ProviderName::Machnet, size, "other");
        assert_eq!(world.record(&of(ProviderName::Machnet, 2, &other)).await.0, Outcome::Conflict);
        let (outcome, writes, _) = world.record(&of(ProviderName::Machnet, 3, &other)).await;
        assert_eq!(outcome, Outcome::Duplicate);
        assert!(writes <= 2, "{size}: {writes} write units");
    }
}

/// A notification of NurtureCloud has no identity, so each is recorded: its entry and the entity, in one transaction.
#[tokio::test(start_paused = true)]
async fn a_replayed_notification_of_an_entity_costs_no_more_for_a_large_one_than_for_a_small_one() {
    let mut costs = BTreeMap::new();
    for size in SIZES_BYTES {
        let world = World::new();
        let body = body(ProviderName::NurtureCloud, size, "");
        world.record(&of(ProviderName::NurtureCloud, 1, &body)).await;
        let stored = world.payloads.puts();
        let (outcome, writes, _) = world.record(&of(ProviderName::NurtureCloud, 2, &body)).await;
        assert_eq!(outcome, Outcome::Duplicate);
        assert_eq!(world.payloads.puts(), stored);
        costs.insert(size, writes);
    }
    assert!(costs.values().all(|writes| *writes <= 9), "{costs:?}");
}

/// What the first of its kind costs, so that a change of it is noticed: write units, by provider and size of the data.
#[tokio::test(start_paused = true)]
async fn the_write_units_of_a_stored_event_are_known() {
    let mut table = String::new();
    for (provider, _) in BODIES {
        for size in SIZES_BYTES {
            let world = World::new();
            let (outcome, writes, reads) = world.record(&of(provider, 1, &body(provider, size, ""))).await;
            assert_eq!(outcome, Outcome::Stored);
            table.push_str(&format!("{provider} {size}: {writes} write, {reads} read\n"));
        }
    }
    assert_eq!(table, include_str!("write_units.txt"));
}

/// Each alias and hint adds one unit to the event, because it is claimed by a put of its own.
#[tokio::test(start_paused = true)]
async fn an_alias_costs_one_unit_and_makes_no_transaction_of_the_event() {
    let world = World::new();
    let (_, machnet, _) = world.record(&of(ProviderName::Machnet, 1, &body(ProviderName::Machnet, 500, ""))).await;
    let (_, nowcerts, _) = world.record(&of(ProviderName::NowCerts, 1, &body(ProviderName::NowCerts, 50, ""))).await;
    let mut accredit = of(ProviderName::Accredit, 1, &body(ProviderName::Accredit, 500, ""));
    accredit.headers.push(KeptHeader { name: "x-jobid".to_owned(), value: b"job".to_vec() });
    let (_, accredit, _) = world.record(&accredit).await;
    assert_eq!([machnet, accredit, nowcerts], [4, 4, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_replays_neither_fails_itself_nor_its_neighbours() {
    let world = World::new();
    let processor = Processor::<Memory<MeteredLedger>, _>::new(
        world.ledger.clone(),
        world.payloads.clone(),
        MemoryDeliveryRecords::default(),
        Settings::default(),
        TestClock::default(),
        ProcessorSettings::default(),
    );
    let captured = body(ProviderName::Machnet, 250_000, "");
    let record = async |number: u64, body: &str| {
        let delivery = of(ProviderName::Machnet, number, body);
        let verified = verified(delivery.id, delivery.received_at, HeaderMap::new(), delivery.body);
        let document = QueueMessage::prepare(&verified, &MemoryPayloads::default()).await.unwrap();
        QueueRecord {
            message_id: number.to_string(),
            body: document.text().to_owned(),
            receive_count: 1,
            is_release: false,
        }
    };
    // All within one second of the table's.
    for batch in 0..60 {
        let mut records = Vec::new();
        for place in 1..10 {
            records.push(record(batch * 10 + place, &captured).await);
        }
        let neighbour = format!(r#"{{"id":"neighbour-{batch}","event_name":"done"}}"#);
        records.push(record(batch * 10 + 10, &neighbour).await);
        let failed = processor.process(records, Instant::now() + Duration::from_secs(30)).await;
        assert_eq!(failed, [], "batch {batch}");
    }
    assert_eq!(world.ledger.meter.lock().unwrap().throttled, 0);
}

//! Deliveries with many events, on a ledger that takes as long as DynamoDB does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use intake_providers::ProviderName;
use intake_providers::digest::Sha256Digest;
use intake_providers::timestamp::Timestamp;

use super::*;
use crate::ledger::{ConditionalPut, EntryKey, Ledger, LedgerReader, OutcomeCounts, ProgressEntry, PutOutcome};
use crate::payloads::{PayloadKey, PayloadReader, Payloads};
use crate::port_error::PortError;
use crate::queue::QueueRecord;
use crate::queue_message::write_with_payload;
use crate::testing::Lines;

const CALL: Duration = Duration::from_millis(4);
const TRANSACTION: Duration = Duration::from_millis(10);

/// What Lambda's timeout of 30 s leaves.
const INVOCATION: Duration = Duration::from_secs(29);

/// A ledger whose calls take their time, and which watches how many are under way.
#[derive(Clone, Default)]
struct SlowLedger {
    ledger: MemoryLedger,
    watch: Arc<Mutex<Watch>>,
}

#[derive(Default)]
struct Watch {
    puts: usize,
    at_once: BTreeMap<String, usize>,
    max_at_once: usize,
    max_of_one_partition: usize,
    /// Partitions whose puts fail.
    poison: BTreeSet<String>,
    /// How many times as long as usual a call takes, less one.
    slowness: u32,
    last_call_begun: Option<Instant>,
}

impl SlowLedger {
    fn watch(&self) -> std::sync::MutexGuard<'_, Watch> {
        self.watch.lock().unwrap()
    }

    /// Waits as long as the call takes.
    async fn call(&self, partition: &str, time: Duration) {
        let time = {
            let mut watch = self.watch();
            watch.last_call_begun = Some(Instant::now());
            let of_partition = watch.at_once.entry(partition.to_owned()).or_default();
            *of_partition += 1;
            let of_partition = *of_partition;
            watch.max_of_one_partition = watch.max_of_one_partition.max(of_partition);
            watch.max_at_once = watch.max_at_once.max(watch.at_once.values().sum());
            time * (watch.slowness + 1)
        };
        tokio::time::sleep(time).await;
        let mut watch = self.watch();
        let left = watch.at_once.remove(partition).unwrap_or_default().saturating_sub(1);
        if left > 0 {
            watch.at_once.insert(partition.to_owned(), left);
        }
    }

    fn events(&self) -> usize {
        self.ledger.entries().values().filter(|entry| matches!(entry, Entry::Event(_))).count()
    }

    fn progress(&self, delivery: &Delivery) -> Option<ProgressEntry> {
        match self.ledger.entries().remove(&ProgressEntry::key(delivery.id)) {
            Some(Entry::Progress(progress)) => Some(progress),
            _ => None,
        }
    }
}

impl LedgerReader for SlowLedger {
    async fn entity(&self, key: &EntryKey) -> Result<Option<crate::ledger::entity::EntityEntry>, PortError> {
        self.call(&key.partition, CALL).await;
        self.ledger.entity(key).await
    }

    async fn find(&self, key: &EntryKey) -> Result<Option<Entry>, PortError> {
        self.call(&key.partition, CALL).await;
        self.ledger.find(key).await
    }
}

impl Ledger for SlowLedger {
    async fn put(&self, now: Timestamp, puts: &[ConditionalPut]) -> Result<PutOutcome, PortError> {
        let partition = puts[0].key.partition.clone();
        self.call(&partition, if puts.len() > 1 { TRANSACTION } else { CALL }).await;
        self.watch().puts += 1;
        if self.watch().poison.contains(&partition) {
            return Err(PortError::of("ledger put", "poison"));
        }
        self.ledger.put(now, puts).await
    }
}

#[derive(Clone, Default)]
struct World {
    ledger: SlowLedger,
    payloads: MemoryPayloads,
    records: MemoryDeliveryRecords,
    settings: ProcessorSettings,
}

impl World {
    async fn receive(&self, records: &[QueueRecord], time: Duration) -> Vec<String> {
        let processor = Processor::<Memory<SlowLedger>, _>::new(
            self.ledger.clone(),
            self.payloads.clone(),
            self.records.clone(),
            Settings::default(),
            TestClock::default(),
            self.settings,
        );
        let failed = processor.process(records.to_vec(), Instant::now() + time).await;
        failed.into_iter().map(|record| record.message_id).collect()
    }

    /// The delivery as a message, its body in the payload store.
    async fn record(&self, delivery: &Delivery) -> QueueRecord {
        let key = PayloadKey::new(format!("deliveries/{}", delivery.id));
        self.payloads.put(&key, delivery.body.clone()).await.unwrap();
        let body = write_with_payload(delivery, key).unwrap();
        QueueRecord { message_id: delivery.id.to_string(), body, receive_count: 1, is_release: false }
    }

    /// Number of receives until a record is done, and how many events are recorded after each.
    async fn receive_until_done(&self, record: &QueueRecord, time: Duration) -> Vec<usize> {
        let mut recorded = Vec::new();
        loop {
            let failed = self.receive(std::slice::from_ref(record), time).await;
            recorded.push(self.ledger.events());
            if failed.is_empty() || recorded.len() == 20 {
                return recorded;
            }
        }
    }
}

fn delivery_of(provider: ProviderName, number: u8, body: String) -> Delivery {
    let sample = delivery(number, body);
    Delivery { provider, sha256: Sha256Digest::of(&sample.body), ..sample }
}

fn sterling(number: u8, events: usize) -> Delivery {
    let events: Vec<String> =
        (0..events).map(|event| format!(r#"{{"code":"supplyChange","n":"{number}.{event}"}}"#)).collect();
    delivery_of(ProviderName::Sterling, number, format!(r#"{{"eventbatch":[{{"events":[{}]}}]}}"#, events.join(",")))
}

fn nurturecloud(number: u8, entities: usize) -> Delivery {
    let entity = |id| {
        format!(
            r#"{{"organisationName":"Harbour Estates","businessId":"b","id":"{number}-{id}","name":"{}"}}"#,
            "n".repeat(90)
        )
    };
    let entities: Vec<String> = (0..entities).map(entity).collect();
    let body = format!(r#"{{"domainComponentName":"contact","state":"Current","payload":[{}]}}"#, entities.join(","));
    delivery_of(ProviderName::NurtureCloud, number, body)
}

#[tokio::test(start_paused = true)]
async fn twenty_thousand_events_are_recorded_in_one_invocation() {
    let world = World::default();
    let record = world.record(&sterling(1, 20_000)).await;
    assert_eq!(world.receive_until_done(&record, INVOCATION).await, [20_000]);
    let order = world.records.all().remove(0).time_index.time_order;
    assert!(order.ends_with("#stored=20000#sterling.supplyChange"), "all are known to be of one type: {order}");
}

#[tokio::test(start_paused = true)]
async fn a_hundred_thousand_events_are_recorded_within_the_receives_that_a_message_has() {
    let world = World::default();
    let delivery = sterling(1, 100_000);
    let record = world.record(&delivery).await;
    // A third of the time, so that the work is cut off several times.
    let recorded = world.receive_until_done(&record, Duration::from_secs(8)).await;
    assert_eq!(recorded.last(), Some(&100_000));
    assert!(recorded.len() <= 5, "{recorded:?}");
    let puts = world.ledger.watch().puts;
    assert!(puts < 100_000 + 100, "each receive goes on where the last one stopped: {puts} puts");
}

#[tokio::test(start_paused = true)]
async fn ten_large_arrays_in_one_batch_are_done_within_three_receives_one_after_the_other() {
    let world = World::default();
    let mut records = Vec::new();
    for number in 1..=10 {
        let delivery = nurturecloud(number, 5_400);
        assert!(delivery.body.len() > 900_000, "{}", delivery.body.len());
        records.push(world.record(&delivery).await);
    }
    let mut left = vec![records.len()];
    while !records.is_empty() && left.len() <= 5 {
        let failed = world.receive(&records, INVOCATION).await;
        records.retain(|record| failed.contains(&record.message_id));
        left.push(records.len());
    }
    assert_eq!(records.len(), 0, "{left:?}");
    assert!(left.len() <= 4, "left after each receive: {left:?}");
}

#[tokio::test(start_paused = true)]
async fn each_receive_of_several_long_deliveries_brings_some_of_them_to_an_end() {
    let world = World::default();
    let mut records = Vec::new();
    for number in 1..=6 {
        records.push(world.record(&sterling(number, 10_000)).await);
    }
    let mut left = vec![records.len()];
    while !records.is_empty() && left.len() < 10 {
        let failed = world.receive(&records, Duration::from_secs(5)).await;
        records.retain(|record| failed.contains(&record.message_id));
        left.push(records.len());
    }
    assert!(left.windows(2).all(|pair| pair[1] < pair[0]), "left after each receive: {left:?}");
    assert_eq!(world.ledger.events(), 60_000, "a delivery that had no turn is not done");
}

/// Payloads that note how many deliveries were done, their records included, when each body was fetched.
#[derive(Clone, Default)]
struct WatchedPayloads {
    payloads: MemoryPayloads,
    records: MemoryDeliveryRecords,
    recorded_at_fetch: Arc<Mutex<Vec<usize>>>,
}

impl PayloadReader for WatchedPayloads {
    async fn get(&self, key: &PayloadKey) -> Result<bytes::Bytes, PortError> {
        self.recorded_at_fetch.lock().unwrap().push(self.records.all().len());
        self.payloads.get(key).await
    }
}

impl Payloads for WatchedPayloads {
    async fn put(&self, key: &PayloadKey, bytes: bytes::Bytes) -> Result<(), PortError> {
        self.payloads.put(key, bytes).await
    }
}

#[tokio::test(start_paused = true)]
async fn bodies_of_at_most_8_mib_are_open_at_once() {
    let world = World::default();
    let mut records = Vec::new();
    for number in 1..=6 {
        let filling = "x".repeat(4 * 1024 * 1024 - 100);
        let body = format!(r#"{{"id":"{number}","event_name":"large","filling":"{filling}"}}"#);
        records.push(world.record(&delivery(number, body)).await);
    }
    let payloads = WatchedPayloads { payloads: world.payloads, records: world.records.clone(), ..Default::default() };
    let processor = Processor::<Memory<SlowLedger, WatchedPayloads>, _>::new(
        world.ledger,
        payloads.clone(),
        world.records,
        Settings::default(),
        TestClock::default(),
        ProcessorSettings::default(),
    );
    assert!(processor.process(records, Instant::now() + INVOCATION).await.is_empty());
    let recorded = payloads.recorded_at_fetch.lock().unwrap().clone();
    assert_eq!(recorded.len(), 6);
    for (fetched_before, recorded) in recorded.into_iter().enumerate() {
        assert!(fetched_before - recorded < 2, "{fetched_before} bodies fetched, and {recorded} of them done");
    }
}

#[tokio::test(start_paused = true)]
async fn no_event_is_begun_when_its_call_would_hardly_end_in_time() {
    let world = World::default();
    world.ledger.watch().slowness = 200;
    let record = world.record(&sterling(1, 200)).await;
    let stop_at = Instant::now() + Duration::from_secs(6);
    assert_eq!(world.receive(&[record], Duration::from_secs(6)).await.len(), 1);
    let last_begun = world.ledger.watch().last_call_begun.unwrap();
    assert!(last_begun < stop_at - WIND_DOWN, "{:?} before the end", stop_at - last_begun);
    assert!(world.ledger.events() > 100, "what was begun was brought to an end");
}

#[tokio::test(start_paused = true)]
async fn a_delivery_whose_last_call_ends_in_the_last_second_still_gets_its_record() {
    let world = World::default();
    world.ledger.watch().slowness = 349;
    let record = world.record(&sterling(1, 1)).await;
    assert_eq!(world.receive(&[record], Duration::from_millis(2_100)).await, Vec::<String>::new());
    assert_eq!(world.records.all().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn neighbours_get_their_turns_while_the_recorded_events_of_a_long_delivery_are_skipped() {
    let (world, (skipped, of_neighbour)) = (World::default(), (8_000, 95));
    let (long, neighbour) = (sterling(1, skipped + 1), sterling(2, of_neighbour));
    let progress = ProgressEntry {
        provider: long.provider,
        delivery_id: long.id,
        events: skipped as u32 + 1,
        next_index: EventIndex(skipped as u32),
        outcomes: OutcomeCounts::default(),
        expires_at: 0,
    };
    let ledger = world.ledger.ledger.clone();
    ledger.entries.lock().unwrap().insert(ProgressEntry::key(long.id), Entry::Progress(progress));
    let processor = Processor::<Memory, _>::new(
        ledger.clone(),
        world.payloads.clone(),
        world.records.clone(),
        Settings::default(),
        TestClock::default(),
        world.settings,
    );
    let records = vec![world.record(&long).await, world.record(&neighbour).await];
    assert_eq!(processor.process(records, Instant::now() + INVOCATION).await, []);
    let log = ledger.log.lock().unwrap();
    let order = log.iter().filter_map(|(_, _, entry)| match entry {
        Entry::Event(event) => Some(event.occurrence.delivery_id),
        _ => None,
    });
    assert_eq!(
        order.take_while(|id| *id == neighbour.id).count(),
        of_neighbour,
        "all of them, and then the long one's"
    );
}

#[tokio::test(start_paused = true)]
async fn small_neighbours_of_a_long_delivery_are_done_at_once() {
    let world = World::default();
    let long = sterling(1, 50_000);
    let mut records = vec![world.record(&long).await];
    for number in 2..=10 {
        records.push(world.record(&sterling(number, 3)).await);
    }
    let failed = world.receive(&records, Duration::from_secs(4)).await;
    assert_eq!(failed, [long.id.to_string()]);
}

#[tokio::test(start_paused = true)]
async fn events_are_recorded_side_by_side_up_to_the_bound_and_those_of_one_entity_one_by_one() {
    let world = World::default();
    let entity =
        |id: usize, name: usize| format!(r#"{{"organisationName":"o","businessId":"b","id":"{id}","name":"{name}"}}"#);
    let entities: Vec<String> = (0..2_000).map(|number| entity(number / 20, number)).collect();
    let body = format!(r#"{{"domainComponentName":"agent","state":"Updated","payload":[{}]}}"#, entities.join(","));
    let record = world.record(&delivery_of(ProviderName::NurtureCloud, 1, body)).await;
    let other = world.record(&sterling(2, 1_000)).await;
    assert!(world.receive(&[record, other], INVOCATION).await.is_empty());
    let watch = world.ledger.watch();
    assert_eq!((watch.max_of_one_partition, watch.max_at_once), (1, ProcessorSettings::default().event_concurrency));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_cut_off_at_any_moment_goes_on_from_what_was_saved_and_records_each_event_once() {
    let world = World::default();
    let delivery = sterling(1, 30_000);
    let record = world.record(&delivery).await;
    for milliseconds in [1, 700, 900, 700] {
        let run = world.receive(std::slice::from_ref(&record), INVOCATION);
        assert!(tokio::time::timeout(Duration::from_millis(milliseconds), run).await.is_err(), "killed");
    }
    assert!(world.ledger.progress(&delivery).unwrap().next_index.0 >= EVENTS_BETWEEN_SAVES);
    let lines = Lines::record();
    assert!(world.receive(&[record], INVOCATION).await.is_empty());
    assert_eq!(world.ledger.events(), 30_000);
    let line = lines.of("record processed").remove(0);
    let further = line["further_outcomes"].as_str().unwrap();
    assert_eq!(further, format!("stored={}", 30_000 - 20), "the line counts the events of every receive");
    assert_eq!(line["outcomes"].as_str().unwrap().split(',').count(), 20);
    let record = world.records.of(delivery.id).unwrap();
    assert_eq!((record.events, record.outcomes.len(), record.counts().stored), (30_000, 20, 30_000));
    assert_eq!(record.further_outcomes.stored, 30_000 - 20, "so does the record");
}

#[tokio::test(start_paused = true)]
async fn a_long_delivery_that_is_done_is_judged_again_when_it_is_sent_again() {
    let world = World::default();
    let delivery = sterling(1, 20_000);
    let record = world.record(&delivery).await;
    let receives = world.receive_until_done(&record, Duration::from_secs(4)).await;
    assert!(receives.len() > 1, "{receives:?}");
    let progress = world.ledger.progress(&delivery).unwrap();
    assert_eq!((progress.next_index, progress.outcomes), (EventIndex(0), OutcomeCounts::default()));
}

#[tokio::test(start_paused = true)]
async fn progress_of_another_number_of_events_is_not_gone_by() {
    let world = World::default();
    let delivery = sterling(1, 300);
    let progress = ProgressEntry {
        provider: delivery.provider,
        delivery_id: delivery.id,
        events: 299,
        next_index: EventIndex(299),
        outcomes: OutcomeCounts::default(),
        expires_at: 0,
    };
    let put = ConditionalPut {
        key: ProgressEntry::key(delivery.id),
        entry: Entry::Progress(progress),
        condition: crate::ledger::Condition::Always,
    };
    world.ledger.put(delivery.received_at, &[put]).await.unwrap();
    let record = world.record(&delivery).await;
    assert!(world.receive(&[record], INVOCATION).await.is_empty());
    assert_eq!(world.ledger.events(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_short_delivery_neither_reads_nor_writes_progress() {
    let world = World::default();
    let delivery = sterling(1, MIN_LONG_DELIVERY_EVENTS - 1);
    let record = world.record(&delivery).await;
    assert!(world.receive(&[record], INVOCATION).await.is_empty());
    assert_eq!(world.ledger.watch().puts, MIN_LONG_DELIVERY_EVENTS - 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_recorded_keeps_no_other_event_from_being_recorded() {
    let world = World::default();
    let delivery = sterling(1, 1_000);
    let providers = Settings::default();
    let poisoned = providers.split(&delivery).unwrap().nth(3).unwrap().unwrap().identity.partition_key();
    world.ledger.watch().poison.insert(poisoned);
    let record = world.record(&delivery).await;
    assert_eq!(world.receive(std::slice::from_ref(&record), INVOCATION).await, [delivery.id.to_string()]);
    assert_eq!(world.ledger.events(), 999);
    assert_eq!(world.ledger.progress(&delivery).unwrap().next_index, EventIndex(3));
    world.ledger.watch().poison.clear();
    assert!(world.receive(&[record], INVOCATION).await.is_empty());
    assert_eq!(world.ledger.events(), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_down_is_not_asked_for_every_event_of_a_long_delivery() {
    let settings = ProcessorSettings { event_concurrency: 1, ..ProcessorSettings::default() };
    let world = World { settings, ..World::default() };
    let delivery = sterling(1, 1_000);
    let providers = Settings::default();
    for event in providers.split(&delivery).unwrap() {
        world.ledger.watch().poison.insert(event.unwrap().identity.partition_key());
    }
    let record = world.record(&delivery).await;
    assert_eq!(world.receive(&[record], INVOCATION).await, [delivery.id.to_string()]);
    let puts = world.ledger.watch().puts;
    assert_eq!(puts, MAX_FAILED_EVENTS + 1, "beside those that failed, the one that was read ahead");
}

#[tokio::test(start_paused = true)]
async fn a_delivery_with_too_many_events_is_quarantined_as_a_whole_with_the_reason() {
    let world = World::default();
    let body = format!("[{}0]", "0,".repeat(intake_providers::split::MAX_EVENTS));
    let delivery = delivery_of(ProviderName::Sterling, 1, body.clone());
    let record = world.record(&delivery).await;
    assert!(world.receive(&[record], INVOCATION).await.is_empty());
    let entries = world.ledger.ledger.entries();
    let Some(Entry::Quarantine(entry)) = entries.values().next() else { panic!("a quarantined delivery") };
    assert!(entry.reason.contains("100000"), "{}", entry.reason);
    assert_eq!(entries.len(), 1);
    let kept = crate::queue_message::read(entry.document().unwrap(), &world.payloads).await.unwrap();
    assert_eq!(kept, delivery);
}

#[tokio::test(start_paused = true)]
async fn every_malformed_event_of_a_long_delivery_has_an_entry_and_the_delivery_is_kept_once() {
    let world = World::default();
    let delivery = delivery_of(ProviderName::Sterling, 1, format!("[{}0]", "0,".repeat(4_999)));
    let record = world.record(&delivery).await;
    assert!(world.receive(&[record], INVOCATION).await.is_empty());
    let entries = world.ledger.ledger.entries();
    assert_eq!(entries.values().filter(|entry| matches!(entry, Entry::Quarantine(_))).count(), 5_000);
    assert_eq!(world.payloads.puts(), 2, "the message's own body, and one in quarantine");
}

//! The record of each delivery, as the processor leaves it.

use std::collections::BTreeMap;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderValue;
use intake_providers::ProviderName;
use intake_providers::authentic::KeptHeader;
use intake_providers::delivery::DeliveryId;
use intake_providers::digest::Sha256Digest;
use intake_providers::timestamp::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::delivery_record::{DeliveryRecord, EventOutcome, MAX_INLINE_BODY_BYTES, RecordedBody, RecordedHeader};
use crate::ledger::{EntryKey, LedgerReader as _, Occurrence, Outcome, ProgressEntry};
use crate::payloads::Payloads;
use crate::queue_message::write_inline;
use crate::testing::RefusingPayloads;

#[derive(Clone, Default)]
struct World {
    ledger: MemoryLedger,
    payloads: MemoryPayloads,
    records: MemoryDeliveryRecords,
    settings: ProcessorSettings,
}

impl World {
    fn processor(&self) -> Processor<Memory, Settings> {
        self.processor_with(self.payloads.clone())
    }

    fn processor_with<S: Payloads>(&self, payloads: S) -> Processor<Memory<MemoryLedger, S>, Settings> {
        let (ledger, records) = (self.ledger.clone(), self.records.clone());
        Processor::new(ledger, payloads, records, Settings::default(), TestClock::default(), self.settings)
    }

    /// Receives a delivery for the n-th time, and returns whether it is done.
    async fn receive(&self, delivery: &Delivery, receive_count: u32) -> bool {
        self.processor().process(vec![message(delivery, receive_count)], later()).await.is_empty()
    }

    async fn record(&self, delivery: &Delivery) -> DeliveryRecord {
        assert!(self.receive(delivery, 1).await);
        self.records.of(delivery.id).unwrap()
    }

    async fn body(&self, record: &DeliveryRecord) -> Bytes {
        record.read_body(&self.ledger, &self.payloads).await.unwrap()
    }
}

fn message(delivery: &Delivery, receive_count: u32) -> QueueRecord {
    QueueRecord {
        message_id: delivery.id.to_string(),
        body: write_inline(delivery).unwrap(),
        receive_count,
        is_release: false,
    }
}

fn of(provider: ProviderName, number: u8, body: impl Into<Bytes>) -> Delivery {
    let sample = delivery(number, body);
    Delivery { provider, sha256: Sha256Digest::of(&sample.body), ..sample }
}

fn machnet(number: u8, id: &str, more: &str) -> Delivery {
    of(ProviderName::Machnet, number, format!(r#"{{"id":"{id}","event_name":"done","resource_id":"{id}"{more}}}"#))
}

fn sterling(number: u8, events: usize, filling: &str) -> Delivery {
    let event = |event| format!(r#" {{"code":"supplyChange","n":"{number}.{event}","filling":"{filling}"}} "#);
    let events: Vec<String> = (0..events).map(event).collect();
    of(ProviderName::Sterling, number, format!("{{\"eventbatch\":\n[{{\"events\":[{}]}}]}}\n", events.join(",")))
}

fn nurturecloud(number: u8, entities: usize, filling: &str) -> Delivery {
    let entity = |id| format!(r#"{{"organisationName":"o","businessId":"b","id":"{id}","name":"{filling}"}}"#);
    let entities: Vec<String> = (0..entities).map(entity).collect();
    let body = format!(
        "{{\"domainComponentName\":\"contact\", \"state\":\"Updated\",\r\n\"payload\":[{}]}}",
        entities.join(" , ")
    );
    of(ProviderName::NurtureCloud, number, body)
}

fn outcomes(record: &DeliveryRecord) -> Vec<(u32, Outcome, Option<DeliveryId>)> {
    let parts = |event: &EventOutcome| (event.index.0, event.outcome, event.first_delivery);
    record.outcomes.iter().map(parts).collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_and_an_array_are_kept_byte_for_byte_with_the_outcome_of_each_event() {
    for delivery in [sterling(1, 3, "ü"), nurturecloud(2, 3, "\u{1f600}")] {
        let world = World::default();
        let record = world.record(&delivery).await;
        let RecordedBody::Text { body } = &record.body else { panic!("{:?}", record.body) };
        assert_eq!(body.as_bytes(), delivery.body);
        assert_eq!(world.body(&record).await, delivery.body);
        assert_eq!(record.events, 3);
        assert_eq!(outcomes(&record), [0, 1, 2].map(|index| (index, Outcome::Stored, None)));
        assert_eq!((record.sha256, record.body_bytes), (delivery.sha256, delivery.body.len() as u64));
        assert_eq!(record.expires_at, Timestamp::parse("2026-12-21T09:30:00Z").unwrap().unix_seconds());
        assert_eq!(record.key_fingerprint, delivery.authenticated_by.fingerprint.to_string());
        assert_eq!(&record.account, delivery.account());
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_batch_is_an_object_of_its_own_and_its_events_are_as_before() {
    for delivery in [sterling(1, 5, &"x".repeat(MAX_INLINE_BODY_BYTES / 4)), nurturecloud(2, 500, "y")] {
        let world = World::default();
        let record = world.record(&delivery).await;
        let RecordedBody::Payload { body_key } = &record.body else { panic!("{:?}", record.body) };
        let day = format!("delivery-bodies/{}/2026/11/21/{}", delivery.provider, delivery.id);
        assert_eq!(body_key.as_str(), day);
        assert_eq!(world.body(&record).await, delivery.body);
        assert_eq!(record.counts().stored, record.events);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_one_event_is_kept_once_whatever_its_size() {
    for size in [10, MAX_INLINE_BODY_BYTES * 2] {
        let world = World::default();
        let delivery = machnet(1, "a", &format!(r#","filling":"{}""#, "x".repeat(size)));
        let record = world.record(&delivery).await;
        assert!(matches!(&record.body, RecordedBody::Event { body_of_event } if body_of_event.sort == "event"));
        assert_eq!(world.body(&record).await, delivery.body);
        assert!(world.payloads.0.lock().unwrap().keys().all(|key| key.starts_with("events/")), "{size}");
        assert_eq!(record.event_types, ["machnet.done"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_names_the_first_delivery_and_its_own_bytes_are_kept() {
    let world = World::default();
    let first = machnet(1, "a", r#","timestamp":"1""#);
    world.record(&first).await;
    let same = Delivery { id: delivery(2, "").id, ..first.clone() };
    let later = machnet(3, "a", r#","timestamp":"2""#);
    let (same_record, later_record) = (world.record(&same).await, world.record(&later).await);
    for record in [&same_record, &later_record] {
        assert_eq!(outcomes(record), [(0, Outcome::Duplicate, Some(first.id))]);
        assert_eq!(record.first_delivery(), Some(first.id));
    }
    assert!(matches!(same_record.body, RecordedBody::Event { .. }), "the bytes are those of the first");
    assert!(matches!(later_record.body, RecordedBody::Text { .. }), "the same content in other bytes");
    assert_eq!(world.body(&later_record).await, later.body);

    let other = machnet(4, "a", r#","amount":"2""#);
    let again = Delivery { id: delivery(5, "").id, ..other.clone() };
    let (conflict, repeated) = (world.record(&other).await, world.record(&again).await);
    assert_eq!(outcomes(&conflict), [(0, Outcome::Conflict, Some(first.id))]);
    assert_eq!(outcomes(&repeated), [(0, Outcome::Duplicate, Some(other.id))], "of the conflict that was kept");
    for record in [&conflict, &repeated] {
        let RecordedBody::Event { body_of_event } = &record.body else { panic!("{:?}", record.body) };
        assert!(body_of_event.sort.starts_with("conflict#"), "{body_of_event:?}");
        assert_eq!(world.body(record).await, other.body);
    }
}

#[tokio::test(start_paused = true)]
async fn the_duplicates_of_a_batch_and_of_an_array_name_the_first_delivery_each() {
    for (first, second) in [
        (sterling(1, 2, "x"), Delivery { id: delivery(2, "").id, ..sterling(1, 2, "x") }),
        (nurturecloud(1, 2, "x"), nurturecloud(2, 3, "x")),
    ] {
        let world = World::default();
        world.record(&first).await;
        let record = world.record(&second).await;
        assert_eq!(
            outcomes(&record)[..2],
            [0, 1].map(|index| (index, Outcome::Duplicate, Some(first.id))),
            "{}",
            first.provider
        );
        world.records.records.lock().unwrap().clear();
        assert_eq!(world.record(&second).await, record, "a redelivery finds the same");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quarantined_delivery_has_a_record_and_its_body_is_kept_once() {
    let large = [vec![0xff; MAX_INLINE_BODY_BYTES * 2], b"tail".to_vec()].concat();
    for body in [large, vec![0xff, 0x00], b"{}".to_vec()] {
        let world = World::default();
        let delivery = of(ProviderName::Machnet, 1, body);
        let record = world.record(&delivery).await;
        assert_eq!(outcomes(&record), [(0, Outcome::Quarantined, None)]);
        assert_eq!(record.events, 1);
        assert!(matches!(record.body, RecordedBody::Quarantine { .. }), "{:?}", record.body);
        assert_eq!(world.body(&record).await, delivery.body);
        assert!(world.payloads.puts() <= 1);
    }
    let world = World::default();
    let mixed = of(ProviderName::Sterling, 1, r#"[{"code":"c"}, 7]"#);
    let record = world.record(&mixed).await;
    assert_eq!(outcomes(&record), [(0, Outcome::Stored, None), (1, Outcome::Quarantined, None)]);
    assert_eq!(world.body(&record).await, mixed.body);
}

#[tokio::test(start_paused = true)]
async fn the_record_has_every_header_but_credentials() {
    let world = World::default();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "hooks.example.com"),
        ("x-raas-event", "done"),
        ("authorization", "Bearer hush"),
        ("x-forwarded-for", "203.0.113.9"),
        ("cookie", "hush=1"),
    ] {
        headers.append(name, HeaderValue::from_static(value));
    }
    headers.append("x-bytes", HeaderValue::from_bytes(b"\xff").unwrap());
    let sample = delivery(1, BODY);
    let verified = verified(sample.id, sample.received_at, headers, sample.body);
    let record = world.record(verified.as_delivery()).await;
    let kept: Vec<String> = record
        .headers
        .iter()
        .map(|RecordedHeader(name, value)| format!("{name}: {}", serde_json::to_value(value).unwrap()))
        .collect();
    assert_eq!(
        kept,
        [
            r#"x-raas-event: "done""#,
            r#"host: "hooks.example.com""#,
            r#"x-forwarded-for: "203.0.113.9""#,
            r#"x-bytes: {"base64":"/w=="}"#,
            r#"intake-omitted-headers: "authorization, cookie""#,
        ]
    );
    assert!(!serde_json::to_string(&record).unwrap().contains("hush"));
}

#[tokio::test(start_paused = true)]
async fn a_retention_of_nothing_keeps_no_record_and_stores_no_body() {
    let settings = ProcessorSettings { delivery_retention: None, ..ProcessorSettings::default() };
    let world = World { settings, ..World::default() };
    assert!(world.receive(&nurturecloud(1, 500, "y"), 1).await);
    assert_eq!((world.records.puts.load(std::sync::atomic::Ordering::Relaxed), world.payloads.puts()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_written_is_tried_with_the_redelivery_which_finds_the_outcomes() {
    for fault in [Behaviour::Fail, Behaviour::FailAfterwards, Behaviour::Hang, Behaviour::Panic] {
        let world = World::default();
        let delivery = machnet(1, "a", "");
        world.records.next.lock().unwrap().push_back(fault);
        assert!(!world.receive(&delivery, 1).await, "{fault:?}");
        assert_eq!(world.ledger.entries().len(), 2, "the event and its alias are recorded all the same");
        assert!(world.receive(&delivery, 2).await, "{fault:?}");
        let [record] = &world.records.all()[..] else { panic!("one record") };
        assert_eq!(outcomes(record), [(0, Outcome::Stored, None)]);
        assert_eq!(record.receive_count, 2);
        assert_eq!(world.body(record).await, delivery.body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_delivery_whose_record_can_never_be_written_is_acknowledged_at_the_third_receive_and_the_log_says_so() {
    for fault in [Behaviour::Fail, Behaviour::Hang, Behaviour::Panic] {
        let world = World::default();
        *world.records.always.lock().unwrap() = Some(fault);
        let lines = Lines::record();
        let delivery = machnet(1, "a", "");
        let mut done = Vec::new();
        for receive_count in 1..=3 {
            done.push(world.receive(&delivery, receive_count).await);
        }
        assert_eq!(done, [false, false, true], "{fault:?}");
        assert_eq!(lines.of("record failed").len(), 2);
        let message = "the record of a delivery cannot be written; its events are recorded, and it is acknowledged without a record";
        let [line] = &lines.of(message)[..] else { panic!("{}", lines.text()) };
        assert_eq!((&line["level"], &line["delivery_id"]), (&"ERROR".into(), &delivery.id.to_string().into()));
        assert_eq!(lines.of("record processed").len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_can_never_be_stored_leaves_a_record_without_it() {
    let world = World::default();
    let payloads = RefusingPayloads(world.payloads.clone(), "delivery-bodies/");
    let delivery = sterling(1, 500, "x");
    let mut done = Vec::new();
    for receive_count in 1..=3 {
        let records = vec![message(&delivery, receive_count)];
        done.push(world.processor_with(payloads.clone()).process(records, later()).await.is_empty());
        assert_eq!(world.records.all().len(), usize::from(receive_count == 3));
    }
    assert_eq!(done, [false, false, true]);
    let [record] = &world.records.all()[..] else { panic!("one record") };
    assert_eq!(record.counts().stored, 500);
    let error = record.read_body(&world.ledger, &world.payloads).await.unwrap_err().to_string();
    assert!(error.ends_with("was not kept: payload put failed: access denied"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_record_that_fails_neither_fails_nor_slows_its_neighbours() {
    let world = World::default();
    world.records.next.lock().unwrap().push_back(Behaviour::Hang);
    let deliveries: Vec<Delivery> = (1..=10).map(|number| machnet(number, &number.to_string(), "")).collect();
    let records = deliveries.iter().map(|delivery| message(delivery, 1)).collect();
    let failed = world.processor().process(records, later()).await;
    assert_eq!(failed.len(), 1);
    assert_eq!(world.records.all().len(), 9);
    let events = world.ledger.entries().into_values().filter(|entry| matches!(entry, Entry::Event(_))).count();
    assert_eq!(events, 10);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_hangs_keeps_large_bodies_waiting_for_five_seconds_at_most() {
    let world = World::default();
    *world.records.next.lock().unwrap() = [Behaviour::Hang, Behaviour::Hang].into();
    let filling = "x".repeat(4 * 1024 * 1024 - 100);
    let large = |number: u8| machnet(number, &number.to_string(), &format!(r#","filling":"{filling}""#));
    let records = (1..=3).map(|number| message(&large(number), 1)).collect();
    let started = Instant::now();
    let failed = world.processor().process(records, later()).await;
    assert_eq!((failed.len(), world.records.all().len()), (2, 1));
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_long_delivery_whose_record_failed_gets_it_without_recording_its_events_again() {
    let world = World::default();
    let delivery = sterling(1, 1_000, "");
    world.records.next.lock().unwrap().push_back(Behaviour::Fail);
    assert!(!world.receive(&delivery, 1).await);
    let Some(Entry::Progress(progress)) = world.ledger.find(&ProgressEntry::key(delivery.id)).await.unwrap() else {
        panic!("saved")
    };
    assert_eq!(progress.next_index.0, 1_000);
    assert!(world.receive(&delivery, 2).await);
    let record = world.records.of(delivery.id).unwrap();
    assert_eq!((record.counts().stored, record.outcomes.len()), (1_000, 0));
    assert_eq!(world.body(&record).await, delivery.body);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_is_released_after_a_fix_has_the_new_outcomes_in_its_record() {
    let world = World::default();
    let delivery = of(ProviderName::Sterling, 1, r#"[{"code":"c"},{"code":"d"}]"#);
    let mut first = world.record(&delivery).await;
    // As if an earlier release had not been able to read the second event.
    first.outcomes[1].outcome = Outcome::Quarantined;
    world.records.records.lock().unwrap().insert(delivery.id, first);
    assert_eq!(world.record(&delivery).await.counts().to_string(), "stored=2");
}

/// Deliveries of three forms: one event that is the body, a batch, and one that cannot be read.
fn any_delivery(number: u8) -> impl Strategy<Value = Delivery> {
    prop_oneof![
        3 => ("[ab]", 0..2_u8).prop_map(move |(id, amount)| machnet(number, &id, &format!(r#","amount":{amount},"timestamp":"{number}""#))),
        2 => (1..4_usize).prop_map(move |events| {
            let events: Vec<String> = (0..events).map(|event| format!(r#"{{"code":"c{event}"}}"#)).collect();
            of(ProviderName::Sterling, number, format!("[{}]", events.join(", ")))
        }),
        1 => Just(of(ProviderName::Machnet, number, "{")),
    ]
}

fn any_deliveries() -> impl Strategy<Value = Vec<Delivery>> {
    (1..5_u8).prop_flat_map(|count| (1..=count).map(any_delivery).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    /// Processors that are killed at any await, two at once, stores that fail before or after: in the end each delivery has exactly one
    /// record, which agrees with the ledger, and whose body is what was received.
    #[test]
    fn every_delivery_has_one_record_that_agrees_with_the_ledger(
        deliveries in any_deliveries(),
        attempts in prop::collection::vec((any::<prop::sample::Index>(), 1..40_usize), 0..10),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..120),
        ledger_faults in prop::collection::vec(prop_oneof![
            6 => Just(Behaviour::Work), 1 => Just(Behaviour::Fail), 1 => Just(Behaviour::FailAfterwards),
        ], 0..20),
        record_faults in prop::collection::vec(prop_oneof![
            1 => Just(Behaviour::Work), 1 => Just(Behaviour::Fail), 1 => Just(Behaviour::FailAfterwards), 1 => Just(Behaviour::Panic),
        ], 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let _entered = runtime.enter();
        let world = World::default();
        *world.ledger.next.lock().unwrap() = ledger_faults.into();
        *world.records.next.lock().unwrap() = record_faults.into();
        let processor = world.processor();
        let mut running: Vec<_> = attempts
            .iter()
            .map(|(delivery, lives)| {
                let records = vec![message(&deliveries[delivery.index(deliveries.len())], 1)];
                Some((*lives, Box::pin(processor.process(records, later()))))
            })
            .collect();
        let mut context = Context::from_waker(Waker::noop());
        for which in order {
            if running.is_empty() {
                break;
            }
            let slot = which.index(running.len());
            let Some((lives, mut work)) = running[slot].take() else { continue };
            if let Poll::Pending = work.as_mut().poll(&mut context)
                && lives > 1
            {
                running[slot] = Some((lives - 1, work));
            }
        }
        drop(running);
        world.ledger.next.lock().unwrap().clear();

        // The queue hands every delivery over until it is done, and once more.
        runtime.block_on(async {
            for delivery in &deliveries {
                let mut receives = 0;
                while !world.receive(delivery, 1).await {
                    receives += 1;
                    prop_assert!(receives < 10);
                }
            }
            world.records.next.lock().unwrap().clear();
            let before = world.records.all();
            for delivery in &deliveries {
                prop_assert!(world.receive(delivery, 1).await);
            }
            prop_assert_eq!(&world.records.all(), &before, "a redelivery changes nothing");
            prop_assert_eq!(before.len(), deliveries.len());

            let entries: BTreeMap<EntryKey, Entry> = world.ledger.entries();
            let kept: BTreeMap<Occurrence, Outcome> = entries.values().filter_map(|entry| match entry {
                Entry::Event(event) | Entry::Conflict(event) => Some((event.occurrence, event.outcome)),
                Entry::Quarantine(entry) => Some((entry.occurrence, entry.outcome)),
                _ => None,
            }).collect();
            for delivery in &deliveries {
                let record = world.records.of(delivery.id).unwrap();
                prop_assert_eq!(world.body(&record).await, &delivery.body);
                prop_assert_eq!(record.outcomes.len(), record.events as usize);
                for event in &record.outcomes {
                    let recorded = kept.get(&Occurrence { delivery_id: delivery.id, index: event.index });
                    prop_assert_eq!(recorded.copied(), (event.outcome != Outcome::Duplicate).then_some(event.outcome));
                    // What is a duplicate was first in another delivery, where it still is.
                    let names_first = matches!(event.outcome, Outcome::Duplicate | Outcome::Conflict);
                    prop_assert_eq!(event.first_delivery.is_some(), names_first);
                    if let Some(first) = event.first_delivery {
                        prop_assert!(kept.keys().any(|occurrence| occurrence.delivery_id == first), "{:?}", event);
                    }
                }
            }
            Ok(())
        })?;
    }
}

/// What API Gateway adds to a request of a provider, and an Accredit signature of 2,048 bits.
fn usual_headers(provider: ProviderName) -> Vec<KeptHeader> {
    let signature = match provider {
        ProviderName::Accredit => Some(("x-signature", 344)),
        ProviderName::Machnet => Some(("x-raas-webhook-signature", 64)),
        _ => None,
    };
    let usual = [
        ("content-type", 16),
        ("user-agent", 40),
        ("accept", 3),
        ("accept-encoding", 17),
        ("content-length", 4),
        ("host", 50),
        ("x-amzn-trace-id", 40),
        ("x-forwarded-for", 13),
        ("x-forwarded-port", 3),
        ("x-forwarded-proto", 5),
    ];
    let header = |(name, size): (&str, usize)| KeptHeader { name: name.to_owned(), value: vec![b'v'; size] };
    signature.into_iter().chain(usual).map(header).collect()
}

/// A value's size as DynamoDB counts it. Source: AWS, "DynamoDB Item sizes and formats".
fn size_bytes(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Null | serde_json::Value::Bool(_) => 1,
        serde_json::Value::Number(number) => number.to_string().len().div_ceil(2) + 1,
        serde_json::Value::String(text) => text.len(),
        serde_json::Value::Array(values) => 3 + values.iter().map(|value| 1 + size_bytes(value)).sum::<usize>(),
        serde_json::Value::Object(members) => {
            3 + members.iter().map(|(name, value)| 1 + name.len() + size_bytes(value)).sum::<usize>()
        }
    }
}

/// An item's write units; the item has its keys as well.
fn write_units(record: &DeliveryRecord) -> usize {
    let key = DeliveryRecord::key(record.delivery_id);
    let item = serde_json::to_value(record).unwrap();
    (size_bytes(&item) + "pk".len() + key.partition.len() + "sk".len() + key.sort.len()).div_ceil(1024)
}

/// What a record costs beside the events, so that a change of it is noticed. The time index takes one more write unit each.
#[tokio::test(start_paused = true)]
async fn the_write_units_of_a_record_are_known() {
    let accredit =
        |number| of(ProviderName::Accredit, number, r#"{"Event":"Badge.Created","Timestamp":"2026-11-21T09:30:00Z"}"#);
    let mut table = String::new();
    for (name, mut first) in [
        ("accredit, one event", accredit(1)),
        ("machnet, one event", machnet(1, "a", "")),
        ("machnet, one event of 300 kB", machnet(1, "a", &format!(r#","filling":"{}""#, "x".repeat(300_000)))),
        ("sterling, a batch of 10 events in 2 kB", sterling(1, 10, &"x".repeat(130))),
        ("sterling, a batch of 50 events in 15 kB", sterling(1, 50, &"x".repeat(240))),
        ("sterling, a batch of 1,000 events in 200 kB", sterling(1, 1_000, &"x".repeat(140))),
        ("nurturecloud, an array of 10 entities in 2 kB", nurturecloud(1, 10, &"x".repeat(130))),
        ("nurturecloud, an array of 5,000 entities in 700 kB", nurturecloud(1, 5_000, &"x".repeat(70))),
    ] {
        let world = World::default();
        first.headers = usual_headers(first.provider);
        let second = Delivery { id: delivery(2, "").id, ..first.clone() };
        for (what, delivery) in [("new", first), ("the same again", second)] {
            let record = world.record(&delivery).await;
            let objects = u32::from(matches!(record.body, RecordedBody::Payload { .. }));
            table.push_str(&format!("{name}, {what}: {} write, {objects} objects\n", write_units(&record)));
        }
    }
    assert_eq!(table, include_str!("delivery_record_units.txt"));
}

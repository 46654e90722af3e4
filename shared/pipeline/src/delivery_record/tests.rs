use intake_providers::authentic::KeptHeader;
use intake_providers::event::EventIndex;
use proptest::prelude::*;

use super::*;
use crate::ledger::Outcome;
use crate::recording::Recorded;
use crate::testing::delivery;

fn recorded(outcome: Outcome, event_type: &str) -> Recorded {
    Recorded { outcome, first_delivery: None, event_type: Some(event_type.to_owned()), kept_body: None }
}

fn record(delivery: &Delivery, outcomes: DeliveryOutcomes) -> DeliveryRecord {
    let body = RecordedBody::Text { body: String::new() };
    DeliveryRecord::of(delivery, outcomes, body, 1, delivery.received_at, delivery.received_at)
}

fn with_types(types: &[&str]) -> DeliveryOutcomes {
    let mut outcomes = DeliveryOutcomes::default();
    outcomes.begin(types.len());
    for (index, event_type) in (0..).zip(types) {
        outcomes.settle(EventIndex(index), recorded(Outcome::Stored, event_type));
    }
    outcomes
}

#[test]
fn the_time_index_has_hours_of_its_own_and_ends_with_the_outcomes_and_the_only_type() {
    let delivery = delivery(1, "{}");
    let index = |types: &[&str]| record(&delivery, with_types(types)).time_index;
    let TimeIndex { time_bucket, time_order } = index(&["machnet.done", "machnet.done"]);
    let (bucket, shard) = time_bucket.rsplit_once('#').unwrap();
    assert_eq!(bucket, "deliveries#machnet#2026-11-21T09");
    assert!(shard.parse::<u8>().unwrap() < TIME_SHARDS);
    assert_eq!(time_order, format!("2026-11-21T09:30:00.000Z#{}#stored=2#machnet.done", delivery.id));

    let long = "t".repeat(MAX_INDEXED_TYPE_BYTES + 1);
    for types in [&["a", "b"][..], &[&long], &[], &["a", "b", "c", "d", "e", "f"]] {
        assert!(index(types).time_order.ends_with('#'), "{types:?}");
    }
    let mut resumed = with_types(&["a"]);
    resumed.resume(OutcomeCounts { stored: 1, ..OutcomeCounts::default() });
    let order = record(&delivery, resumed).time_index.time_order;
    assert!(order.ends_with("#stored=2#"), "the types of an earlier receive are not known: {order}");
}

#[test]
fn five_types_are_listed_and_a_sixth_is_not() {
    let record = record(&delivery(1, "{}"), with_types(&["a", "b", "c", "d", "e", "f"]));
    assert_eq!(record.event_types, ["a", "b", "c", "d", "e"]);
}

#[test]
fn only_a_record_with_events_in_quarantine_gives_way_and_only_to_one_without() {
    let delivery = delivery(1, "{}");
    let of = |outcomes: &[Outcome]| {
        let mut settled = DeliveryOutcomes::default();
        settled.begin(outcomes.len());
        for (index, outcome) in (0..).zip(outcomes) {
            settled.settle(EventIndex(index), recorded(*outcome, "a"));
        }
        record(&delivery, settled)
    };
    let read = of(&[Outcome::Stored, Outcome::Duplicate]);
    let quarantined = of(&[Outcome::Stored, Outcome::Quarantined]);
    // The condition of DynamoDB reads it there.
    assert!(quarantined.time_index.time_order.contains("quarantined="));
    assert!(!read.time_index.time_order.contains("quarantined="));
    for (later, earlier, replaces) in [
        (&read, &read, true),
        (&read, &quarantined, true),
        (&quarantined, &quarantined, true),
        (&quarantined, &read, false),
    ] {
        assert_eq!(later.replaces(earlier), replaces);
    }
}

#[test]
fn deliveries_of_one_body_are_spread_over_the_shards() {
    let bucket = |number| record(&delivery(number, "{}"), DeliveryOutcomes::default()).time_index.time_bucket;
    let buckets: std::collections::BTreeSet<String> = (0..40).map(bucket).collect();
    assert_eq!(buckets.len(), usize::from(TIME_SHARDS));
}

#[test]
fn the_first_events_are_listed_and_all_are_counted() {
    let mut outcomes = DeliveryOutcomes::default();
    outcomes.begin(30);
    for index in (0..30).rev() {
        let outcome = if index % 10 == 1 { Outcome::Duplicate } else { Outcome::Stored };
        outcomes.settle(EventIndex(index), recorded(outcome, "t"));
    }
    let record = record(&delivery(1, "{}"), outcomes);
    let listed: Vec<u32> = record.outcomes.iter().map(|event| event.index.0).collect();
    assert_eq!(listed, (0..20).collect::<Vec<_>>());
    assert_eq!(record.further_outcomes.to_string(), "stored=9,duplicate=1");
    assert_eq!(record.counts().to_string(), "stored=27,duplicate=3");
}

#[test]
fn headers_beyond_the_limit_are_left_out_and_counted() {
    let header = |name: &str, value: Vec<u8>| KeptHeader { name: name.to_owned(), value };
    let headers = vec![
        header("odd", vec![0xff]),
        header("large", vec![b'l'; MAX_RECORDED_HEADERS_BYTES - 20]),
        header("too-large", vec![b'l'; 100]),
        header("last", b"value".to_vec()),
    ];
    let record = record(&Delivery { headers, ..delivery(1, "{}") }, DeliveryOutcomes::default());
    let names: Vec<&str> = record.headers.iter().map(|RecordedHeader(name, _)| name.as_str()).collect();
    assert_eq!((names, record.headers_over_limit), (vec!["odd", "large"], 2));
    assert_eq!(record.headers[0].1, HeaderText::Base64 { base64: "/w==".to_owned() });
}

#[test]
fn a_count_of_none_is_not_written() {
    let written = |number: u32| {
        let mut record = record(&delivery(1, "{}"), DeliveryOutcomes::default());
        record.headers_over_limit = number;
        serde_json::to_value(&record).unwrap()["headers_over_limit"].clone()
    };
    assert_eq!((written(0), written(2)), (serde_json::Value::Null, 2.into()));
}

proptest! {
    #[test]
    fn a_record_is_read_as_it_was_written(
        kinds in prop::collection::vec((0..5_usize, "[a-c]{1,3}"), 0..40),
        name in "[a-z]{1,9}",
        value in prop::collection::vec(any::<u8>(), 0..40),
        body in 0..6_usize,
    ) {
        let mut outcomes = DeliveryOutcomes::default();
        outcomes.begin(kinds.len());
        let mut delivery = delivery(1, "{}");
        for (index, (kind, event_type)) in (0..).zip(&kinds) {
            let outcome = [Outcome::Stored, Outcome::Duplicate, Outcome::Repeat, Outcome::Conflict, Outcome::Quarantined][*kind];
            let first_delivery = (outcome == Outcome::Duplicate).then_some(delivery.id);
            outcomes.settle(EventIndex(index), Recorded { first_delivery, ..recorded(outcome, event_type) });
        }
        delivery.headers = vec![KeptHeader { name, value }];
        let key = DeliveryRecord::key(delivery.id);
        let body = [
            RecordedBody::Text { body: "b".to_owned() },
            RecordedBody::Base64 { body_base64: "/w==".to_owned() },
            RecordedBody::Payload { body_key: crate::payloads::PayloadKey::new("k".to_owned()) },
            RecordedBody::Event { body_of_event: key.clone() },
            RecordedBody::Quarantine { body_of_quarantine: key },
            RecordedBody::NotKept { body_not_kept: "why".to_owned() },
        ][body].clone();
        let record = DeliveryRecord { body, ..record(&delivery, outcomes) };
        let text = serde_json::to_string(&record).unwrap();
        prop_assert_eq!(serde_json::from_str::<DeliveryRecord>(&text).unwrap(), record, "{}", text);
        prop_assert!(text.starts_with(r#"{"kind":"delivery","#), "{}", text);
    }
}

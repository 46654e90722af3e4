use std::time::Duration;

use http::HeaderMap;
use intake_providers::delivery::Delivery;
use intake_providers::malformed::Malformed;
use intake_providers::registry::Settings;
use intake_providers::split::Events;

use super::*;
use crate::ledger::Entry;
use crate::queue_message::QueueMessage;
use crate::testing::{
    Behaviour, Counted, Lines, Memory, MemoryDeliveryRecords, MemoryLedger, MemoryPayloads, TestClock, delivery,
    verified,
};

mod delivery_records;
mod long_deliveries;
mod releases;

const BODY: &str = r#"{"id":"1","event_name":"transaction_processed","resource_id":"r"}"#;

/// Reads Machnet's deliveries, and has a defect for one of them.
struct Defective(Settings);

impl Split for Defective {
    fn split<'a>(&'a self, delivery: &'a Delivery) -> Result<Events<'a>, Malformed> {
        assert!(!delivery.body.starts_with(b"panic"), "a defect");
        if delivery.body.starts_with(b"nothing") {
            return Err(Malformed::NoEvents);
        }
        self.0.split(delivery)
    }
}

fn processor(ledger: &MemoryLedger) -> Processor<Memory, Defective> {
    Processor::new(
        ledger.clone(),
        MemoryPayloads::default(),
        MemoryDeliveryRecords::default(),
        Defective(Settings::default()),
        TestClock::default(),
        ProcessorSettings { event_concurrency: 2, ..ProcessorSettings::default() },
    )
}

async fn record(number: u8, body: &'static str) -> QueueRecord {
    let delivery = delivery(number, body);
    let verified = verified(delivery.id, delivery.received_at, HeaderMap::new(), delivery.body);
    let document = QueueMessage::prepare(&verified, &MemoryPayloads::default()).await.unwrap();
    QueueRecord {
        message_id: format!("message-{number}"),
        body: document.text().to_owned(),
        receive_count: 1,
        is_release: false,
    }
}

fn ids(failed: &[FailedRecord]) -> Vec<&str> {
    failed.iter().map(|record| record.message_id.as_str()).collect()
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

#[tokio::test(start_paused = true)]
async fn a_poison_record_fails_alone_and_its_neighbours_are_done() {
    let ledger = MemoryLedger::default();
    let mut newer = record(4, BODY).await;
    newer.body = newer.body.replace("\"version\":1", "\"version\":9");
    let undecodable = QueueRecord {
        message_id: "message-5".to_owned(),
        body: "not a document".to_owned(),
        receive_count: 1,
        is_release: false,
    };
    let records = vec![record(1, "panic").await, record(2, BODY).await, record(3, "{}").await, newer, undecodable];
    let failed = processor(&ledger).process(records, later()).await;
    assert_eq!(ids(&failed), ["message-1", "message-4", "message-5"]);
    let kinds: Vec<bool> = ledger.entries().values().map(|entry| matches!(entry, Entry::Quarantine(_))).collect();
    assert_eq!(kinds.iter().filter(|quarantined| **quarantined).count(), 1, "the one that is authentic but malformed");
    assert_eq!(ledger.entries().len(), 3, "that, and the stored event with its alias");
}

#[tokio::test(start_paused = true)]
async fn the_line_of_a_failed_record_names_message_and_delivery_also_of_a_message_that_cannot_be_read() {
    let lines = Lines::record();
    let mut newer = record(1, BODY).await;
    newer.body = newer.body.replace("\"version\":1", "\"version\":9");
    let mut damaged = record(2, BODY).await;
    damaged.body = damaged.body.replace("transaction", "something");
    let undecodable = QueueRecord { body: "not a document".to_owned(), ..record(3, BODY).await };
    let failed = processor(&MemoryLedger::default()).process(vec![newer, damaged, undecodable], later()).await;
    let mut found: Vec<_> = lines
        .of("record failed")
        .into_iter()
        .map(|line| (line["message_id"].clone(), line["delivery_id"].clone(), line["error"].clone()))
        .collect();
    found.sort_by_key(|(message_id, ..)| message_id.to_string());
    let expected: Vec<_> = failed
        .iter()
        .zip([Some(1), Some(2), None])
        .map(|(failed, number)| {
            let delivery_id = number.map(|number| delivery(number, "").id.to_string());
            (failed.message_id.clone().into(), delivery_id.into(), failed.error.clone().into())
        })
        .collect();
    assert_eq!(found, expected);
    let errors: Vec<&str> = failed.iter().map(|failed| failed.error.as_str()).collect();
    assert!(
        errors[0].contains("has version 9")
            && errors[1].contains("digest")
            && errors[2].contains("not a queue message"),
        "{errors:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_delivery_without_events_is_quarantined_and_not_forgotten() {
    let ledger = MemoryLedger::default();
    assert!(processor(&ledger).process(vec![record(1, "nothing").await], later()).await.is_empty());
    let entries = ledger.entries();
    let Some(Entry::Quarantine(entry)) = entries.values().next() else { panic!("a quarantined delivery") };
    assert_eq!(entry.reason, "the delivery holds no event");
    assert!(entry.document().unwrap().contains("nothing"));
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_is_down_fails_its_record_which_is_done_the_next_time() {
    let ledger = MemoryLedger::default();
    ledger.next.lock().unwrap().push_back(Behaviour::Fail);
    let processor = processor(&ledger);
    assert_eq!(ids(&processor.process(vec![record(1, BODY).await], later()).await), ["message-1"]);
    assert!(processor.process(vec![record(1, BODY).await], later()).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_hangs_fails_what_waits_for_it_before_the_time_is_up() {
    let ledger = MemoryLedger::default();
    *ledger.next.lock().unwrap() = [Behaviour::Hang, Behaviour::Work, Behaviour::Hang].into();
    let stop_at = Instant::now() + Duration::from_secs(5);
    let records = vec![record(1, BODY).await, record(2, "{}").await, record(3, "[]").await, record(4, "0").await];
    let failed = processor(&ledger).process(records, stop_at).await;
    assert_eq!(ids(&failed), ["message-3", "message-4"], "two hang, and the other two are done");
    assert_eq!(Instant::now(), stop_at - GIVE_UP);
}

#[tokio::test(start_paused = true)]
async fn events_are_counted_by_outcome_and_the_rare_outcomes_without_their_provider() {
    let ledger = MemoryLedger::default();
    let processor = processor(&ledger);
    let counted = Counted::default();
    let _guard = counted.record();
    for (number, body, expected) in [
        (1, BODY, "stored machnet=1"),
        (2, BODY, "duplicate machnet=1"),
        (3, r#"{"id":"2","event_name":"transaction_processed","resource_id":"r"}"#, "repeat machnet=1"),
        (4, r#"{"id":"1","event_name":"transaction_failed","resource_id":"r"}"#, "conflict=1"),
        (5, "{}", "quarantined=1"),
        (6, "panic", "failed=1"),
    ] {
        processor.process(vec![record(number, body).await], later()).await;
        assert_eq!(counted.take(), [expected], "{body}");
    }
}

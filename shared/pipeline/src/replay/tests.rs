use std::sync::Mutex;
use std::time::Duration;

use intake_providers::ProviderName;
use tokio::time::Instant;

use super::*;
use crate::envelope::tests::stories::World;
use crate::envelope::{PayloadLocation, WrittenEnvelope};
use crate::receiver::{Answer, Receiver};
use crate::records::testing::MemoryRecords;

struct Unheard;

impl ReplayProgress for Unheard {
    fn chosen(&self, _event: &RecordedEvent) {}

    fn reached(&self, _until: Timestamp, _so_far: &ReplayReport) {}
}

/// A receiver that says what it was told to, once for each word, and then takes everything.
#[derive(Default)]
struct MemoryReceiver {
    says: Mutex<Vec<Answer>>,
    taken: Mutex<Vec<(String, serde_json::Value)>>,
}

impl Receiver for &'static MemoryReceiver {
    async fn post(&self, envelope: &WrittenEnvelope) -> Answer {
        let mut says = self.says.lock().unwrap();
        if says.is_empty() {
            let text = serde_json::from_str(&envelope.text).unwrap();
            self.taken.lock().unwrap().push((envelope.id.clone(), text));
            return Answer::Delivered;
        }
        says.remove(0)
    }
}

async fn world(events: u8) -> MemoryRecords {
    let mut world = World::default();
    for number in 1..=events {
        let body = format!(
            r#"{{"id":"evt_{number}","event_name":"done","resource_id":"r{number}","user_id":"u","timestamp":"2026-01-01T00:00:00Z"}}"#
        );
        world.deliver(ProviderName::Machnet, &[], body).await;
    }
    MemoryRecords { ledger: world.ledger, payloads: world.payloads, delivery_records: world.delivery_records }
}

fn receiver(says: Vec<Answer>) -> &'static MemoryReceiver {
    Box::leak(Box::new(MemoryReceiver { says: Mutex::new(says), ..MemoryReceiver::default() }))
}

fn ids(receiver: &MemoryReceiver) -> Vec<String> {
    receiver.taken.lock().unwrap().iter().map(|(id, _)| id.clone()).collect()
}

/// A target that takes everything, and notes how much at once.
#[derive(Default)]
struct Batches(Mutex<Vec<usize>>);

impl ReplayTarget for Batches {
    async fn send(&self, batch: &[RecordedEvent]) -> SentBatch {
        self.0.lock().unwrap().push(batch.len());
        SentBatch { settled: batch.len(), sent: batch.len() as u64, ..SentBatch::default() }
    }
}

fn replay_behind<'a>(records: &'a MemoryRecords, after: Option<&str>) -> Replay<'a, MemoryRecords, Unheard> {
    let after = after.map(|place| occurrence_at(place).unwrap());
    let now = Timestamp::parse("2026-11-22T00:00:00Z").unwrap();
    Replay { records, progress: &Unheard, filter: EventFilter::default(), after, now }
}

async fn replay(records: &MemoryRecords, receiver: &'static MemoryReceiver, after: Option<&str>) -> ReplayReport {
    let target = ReceiverTarget::new(records.clone(), PayloadLocation::below("s3://b/"), receiver, "again".to_owned());
    replay_behind(records, after).send(&target, NonZeroU32::new(10).unwrap()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_count_says_what_would_be_sent_and_as_many_are_sent_at_once_as_a_call_of_a_bus_takes() {
    let records = world(15).await;
    let (replay, target) = (replay_behind(&records, None), Batches::default());
    let sent = replay.send(&target, NonZeroU32::new(10).unwrap()).await.unwrap();
    assert_eq!((sent.sent, sent.is_complete()), (15, true));
    assert_eq!(target.0.into_inner().unwrap(), [10, 5]);
    assert!(sent.position.is_some());
    assert_eq!(replay.count().await.unwrap(), sent);
}

#[tokio::test(start_paused = true)]
async fn events_are_sent_in_the_order_of_arrival_marked_and_no_faster_than_the_rate() {
    let records = world(15).await;
    let receiver = receiver(Vec::new());
    let started = Instant::now();
    let report = replay(&records, receiver, None).await;
    let expected: Vec<String> = (1..=15).map(|number| format!("evt_{number}")).collect();
    assert_eq!((report.sent, ids(receiver)), (15, expected));
    assert!(started.elapsed() >= Duration::from_millis(1_500), "{:?}", started.elapsed());
    assert!(receiver.taken.lock().unwrap().iter().all(|(_, envelope)| envelope["replay"] == "again"));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_fails_names_the_event_and_goes_on_behind_the_last_that_was_sent() {
    let records = world(12).await;
    let busy = Answer::RetryLater { reason: "answered 503".to_owned(), wait: None };
    let first = receiver(Vec::new());
    let whole = replay(&records, first, None).await;
    let broken = receiver(vec![busy; 6]);
    let report = replay(&records, broken, whole.position.as_deref()).await;
    let nothing = (0, None, whole.position);
    assert_eq!((report.sent, report.failure, report.position), nothing, "nothing is behind the last event");
    let report = replay(&records, broken, None).await;
    assert_eq!(report.sent, 0);
    assert!(report.failure.is_some_and(|failure| failure.reason == "answered 503, 6 times"));
    assert_eq!(report.position, None);
    // It is up again; it goes on behind the third.
    let third = records.events(&EventFilter { id: Some("evt_3".to_owned()), ..EventFilter::default() }).await.unwrap();
    let third = place(third.found[0].made().unwrap().1);
    let report = replay(&records, broken, Some(&third)).await;
    assert_eq!((report.sent, ids(broken).first().map(String::as_str)), (9, Some("evt_4")));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_final_is_waited_for_and_a_refusal_is_reported_and_passed() {
    let records = world(3).await;
    let receiver = receiver(vec![
        Answer::Unreachable { reason: "nobody answers there".to_owned() },
        Answer::RetryLater { reason: "answered 429".to_owned(), wait: Some(Duration::from_secs(7)) },
        Answer::Refused { reason: "answered 410".to_owned() },
    ]);
    let started = Instant::now();
    let report = replay(&records, receiver, None).await;
    assert_eq!((report.sent, ids(receiver)), (2, vec!["evt_2".to_owned(), "evt_3".to_owned()]));
    assert_eq!(report.refused.len(), 1);
    assert!(!report.is_complete() && started.elapsed() >= Duration::from_secs(8));
}

#[tokio::test(start_paused = true)]
async fn what_consumers_never_receive_is_counted_and_not_sent() {
    let mut records = world(2).await;
    let mut world = World { number: 90, ..World::default() };
    world.ledger = records.ledger.clone();
    world.deliver(ProviderName::Machnet, &[], "{}").await;
    records.ledger = world.ledger;
    {
        let mut entries = records.ledger.entries.lock().unwrap();
        let erased_at = Timestamp::parse("2026-11-22T00:00:00Z").unwrap();
        for entry in entries.values_mut() {
            if let crate::ledger::Entry::Event(event) = entry
                && event.cloud_event.id == "evt_1"
            {
                event.data = crate::ledger::EventData::Erased { erased_at };
            }
        }
    }
    let receiver = receiver(Vec::new());
    let report = replay(&records, receiver, None).await;
    assert_eq!((report.sent, report.erased, report.passed_over), (1, 1, 1));
    assert_eq!(ids(receiver), ["evt_2"]);
}

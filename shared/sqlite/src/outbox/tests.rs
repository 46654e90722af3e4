use std::collections::BTreeMap;
use std::path::Path;

use intake_pipeline::ledger::{
    Condition, ConditionalPut, EventData, EventEntry, Ledger as _, Occurrence, Outcome, PutOutcome, TimeIndex,
};
use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::delivery::DeliveryId;
use intake_providers::digest::Sha256Digest;
use intake_providers::event::{CloudEvent, EventIndex};

use super::*;
use crate::SqliteLedger;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_milliseconds(seconds * 1000).unwrap()
}

fn event(id: &str, outcome: Outcome) -> Entry {
    Entry::Event(Box::new(EventEntry {
        outcome,
        provider: ProviderName::Machnet,
        account: AccountName::new("main").unwrap(),
        cloud_event: CloudEvent {
            id: id.to_owned(),
            source: "/webhooks/machnet/main".to_owned(),
            event_type: "machnet.done".to_owned(),
            subject: None,
            time: None,
            datacontenttype: "application/json".to_owned(),
        },
        data: EventData::Inline { data: "{}".to_owned() },
        envelope: None,
        digest: Sha256Digest::of(id.as_bytes()),
        occurrence: Occurrence { delivery_id: DeliveryId::new(at(1), [7; 10]), index: EventIndex(0) },
        received_at: at(1),
        key_fingerprint: "01ab".to_owned(),
        attributes: BTreeMap::new(),
        repeat_of: None,
        same_job_as: None,
        alias: None,
        entity: None,
        time_index: TimeIndex { time_bucket: "b".to_owned(), time_order: "x".to_owned() },
    }))
}

async fn record(database: &Database, partition: &str, id: &str, outcome: Outcome) {
    let key = EntryKey { partition: partition.to_owned(), sort: format!("event#{id}") };
    let put = ConditionalPut { key, entry: event(id, outcome), condition: Condition::Always };
    assert_eq!(SqliteLedger::new(database.clone()).put(at(1), &[put]).await.unwrap(), PutOutcome::Done);
}

async fn due(outbox: &SqliteOutbox, seconds: i64, most: usize, under_way: &[i64]) -> Vec<String> {
    let under_way = under_way.iter().copied().map(Position).collect();
    let found = outbox.due(at(seconds), most, &under_way).await.unwrap().events;
    found.into_iter().map(|outgoing| id(&outgoing.entry.unwrap())).collect()
}

fn id(entry: &Entry) -> String {
    match entry {
        Entry::Event(event) => event.cloud_event.id.clone(),
        other => panic!("{other:?}"),
    }
}

fn open(directory: &Path) -> (Database, SqliteOutbox) {
    let database = Database::open(&directory.join("intake.sqlite")).unwrap();
    (database.clone(), SqliteOutbox::new(database))
}

fn failed(attempts: u32, next_seconds: i64, is_unanswered: bool) -> FailedAttempt {
    FailedAttempt { attempts, reason: "answered 500".to_owned(), is_unanswered, next_at: at(next_seconds) }
}

#[tokio::test]
async fn events_are_due_in_the_order_in_which_they_were_recorded_and_one_at_a_time_of_each_partition() {
    let directory = tempfile::tempdir().unwrap();
    let (database, outbox) = open(directory.path());
    assert!(outbox.begin().await.unwrap());
    for (partition, id) in [("z", "1"), ("a", "2"), ("z", "3"), ("b", "4")] {
        record(&database, partition, id, Outcome::Stored).await;
    }
    assert_eq!(due(&outbox, 1, 2, &[]).await, ["1", "2"]);
    assert_eq!(due(&outbox, 1, 9, &[1]).await, ["2", "4"]);
    outbox.delivered(Position(1)).await.unwrap();
    assert_eq!(due(&outbox, 1, 9, &[]).await, ["2", "3", "4"]);
}

#[tokio::test]
async fn only_what_consumers_receive_waits_and_a_replaced_entry_is_not_sent_again() {
    let directory = tempfile::tempdir().unwrap();
    let (database, outbox) = open(directory.path());
    outbox.begin().await.unwrap();
    let outcomes = [Outcome::Stored, Outcome::Duplicate, Outcome::Repeat, Outcome::Conflict, Outcome::Quarantined];
    for (number, outcome) in outcomes.into_iter().enumerate() {
        record(&database, &format!("p{number}"), &number.to_string(), outcome).await;
    }
    assert_eq!(outbox.depth().await.unwrap().waiting, 3, "before anything was taken in");
    assert_eq!(due(&outbox, 1, 9, &[]).await, ["0", "2", "3"]);
    let connection = rusqlite::Connection::open(directory.path().join("intake.sqlite")).unwrap();
    let cursor: i64 = connection.query_row("SELECT position FROM forwarding_cursor", (), |row| row.get(0)).unwrap();
    assert_eq!(cursor, 5, "what is not sent is not read again");
    outbox.delivered(Position(1)).await.unwrap();
    record(&database, "p0", "0", Outcome::Stored).await;
    assert_eq!(due(&outbox, 1, 9, &[]).await, ["2", "3"]);
}

#[tokio::test]
async fn it_begins_with_what_is_recorded_from_then_on_and_goes_on_where_it_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let (database, outbox) = open(directory.path());
    record(&database, "a", "before", Outcome::Stored).await;
    assert!(outbox.begin().await.unwrap());
    record(&database, "b", "after", Outcome::Stored).await;
    drop((database, outbox));
    let (database, outbox) = open(directory.path());
    assert!(!outbox.begin().await.unwrap());
    record(&database, "c", "later", Outcome::Stored).await;
    assert_eq!(outbox.depth().await.unwrap(), OutboxDepth { waiting: 2, given_up: 0, is_begun: true });
    assert_eq!(due(&outbox, 1, 9, &[]).await, ["after", "later"]);
    assert_eq!(outbox.depth().await.unwrap(), OutboxDepth { waiting: 2, given_up: 0, is_begun: true });
}

#[tokio::test]
async fn a_failed_attempt_outlives_the_process_and_blocks_its_partition_only() {
    let directory = tempfile::tempdir().unwrap();
    let (database, outbox) = open(directory.path());
    outbox.begin().await.unwrap();
    for (partition, id) in [("a", "1"), ("a", "2"), ("b", "3")] {
        record(&database, partition, id, Outcome::Stored).await;
    }
    due(&outbox, 1, 9, &[]).await;
    outbox.retry(Position(1), failed(3, 100, false)).await.unwrap();
    drop((database, outbox));
    let (_, outbox) = open(directory.path());
    let found = outbox.due(at(99), 9, &BTreeSet::new()).await.unwrap();
    assert_eq!((found.events.len(), found.next_at), (1, Some(at(100))));
    let found = outbox.due(at(100), 9, &BTreeSet::new()).await.unwrap();
    assert_eq!((found.events[0].failed_attempts, found.events.len(), found.next_at), (3, 2, None));
}

#[tokio::test]
async fn what_was_given_up_lets_the_others_pass_and_comes_first_when_it_is_put_back() {
    let directory = tempfile::tempdir().unwrap();
    let (database, outbox) = open(directory.path());
    outbox.begin().await.unwrap();
    for id in ["1", "2"] {
        record(&database, "a", id, Outcome::Stored).await;
    }
    due(&outbox, 1, 9, &[]).await;
    let last = LastAttempt { attempts: 30, reason: "answered 410".to_owned(), at: at(50) };
    outbox.give_up(Position(1), last).await.unwrap();
    assert_eq!(due(&outbox, 60, 9, &[]).await, ["2"]);
    let listed = outbox.list(9).await.unwrap();
    let facts: Vec<_> =
        listed.iter().map(|letter| (letter.attempts, letter.reason.as_str(), letter.given_up_at)).collect();
    assert_eq!(facts, [(30, "answered 410", at(50))]);
    assert_eq!(listed[0].event().unwrap().cloud_event.id, "1");
    assert_eq!(outbox.depth().await.unwrap(), OutboxDepth { waiting: 1, given_up: 1, is_begun: true });
    assert_eq!(outbox.redrive(&[Position(1), Position(2), Position(9)]).await.unwrap(), [Position(1)]);
    let found = outbox.due(at(60), 9, &BTreeSet::new()).await.unwrap();
    assert_eq!((id(found.events[0].entry.as_ref().unwrap()), found.events[0].failed_attempts), ("1".to_owned(), 0));
    assert_eq!(found.events.len(), 1);
}

#[tokio::test]
async fn unanswered_events_are_due_at_once_when_the_receiver_is_back() {
    let directory = tempfile::tempdir().unwrap();
    let (database, outbox) = open(directory.path());
    outbox.begin().await.unwrap();
    for id in ["1", "2"] {
        record(&database, id, id, Outcome::Stored).await;
    }
    due(&outbox, 1, 9, &[]).await;
    outbox.retry(Position(1), failed(1, 1_000, true)).await.unwrap();
    outbox.retry(Position(2), failed(1, 1_000, false)).await.unwrap();
    assert!(due(&outbox, 2, 9, &[]).await.is_empty());
    outbox.retry_unanswered().await.unwrap();
    assert_eq!(due(&outbox, 2, 9, &[]).await, ["1"]);
}

#[tokio::test]
async fn a_damaged_entry_does_not_hide_the_others() {
    let directory = tempfile::tempdir().unwrap();
    let (database, outbox) = open(directory.path());
    outbox.begin().await.unwrap();
    for id in ["1", "2"] {
        record(&database, id, id, Outcome::Stored).await;
    }
    let connection = rusqlite::Connection::open(directory.path().join("intake.sqlite")).unwrap();
    connection.execute("UPDATE ledger SET entry = '{' WHERE partition = '1'", ()).unwrap();
    let found = outbox.due(at(1), 9, &BTreeSet::new()).await.unwrap().events;
    assert!(found[0].entry.as_ref().unwrap_err().contains("is damaged"));
    assert!(found[1].entry.is_ok());
}

#[tokio::test]
async fn what_is_recorded_wakes_the_one_that_waits() {
    let directory = tempfile::tempdir().unwrap();
    let (database, outbox) = open(directory.path());
    record(&database, "a", "1", Outcome::Stored).await;
    tokio::time::timeout(std::time::Duration::from_secs(5), outbox.recorded()).await.unwrap();
}

use std::collections::BTreeSet;
use std::path::Path;
use std::pin::pin;

use bytes::Bytes;
use futures_util::FutureExt as _;
use intake_pipeline::dead_letters::DeadLetters as _;
use intake_providers::machnet::Machnet;
use intake_simulator::machnet::{Key, secret_text};

use super::*;
use crate::{SqliteDeadLetters, SqlitePayloads};

const MINUTE: Duration = Duration::from_secs(60);

fn queue(directory: &Path) -> SqliteQueue {
    SqliteQueue::new(Database::open(&directory.join("intake.sqlite")).unwrap())
}

/// A delivery as a webhook puts it on the queue.
async fn document() -> QueueMessage {
    let key = "a secret of thirty-two characters";
    let signed = Key::new(key).unwrap().sign(Bytes::from_static(b"{}"), None);
    let secret = secret_text(&[("main", key)]).unwrap();
    let id = DeliveryId::new(Timestamp::EPOCH, [1; 10]);
    let delivery = signed.verified::<Machnet>(&secret, id, Timestamp::EPOCH).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let payloads = SqlitePayloads::new(Database::open(&directory.path().join("intake.sqlite")).unwrap());
    QueueMessage::prepare(&delivery, &payloads).await.unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_milliseconds(seconds * 1000).unwrap()
}

async fn bodies(queue: &SqliteQueue, now: Timestamp) -> Vec<(String, u32)> {
    let records = queue.receive(now, 10, MINUTE).await.unwrap();
    records.into_iter().map(|record| (record.body, record.receive_count)).collect()
}

#[tokio::test]
async fn the_oldest_message_is_the_first_that_is_no_release() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue(directory.path());
    assert_eq!(queue.oldest().await.unwrap(), None);
    queue.insert_all(vec![("released".to_owned(), true)]).await.unwrap();
    assert_eq!(queue.oldest().await.unwrap(), None);
    for body in ["first", "second"] {
        queue.insert(body.to_owned()).await.unwrap();
    }
    assert_eq!(queue.oldest().await.unwrap().as_deref(), Some("first"));
}

#[tokio::test]
async fn what_is_sent_and_deleted_is_counted_and_a_start_counts_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let first = queue(directory.path());
    for body in ["a", "b", "c"] {
        first.insert(body.to_owned()).await.unwrap();
    }
    assert_eq!(first.backlog.messages(), 3);
    let taken = first.receive(at(1), 1, MINUTE).await.unwrap();
    let ids = || vec![taken[0].message_id.clone()];
    first.delete(ids()).await.unwrap();
    first.delete(ids()).await.unwrap();
    assert_eq!(first.backlog.messages(), 2);
    let second = queue(directory.path());
    second.release_all().await.unwrap();
    assert_eq!(second.backlog.messages(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_waits_on_a_long_queue_for_a_message_to_go() {
    let directory = tempfile::tempdir().unwrap();
    let backlog = Arc::new(Backlog::of_at_most(1));
    let queue = SqliteQueue { backlog, ..queue(directory.path()) };
    queue.insert("first".to_owned()).await.unwrap();
    let document = document().await;
    let mut sending = pin!(queue.send(&document));
    assert!(sending.as_mut().now_or_never().is_none());
    // What was sent before this would be on the queue now.
    queue.insert("second".to_owned()).await.unwrap();
    assert_eq!(queue.depth().await.unwrap().queued, 2);
    let taken = queue.receive(at(1), 2, MINUTE).await.unwrap();
    queue.delete(taken.into_iter().map(|record| record.message_id).collect()).await.unwrap();
    sending.await.unwrap();
    assert_eq!(queue.depth().await.unwrap().queued, 1);
}

#[tokio::test]
async fn the_message_of_a_delivery_is_found_until_it_is_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("intake.sqlite")).unwrap();
    let queue = SqliteQueue::new(database.clone());
    let id = DeliveryId::new(Timestamp::EPOCH, [1; 10]);
    let found = async || {
        let message = queue.unprocessed(id).await.unwrap();
        message.map(|message| (message.receive_count, message.is_dead_letter))
    };
    queue.insert("no message".to_owned()).await.unwrap();
    assert_eq!(found().await, None);
    queue.insert(format!(r#"{{"delivery_id": "{id}"}}"#)).await.unwrap();
    assert_eq!(found().await, Some((0, false)));
    for receive in 0..=MAX_RECEIVES {
        bodies(&queue, at(60 * i64::from(receive))).await;
    }
    assert_eq!(found().await, Some((MAX_RECEIVES, true)));
    assert_eq!(SqliteDeadLetters::new(database).redrive_all(None).await.unwrap(), 2);
    let message_id = queue.receive(at(1000), 10, MINUTE).await.unwrap().remove(1).message_id;
    queue.delete(vec![message_id]).await.unwrap();
    assert_eq!(found().await, None);
}

#[tokio::test]
async fn a_received_message_is_hidden_until_its_visibility_timeout() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue(directory.path());
    queue.insert("a".to_owned()).await.unwrap();
    assert_eq!(bodies(&queue, at(0)).await, [("a".to_owned(), 1)]);
    assert_eq!(bodies(&queue, at(59)).await, []);
    assert_eq!(bodies(&queue, at(60)).await, [("a".to_owned(), 2)]);
}

#[tokio::test]
async fn a_deleted_message_is_never_redelivered_and_its_id_is_not_reused() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue(directory.path());
    queue.insert("a".to_owned()).await.unwrap();
    let first = queue.receive(at(0), 10, MINUTE).await.unwrap().remove(0).message_id;
    queue.delete(vec![first.clone(), first.clone(), "none".to_owned()]).await.unwrap();
    assert_eq!(bodies(&queue, at(1000)).await, []);
    queue.insert("b".to_owned()).await.unwrap();
    assert_ne!(queue.receive(at(1000), 10, MINUTE).await.unwrap().remove(0).message_id, first);
}

#[tokio::test]
async fn messages_are_received_oldest_first_up_to_the_maximum() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue(directory.path());
    for body in ["a", "b", "c"] {
        queue.insert(body.to_owned()).await.unwrap();
    }
    let taken = queue.receive(at(0), 2, MINUTE).await.unwrap();
    assert_eq!(taken.iter().map(|record| record.body.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(bodies(&queue, at(0)).await, [("c".to_owned(), 1)]);
}

#[tokio::test]
async fn a_receive_reads_no_more_of_the_backlog_than_it_takes() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue(directory.path());
    for sql in [AGAIN, FRESH] {
        let explain = move |connection: &Connection| {
            let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
            let plan = statement.query_map((1, 1), |row| row.get(3))?.collect::<Result<Vec<String>, _>>()?;
            Ok(plan)
        };
        let plan = queue.database.read("explain", explain).await.unwrap();
        assert!(
            matches!(plan.as_slice(), [step] if step.starts_with("SEARCH queue USING INDEX queue_by_visibility")),
            "{plan:?}"
        );
    }
}

#[tokio::test]
async fn what_waits_for_another_attempt_is_not_held_up_by_what_came_after_it() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue(directory.path());
    for body in ["a", "b", "c"] {
        queue.insert(body.to_owned()).await.unwrap();
    }
    let failed = queue.receive(at(0), 1, MINUTE).await.unwrap().remove(0);
    queue.retry_later(at(0), failed.message_id, 1, Duration::from_secs(2), "failed".to_owned()).await.unwrap();
    let taken = queue.receive(at(2), 2, MINUTE).await.unwrap();
    assert_eq!(taken.iter().map(|record| record.body.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[tokio::test]
async fn a_receive_takes_a_bounded_size_and_at_least_one_message() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue(directory.path());
    let sizes = [MAX_RECEIVED_BYTES + 1, MAX_RECEIVED_BYTES / 2, MAX_RECEIVED_BYTES / 2, 1];
    for size in sizes {
        queue.insert("x".repeat(size)).await.unwrap();
    }
    let mut taken = Vec::new();
    for _ in 0..4 {
        taken.push(bodies(&queue, at(0)).await.iter().map(|(body, _)| body.len()).collect::<Vec<_>>());
    }
    let [large, half, other_half, small] = sizes;
    assert_eq!(taken, [vec![large], vec![half, other_half], vec![small], vec![]]);
}

#[tokio::test]
async fn what_was_received_too_often_makes_room_for_the_others_of_the_same_receive() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue(directory.path());
    for _ in 0..3 {
        queue.insert("poison".to_owned()).await.unwrap();
    }
    for receive in 1..=MAX_RECEIVES {
        assert_eq!(bodies(&queue, at(i64::from(receive) * 60)).await.len(), 3);
    }
    queue.insert("good".to_owned()).await.unwrap();
    let taken = queue.receive(at(360), 1, MINUTE).await.unwrap();
    assert_eq!(taken.iter().map(|record| record.body.as_str()).collect::<Vec<_>>(), ["good"]);
    assert_eq!(queue.depth().await.unwrap(), QueueDepth { queued: 1, dead_letters: 3 });
}

#[tokio::test]
async fn a_message_received_five_times_is_a_dead_letter_and_can_be_put_back() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue(directory.path());
    queue.insert("poison".to_owned()).await.unwrap();
    for receive in 1..=5 {
        assert_eq!(bodies(&queue, at(i64::from(receive) * 60)).await, [("poison".to_owned(), receive)]);
    }
    queue.insert("good".to_owned()).await.unwrap();
    assert_eq!(bodies(&queue, at(360)).await, [("good".to_owned(), 1)]);
    assert_eq!(queue.depth().await.unwrap(), QueueDepth { queued: 1, dead_letters: 1 });
    let dead_letters = SqliteDeadLetters::new(queue.database.clone());
    assert_eq!(dead_letters.redrive_all(None).await.unwrap(), 1);
    assert_eq!(bodies(&queue, at(360)).await, [("poison".to_owned(), 1)]);
    assert_eq!(queue.depth().await.unwrap(), QueueDepth { queued: 2, dead_letters: 0 });
}

#[tokio::test]
async fn a_message_in_its_fifth_receive_is_not_a_dead_letter_yet() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue(directory.path());
    queue.insert("given up".to_owned()).await.unwrap();
    queue.insert("in work".to_owned()).await.unwrap();
    for receive in 1..=4 {
        bodies(&queue, at(receive * 60)).await;
    }
    let in_work = queue.receive(at(300), 2, MINUTE).await.unwrap().remove(1);
    assert_eq!((in_work.body.as_str(), in_work.receive_count), ("in work", 5));
    queue.retry_later(at(300), in_work.message_id, 5, MINUTE * 2, "failed".to_owned()).await.unwrap();
    assert_eq!(bodies(&queue, at(419)).await, []);
    assert_eq!(queue.depth().await.unwrap(), QueueDepth { queued: 1, dead_letters: 1 });
}

#[tokio::test]
async fn visibility_is_changed_by_the_latest_receiver_only() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue(directory.path());
    queue.insert("a".to_owned()).await.unwrap();
    let first = queue.receive(at(0), 1, MINUTE).await.unwrap().remove(0);
    let failed = || "failed".to_owned();
    queue.retry_later(at(0), first.message_id.clone(), 1, Duration::from_secs(2), failed()).await.unwrap();
    assert_eq!(bodies(&queue, at(1)).await, []);
    assert_eq!(bodies(&queue, at(2)).await, [("a".to_owned(), 2)]);
    queue.retry_later(at(2), first.message_id, 1, Duration::ZERO, failed()).await.unwrap();
    assert_eq!(bodies(&queue, at(3)).await, []);
}

#[tokio::test]
async fn a_restart_finds_messages_that_were_received_and_not_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let before = queue(directory.path());
    before.insert("a".to_owned()).await.unwrap();
    bodies(&before, at(0)).await;
    drop(before);
    let after = queue(directory.path());
    assert_eq!(bodies(&after, at(1)).await, []);
    after.release_all().await.unwrap();
    assert_eq!(bodies(&after, at(1)).await, [("a".to_owned(), 2)]);
}

#[tokio::test]
async fn a_send_wakes_a_receiver_that_begins_to_wait_later() {
    let directory = tempfile::tempdir().unwrap();
    let queue = queue(directory.path());
    queue.insert("a".to_owned()).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), queue.clone().sent()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_connections_hand_out_every_message_exactly_once() {
    let directory = tempfile::tempdir().unwrap();
    let queues = [queue(directory.path()), queue(directory.path())];
    let sender = |queue: SqliteQueue, name: &'static str| {
        tokio::spawn(async move {
            for number in 0..40 {
                queue.insert(format!("{name}{number}")).await.unwrap();
            }
        })
    };
    let [one, two] = &queues;
    let (first, second) = tokio::join!(sender(one.clone(), "a"), sender(two.clone(), "b"));
    first.unwrap();
    second.unwrap();

    let receiver = |queue: SqliteQueue| {
        tokio::spawn(async move {
            let mut seen = Vec::new();
            loop {
                let records = queue.receive(at(0), 3, MINUTE).await.unwrap();
                if records.is_empty() {
                    return seen;
                }
                seen.extend(records.into_iter().map(|record| record.body));
            }
        })
    };
    let (first, second) = tokio::join!(receiver(one.clone()), receiver(two.clone()));
    let seen: Vec<String> = [first.unwrap(), second.unwrap()].concat();
    assert_eq!(seen.len(), 80);
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), 80);
}

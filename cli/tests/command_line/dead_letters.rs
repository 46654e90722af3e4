//! A message that cannot be processed: from the queue to the dead letters, and back.

use std::path::Path;
use std::time::{Duration, Instant};

use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_sqlite::{Database, MAX_RECEIVES, SqliteQueue};
use serde_json::Value;

use crate::program::{Server, errors, output, run};
use crate::send::with_test_keys;
use crate::snapshots::assert_printed;

/// Runs a command that is expected to succeed.
fn printed(data: &Path, arguments: &[&str]) -> String {
    let ran = run(data, arguments);
    assert!(ran.status.success(), "{arguments:?}: {}{}", output(&ran), errors(&ran));
    output(&ran)
}

/// Has a delivery of Machnet processed, and returns its queue message, made from its record.
fn processed(data: &Path) -> Value {
    let server = Server::start(data);
    let sent = run(data, &["send", "machnet", "--url", &server.url]);
    assert!(sent.status.success(), "{}", errors(&sent));
    server.wait_until_drained();
    let record: Value = serde_json::from_str(&printed(data, &["deliveries", "--json"])).unwrap();
    let id = record["delivery_id"].as_str().unwrap();
    let body = String::from_utf8(run(data, &["deliveries", "show", id, "--raw"]).stdout).unwrap();
    serde_json::json!({
        "version": 1, "delivery_id": id, "provider": "machnet", "received_at": record["received_at"],
        "authenticated_by": {"account": record["account"], "fingerprint": record["key_fingerprint"]},
        "headers": [], "sha256": record["sha256"], "body": {"text": body},
    })
}

/// Lets the queue give up on what is on it, for this reason.
fn give_up(queue: &SqliteQueue, runtime: &tokio::runtime::Runtime, error: &str) {
    let minute = Duration::from_secs(60);
    let mut now = SystemClock.now();
    for receive in 1..=MAX_RECEIVES + 1 {
        for record in runtime.block_on(queue.receive(now, 10, minute)).unwrap() {
            runtime.block_on(queue.retry_later(now, record.message_id, receive, minute, error.to_owned())).unwrap();
        }
        now = now.plus(minute);
    }
    let depth = runtime.block_on(queue.depth()).unwrap();
    assert_eq!(depth.queued, 0);
}

#[test]
fn dead_letters_are_listed_with_their_reason_checked_and_moved_back() {
    let data = with_test_keys();
    let data = data.path();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    drop(Server::start(data));
    let queue = SqliteQueue::new(Database::open(&data.join("intake.sqlite")).unwrap());
    let good = processed(data);
    let delivery_id = good["delivery_id"].as_str().unwrap();
    let newer = good.to_string().replace("\"version\":1", "\"version\":9");

    assert_eq!(printed(data, &["dead-letters"]), "There is no dead letter.\n");
    for body in ["not a message", &newer] {
        runtime.block_on(queue.insert(body.to_owned())).unwrap();
        give_up(&queue, &runtime, &format!("no \u{1b}[2J: {}", body.len()));
    }
    runtime.block_on(queue.insert(good.to_string())).unwrap();
    give_up(&queue, &runtime, "dynamodb PutItem failed: no such table");

    let listed = printed(data, &["dead-letters"]);
    assert_printed("dead-letters", data, &listed);
    assert!(!listed.contains('\u{1b}'), "{listed:?}");
    let lines = printed(data, &["dead-letters", "list", "--json"]);
    let letters: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ids: Vec<&str> = letters.iter().map(|letter| letter["message_id"].as_str().unwrap()).collect();
    let known =
        |letter: &Value| (letter["delivery_id"].clone(), letter["provider"].clone(), letter["receive_count"].clone());
    let expected = |id: Option<&str>| (id.into(), id.map(|_| "machnet").into(), 5.into());
    assert_eq!(
        letters.iter().map(known).collect::<Vec<_>>(),
        [None, Some(delivery_id), Some(delivery_id)].map(expected)
    );
    assert_eq!(letters[2]["error"], "dynamodb PutItem failed: no such table");
    assert!(printed(data, &["dead-letters", "--limit", "2"]).contains("These are 2; --limit shows more."));

    assert_eq!(printed(data, &["dead-letters", "show", ids[2], "--raw"]), good.to_string());
    let shown = printed(data, &["dead-letters", "show", ids[1]]);
    assert!(shown.contains("now       would fail again: the queue message has version 9"), "{shown}");
    let unknown = run(data, &["dead-letters", "show", "99"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(errors(&unknown).contains("no dead letter has the id 99"), "{}", errors(&unknown));

    let dry = printed(data, &["dead-letters", "redrive", "--all", "--dry-run"]);
    assert!(dry.contains(&format!("message {}: would be moved; would fail again", ids[0])), "{dry}");
    assert!(
        dry.contains(&format!("message {} of delivery {delivery_id}: would be moved; this program can read", ids[2])),
        "{dry}"
    );
    assert!(dry.ends_with("3 would be moved.\n"), "{dry}");
    assert_eq!(printed(data, &["dead-letters", "--json"]).lines().count(), 3, "a dry run moves nothing");

    let some = run(data, &["dead-letters", "redrive", ids[2], "99", "--rate", "50"]);
    assert_eq!(some.status.code(), Some(1), "one of them is not there");
    let text = output(&some);
    assert!(text.contains("No dead letter has the id 99.") && text.contains("1 back on the queue"), "{text}");
    assert_eq!(printed(data, &["dead-letters", "--json"]).lines().count(), 2);
    let of_delivery = printed(data, &["dead-letters", "show", delivery_id]);
    assert_eq!(of_delivery, printed(data, &["dead-letters", "show", ids[1]]), "a delivery's id names its message too");

    let server = Server::start(data);
    server.wait_until_drained();
    let records = printed(data, &["events", "--json"]);
    assert_eq!(records.lines().count(), 1, "what was recorded stays as it is: {records}");
    assert!(printed(data, &["redrive"]).starts_with("2 back on the queue"));
    let until = Instant::now() + Duration::from_secs(20);
    while !server.health().contains("\"queued\":2") {
        assert!(Instant::now() < until, "{}", server.health());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(printed(data, &["dead-letters"]), "There is no dead letter.\n");
    assert_eq!(printed(data, &["dead-letters", "redrive", "--all"]), "There was nothing to move.\n");
}

#[test]
fn a_release_of_the_quarantine_that_was_given_up_is_said_to_be_one() {
    let data = with_test_keys();
    let data = data.path();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = Server::start(data);
    let body = data.join("body");
    std::fs::write(&body, "{}").unwrap();
    let sent = run(data, &["send", "machnet", "--url", &server.url, "--body", body.to_str().unwrap()]);
    assert!(sent.status.success(), "{}", errors(&sent));
    server.wait_until_drained();
    drop(server);
    let entry: Value = serde_json::from_str(&printed(data, &["quarantine", "--json"])).unwrap();
    let id = entry["delivery_id"].as_str().unwrap();
    let queue = SqliteQueue::new(Database::open(&data.join("intake.sqlite")).unwrap());

    // The same message, as it came at first and as a release of what was quarantined then.
    runtime.block_on(queue.insert(entry["document"].as_str().unwrap().to_owned())).unwrap();
    give_up(&queue, &runtime, "the ledger is away");
    printed(data, &["quarantine", "release", id, "--anyway"]);
    give_up(&queue, &runtime, "the ledger is away");

    let lines = printed(data, &["dead-letters", "--json"]);
    let letters: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        letters.iter().map(|letter| letter["is_release"].as_bool()).collect::<Vec<_>>(),
        [Some(false), Some(true)]
    );
    let said = |letter: &Value| {
        let shown = printed(data, &["dead-letters", "show", letter["message_id"].as_str().unwrap()]);
        shown
            .lines()
            .any(|line| line.starts_with(&format!("delivery  {id}")) && line.ends_with(", released from quarantine"))
    };
    assert_eq!(letters.iter().map(said).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn a_redrive_says_what_it_is_about() {
    let data = with_test_keys();
    for arguments in [
        &["dead-letters", "redrive"][..],
        &["dead-letters", "redrive", "--all", "7"],
        &["dead-letters", "redrive", "--all", "--rate", "0"],
        &["dead-letters", "--limit", "0"],
    ] {
        assert_eq!(run(data.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
}

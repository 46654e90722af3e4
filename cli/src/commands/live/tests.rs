use std::io;
use std::sync::{Mutex, PoisonError};

use intake_pipeline::delivery_record::{DeliveryRecord, DeliveryRecords as _};
use intake_pipeline::ledger::{Condition, ConditionalPut, Entry, EntryKey, Ledger as _};
use intake_sqlite::{SqliteDeliveryRecords, SqliteLedger};
use serde_json::{Value, json};

use super::row::MAX_WHAT_CHARACTERS;
use super::*;

/// What was printed.
#[derive(Clone, Default)]
struct Terminal(Arc<Mutex<Vec<u8>>>);

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The delivery of the tests that have a record.
const ID: &str = "019aa000-0000-7000-8000-0000000000ff";

/// What is printed of the lines that `log` writes, without its colours.
async fn printed(log: impl FnOnce()) -> String {
    let directory = tempfile::tempdir().unwrap();
    printed_with(Database::open(&directory.path().join("intake.sqlite")).unwrap(), log).await
}

/// The record of a delivery of Machnet, with other members in place of its own.
fn record_with(members: &Value) -> DeliveryRecord {
    let mut record = json!({
        "kind": "delivery", "delivery_id": ID, "provider": "machnet", "account": "main", "key_fingerprint": "8d9530e3",
        "received_at": "2026-11-26T12:00:00.000Z", "recorded_at": "2026-11-26T12:00:00.100Z", "receive_count": 1,
        "headers": [], "body": "{}", "body_bytes": 2, "events": 1, "event_types": ["machnet.a"],
        "sha256": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
        "outcomes": [{"index": 0, "outcome": "stored"}],
        "expires_at": 4_000_000_000_u64, "time_bucket": "b", "time_order": "o",
    });
    record.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    serde_json::from_value(record).unwrap()
}

/// The words of the line of a delivery whose record has these members.
async fn line_of_record(members: Value, quarantined_for: Option<&str>) -> String {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("intake.sqlite")).unwrap();
    let record = record_with(&members);
    SqliteDeliveryRecords::new(database.clone()).put(&record).await.unwrap();
    if let Some(reason) = quarantined_for {
        let entry: Entry = serde_json::from_value(json!({
            "kind": "quarantine", "outcome": "quarantined", "provider": "machnet", "reason": reason, "document": "{}",
            "delivery_id": ID, "index": 0, "received_at": record.received_at, "time_bucket": "b", "time_order": "o",
        }))
        .unwrap();
        let key = EntryKey { partition: format!("quarantine#{ID}"), sort: "00000".to_owned() };
        let put = ConditionalPut { key, entry, condition: Condition::Absent };
        SqliteLedger::new(database.clone()).put(record.received_at, &[put]).await.unwrap();
    }
    let log = || tracing::info!(provider = "machnet", delivery_id = ID, outcomes = "0=stored", "record processed");
    words(&printed_with(database, log).await).join(" ")
}

async fn printed_with(database: Database, log: impl FnOnce()) -> String {
    let (live, lines) = channel();
    tracing::subscriber::with_default(live_log(LevelFilter::INFO, live), log);
    let terminal = Terminal::default();
    lines.print(database, terminal.clone(), std::future::ready(())).await;
    let bytes = terminal.0.lock().unwrap().clone();
    anstream::adapter::strip_str(&String::from_utf8(bytes).unwrap()).to_string()
}

/// The words of a line after its time.
fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().skip(1).collect()
}

#[tokio::test]
async fn what_comes_from_outside_is_shown_as_text() {
    let hostile = "\u{1b}[2J\r\n\u{202e}x";
    let text = printed(|| {
        tracing::info!(
            provider = hostile,
            method = hostile,
            path = hostile,
            reason = hostile,
            status = 404,
            "{REQUEST_REFUSED}"
        );
        tracing::info!(outcome = "issued", client_id = hostile, "token");
        tracing::error!(error = hostile, delivery_id = hostile, "record failed");
        tracing::info!(provider = hostile, delivery_id = hostile, outcomes = hostile, "record processed");
        tracing::warn!(client = hostile, "{hostile}");
    })
    .await;
    assert_eq!(text.lines().count(), 5, "{text:?}");
    assert!(!text.contains(|character: char| character != '\n' && (character.is_control() || character == '\u{202e}')));
    assert!(text.lines().all(|line| line.contains(r"\u{1b}[2J\u{d}\u{a}\u{202e}x")), "{text:?}");
}

#[tokio::test]
async fn a_refused_request_has_one_line_with_the_detail_from_the_log() {
    let text = printed(|| {
        tracing::info!(
            provider = "sterling",
            delivery_id = "1",
            outcome = "rejected",
            detail = "an unknown key",
            "delivery"
        );
        tracing::info!(
            provider = "sterling",
            delivery_id = "1",
            method = "POST",
            path = "/webhooks/sterling",
            status = 401,
            reason = "token-invalid",
            duration_microseconds = 2_400_u64,
            "{REQUEST_REFUSED}"
        );
    })
    .await;
    let [line] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    let expected = "sterling 2 ms POST /webhooks/sterling 401 token-invalid: an unknown key explain 1";
    assert_eq!(words(line).join(" "), expected);
}

#[tokio::test]
async fn a_failed_record_says_which_receive_it_was_and_when_it_is_given_up() {
    let text = printed(|| {
        tracing::info!(provider = "machnet", delivery_id = "1", outcome = "accepted", "delivery");
        for receive_count in [1, 5] {
            tracing::error!(delivery_id = "1", receive_count, error = "the ledger is away", "record failed");
        }
    })
    .await;
    let lines: Vec<String> = text.lines().map(|line| words(line).join(" ")).collect();
    let expected = ["receive 1 of 5 failed", "receive 5 of 5 given up"]
        .map(|receive| format!("machnet - {receive}: the ledger is away delivery 1"));
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn an_event_has_a_line_when_it_is_forwarded_fails_or_is_given_up() {
    let text = printed(|| {
        tracing::info!(
            provider = "machnet",
            delivery_id = "1",
            index = 0,
            attempts = 1,
            duration_microseconds = 2_400_u64,
            "{FORWARDED}"
        );
        let error = "answered 503";
        tracing::warn!(
            provider = "machnet",
            delivery_id = "1",
            attempts = 2,
            next_in_seconds = 5,
            error,
            "{FORWARDING_FAILED}"
        );
        tracing::error!(provider = "machnet", delivery_id = "1", attempts = 30, error, "{GIVEN_UP}");
    })
    .await;
    let lines: Vec<String> = text.lines().map(|line| words(line).join(" ")).collect();
    let expected = [
        "machnet 2 ms event forwarded",
        "machnet - event not forwarded, again in 5 s: answered 503; at attempt 2",
        "machnet - event not forwarded, given up: answered 503; at attempt 30 dead-letters",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn a_delivery_that_was_received_again_or_recorded_late_says_so() {
    let line = |members| line_of_record(members, None);
    assert_eq!(line(json!({})).await, "machnet - a stored");
    assert_eq!(line(json!({"receive_count": 3})).await, "machnet - a stored: at receive 3");
    let at = |time| json!({"recorded_at": format!("2026-11-26T12:00:0{time}Z")});
    assert_eq!(line(at("1.999")).await, "machnet - a stored");
    assert_eq!(line(at("5.900")).await, "machnet - a stored: recorded after 5 s");
    let both = json!({"receive_count": 2, "recorded_at": "2026-11-26T12:01:00.000Z"});
    assert_eq!(line(both).await, "machnet - a stored: at receive 2; recorded after 60 s");
}

#[tokio::test]
async fn a_quarantined_delivery_has_its_reason_before_what_else_is_to_be_said() {
    let members = json!({
        "events": 2, "event_types": [], "receive_count": 2,
        "outcomes": [{"index": 0, "outcome": "quarantined"}, {"index": 1, "outcome": "stored"}],
    });
    let line = line_of_record(members, Some("the member \"id\" is missing")).await;
    let expected = "machnet - 2 events stored, quarantined: the member \"id\" is missing; at receive 2 deliveries show";
    assert_eq!(line, format!("{expected} {ID}"));
}

#[tokio::test]
async fn what_is_long_is_cut_and_the_command_that_shows_more_is_not() {
    let path = format!("/{}", "x".repeat(100));
    let text = printed(|| {
        tracing::info!(
            delivery_id = ID,
            method = "POST",
            path = path.as_str(),
            status = 404,
            reason = "not-found",
            "{REQUEST_REFUSED}"
        );
    })
    .await;
    let cut = format!("POST {}", &path[..MAX_WHAT_CHARACTERS - 6]);
    assert_eq!(words(&text).join(" "), format!("- - {cut}… 404 not-found explain {ID}"));
}

#[tokio::test]
async fn of_the_events_of_a_batch_those_have_a_line_that_did_not_arrive_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("intake.sqlite")).unwrap();
    let batch = record_with(&json!({
        "provider": "sterling", "events": 3, "outcomes": [], "event_types": ["sterling.supplyChange"],
    }));
    SqliteDeliveryRecords::new(database.clone()).put(&batch).await.unwrap();
    let text = printed_with(database, || {
        for (index, attempts) in [(0, 1), (1, 2), (2, 1)] {
            tracing::info!(provider = "sterling", delivery_id = ID, index, attempts, "{FORWARDED}");
        }
        tracing::error!(
            provider = "sterling",
            delivery_id = ID,
            index = 2,
            attempts = 1,
            error = "answered 410",
            "{GIVEN_UP}"
        );
    })
    .await;
    let lines: Vec<String> = text.lines().map(|line| words(line).join(" ")).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("event 1 of") && lines[0].ends_with("forwarded: at attempt 2"), "{text}");
    assert!(lines[1].contains("not forwarded, given up: answered 410"), "{text}");
}

#[tokio::test]
async fn lines_that_a_slow_terminal_has_no_room_for_are_counted() {
    let text = printed(|| (0..MAX_WAITING_LINES + 3).for_each(|number| tracing::warn!(number, "a line"))).await;
    assert_eq!(text.matches("a line").count(), MAX_WAITING_LINES);
    assert_eq!(text.matches("3 lines were left out").count(), 1, "{text}");
}

#[tokio::test]
async fn what_was_logged_before_can_be_skipped() {
    let (live, mut lines) = channel();
    tracing::subscriber::with_default(live_log(LevelFilter::INFO, live), || tracing::warn!("before"));
    lines.skip();
    assert!(lines.lines.try_recv().is_err());
}

#[test]
fn the_types_of_a_delivery_are_named_or_its_events_counted() {
    let types = ["machnet.a".to_owned(), "machnet.b".to_owned()];
    assert_eq!(what(&types[..1], 1), "a");
    assert_eq!(what(&types, 3), "3 events: a, b");
    assert_eq!([what(&[], 1), what(&[], 3)], ["1 event", "3 events"]);
}

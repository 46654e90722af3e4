use std::io;
use std::sync::{Mutex, PoisonError};

use intake_pipeline::delivery_record::{DeliveryRecord, DeliveryRecords as _};
use intake_sqlite::SqliteDeliveryRecords;

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

/// What is printed of the lines that `log` writes, without its colours.
async fn printed(log: impl FnOnce()) -> String {
    printed_beside(&[], log).await
}

/// The same, with these deliveries in the data directory.
async fn printed_beside(deliveries: &[DeliveryRecord], log: impl FnOnce()) -> String {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("intake.sqlite")).unwrap();
    for delivery in deliveries {
        SqliteDeliveryRecords::new(database.clone()).put(delivery).await.unwrap();
    }
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
async fn of_the_events_of_a_batch_those_have_a_line_that_did_not_arrive_at_once() {
    let delivery_id = "01a1fd70-f1c0-7202-8202-020202020202";
    let batch: DeliveryRecord = serde_json::from_value(serde_json::json!({
        "kind": "delivery", "delivery_id": delivery_id, "provider": "sterling", "account": "main",
        "key_fingerprint": "01ab", "received_at": "2026-11-21T09:30:00.000Z", "recorded_at": "2026-11-21T09:30:01.000Z",
        "receive_count": 1, "headers": [], "body": "", "body_bytes": 0, "sha256": "0".repeat(64), "events": 3,
        "outcomes": [], "event_types": ["sterling.supplyChange"], "expires_at": 4_000_000_000_i64,
        "time_bucket": "b", "time_order": "o",
    }))
    .unwrap();
    let text = printed_beside(&[batch], || {
        for (index, attempts) in [(0, 1), (1, 2), (2, 1)] {
            tracing::info!(provider = "sterling", delivery_id, index, attempts, "{FORWARDED}");
        }
        tracing::error!(
            provider = "sterling",
            delivery_id,
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

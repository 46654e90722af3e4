//! What cannot be read is listed, shown, and released once it can be read.

use std::path::Path;

use intake_pipeline::ledger::{
    Condition, ConditionalPut, Entry, EntryKey, Ledger as _, LedgerReader as _, QuarantineEntry, QuarantinedContent,
};
use intake_providers::timestamp::Timestamp;
use intake_sqlite::{Database, SqliteLedger};
use serde_json::Value;

use crate::program::{Server, errors, output, rows, run};
use crate::send::with_test_keys;
use crate::snapshots::assert_printed;

fn printed(data: &Path, arguments: &[&str]) -> String {
    let ran = run(data, arguments);
    assert!(ran.status.success(), "{arguments:?}: {}{}", output(&ran), errors(&ran));
    output(&ran)
}

/// Posts a body to Machnet's webhook, and returns the delivery's id.
fn send(data: &Path, server: &Server, body: &[u8]) -> String {
    send_to("machnet", data, server, body, &["--event-header", "x.y"])
}

fn send_to(provider: &str, data: &Path, server: &Server, body: &[u8], options: &[&str]) -> String {
    let file = data.join("body");
    std::fs::write(&file, body).unwrap();
    let arguments = ["send", provider, "--url", &server.url, "--body", file.to_str().unwrap()];
    let text = printed(data, &[&arguments, options].concat());
    let answer = text.lines().find_map(|line| serde_json::from_str::<Value>(line).ok()).unwrap();
    server.wait_until_drained();
    answer["delivery_id"].as_str().unwrap().to_owned()
}

const BODY: &str = r#"{"id":"e1","event_name":"x.y","resource_id":"r"}"#;

/// Puts a readable delivery into the quarantine, as an earlier release did that could not read it, and takes its event out.
async fn left_by_an_earlier_release(data: &Path, quarantined: &str, readable: &str) {
    let database = Database::open(&data.join("intake.sqlite")).unwrap();
    let ledger = SqliteLedger::new(database);
    let key = |id: &str| EntryKey { partition: format!("quarantine#{id}"), sort: "00000".to_owned() };
    let Some(Entry::Quarantine(entry)) = ledger.find(&key(quarantined)).await.unwrap() else { panic!("quarantined") };
    let mut document: Value = serde_json::from_str(entry.document().unwrap()).unwrap();
    document["delivery_id"] = readable.into();
    document["body"] = serde_json::json!({"text": BODY});
    document["sha256"] = intake_providers::digest::Sha256Digest::of(BODY.as_bytes()).to_string().into();
    let mut occurrence = entry.occurrence;
    occurrence.delivery_id = readable.parse().unwrap();
    let entry = QuarantineEntry {
        reason: "the member \"name\" is missing".to_owned(),
        content: QuarantinedContent::Kept { document: document.to_string(), data: None },
        occurrence,
        ..*entry
    };
    let put =
        ConditionalPut { key: key(readable), entry: Entry::Quarantine(Box::new(entry)), condition: Condition::Absent };
    ledger.put(Timestamp::EPOCH, &[put]).await.unwrap();
}

#[test]
fn what_can_be_read_now_is_released_and_what_cannot_is_left() {
    let data = with_test_keys();
    let data = data.path();
    let server = Server::start(data);
    assert_eq!(printed(data, &["quarantine"]), "Nothing is in quarantine.\n");
    let unreadable = send(data, &server, b"{\"what\":\"\\u001b[2J\"} ");
    let readable = "019aa000-0000-7000-8000-0000000000ff";
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(left_by_an_earlier_release(data, &unreadable, readable));

    let listed = printed(data, &["quarantine"]);
    assert_printed("quarantine", data, &listed);
    let facts: Vec<String> = rows(&listed).iter().map(|row| format!("{} {} {}", row[1], row[2], row[3])).collect();
    assert_eq!(facts, [format!("machnet {readable} 0"), format!("machnet {unreadable} 0")]);
    assert_eq!(rows(&printed(data, &["quarantine", "list", "--reason", "NAME"])).len(), 1);
    assert_eq!(printed(data, &["quarantine", "--provider", "accredit"]), "Nothing is in quarantine.\n");
    let entry: Value = serde_json::from_str(printed(data, &["quarantine", "--json"]).lines().next().unwrap()).unwrap();
    assert_eq!((entry["kind"].as_str(), entry["delivery_id"].as_str()), (Some("quarantine"), Some(readable)));

    let shown = printed(data, &["quarantine", "show", &unreadable]);
    assert!(shown.contains("would be quarantined again, for the same reason"), "{shown}");
    assert!(shown.contains("x-raas-webhook-signature: "), "{shown}");
    assert!(printed(data, &["quarantine", "show", readable]).contains("can be read now"));
    assert_eq!(run(data, &["quarantine", "show", &unreadable, "--raw"]).stdout, b"{\"what\":\"\\u001b[2J\"} ");

    let dry = run(data, &["quarantine", "release", "--all", "--dry-run"]);
    assert_eq!(dry.status.code(), Some(1), "not all of it would be released");
    let text = output(&dry);
    assert!(text.contains(&format!("{readable} of machnet: would be released\n")), "{text}");
    assert!(text.contains(&format!("{unreadable} of machnet: left in quarantine\n")), "{text}");
    server.wait_until_drained();
    assert_eq!(rows(&printed(data, &["quarantine"])).len(), 2, "a dry run releases nothing");

    let refused = run(data, &["quarantine", "release", &unreadable]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(output(&refused).contains("0 released, 1 left in quarantine; --anyway"), "{}", output(&refused));

    let released = printed(data, &["quarantine", "release", readable, "--rate", "50"]);
    assert!(released.ends_with("1 released.\n"), "{released}");
    server.wait_until_drained();
    let left = printed(data, &["quarantine"]);
    assert_eq!(rows(&left).len(), 1, "{left}");
    assert!(left.contains(&unreadable), "{left}");
    let stored: Vec<Value> =
        printed(data, &["events", "--json"]).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_delivery: Vec<&Value> = stored.iter().filter(|event| event["delivery_id"] == readable).collect();
    assert_eq!(of_delivery.len(), 1, "in exactly one place: {of_delivery:?}");
    assert_eq!((of_delivery[0]["outcome"].as_str(), of_delivery[0]["id"].as_str()), (Some("stored"), Some("e1")));
    let traces = printed(data, &["quarantine", "--released"]);
    assert!(rows(&traces)[0][4].starts_with("stored, since "), "{traces}");
    let gone = run(data, &["quarantine", "release", readable]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(errors(&gone).contains(&format!("nothing of delivery {readable} is in quarantine")), "{}", errors(&gone));

    let anyway = printed(data, &["quarantine", "release", &unreadable, "--anyway"]);
    assert!(anyway.ends_with("1 released.\n"), "{anyway}");
    server.wait_until_drained();
    let again = printed(data, &["quarantine"]);
    assert!(rows(&again)[0][4].contains("(again, after a release at "), "{again}");
}

/// Puts the first event of a delivery beside its second one in the quarantine, as an earlier release did that could not read either.
async fn its_first_event_too(data: &Path, delivery: &str) {
    let ledger = SqliteLedger::new(Database::open(&data.join("intake.sqlite")).unwrap());
    let key = |index: u32| EntryKey { partition: format!("quarantine#{delivery}"), sort: format!("{index:05}") };
    let Some(Entry::Quarantine(entry)) = ledger.find(&key(1)).await.unwrap() else { panic!("quarantined") };
    let mut occurrence = entry.occurrence;
    occurrence.index.0 = 0;
    let entry = QuarantineEntry { reason: "an event of an unknown form".to_owned(), occurrence, ..*entry };
    let put = ConditionalPut { key: key(0), entry: Entry::Quarantine(Box::new(entry)), condition: Condition::Absent };
    ledger.put(Timestamp::EPOCH, &[put]).await.unwrap();
}

#[test]
fn a_delivery_of_which_one_event_can_be_read_now_is_released_as_a_whole() {
    let data = with_test_keys();
    let data = data.path();
    let server = Server::start(data);
    let batch = r#"{"eventbatch":[{"events":[{"code":"supplyChange","attributes":[]},{"attributes":[]}]}]}"#;
    let id = &send_to("sterling", data, &server, batch.as_bytes(), &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(its_first_event_too(data, id));

    let missing = r#"the member "code" is missing"#;
    let listed: Vec<String> =
        rows(&printed(data, &["quarantine"])).iter().map(|row| format!("{} {} {}", row[2], row[3], row[4])).collect();
    assert_eq!(listed, [format!("{id} 0 an event of an unknown form"), format!("{id} 1 {missing}")]);
    let shown = printed(data, &["quarantine", "show", id]);
    assert!(shown.contains("\nevent 0: an event of an unknown form\n          can be read now\n"), "{shown}");
    let again = format!("\nevent 1: {missing}\n          would be quarantined again, for the same reason\n");
    assert!(shown.contains(&again), "{shown}");

    let listed = printed(data, &["quarantine", "--json"]);
    assert_eq!(printed(data, &["quarantine", "show", id, "--json"]), listed, "the same objects as in the list");

    let dry: Value =
        serde_json::from_str(&printed(data, &["quarantine", "release", id, "--dry-run", "--json"])).unwrap();
    assert_eq!((dry["released"].as_bool(), dry["dry_run"].as_bool()), (Some(true), Some(true)), "{dry}");
    let events = dry["events"].as_array().unwrap();
    assert_eq!((events[0]["index"].as_u64(), events[0]["readable"].as_bool()), (Some(0), Some(true)), "{dry}");
    assert_eq!((events[1]["readable"].as_bool(), &events[1]["would_be_quarantined"]), (Some(false), &missing.into()));
    let released = printed(data, &["quarantine", "release", id]);
    let expected = format!(
        "{id} of sterling: released\n  event 0 (an event of an unknown form) can be read now\n  \
         event 1 ({missing}) would be quarantined again, for the same reason\n1 released.\n"
    );
    assert_eq!(released, expected);
    server.wait_until_drained();
    let left = rows(&printed(data, &["quarantine"]));
    assert_eq!((left.len(), left[0][3].as_str()), (1, "1"), "{left:?}");
    assert!(left[0][4].starts_with(&format!("{missing} (again, after a release at ")), "{left:?}");
    assert_eq!(printed(data, &["events", "--outcome", "stored", "--json"]).lines().count(), 1);
}

#[test]
fn a_release_says_what_it_is_about() {
    let data = with_test_keys();
    drop(Server::start(data.path()));
    let id = "019aa000-0000-7000-8000-0000000000ff";
    for arguments in [
        &["quarantine", "release"][..],
        &["quarantine", "release", "--all", id],
        &["quarantine", "release", id, "--provider", "machnet"],
        &["quarantine", "release", "x"],
        &["quarantine", "--limit", "0"],
    ] {
        assert_eq!(run(data.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
    let unknown = run(data.path(), &["quarantine", "show", id]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(errors(&unknown).contains("is in quarantine; `quarantine` lists what is"), "{}", errors(&unknown));
}

use std::path::Path;

use serde_json::Value;

use crate::program::{Server, errors, output, program, rows, run};
use crate::send::with_test_keys;
use crate::snapshots::assert_printed;

/// Posts a body, and returns the delivery's id.
pub(crate) fn send(data: &Path, server: &Server, provider: &str, body: &[u8], arguments: &[&str]) -> String {
    let file = data.join("body");
    std::fs::write(&file, body).unwrap();
    let fixed = ["send", provider, "--url", &server.url, "--body", file.to_str().unwrap()];
    let sent = run(data, &[&fixed, arguments].concat());
    let text = output(&sent);
    assert!(sent.status.success(), "{text}{}", errors(&sent));
    let answer = text.lines().find_map(|line| serde_json::from_str::<Value>(line).ok()).unwrap();
    answer["delivery_id"].as_str().unwrap().to_owned()
}

fn listed(data: &Path, arguments: &[&str]) -> String {
    let listed = run(data, &[&["deliveries"], arguments].concat());
    assert!(listed.status.success(), "{arguments:?}: {}", errors(&listed));
    output(&listed)
}

fn raw(data: &Path, id: &str) -> Vec<u8> {
    let shown = run(data, &["deliveries", "show", id, "--raw"]);
    assert!(shown.status.success(), "{}", errors(&shown));
    shown.stdout
}

const BATCH: &str = "{\"eventbatch\" : [{\"channel\":\"c\",\r\n \"events\":[{\"code\":\"supplyChange\"}, {\"code\":\"demandChange\"}]}]}\n";
const EVENT: &str = r#"{"id":"e1","event_name":"transaction_done","resource_id":"r","payload":{"name":"Zoë"}}"#;

#[test]
fn deliveries_are_listed_and_each_is_shown_with_its_headers_outcomes_and_bytes() {
    let data = with_test_keys();
    let data = data.path();
    let server = Server::start(data);
    let array = format!(
        r#"{{"domainComponentName":"agents","state":"Updated","payload":[{}]}}"#,
        vec![format!(r#"{{"organisationName":"o","businessId":"b","id":"a1","name":"{}"}}"#, "n".repeat(200)); 100]
            .join(",")
    );
    let bodies: [(&str, &[u8]); 5] = [
        ("sterling", BATCH.as_bytes()),
        ("nurturecloud", array.as_bytes()),
        ("machnet", EVENT.as_bytes()),
        ("machnet", EVENT.as_bytes()),
        ("machnet", b"\xff\x00 not an event"),
    ];
    let mut ids = Vec::new();
    for (provider, body) in bodies {
        let header: &[&str] = if provider == "machnet" { &["--event-header", "transaction_done"] } else { &[] };
        ids.push(send(data, &server, provider, body, header));
        server.wait_until_drained();
    }

    let table = listed(data, &[]);
    let cells: Vec<String> =
        rows(&table).iter().map(|row| format!("{} {}", row[1], row[2].split(" (").next().unwrap())).collect();
    let expected = [
        format!("{} sterling stored ×2", ids[0]),
        format!("{} nurturecloud stored, duplicate ×99", ids[1]),
        format!("{} machnet stored", ids[2]),
        format!("{} machnet duplicate", ids[3]),
        format!("{} machnet quarantined", ids[4]),
    ];
    assert_eq!(cells, expected, "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 120), "{table}");
    assert_eq!(rows(&listed(data, &["list", "--provider", "sterling"])).len(), 1);
    assert_eq!(rows(&listed(data, &["--provider", "sterling"])).len(), 1);
    let latest = listed(data, &["--limit", "2"]);
    assert!(latest.contains(&ids[4]) && latest.contains("The latest 2; --limit shows more."), "{latest}");
    assert_eq!(listed(data, &["--since", "2100-01-01T00:00:00Z"]), "No such delivery.\n");
    let lines = listed(data, &["--json"]);
    let records: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.iter().map(|record| record["delivery_id"].as_str().unwrap()).collect::<Vec<_>>(), ids);

    for (id, (_, body)) in ids.iter().zip(bodies) {
        assert_eq!(raw(data, id), body, "{id}");
    }
    let duplicate = listed(data, &["show", &ids[3]]);
    assert!(duplicate.contains(&format!("0  duplicate, first in delivery {}\n", ids[2])), "{duplicate}");
    let quarantined = listed(data, &["show", &ids[4]]);
    assert!(quarantined.contains("0  quarantined: the content is not UTF-8 text\n"), "{quarantined}");
    let array = listed(data, &["show", &ids[1]]);
    assert!(array.contains("19  duplicate") && array.contains("and duplicate ×80\n"), "{array}");
    assert!(array.contains("kept as delivery-bodies/nurturecloud/"), "{array}");
    let record: Value = serde_json::from_str(&listed(data, &["show", &ids[0], "--json"])).unwrap();
    assert_eq!(record, records[0]);
    let token = record["headers"].to_string();
    assert!(!token.to_lowercase().contains("bearer ") && token.contains("authorization"), "{token}");
    assert_printed("deliveries-one", data, &without_lengths(&listed(data, &["show", &ids[0]])));
}

/// How long it took, and how long the host's name is, differ from run to run.
fn without_lengths(text: &str) -> String {
    let lines = text.lines().map(|line| match line.split_once(", recorded ") {
        Some((start, _)) => format!("{start}, recorded N ms later"),
        None => line.to_owned(),
    });
    lines.map(|line| line + "\n").collect()
}

#[test]
fn what_a_provider_sends_is_shown_as_text_and_does_nothing_to_the_terminal() {
    let data = with_test_keys();
    let data = data.path();
    let server = Server::start(data);
    let hostile = r#"{"id":"1","event_name":"x\u001b[2J\u202e","resource_id":"r"}"#;
    let id = send(data, &server, "machnet", hostile.as_bytes(), &["--event-header", "x.y"]);
    server.wait_until_drained();
    for text in [listed(data, &["show", &id]), listed(data, &[]), listed(data, &["show", &id, "--json"])] {
        assert!(!text.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}')), "{text:?}");
    }
    assert!(listed(data, &["show", &id]).contains(r"types     machnet.x\u{1b}[2J\u{202e}"));
}

#[test]
fn an_unknown_delivery_is_an_error_that_says_where_to_look() {
    let data = with_test_keys();
    let _server = Server::start(data.path());
    let id = "019aa000-0000-7000-8000-000000000001";
    let unknown = run(data.path(), &["deliveries", "show", id]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(errors(&unknown).contains(&format!("there is no record of delivery {id}; `deliveries` lists")));
    let wrong = run(data.path(), &["deliveries", "show", "yesterday"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(errors(&wrong).contains("is not a valid delivery id"), "{}", errors(&wrong));
}

#[cfg(unix)]
#[test]
fn a_tail_that_nobody_reads_any_more_ends_although_nothing_comes() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};
    let data = with_test_keys();
    drop(Server::start(data.path()));
    for command in ["deliveries", "events"] {
        let mut tail = program(data.path(), &[command, "tail"]).stdout(Stdio::piped()).spawn().unwrap();
        drop(tail.stdout.take());
        let until = Instant::now() + Duration::from_secs(30);
        let status = loop {
            if let Some(status) = tail.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > until {
                tail.kill().unwrap();
                panic!("`{command} tail` still runs");
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        assert!(status.success(), "{command}: {status}");
    }
}

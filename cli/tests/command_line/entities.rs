use std::path::Path;

use crate::program::{Server, errors, output, rows, run};
use crate::send::with_test_keys;
use crate::snapshots::assert_printed;

fn send(data: &Path, server: &Server, arguments: &[&str]) {
    let sent = run(data, &[&["send", "nurturecloud", "--url", &server.url], arguments].concat());
    assert!(sent.status.success(), "{arguments:?}: {}{}", output(&sent), errors(&sent));
}

/// Posts a body of one's own.
fn send_body(data: &Path, server: &Server, body: &str) {
    let file = data.join("body.json");
    std::fs::write(&file, body).unwrap();
    send(data, server, &["--body", file.to_str().unwrap()]);
}

fn listed(data: &Path, arguments: &[&str]) -> String {
    let listed = run(data, &[&["entities"], arguments].concat());
    assert!(listed.status.success(), "{arguments:?}: {}", errors(&listed));
    output(&listed)
}

fn agent(state: &str, name: &str, business: &str) -> String {
    format!(
        r#"{{"domainComponentName":"agents","state":"{state}","payload":{{"organisationName":"o","businessId":"{business}","id":"a1","name":"{name}"}}}}"#
    )
}

#[test]
fn an_entity_is_shown_with_its_content_and_its_history_in_the_order_of_arrival() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    for (state, name) in [("Created", "A"), ("Updated", "B"), ("Updated", "A"), ("Updated", "A")] {
        send_body(data.path(), &server, &agent(state, name, "b1"));
        // Deliveries of one batch are recorded side by side, and a later one may be first.
        server.wait_until_drained();
    }
    // Singular and plural are one.
    for component in ["agent", "Agents"] {
        let text = listed(data.path(), &[component, "a1"]);
        assert_printed("entities-one", data.path(), &text);
        let rows = rows(&text);
        let place = rows[2][2].split(' ').next().unwrap();
        assert!(rows[3][2].ends_with(&format!("; same as {place})")), "{text}");
        assert!(rows.is_sorted_by_key(|row| &row[0]), "{text}");
    }

    let whole: serde_json::Value = serde_json::from_str(&listed(data.path(), &["agent", "a1", "--json"])).unwrap();
    assert_eq!(whole["entity"]["version"], 4, "{whole}");
    assert_eq!(whole["history"].as_array().unwrap().len(), 4, "{whole}");
    assert_eq!(whole["history"][3]["entity"]["change"], "unchanged", "{whole}");
    assert_eq!(whole.get("merges"), None, "{whole}");

    let events = output(&run(data.path(), &["events", "--outcome", "duplicate"]));
    let [duplicate] = rows_of(&events);
    let shown = listed(data.path(), &["agent", "a1"]);
    let [_, _, stored, duplicated] =
        rows_of(&shown).map(|row: Vec<String>| row[2].split(' ').next().unwrap().to_owned());
    assert_eq!(duplicate[2], format!("nurturecloud.agent.Updated {duplicated} – same as {stored}"), "{events}");
}

fn rows_of<const COUNT: usize>(text: &str) -> [Vec<String>; COUNT] {
    rows(text).try_into().unwrap_or_else(|rows| panic!("{rows:?}"))
}

#[test]
fn what_was_sent_with_options_is_listed_and_filtered_and_its_merges_are_followed() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    send(data.path(), &server, &["--id", "c1"]);
    send(data.path(), &server, &["--id", "c2", "--component", "contacts", "--state", "Updated"]);
    send(data.path(), &server, &["--id", "c2", "--state", "Deleted", "--merged-into", "c1"]);
    send(data.path(), &server, &["--id", "g1", "--component", "agency", "--state", "Deleted"]);
    send_body(data.path(), &server, &agent("Current", "A", "b1"));
    server.wait_until_drained();
    let cells = |arguments: &[&str]| -> Vec<String> {
        let text = listed(data.path(), arguments);
        rows(&text).iter().map(|row| [&*row[0], &*row[1], &*row[3], &*row[4], &*row[6]].join(" ")).collect()
    };
    let agency = "agency g1 business-1 1 deleted (no content)";
    let (c1, c2) = ("contact c1 business-1 1 there", "contact c2 business-1 2 merged");
    let a1 = "agent a1 b1 1 there";
    assert_printed("entities", data.path(), &listed(data.path(), &[]));
    assert_eq!(cells(&[]), [agency, a1, c1, c2]);
    assert_eq!(cells(&["--component", "contacts"]), [c1, c2]);
    assert_eq!(cells(&["--business", "b1"]), [a1]);
    assert_eq!(cells(&["--organisation", "o"]), [a1]);
    assert_eq!(cells(&["--deleted"]), [agency, c2]);
    assert_eq!(cells(&["--deleted", "--component", "agency"]), [agency]);
    assert_eq!(listed(data.path(), &["--business", "none"]), "No such entity.\n");

    let text = listed(data.path(), &["contact", "c2"]);
    assert!(text.contains("state    merged\n         into contact c1\n         which is there\n"), "{text}");
    let lines = listed(data.path(), &["--json", "--deleted"]);
    let entities: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entities.len(), 2, "{lines}");
    assert!(entities.iter().all(|entity| entity["kind"] == "entity" && entity["deleted"] == true), "{lines}");
}

#[test]
fn one_id_in_two_businesses_is_answered_with_both() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    send_body(data.path(), &server, &agent("Created", "A", "b1"));
    send_body(data.path(), &server, &agent("Created", "B", "b2"));
    server.wait_until_drained();
    let ambiguous = run(data.path(), &["entities", "agent", "a1"]);
    let text = errors(&ambiguous);
    assert!(!ambiguous.status.success());
    assert!(text.contains("there is more than one agent a1"), "{text}");
    assert!(text.contains(r#"--business "b1""#) && text.contains(r#"--business "b2""#), "{text}");
    let one = listed(data.path(), &["agent", "a1", "--business", "b2"]);
    assert!(one.contains(r#""name":"B""#), "{one}");
    let unknown = run(data.path(), &["entities", "contact", "a1"]);
    assert!(!unknown.status.success());
    assert!(errors(&unknown).contains("nothing is known of contact a1"), "{}", errors(&unknown));
}

#[test]
fn one_id_in_two_accounts_is_two_entities_and_merges_stay_within_theirs() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    let url_of = |account: &str| {
        let made = run(data.path(), &["keys", "add", "nurturecloud", "--account", account, "--base-url", &server.url]);
        assert!(made.status.success(), "{}", errors(&made));
        output(&made).trim().to_owned()
    };
    let (north, south) = (url_of("north"), url_of("south"));
    let body = data.path().join("body.json");
    let send_to = |url: &str, text: &str| {
        std::fs::write(&body, text).unwrap();
        let sent = run(data.path(), &["send", "nurturecloud", "--url", url, "--body", body.to_str().unwrap()]);
        assert!(sent.status.success(), "{}{}", output(&sent), errors(&sent));
    };
    let merged = r#"{"domainComponentName":"agent","state":"Deleted","payload":{"organisationName":"o","businessId":"b1","id":"a0",
        "mergedInto":{"organisationName":"o","businessId":"b1","id":"a1"}}}"#;
    send_to(&north, &agent("Created", "A", "b1"));
    send_to(&south, merged);
    send_to(&south, &agent("Created", "A", "b1"));
    send_to(&south, &agent("Deleted", "A", "b1"));
    server.wait_until_drained();

    let rows = |arguments: &[&str]| -> Vec<String> {
        let text = listed(data.path(), arguments);
        rows(&text).iter().map(|row| [&*row[0], &*row[1], &*row[2], &*row[4], &*row[6]].join(" ")).collect()
    };
    assert_eq!(
        rows(&[]),
        ["agent a1 north 1 there", "agent a0 south 1 merged (no content)", "agent a1 south 2 deleted"]
    );
    assert_eq!(rows(&["--account", "north"]), ["agent a1 north 1 there"]);

    let ambiguous = errors(&run(data.path(), &["entities", "agent", "a1"]));
    assert!(ambiguous.contains("--account north ") && ambiguous.contains("--account south "), "{ambiguous}");
    let one = listed(data.path(), &["agent", "a1", "--account", "north"]);
    assert!(one.starts_with("agent a1 of business b1, organisation o, account north\n\nstate    there\n"), "{one}");
    let merged = listed(data.path(), &["agent", "a0"]);
    assert!(merged.contains("state    merged\n         into agent a1\n         which is deleted\n"), "{merged}");
}

/// Clears the screen, goes back in the line, begins a line that looks like one of ours, and reorders what follows.
const HOSTILE: &str = r"a\u001b[2J\r\nstate    deleted\u009b31m\u202eb";
const SHOWN: &str = r"a\u{1b}[2J\u{d}\u{a}state    deleted\u{9b}31m\u{202e}b";

#[test]
fn what_a_provider_sends_is_shown_as_text_and_does_nothing_to_the_terminal() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    let id: String = serde_json::from_str(&format!("\"{HOSTILE}\"")).unwrap();
    let entity = |business: &str| {
        format!(
            "{{\"domainComponentName\":\"agents\",\"state\":\"Created\",\"payload\":{{\n\"organisationName\":\"{HOSTILE}\",\n\
             \"businessId\":\"{business}\",\"id\":\"{HOSTILE}\",\"name\":\"\u{202e}\u{9b}\"}}}}"
        )
    };
    send_body(data.path(), &server, &entity("b1"));
    server.wait_until_drained();
    let shown = |arguments: &[&str]| {
        let ran = run(data.path(), arguments);
        let text = output(&ran) + &errors(&ran);
        let raw: Vec<char> = text.chars().filter(|c| *c != '\n' && (c.is_control() || *c == '\u{202e}')).collect();
        assert!(raw.is_empty(), "{arguments:?}: {raw:?} in {text}");
        text
    };

    let table = shown(&["entities"]);
    assert_eq!(rows_of::<1>(&table)[0][..4].join("|"), format!("agent|{SHOWN}|main|b1"), "{table}");
    let one = shown(&["entities", "agent", &id]);
    assert!(
        one.starts_with(&format!(
            "agent {SHOWN} of business b1, organisation {SHOWN}, account main\n\nstate    there\n"
        )),
        "{one}"
    );
    let indented = format!("         {{\n         \"organisationName\":\"{HOSTILE}\",\n         \"businessId\"");
    assert!(one.contains(&indented), "{one}");
    assert!(one.contains(r#""name":"\u{202e}\u{9b}"}"#), "{one}");
    for json in
        [shown(&["entities", "--json"]), shown(&["events", "--json"]), shown(&["entities", "agent", &id, "--json"])]
    {
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(value.to_string().contains('\u{202e}'), "{json}");
    }

    send_body(data.path(), &server, &entity(HOSTILE));
    server.wait_until_drained();
    let two = shown(&["entities", "agent", &id]);
    assert!(two.starts_with(&format!("error: there is more than one agent {SHOWN}; say")), "{two}");
    assert!(shown(&["entities", "agent", "\u{1b}[2J"]).contains(r"nothing is known of agent \u{1b}[2J;"));
}

#[test]
fn the_id_of_an_event_is_shown_as_text() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    let file = data.path().join("body.json");
    let hostile = r#"{"id":"\u001b[2J\u202e","event_name":"x\u0007\n.y\u200b","resource_id":"r","user_id":"u","subscription_id":"s","payload":[],"timestamp":"2026-11-21T09:30:00"}"#;
    std::fs::write(&file, hostile).unwrap();
    let body = ["--body", file.to_str().unwrap(), "--event-header", "x.y"];
    let sent = run(data.path(), &[&["send", "machnet", "--url", &server.url], &body[..]].concat());
    assert!(sent.status.success(), "{}{}", output(&sent), errors(&sent));
    server.wait_until_drained();

    let text = output(&run(data.path(), &["events"]));
    assert!(!text.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}')), "{text:?}");
    let [row] = rows_of(&text);
    let [event_type, _, id] = row[2].splitn(3, ' ').collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(
        [&row[1], event_type, id],
        ["stored", r"machnet.x\u{7}\u{a}.y\u{200b}", r"– id \u{1b}[2J\u{202e}"],
        "{text}"
    );
}

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

use serde_json::Value;

use crate::deliveries::send;
use crate::program::{Server, errors, output, program, rows, run};
use crate::send::with_test_keys;
use crate::snapshots::assert_printed;

fn machnet(data: &Path, server: &Server, body: &str) -> String {
    let id = send(data, server, "machnet", body.as_bytes(), &["--event-header", "transaction_done"]);
    server.wait_until_drained();
    id
}

/// An event with a name of any script, and one of its members in two lines.
fn event(id: &str, resource: &str, name: &str) -> String {
    format!(
        r#"{{"id":"{id}","event_name":"transaction_done","resource_id":"{resource}","timestamp":"2026-11-21T09:30:00",
"payload":{{"name":"{name}"}}}}"#
    )
}

fn listed(data: &Path, arguments: &[&str]) -> String {
    let listed = run(data, &[&["events"], arguments].concat());
    assert!(listed.status.success(), "{arguments:?}: {}", errors(&listed));
    output(&listed)
}

/// The places in the last column.
fn places(table: &str) -> Vec<String> {
    rows(table).iter().map(|row| row[2].split(' ').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn an_event_is_found_by_its_id_its_place_and_its_delivery_and_shown_with_all_that_is_known() {
    let data = with_test_keys();
    let data = data.path();
    let server = Server::start(data);
    let first = machnet(data, &server, &event("evt_1", "r1", "Zoë 日本"));
    let conflict = machnet(data, &server, &event("evt_1", "r1", "Zoe"));
    let repeat = machnet(data, &server, &event("evt_2", "r1", "Zoë 日本"));
    let quarantined = send(data, &server, "machnet", b"\xff\x00 not an event", &["--event-header", "x.y"]);
    server.wait_until_drained();

    for name in [&format!("{first}.0"), &first] {
        assert_printed("events-stored", data, &listed(data, &["show", name]));
    }
    assert_printed("events-conflict", data, &listed(data, &["show", &conflict]));
    let shown = listed(data, &["show", "evt_1", "--outcome", "conflict"]);
    assert!(shown.contains(&format!("conflict: event {first}.0 came first")), "{shown}");
    assert_eq!(shown, listed(data, &["show", &format!("{conflict}.0")]));
    assert_printed("events-repeat", data, &listed(data, &["show", "evt_2"]));
    assert_printed("events-quarantined", data, &listed(data, &["show", &quarantined]));

    // The bytes, as they came.
    let raw = |name: &str| run(data, &["events", "show", name, "--raw"]).stdout;
    assert_eq!(raw("evt_2"), event("evt_2", "r1", "Zoë 日本").as_bytes());
    assert_eq!(raw(&conflict), event("evt_1", "r1", "Zoe").as_bytes());
    assert_eq!(raw(&quarantined), b"\xff\x00 not an event");
    let entry: Value = serde_json::from_str(&listed(data, &["show", &repeat, "--json"])).unwrap();
    assert_eq!((&entry["kind"], &entry["repeat_of"]), (&Value::from("event"), &Value::from("evt_1")));

    // Two events have the id.
    let both = run(data, &["events", "show", "evt_1"]);
    assert_eq!(both.status.code(), Some(1));
    assert_eq!(places(&output(&both)), [format!("{first}.0"), format!("{conflict}.0")]);
    let hint = format!(
        "2 events match evt_1; name one by its place, such as `webhook-intake --data-directory {}",
        data.display()
    );
    assert!(
        errors(&both).starts_with(&hint) && errors(&both).ends_with(&format!("events show {conflict}.0`.\n")),
        "{}",
        errors(&both)
    );
    let both = run(data, &["events", "show", "evt_1", "--raw"]);
    assert!(both.status.code() == Some(1) && both.stdout.is_empty() && errors(&both).contains(&first));
    let both = run(data, &["events", "show", "evt_1", "--json"]);
    assert_eq!((both.status.code(), output(&both).lines().count()), (Some(1), 2));

    // A duplicate left no event.
    let duplicate = machnet(data, &server, &event("evt_2", "r1", "Zoë 日本"));
    for (name, expected) in [
        ("evt_9", "there is no event evt_9; `events` lists what there is".to_owned()),
        (&duplicate, format!("there is no such event of delivery {duplicate}, whose outcomes are: duplicate;")),
        (&format!("{first}.1"), format!("there is no such event of delivery {first}, whose outcomes are: stored;")),
    ] {
        let unknown = run(data, &["events", "show", name]);
        assert_eq!((unknown.status.code(), output(&unknown)), (Some(1), String::new()));
        assert!(errors(&unknown).contains(&expected), "{}", errors(&unknown));
    }
    for wrong in [&["show"][..], &["--outcome", "lost"], &["--limit", "0"], &["--follow", "--limit", "3"]] {
        assert_eq!(run(data, &[&["events"], wrong].concat()).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn events_are_listed_by_all_that_tells_them_apart_with_ids_that_fit_80_columns() {
    let data = with_test_keys();
    let data = data.path();
    let server = Server::start(data);
    let events: Vec<String> = (0..60).map(|number| format!(r#"{{"code":"c{}"}}"#, number % 2)).collect();
    let batch = format!(r#"{{"eventbatch":[{{"channel":"c","events":[{},7]}}]}}"#, events.join(","));
    let sterling = send(data, &server, "sterling", batch.as_bytes(), &[]);
    server.wait_until_drained();
    let first = machnet(data, &server, &event("evt_1", "r1", "a"));
    machnet(data, &server, &event("evt_2", "r2", "b"));

    let cells = |arguments: &[&str]| places(&listed(data, arguments));
    let place = |delivery: &str, index: usize| format!("{delivery}.{index}");
    assert_eq!(cells(&["--id", "evt_1"]), [place(&first, 0)]);
    assert_eq!(cells(&["list", "--subject", "r1"]), [place(&first, 0)]);
    assert_eq!(cells(&["--type", "c1", "--limit", "100"]).len(), 30);
    assert_eq!(cells(&["--type", "sterling.c1", "--limit", "2"]), [place(&sterling, 57), place(&sterling, 59)]);
    assert_eq!(cells(&["--reason", "OBJECT"]), [place(&sterling, 60)]);
    assert_eq!(cells(&["--delivery", &first]), [place(&first, 0)]);
    assert_eq!(cells(&["--delivery", &sterling, "--limit", "100"]).len(), 61);
    assert_eq!(cells(&["--provider", "machnet", "--outcome", "stored"]).len(), 2);
    assert_eq!(listed(data, &["--until", "1h"]), "No such event.\n");
    assert_eq!(listed(data, &["--delivery", &first, "--since", "2100-01-01T00:00:00Z"]), "No such event.\n");
    assert!(listed(data, &[]).ends_with("The latest 50; --limit shows more.\n"));

    let entry: Value = serde_json::from_str(&listed(data, &["show", &place(&sterling, 42), "--json"])).unwrap();
    assert_eq!((&entry["index"], &entry["type"]), (&Value::from(42), &Value::from("sterling.c0")));
    assert_eq!(run(data, &["events", "show", &place(&sterling, 42), "--raw"]).stdout, br#"{"code":"c0"}"#);
    assert_eq!(run(data, &["events", "show", &place(&sterling, 60), "--raw"]).stdout, b"7");
    let shown = listed(data, &["show", &place(&sterling, 42)]);
    assert!(shown.contains(&format!("delivery    {sterling}, no. 43 of its 61 events\n")), "{shown}");
    let all = run(data, &["events", "show", &sterling]);
    assert_eq!((all.status.code(), rows(&output(&all)).len()), (Some(1), 50));
    assert!(errors(&all).starts_with(&format!("50 or more events match {sterling};")), "{}", errors(&all));

    // What is not the last column, and the longest word of that.
    let table = listed(data, &["--limit", "100"]);
    let longest = rows(&table).iter().flat_map(|row| row[2].split(' ').map(str::len).collect::<Vec<_>>()).max();
    let others = rows(&table).iter().map(|row| row[0].len() + row[1].len()).max();
    let frames = 3 * 3 + 1;
    assert!([others.unwrap(), longest.unwrap(), frames].iter().sum::<usize>() <= 80, "{table}");
}

#[test]
fn the_data_of_an_entitys_duplicate_are_those_of_the_event_with_the_same_content() {
    let data = with_test_keys();
    let data = data.path();
    let server = Server::start(data);
    let payload = r#"{"organisationName":"o","businessId":"b","id":"a1","name":"Zoë"}"#;
    let body = format!(r#"{{"domainComponentName":"agents","state":"Updated","payload":{payload}}}"#);
    let ids: Vec<String> = (0..2)
        .map(|_| {
            let id = send(data, &server, "nurturecloud", body.as_bytes(), &[]);
            server.wait_until_drained();
            id
        })
        .collect();
    let duplicate = format!("{}.0", ids[1]);
    let shown = listed(data, &["show", &duplicate]);
    assert!(shown.contains(&format!("outcome     duplicate: the same content as event {}.0\n", ids[0])), "{shown}");
    assert_printed("events-duplicate", data, &shown);
    let raw = |place: &str| run(data, &["events", "show", place, "--raw"]).stdout;
    assert_eq!(raw(&duplicate), raw(&format!("{}.0", ids[0])));
    assert!(String::from_utf8(raw(&duplicate)).unwrap().contains("Zoë"));
}

/// Clears the screen, goes back in the line, begins a line that looks like one of ours, and reorders what follows.
const HOSTILE: &str = r"x\u001b[2J\r\noutcome     stored\u009b31m\u202e";
const SHOWN: &str = r"x\u{1b}[2J\u{d}\u{a}outcome     stored\u{9b}31m\u{202e}";

#[test]
fn what_a_provider_sends_is_shown_as_text_and_does_nothing_to_the_terminal() {
    let data = with_test_keys();
    let data = data.path();
    let server = Server::start(data);
    let body = format!(r#"{{"id":"{HOSTILE}","event_name":"{HOSTILE}","resource_id":"{HOSTILE}"}}"#);
    let id = send(data, &server, "machnet", body.as_bytes(), &["--event-header", "x.y"]);
    server.wait_until_drained();
    let safe = |text: String| {
        assert!(!text.chars().any(|c| c != '\n' && (c.is_control() || c == '\u{202e}')), "{text:?}");
        text
    };
    let shown = safe(listed(data, &["show", &id]));
    for line in [
        format!("machnet.{SHOWN} of machnet, account main"),
        format!("id          {SHOWN}"),
        format!("subject     {SHOWN}"),
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} in {shown}");
    }
    assert_eq!(shown.lines().filter(|line| line.starts_with("outcome")).count(), 1, "{shown}");
    safe(listed(data, &[]));
    safe(listed(data, &["show", &id, "--json"]));
    let unknown = run(data, &["events", "show", "\u{1b}[2J"]);
    assert!(safe(errors(&unknown)).contains(r"there is no event \u{1b}[2J;"));
    let mut tail = Tail::start(data, &["events", "tail", "--since", "1h"]);
    assert!(safe(tail.line() + "\n").contains(&format!("{id}.0  machnet.x\\u{{1b}}[2J")));
}

/// A command that prints what comes.
struct Tail {
    child: Child,
    lines: Option<BufReader<ChildStdout>>,
}

impl Tail {
    fn start(data: &Path, arguments: &[&str]) -> Self {
        let mut child = program(data, arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = child.stdout.take().map(BufReader::new);
        Self { child, lines }
    }

    /// The next line, when it comes.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.as_mut().unwrap().read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(unix)]
#[test]
fn what_comes_is_printed_once_a_line_each_until_ctrl_c_or_until_nobody_reads() {
    let data = with_test_keys();
    let data = data.path();
    let server = Server::start(data);
    let first = machnet(data, &server, &event("evt_1", "r1", "a"));
    // What is there already says that the first look was taken.
    let mut events = Tail::start(data, &["events", "--follow", "--since", "1h"]);
    let mut json = Tail::start(data, &["events", "tail", "--since", "1h", "--json", "--id", "evt_2"]);
    let mut deliveries = Tail::start(data, &["deliveries", "tail", "--since", "1h"]);
    let line = events.line();
    assert!(line.ends_with(&format!("  stored       {first}.0  machnet.transaction_done – id evt_1")), "{line}");
    let line = deliveries.line();
    assert!(line.contains(&format!("  {first}  machnet       stored  (")), "{line}");

    let second = machnet(data, &server, &event("evt_2", "r2", "b"));
    let third = machnet(data, &server, &event("evt_2", "r2", "b"));
    assert!(events.line().contains(&format!("{second}.0")));
    assert_eq!(serde_json::from_str::<Value>(&json.line()).unwrap()["id"], "evt_2");
    assert!(deliveries.line().contains(&second));
    let line = deliveries.line();
    assert!(line.contains(&format!("{third}  machnet       duplicate  (")), "{line}");

    let interrupt = std::process::Command::new("kill").args(["-INT", &events.child.id().to_string()]).status();
    assert!(interrupt.unwrap().success());
    let (mut rest, mut errors) = (String::new(), String::new());
    events.lines.take().unwrap().read_to_string(&mut rest).unwrap();
    events.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!((events.child.wait().unwrap().code(), rest.as_str(), errors.as_str()), (Some(0), "", ""));

    // The next line finds nobody.
    drop(deliveries.lines.take());
    machnet(data, &server, &event("evt_3", "r3", "c"));
    let mut errors = String::new();
    deliveries.child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!((deliveries.child.wait().unwrap().code(), errors.as_str()), (Some(0), ""));
}

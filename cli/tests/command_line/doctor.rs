//! `doctor` on a data directory.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::{Server, errors, output, run};
use crate::send::with_test_keys;

/// Whether all is well, and every check.
fn checks(data: &Path) -> (bool, Vec<Value>) {
    let done = run(data, &["doctor", "--json"]);
    let checks = output(&done).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    (done.status.success(), checks)
}

fn check<'a>(checks: &'a [Value], subject: &str) -> &'a Value {
    checks.iter().find(|check| check["subject"] == subject).unwrap_or_else(|| panic!("no {subject} in {checks:?}"))
}

#[test]
fn a_directory_with_keys_and_a_server_is_well() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    assert!(run(data.path(), &["send", "machnet", "--url", &server.url]).status.success());
    let done = run(data.path(), &["doctor"]);
    let text = output(&done);
    assert!(done.status.success(), "{text}{}", errors(&done));
    assert!(text.ends_with("\nAll is well.\n"), "{text}");
    assert!(text.contains("ok       server: it is running\n"), "{text}");
    assert!(text.contains("ok       token endpoint: one client may ask for tokens\n"), "{text}");
    assert!(text.contains("notice   keys of nowcerts: nowcerts isn't set up"), "{text}");
}

#[test]
fn a_running_server_of_another_version_is_named() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    let version = || check(&checks(data.path()).1, "version of the server").clone();
    assert_eq!(version()["verdict"], "well");
    let file = data.path().join("server.version");
    fs::write(&file, "0.0.7\n").unwrap();
    let other = version();
    assert_eq!(other["verdict"], "notice");
    assert!(other["finding"].as_str().unwrap().starts_with("0.0.7, and this program is "), "{other}");
    fs::remove_file(file).unwrap();
    assert!(version()["finding"].as_str().unwrap().contains("an earlier release"));
    drop(server);
    assert!(!checks(data.path()).1.iter().any(|check| check["subject"] == "version of the server"));
}

#[test]
fn each_thing_that_is_broken_is_named_with_what_to_do_and_no_secret_is_shown() {
    let data = with_test_keys();
    drop(Server::start(data.path()));
    // Nobody listens there any more.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let key = |name: &str, document: Value| {
        fs::write(data.path().join("keys").join(name), document.to_string()).unwrap();
    };
    key("accredit.json", json!({"keys": []}));
    key("machnet.json", json!({"keys": [{"account": "main", "secret": "hunter2"}]}));
    key("nurturecloud.json", json!("hunter2"));
    key(
        "sterling-authority.json",
        json!({
            "issuer": "urn:us", "audience": "urn:them", "token_lifetime_seconds": 7200, "secret_refresh_seconds": 15,
            "keys": [], "clients": [],
        }),
    );
    let string = format!("host=127.0.0.1:{port};username=us;password=hunter2");
    key("nowcerts.json", json!({"account": "main", "connection_string": string, "queue": "events", "tls": false}));
    let (is_well, checks) = checks(data.path());
    assert!(!is_well);
    for (subject, finding, remedy) in [
        ("keys of accredit", "no key is set, so nothing is accepted", "keys add accredit` sets it up"),
        ("keys of machnet", "the hmac secret is shorter than 16 bytes", "docs/providers/machnet.md says how"),
        ("keys of nurturecloud", "the secret is not JSON of the form", "keys add nurturecloud"),
        ("token endpoint", "nobody may ask for tokens yet", "keys add sterling <CLIENT-ID>` makes one"),
    ] {
        let check = check(&checks, subject);
        assert_eq!(check["verdict"], "wrong", "{check}");
        assert!(check["finding"].as_str().unwrap().contains(finding), "{check}");
        assert!(check["remedy"].as_str().unwrap().contains(remedy), "{check}");
    }
    let broker = check(&checks, "broker of nowcerts");
    assert_eq!(broker["verdict"], "wrong", "{broker}");
    assert!(broker["finding"].as_str().unwrap().contains("check host and port in the secret"), "{broker}");
    assert_eq!(check(&checks, "keys of sterling")["verdict"], "well");
    assert_eq!(check(&checks, "server")["verdict"], "notice");
    assert!(!format!("{checks:?}").contains("hunter2"), "{checks:?}");
}

#[cfg(unix)]
#[test]
fn keys_that_others_may_read_are_named() {
    use std::os::unix::fs::PermissionsExt as _;
    let data = with_test_keys();
    drop(Server::start(data.path()));
    assert_eq!(check(&checks(data.path()).1, "key files")["verdict"], "well");
    let path = data.path().join("keys/machnet.json");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let (is_well, checks) = checks(data.path());
    let files = check(&checks, "key files");
    assert!(!is_well && files["finding"].as_str().unwrap().ends_with("keys/machnet.json"), "{files}");
}

#[test]
fn what_nobody_works_on_is_wrong() {
    let data = with_test_keys();
    drop(Server::start(data.path()));
    let database = rusqlite::Connection::open(data.path().join("intake.sqlite")).unwrap();
    database.execute("INSERT INTO queue (body) VALUES ('waits')", ()).unwrap();
    database
        .execute("INSERT INTO dead_letters (message_id, body, receive_count) VALUES (9, 'given up', 5)", ())
        .unwrap();
    let (is_well, checks) = checks(data.path());
    assert!(!is_well);
    assert_eq!(check(&checks, "queue")["finding"], "1 wait, and no server works on them");
    let dead_letters = check(&checks, "dead letters");
    assert_eq!(dead_letters["finding"], "one delivery was given up");
    assert!(dead_letters["remedy"].as_str().unwrap().contains("dead-letters list"), "{dead_letters}");
    database
        .execute("UPDATE queue SET body = ?1", [json!({"received_at": "2026-01-01T00:00:00.000Z"}).to_string()])
        .unwrap();
    let finding = check(&self::checks(data.path()).1, "queue")["finding"].as_str().unwrap().to_owned();
    assert!(finding.starts_with("1 wait, the oldest for ") && finding.contains(" days, and no server"), "{finding}");
}

#[test]
fn data_of_a_later_release_is_named_and_the_rest_is_still_checked() {
    let data = with_test_keys();
    drop(Server::start(data.path()));
    let database = rusqlite::Connection::open(data.path().join("intake.sqlite")).unwrap();
    assert!(checks(data.path()).1.iter().any(|check| check["subject"] == "data" && check["verdict"] == "well"));
    database.pragma_update(None, "user_version", 99).unwrap();
    let (is_well, checks) = checks(data.path());
    assert!(!is_well);
    let found = check(&checks, "data");
    assert_eq!(found["verdict"], "wrong");
    assert!(found["finding"].as_str().unwrap().contains("has format 99 and this release knows format"), "{found}");
    assert_eq!(check(&checks, "keys of sterling")["verdict"], "well");
}

#[test]
fn a_clock_that_was_put_back_is_noticed_by_a_delivery_from_the_future() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    assert!(run(data.path(), &["send", "machnet", "--url", &server.url, "--wait"]).status.success());
    let clock = |checks: &[Value]| check(checks, "clock")["verdict"].as_str().unwrap().to_owned();
    assert_eq!(clock(&checks(data.path()).1), "well");
    let database = rusqlite::Connection::open(data.path().join("intake.sqlite")).unwrap();
    let changed = database.execute(
        "UPDATE delivery_records SET received_at = received_at + 7200000, \
         record = replace(record, '\"received_at\":\"20', '\"received_at\":\"21')",
        (),
    );
    assert_eq!(changed.unwrap(), 1);
    let (is_well, checks) = checks(data.path());
    assert_eq!((is_well, clock(&checks).as_str()), (false, "wrong"), "{checks:?}");
}

#[test]
fn a_place_without_data_is_an_error_that_says_what_to_do() {
    let parent = tempfile::tempdir().unwrap();
    let done = run(&parent.path().join("data"), &["doctor"]);
    assert_eq!(done.status.code(), Some(1));
    assert!(errors(&done).contains("start `demo` or `serve` first"), "{}", errors(&done));
}

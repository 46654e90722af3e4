use std::io::Write as _;
use std::process::Stdio;

use intake_cli::key_files::ensure_test_keys;
use intake_cli::server::DEFAULT_ADDRESS;
use intake_sqlite::DataDirectory;

use crate::program::{Server, errors, output, program, rows, run};

pub(crate) fn with_test_keys() -> tempfile::TempDir {
    let parent = tempfile::tempdir().unwrap();
    let directory = DataDirectory::create(parent.path()).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(ensure_test_keys(&directory)).unwrap();
    parent
}

#[test]
fn a_delivery_is_accepted_and_a_tampered_one_is_not() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    for provider in ["accredit", "machnet", "nurturecloud", "sterling"] {
        let sent = run(data.path(), &["send", provider, "--url", &server.url]);
        let text = output(&sent);
        assert!(sent.status.success(), "{text}{}", errors(&sent));
        assert!(text.contains("200 accepted") && text.contains("delivery_id"), "{text}");
    }
    let sent = run(data.path(), &["send", "machnet", "--tamper", "--url", &server.url]);
    assert!(!sent.status.success());
    assert!(output(&sent).contains("409 not accepted"), "{}", output(&sent));
    server.wait_until_drained();
    let listed = output(&run(data.path(), &["events"]));
    let outcomes: Vec<String> =
        rows(&listed).into_iter().map(|row| format!("{} {}", row[2].split('.').next().unwrap(), row[1])).collect();
    assert_eq!(outcomes, ["accredit stored", "machnet stored", "nurturecloud stored", "sterling stored"], "{listed}");
}

#[test]
fn the_server_of_the_data_directory_is_found_wherever_it_listens() {
    let data = with_test_keys();
    for _ in 0..2 {
        let server = Server::start(data.path());
        let sent = run(data.path(), &["send", "machnet"]);
        assert!(
            output(&sent).starts_with(&format!("{}/webhooks/machnet\n200 accepted\n", server.url)),
            "{}",
            errors(&sent)
        );
        let url = output(&run(data.path(), &["nurturecloud-url"]));
        assert!(url.starts_with(&format!("{}/webhooks/nurturecloud/", server.url)), "{url}");
        // The next one finds the address of one that could not take it back.
        server.kill();
    }
}

#[test]
fn without_a_server_the_usual_address_is_tried_and_named() {
    let data = with_test_keys();
    Server::start(data.path()).kill();
    let sent = run(data.path(), &["send", "machnet"]);
    // Something else may be there, on a developer's machine.
    if std::net::TcpStream::connect(DEFAULT_ADDRESS).is_err() {
        let expected = format!("and nobody answers at http://{DEFAULT_ADDRESS}; start one with `serve` or `demo`");
        assert!(!sent.status.success());
        assert!(errors(&sent).contains("no server runs on the data directory"), "{}", errors(&sent));
        assert!(errors(&sent).contains(&expected), "{}", errors(&sent));
    }
}

#[test]
fn wait_says_what_became_of_each_event_and_fails_if_one_is_quarantined() {
    let data = with_test_keys();
    let _server = Server::start(data.path());
    let body = |text: &str| {
        let path = data.path().join("body");
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let send = |provider: &str, body: &str, wait: &str| run(data.path(), &["send", provider, "--body", body, wait]);
    let event = r#"{"id": "1", "event_name": "transaction_processed"}"#;
    let stored = send("machnet", &body(event), "--wait");
    assert!(stored.status.success() && output(&stored).ends_with(" ms: stored\n"), "{}", output(&stored));
    let duplicate = send("machnet", &body(event), "--wait=2m");
    assert!(duplicate.status.success(), "{}", output(&duplicate));
    assert!(
        output(&duplicate).contains("duplicate\n  event 0: duplicate, first in delivery "),
        "{}",
        output(&duplicate)
    );
    let quarantined = send("machnet", &body("{}"), "--wait");
    assert_eq!(quarantined.status.code(), Some(1));
    let expected = "quarantined\n  event 0: quarantined: the member \"id\" is missing\n";
    assert!(output(&quarantined).ends_with(expected), "{}", output(&quarantined));

    let refused = run(data.path(), &["send", "machnet", "--tamper", "--wait"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(!output(&refused).contains("recorded"), "{}", output(&refused));
    let with_token = run(data.path(), &["send", "sterling", "--wait"]);
    assert!(with_token.status.success() && output(&with_token).ends_with(": stored\n"), "{}", output(&with_token));
    assert_eq!(run(data.path(), &["send", "machnet", "--wait=soon"]).status.code(), Some(2));
}

#[test]
fn the_answer_is_shown_as_text() {
    use std::io::Read as _;
    let data = with_test_keys();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut request = Vec::new();
        while !request.ends_with(b"}") {
            let mut some = [0; 1024];
            let count = stream.read(&mut some).unwrap();
            request.extend_from_slice(&some[..count]);
        }
        let body = "\u{1b}[2A\r\u{202e}accepted";
        let head = format!("HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        stream.write_all((head + body).as_bytes()).unwrap();
    });
    let sent = run(data.path(), &["send", "machnet", "--url", &url]);
    server.join().unwrap();
    let expected = format!("{url}/webhooks/machnet\n400 not accepted\n\\u{{1b}}[2A\\u{{d}}\\u{{202e}}accepted\n");
    assert_eq!(output(&sent), expected);
}

#[test]
fn a_tampered_token_is_tried_again_with_a_new_one_as_sterling_does() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    let sent = run(data.path(), &["send", "sterling", "--tamper", "--url", &server.url]);
    let text = output(&sent);
    assert!(!sent.status.success());
    assert_eq!(text.matches("200 a token, valid for 7200 s").count(), 2, "{text}");
    assert_eq!(text.matches("401 not accepted").count(), 2, "{text}");
}

#[test]
fn a_token_is_had_with_other_credentials_from_another_server() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    let added = output(&run(data.path(), &["client", "add", "other"]));
    let secret = added.lines().find_map(|line| line.strip_prefix("client secret")).unwrap().trim();
    let file = data.path().join("secret");
    std::fs::write(&file, format!("{secret}\n")).unwrap();
    let (token_url, file) = (format!("{}/oauth/token", server.url), file.to_str().unwrap());
    let credentials = ["--client-id", "other", "--client-secret-file", file];
    let to = ["send", "sterling", "--url", &server.url, "--token-url", &token_url];
    let sent = run(data.path(), &[&to[..], &credentials].concat());
    assert!(sent.status.success(), "{}{}", output(&sent), errors(&sent));
    server.wait_until_drained();
    let entry: serde_json::Value = serde_json::from_str(&output(&run(data.path(), &["events", "--json"]))).unwrap();
    assert_eq!(entry["source"], "/webhooks/sterling/other", "{entry}");
}

#[test]
fn a_body_comes_from_standard_input_and_headers_from_options() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    let send = |arguments: &[&str], body: &str| {
        let mut child = program(data.path(), arguments)
            .args(["--url", &server.url, "--body", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    };
    send(&["send", "accredit", "--job-id", "j1", "--job-attempt", "3"], r#"{"Event":"A.B","Timestamp":"t"}"#);
    send(&["send", "machnet", "--event-header", "other"], r#"{"id":"1","event_name":"e"}"#);
    server.wait_until_drained();
    let listed = output(&run(data.path(), &["events", "--json"]));
    let entries: Vec<serde_json::Value> = listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(entries[0]["attributes"]["job_id"], "j1", "{listed}");
    assert_eq!(entries[0]["attributes"]["job_attempt"], "3", "{listed}");
    assert_eq!(entries[1]["attributes"]["mismatched_event_header"], "other", "{listed}");
}

#[test]
fn a_body_that_is_too_large_for_the_queue_arrives_whole() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    let body = data.path().join("body.json");
    let padding = "x".repeat(2 * 1024 * 1024);
    std::fs::write(&body, format!(r#"{{"Event":"A.B","Timestamp":"t","Padding":"{padding}"}}"#)).unwrap();
    let sent = run(data.path(), &["send", "accredit", "--url", &server.url, "--body", body.to_str().unwrap()]);
    assert!(sent.status.success(), "{}{}", output(&sent), errors(&sent));
    server.wait_until_drained();
    let listed = output(&run(data.path(), &["events", "--json"]));
    let entry: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(entry["outcome"], "stored", "{listed}");
    assert_eq!(entry["data_size_bytes"], std::fs::metadata(&body).unwrap().len(), "{listed}");
}

#[test]
fn before_there_are_keys_everything_must_come_again_and_then_nothing_need_be_restarted() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let server = Server::start(&data);
    let keys = with_test_keys();
    let key = keys.path().join("keys/machnet.json");
    let send = || run(&data, &["send", "machnet", "--url", &server.url, "--key", key.to_str().unwrap()]);
    let refused = send();
    assert!(!refused.status.success());
    assert!(output(&refused).contains("409 not accepted") && output(&refused).contains("send it again"));

    std::fs::copy(&key, data.join("keys/machnet.json")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(send().status.success());
}

#[test]
fn mistakes_are_explained() {
    let parent = tempfile::tempdir().unwrap();
    let keys = with_test_keys();
    for (arguments, directory, expected) in [
        (&["send", "machnet", "--job-id", "1"][..], parent.path(), "--job-id is for accredit"),
        (&["send", "machnet", "--token-url", "x"], parent.path(), "--token-url is for sterling"),
        (&["send", "machnet", "--component", "x"], parent.path(), "--component is for nurturecloud"),
        (&["send", "sterling", "--state", "Updated"], parent.path(), "--state is for nurturecloud"),
        (&["send", "accredit", "--id", "x"], parent.path(), "--id is for nurturecloud"),
        (&["send", "accredit", "--merged-into", "x"], parent.path(), "--merged-into is for nurturecloud"),
        (&["send", "nurturecloud", "--job-id", "1"], parent.path(), "--job-id is for accredit"),
        (&["send", "nurturecloud", "--merged-into", "1"], parent.path(), "say --state Deleted as well"),
        (&["send", "nurturecloud", "--id", "1", "--body", "-"], parent.path(), "cannot be used with"),
        (&["send", "nurturecloud"], parent.path(), "run `demo` once to make one"),
        (&["send", "sterling", "--key", "x"], parent.path(), "--key is not for sterling"),
        (&["send", "sterling"], parent.path(), "there is no client to get a token with"),
        (&["send", "machnet"], parent.path(), "run `demo` once to make test keys"),
        (&["send", "machnet", "--url", "localhost:80"], keys.path(), "is not an http or https url"),
        (&["send", "machnet", "--body", "/nowhere"], keys.path(), "/nowhere cannot be read"),
        (&["send", "machnet", "--url", "http://127.0.0.1:1"], keys.path(), "nobody answers at http://127.0.0.1:1"),
    ] {
        let refused = run(directory, arguments);
        assert!(!refused.status.success());
        assert!(errors(&refused).contains(expected), "{arguments:?}: {}", errors(&refused));
    }
}

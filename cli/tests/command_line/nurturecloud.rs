use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::program::{Server, errors, exchange, output, rows, run};
use crate::send::with_test_keys;

fn done(data: &Path, arguments: &[&str]) -> String {
    let done = run(data, arguments);
    assert!(done.status.success(), "{arguments:?}: {}", errors(&done));
    output(&done)
}

fn refused(data: &Path, arguments: &[&str]) -> String {
    let refused = run(data, arguments);
    assert!(!refused.status.success(), "{arguments:?}: {}", output(&refused));
    errors(&refused)
}

/// Makes a URL, which is all that is printed.
fn new_url(data: &Path, arguments: &[&str]) -> String {
    let text = done(data, &[&["keys", "add", "nurturecloud"], arguments].concat());
    assert_eq!(text.lines().count(), 1, "{text}");
    text.trim().to_owned()
}

fn secret(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

/// Account and fingerprint of every active secret.
fn active(data: &Path) -> Vec<Vec<String>> {
    let rows = rows(&done(data, &["keys", "list", "nurturecloud"]));
    rows.into_iter().map(|row| row[..2].to_vec()).collect()
}

fn is_taken(data: &Path, url: &str) -> bool {
    let sent = run(data, &["send", "nurturecloud", "--url", url]);
    assert!(!output(&sent).contains(secret(url)) && !errors(&sent).contains(secret(url)));
    assert!(output(&sent).contains("/webhooks/nurturecloud/<secret>\n"), "{}{}", output(&sent), errors(&sent));
    sent.status.success()
}

#[test]
fn a_url_is_shown_once_and_explained_beside_the_output_and_only_its_hash_is_kept() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let made =
        run(&data, &["keys", "add", "nurturecloud", "--base-url", "https://hooks.example.com/", "--account", "north"]);
    let (url, explanation) = (output(&made), errors(&made));
    let secret = url.strip_prefix("https://hooks.example.com/webhooks/nurturecloud/").unwrap().trim();
    assert_eq!(secret.len(), 43);
    let keys = std::fs::read_to_string(data.join("keys/nurturecloud.json")).unwrap();
    assert!(!explanation.contains(secret) && !keys.contains(secret), "{explanation}{keys}");
    let [account, fingerprint] = active(&data).remove(0).try_into().unwrap();
    assert_eq!(account, "north");
    assert!(explanation.contains(&format!("{fingerprint} of the account north")), "{explanation}");
    assert!(explanation.contains("`targetUrl`") && explanation.contains("within 15 s"), "{explanation}");

    let url = new_url(&data, &[]);
    assert!(url.starts_with("http://127.0.0.1:8080/webhooks/nurturecloud/"), "{url}");
    assert_eq!(active(&data).len(), 2);
}

#[test]
fn a_new_url_and_the_end_of_an_old_one_count_without_a_restart() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    let old = new_url(data.path(), &["--base-url", &server.url]);
    let fingerprint = active(data.path())[1][1].clone();
    assert!(is_taken(data.path(), &old));

    let new = new_url(data.path(), &["--base-url", &server.url, "--account", "new"]);
    let in_use = refused(data.path(), &["keys", "remove", "nurturecloud", &fingerprint]);
    assert!(in_use.contains("the key was used at ") && in_use.contains("--yes"), "{in_use}");
    done(data.path(), &["keys", "remove", "nurturecloud", &fingerprint, "--yes"]);
    let until = Instant::now() + Duration::from_secs(20);
    while !is_taken(data.path(), &new) {
        assert!(Instant::now() < until, "the new url is still refused");
        std::thread::sleep(Duration::from_millis(250));
    }
    assert!(!is_taken(data.path(), &old));
    server.wait_until_drained();
    let listed = output(&run(data.path(), &["events", "--json"]));
    let sources: Vec<_> = listed
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["source"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(sources, ["/webhooks/nurturecloud/main", "/webhooks/nurturecloud/new"]);
}

#[test]
fn eight_urls_are_live_at_once_and_a_ninth_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let urls: Vec<String> = (0..8).map(|_| new_url(data.path(), &["--base-url", &server.url])).collect();
    let ninth = refused(data.path(), &["keys", "add", "nurturecloud"]);
    assert!(ninth.contains("8 keys are active") && ninth.contains("`keys remove`"), "{ninth}");
    assert!(urls.iter().all(|url| is_taken(data.path(), url)));
}

#[test]
fn mistakes_are_explained_without_repeating_what_may_be_a_secret() {
    let data = tempfile::tempdir().unwrap();
    let pasted = secret(&new_url(data.path(), &[])).to_owned();
    let whole = format!("https://hooks.example.com/webhooks/nurturecloud/{pasted}");
    let without_scheme = whole.trim_start_matches("https://").to_owned();
    for (arguments, expected) in [
        (&["keys", "add", "nurturecloud", "--base-url", &whole][..], "--base-url is what comes before /webhooks/"),
        (&["keys", "add", "nurturecloud", "--base-url", "http://hooks.example.com"], "plain http is for this machine"),
        (&["keys", "remove", "nurturecloud", &pasted], "no key is called so"),
        (&["send", "nurturecloud", "--url", &without_scheme], "this is not an http or https url"),
        (&["send", "nurturecloud", "--url", "http://127.0.0.1:1"], "there is no secret to end the url with at"),
        (&["send", "nurturecloud", "--url", &whole, "--key", "x"], "--url ends with a secret already"),
    ] {
        let error = refused(data.path(), arguments);
        assert!(error.contains(expected), "{arguments:?}: {error}");
        assert!(!error.contains(&pasted), "{arguments:?}: {error}");
    }
    let unreachable = format!("http://127.0.0.1:1/webhooks/nurturecloud/{pasted}");
    let error = refused(data.path(), &["send", "nurturecloud", "--url", &unreachable]);
    assert!(error.contains("nobody answers at http://127.0.0.1:1/webhooks/nurturecloud"), "{error}");
    assert!(!error.contains(&pasted), "{error}");
    assert_eq!(active(data.path()).len(), 1);
}

#[test]
fn the_last_secret_goes_only_when_that_is_meant() {
    let data = tempfile::tempdir().unwrap();
    new_url(data.path(), &[]);
    let fingerprint = active(data.path())[0][1].clone();
    let last = refused(data.path(), &["keys", "remove", "nurturecloud", &fingerprint]);
    assert!(last.contains("this is the last one") && last.contains("--even-the-last"), "{last}");
    assert_eq!(active(data.path()).len(), 1);
    let removed = done(data.path(), &["keys", "remove", "nurturecloud", &fingerprint[..4], "--even-the-last"]);
    assert!(removed.contains("what it proves is refused within 15 s"), "{removed}");
    assert_eq!(
        done(data.path(), &["keys", "list", "nurturecloud"]),
        "nurturecloud has no key yet; add one with `keys add nurturecloud`.\n"
    );
}

#[test]
fn a_server_without_a_secret_says_how_to_make_one() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let line = server.greeting.lines().find(|line| line.contains("/webhooks/nurturecloud")).unwrap();
    assert!(line.contains("/<secret>  no URL yet, so nothing verifies; "), "{line}");
    assert!(line.ends_with(" keys add nurturecloud` adds one"), "{line}");
}

#[test]
fn looking_at_what_is_not_there_makes_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    assert!(done(&data, &["keys"]).contains("nurturecloud has no key yet"));
    assert!(refused(&data, &["keys", "remove", "nurturecloud", "00000000"]).contains("no key is called so"));
    assert!(!data.exists());
}

#[cfg(not(feature = "aws"))]
#[test]
fn a_deployed_stack_needs_a_build_that_can_reach_it() {
    let parent = tempfile::tempdir().unwrap();
    let data = parent.path().join("data");
    let make = ["nurturecloud-url", "--secret", "arn", "--base-url", "https://hooks.example.com"];
    for arguments in [&make[..], &["nurturecloud-url", "--secret", "arn", "--list"]] {
        assert!(refused(&data, arguments).contains("--features aws"));
    }
    assert!(!data.exists());
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_what_is_written() {
    use std::os::unix::fs::PermissionsExt as _;
    let data = with_test_keys();
    new_url(data.path(), &[]);
    for name in ["nurturecloud.json", "nurturecloud-path-secret"] {
        let mode = std::fs::metadata(data.path().join("keys").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_tampered_secret_and_one_from_a_file_are_sent_as_they_are_meant() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    let tampered = run(data.path(), &["send", "nurturecloud", "--url", &server.url, "--tamper"]);
    assert!(!tampered.status.success());
    assert!(output(&tampered).contains("401 not accepted"), "{}", output(&tampered));
    assert!(output(&tampered).contains("path-secret-mismatch"), "{}", output(&tampered));

    let elsewhere = tempfile::tempdir().unwrap();
    let key = data.path().join("keys/nurturecloud-path-secret");
    let path = format!("{}/webhooks/nurturecloud/", server.url);
    done(elsewhere.path(), &["send", "nurturecloud", "--url", &path, "--key", key.to_str().unwrap()]);
}

#[test]
fn a_secret_that_the_answer_repeats_is_not_printed() {
    use std::io::{Read as _, Write as _};
    let data = with_test_keys();
    let secret = std::fs::read_to_string(data.path().join("keys/nurturecloud-path-secret")).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let echo = std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        let mut request = Vec::new();
        while !request.ends_with(b"}}") {
            let mut some = [0; 1024];
            let count = stream.read(&mut some).unwrap();
            request.extend_from_slice(&some[..count]);
        }
        let path = String::from_utf8(request).unwrap().split_whitespace().nth(1).unwrap().to_owned();
        let head = format!("HTTP/1.1 404 Not Found\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", path.len());
        stream.write_all((head + &path).as_bytes()).unwrap();
        path
    });
    let sent = run(data.path(), &["send", "nurturecloud", "--url", &url]);
    assert!(echo.join().unwrap().ends_with(secret.trim()), "the answer held no secret");
    assert!(output(&sent).ends_with("404 not accepted\n/webhooks/nurturecloud/<secret>\n"), "{}", output(&sent));
    assert!(!output(&sent).contains(secret.trim()) && !errors(&sent).contains(secret.trim()));
}

#[test]
fn the_server_says_the_secret_to_nobody_even_when_it_logs_everything() {
    let data = with_test_keys();
    let secret = std::fs::read_to_string(data.path().join("keys/nurturecloud-path-secret")).unwrap();
    let secret = secret.trim();
    let log = data.path().join("serve.log");
    let server = Server::start_logging(data.path(), "trace", File::create(&log).unwrap().into());
    let shown = format!("POST {}/webhooks/nurturecloud/<secret>  ready\n", server.url);
    assert!(server.greeting.contains(&shown), "{}", server.greeting);

    let body =
        r#"{"domainComponentName":"agent","state":"Created","payload":{"organisationName":"o","businessId":1,"id":2}}"#;
    let length = body.len();
    let mut said = server.greeting.clone();
    for (method, path, expected) in [
        ("POST", format!("/webhooks/nurturecloud/{secret}"), "200"),
        ("GET", format!("/webhooks/nurturecloud/{secret}"), "405"),
        ("POST", format!("/webhooks/nurturecloud/{secret}A"), "401"),
        ("POST", format!("/webhooks/nurturecloud/{secret}/"), "404"),
        ("POST", format!("/webhooks/nurturecloud/more/{secret}"), "404"),
        ("POST", "/webhooks/nurturecloud/".to_owned(), "404"),
        ("POST", "/webhooks/nurturecloud".to_owned(), "404"),
    ] {
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        let answer = exchange(server.address(), &format!("{head}{body}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{method}: {answer}");
        if expected == "404" {
            assert!(answer.contains("/webhooks/nurturecloud/<secret>"), "{answer}");
        }
        said += &answer;
    }
    server.wait_until_drained();
    server.kill();
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(log.contains("record processed"), "{log}");
    said += &log;
    assert!(!said.contains(secret), "{said}");
}

//! From a refusal to its explanation.

use std::path::Path;

use intake_providers::ProviderName;
use intake_providers::signature::hmac_sha256::HmacSecret;
use intake_sqlite::DataDirectory;
use serde_json::Value;

use crate::program::{Server, errors, exchange, output, rows, run};
use crate::send::with_test_keys;
use crate::snapshots::assert_printed;

const BODY: &str = r#"{"id":"1","event_name":"done","payload":[]}"#;

fn key_file(data: &Path, provider: ProviderName) -> Value {
    serde_json::from_str(&std::fs::read_to_string(DataDirectory::at(data).keys(provider)).unwrap()).unwrap()
}

fn machnet_secret(data: &Path) -> String {
    key_file(data, ProviderName::Machnet)["keys"][0]["secret"].as_str().unwrap().to_owned()
}

fn path_secret(data: &Path) -> String {
    std::fs::read_to_string(data.join("keys/nurturecloud-path-secret")).unwrap().trim().to_owned()
}

fn hex_signature(secret: &str, body: &str) -> String {
    let tag = HmacSecret::new(secret).unwrap().sign(body.as_bytes());
    tag.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Posts, and returns the id in the answer's `instance`.
fn refused(server: &Server, target: &str, headers: &[(&str, &str)], body: &str) -> String {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    let answer = exchange(
        server.address(),
        &format!(
            "POST {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
        ),
    );
    let (_, after) = answer.split_once("\"instance\":\"urn:uuid:").unwrap_or_else(|| panic!("{answer}"));
    after[..36].to_owned()
}

#[test]
fn a_refused_request_is_listed_and_explained_by_the_id_in_its_answer() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    let signature = hex_signature(&format!("\"{}\"", machnet_secret(data.path())), BODY);
    let id = refused(&server, "/webhooks/machnet", &[("x-raas-webhook-signature", &signature)], BODY);

    let listed = output(&run(data.path(), &["refused"]));
    assert_printed("refused", data.path(), &listed);
    assert!(listed.contains(&id), "{listed}");
    assert_eq!(output(&run(data.path(), &["refused", "list"])), listed);

    let explained = run(data.path(), &["explain", &id]);
    assert!(explained.status.success(), "{}", errors(&explained));
    assert_printed("explain", data.path(), &output(&explained));
    let urn = run(data.path(), &["explain", &format!("urn:uuid:{id}"), "--json"]);
    let document: Value = serde_json::from_str(&output(&urn)).unwrap();
    assert_eq!((&document["reason"], &document["explained"]), (&"signature-mismatch".into(), &true.into()));
    assert_eq!(document["findings"][0]["finding"], "secret-quoted");

    // What is written raw is a captured request.
    let raw = run(data.path(), &["refused", "show", &id, "--raw"]).stdout;
    assert!(raw.ends_with(BODY.as_bytes()) && raw.starts_with(b"POST /webhooks/machnet HTTP/1.1\r\n"));
    let file = data.path().join("captured");
    std::fs::write(&file, &raw).unwrap();
    let explained = output(&run(data.path(), &["explain", file.to_str().unwrap()]));
    assert!(explained.contains("the sender signs with the secret in quotes"), "{explained}");
}

#[test]
fn paths_and_methods_that_are_none_are_kept_and_explained_too() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    let signature = hex_signature(&machnet_secret(data.path()), BODY);
    let signed = [("x-raas-webhook-signature", signature.as_str())];
    let finding = |id: &str| {
        let document: Value = serde_json::from_str(&output(&run(data.path(), &["explain", id, "--json"]))).unwrap();
        document["findings"][0]["finding"].as_str().unwrap_or("none").to_owned()
    };
    assert_eq!(finding(&refused(&server, "/machnet", &signed, BODY)), "another-provider");
    assert_eq!(finding(&refused(&server, "/webhooks/machnet/", &signed, BODY)), "path");
    assert_eq!(finding(&refused(&server, "/webhooks/accredit", &signed, BODY)), "another-provider");
    let slash = format!("/webhooks/nurturecloud/{}/", path_secret(data.path()));
    let slashed = refused(&server, &slash, &[], "{}");
    assert_eq!(finding(&slashed), "path-secret-trailing-slash");
    let explained = output(&run(data.path(), &["explain", &slashed]));
    assert!(explained.contains("Note: the server answered 404, not-found."), "{explained}");
    let get = exchange(server.address(), "DELETE /webhooks/machnet HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(get.starts_with("HTTP/1.1 405"), "{get}");
    let health = exchange(server.address(), "POST /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(health.contains("allow: GET\r\n") && health.contains("/health takes GET only"), "{health}");
    let token = exchange(
        server.address(),
        "POST /oauth/token HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n\r\nab",
    );
    assert!(token.starts_with("HTTP/1.1 400"), "{token}");
    let listed = output(&run(data.path(), &["refused"]));
    let reasons: Vec<String> = rows(&listed).into_iter().map(|row| row[2].clone() + " " + &row[3]).collect();
    assert_eq!(
        reasons,
        [
            "404 not-found",
            "404 not-found",
            "400 signature-missing",
            "404 not-found",
            "405 method-not-allowed",
            "400 invalid_request"
        ],
        "{listed}"
    );
}

#[test]
fn what_is_secret_in_a_refused_request_is_written_with_raw_only() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    let secret = path_secret(data.path());
    let basic =
        [("authorization", "Basic aWJtOmh1bnRlcjI="), ("cookie", "hunter2"), ("content-type", "application/json")];
    let ids = [
        refused(&server, &format!("/webhooks/nurturecloud/{secret}/?secret={secret}"), &basic, "{}"),
        refused(&server, &format!("/nurturecloud/{secret}"), &basic, "{}"),
        refused(&server, "/webhooks/sterling", &[("authorization", "Bearer hunter2")], "{}"),
    ];
    let mut said = String::new();
    for id in &ids {
        for arguments in [
            &["refused", "show", id][..],
            &["refused", "show", id, "--json"],
            &["explain", id],
            &["explain", id, "--json"],
        ] {
            let ran = run(data.path(), arguments);
            said += &(output(&ran) + &errors(&ran));
        }
    }
    said += &output(&run(data.path(), &["refused", "list"]));
    said += &output(&run(data.path(), &["refused", "list", "--json"]));
    for hidden in [secret.as_str(), "hunter2", "aWJtOmh1bnRlcjI="] {
        assert!(!said.contains(hidden), "{hidden} is in {said}");
    }
    assert!(
        said.contains("authorization: Basic <22 characters>") && said.contains("content-type: application/json"),
        "{said}"
    );
    let raw = output(&run(data.path(), &["refused", "show", &ids[0], "--raw"]));
    assert!(raw.contains(&secret) && raw.contains("hunter2"), "{raw}");
}

#[test]
fn a_captured_event_is_explained_with_the_keys_that_are_named() {
    let nowhere = tempfile::tempdir().unwrap();
    let events = concat!(env!("CARGO_MANIFEST_DIR"), "/../events");
    for (event, secret) in [
        ("accredit.json", "accredit-secret.json"),
        ("machnet.json", "machnet-secret.json"),
        ("nurturecloud.json", "nurturecloud-secret.json"),
        ("sterling.json", "sterling-verification.json"),
    ] {
        let (event, secret) = (format!("{events}/{event}"), format!("{events}/keys/{secret}"));
        let genuine = run(nowhere.path(), &["explain", &event, "--active-secret-file", &secret]);
        assert!(
            genuine.status.success() && output(&genuine).contains("With these keys it is accepted."),
            "{}",
            output(&genuine)
        );
        let unset = run(nowhere.path(), &["explain", &event]);
        assert!(output(&unset).contains("there are no keys"), "{}", output(&unset));
    }
    // A retired key.
    let other = nowhere.path().join("other.json");
    std::fs::write(&other, r#"{"keys": [{"account": "main", "secret": "another secret of at least 16"}]}"#).unwrap();
    let (event, secret) = (format!("{events}/machnet.json"), format!("{events}/keys/machnet-secret.json"));
    let other = other.to_str().unwrap();
    let retired = run(nowhere.path(), &["explain", &event, "--active-secret-file", other, "--secret-file", &secret]);
    assert!(retired.status.success() && output(&retired).contains("which is not active"), "{}", output(&retired));
    let unknown = run(nowhere.path(), &["explain", &event, "--active-secret-file", other]);
    assert_eq!(unknown.status.code(), Some(1));
    assert_printed("explain-nothing", nowhere.path(), &output(&unknown));
    // The time of arrival counts, which the sample event has.
    let (event, secret) = (format!("{events}/sterling.json"), format!("{events}/keys/sterling-verification.json"));
    let expired =
        run(nowhere.path(), &["explain", &event, "--active-secret-file", &secret, "--at", "2100-01-01T00:00:00Z"]);
    assert!(output(&expired).contains("the token expired at"), "{}", output(&expired));
}

#[test]
fn what_cannot_be_explained_says_what_to_do() {
    let data = with_test_keys();
    let server = Server::start(data.path());
    drop(server);
    let unknown = run(data.path(), &["explain", "01900000-0000-7000-8000-000000000000"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(errors(&unknown).contains("`refused` lists those that are kept"), "{}", errors(&unknown));
    let missing = run(data.path(), &["explain", "no-such-file"]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(errors(&missing).contains("is neither a file that can be read nor the id"), "{}", errors(&missing));
    assert_eq!(run(data.path(), &["explain"]).status.code(), Some(2));
    assert_eq!(run(data.path(), &["refused", "show", "abc"]).status.code(), Some(2));
    assert!(output(&run(data.path(), &["refused"])).contains("No request was refused."));
}

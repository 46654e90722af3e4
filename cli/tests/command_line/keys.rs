use std::path::Path;

use serde_json::Value;

use crate::program::{Server, errors, output, rows, run, run_with_input};
use crate::snapshots::assert_printed;

const PROVIDERS: [&str; 5] = ["accredit", "machnet", "nowcerts", "nurturecloud", "sterling"];
const SECRET: &str = "7c1f0c6fd4f34c0e9b1f8a52d0f5a1be";
const CONNECTION: &str = "host=127.0.0.1:1;virtualHost=/;username=agency;password=hush-hush";

fn public_key(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../shared/providers/tests/keys/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn added(data: &Path, arguments: &[&str], input: &[u8]) -> (String, String) {
    let added = run_with_input(data, &[&["keys", "add"], arguments].concat(), input);
    assert!(added.status.success(), "{arguments:?}: {}", errors(&added));
    (output(&added), errors(&added))
}

fn done(data: &Path, arguments: &[&str]) -> String {
    let done = run(data, arguments);
    assert!(done.status.success(), "{arguments:?}: {}", errors(&done));
    output(&done)
}

fn refused(data: &Path, arguments: &[&str], input: &[u8]) -> String {
    let refused = run_with_input(data, arguments, input);
    assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {}", output(&refused));
    assert_eq!(output(&refused), "", "{arguments:?}");
    errors(&refused)
}

/// The keys of a provider, as JSON.
fn keys(data: &Path, provider: &str) -> Vec<Value> {
    let listed = done(data, &["keys", "list", provider, "--json"]);
    listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Adds a key of every provider.
fn with_all_keys(data: &Path) {
    added(data, &["accredit"], &public_key("rsa-2048.spki.pem"));
    added(data, &["machnet"], format!("{SECRET}\n").as_bytes());
    added(data, &["nowcerts", "--queue", "events", "--plain"], CONNECTION.as_bytes());
    added(data, &["nurturecloud"], b"");
    added(data, &["sterling", "ibm"], b"");
}

#[test]
fn all_keys_are_in_one_table_and_none_of_them_is_printed() {
    let data = tempfile::tempdir().unwrap();
    let before = done(data.path(), &["keys"]);
    for provider in PROVIDERS {
        assert!(
            before.contains(&format!("{provider} has no key yet; add one with `keys add {provider}`.")),
            "{before}"
        );
    }
    with_all_keys(data.path());
    let listed = done(data.path(), &["keys"]);
    let mut providers: Vec<_> = rows(&listed).into_iter().map(|row| row[0].clone()).collect();
    providers.dedup();
    assert_eq!(providers, PROVIDERS);
    let json = done(data.path(), &["keys", "list", "--json"]);
    let checked = done(data.path(), &["keys", "check"]);
    for text in [&listed, &json, &checked] {
        assert!(!text.contains(SECRET) && !text.contains("hush") && !text.contains("agency"), "{text}");
    }
    assert_eq!(checked.lines().filter(|line| line.starts_with("ok ")).count(), json.lines().count());
    assert_printed("keys-list-accredit", data.path(), &done(data.path(), &["keys", "list", "accredit"]));
    assert_printed("keys-check-accredit", data.path(), &done(data.path(), &["keys", "check", "accredit"]));
}

#[test]
fn what_comes_next_is_said_at_once() {
    let data = tempfile::tempdir().unwrap();
    let base_url = ["--base-url", "https://hooks.example.com"];
    let (accredit, _) = added(data.path(), &[&["accredit"][..], &base_url].concat(), &public_key("rsa-2048.spki.pem"));
    assert_printed("keys-add-accredit", data.path(), &accredit);
    let (machnet, _) = added(data.path(), &[&["machnet"][..], &base_url].concat(), SECRET.as_bytes());
    assert_printed("keys-add-machnet", data.path(), &machnet);
    let (nowcerts, _) = added(data.path(), &["nowcerts", "--queue", "events", "--tls"], CONNECTION.as_bytes());
    assert_printed("keys-add-nowcerts", data.path(), &nowcerts);
    let (_, sterling) = added(data.path(), &[&["sterling", "ibm"][..], &base_url].concat(), b"");
    assert!(sterling.contains("https://hooks.example.com/oauth/token"), "{sterling}");
    assert!(sterling.contains("https://hooks.example.com/webhooks/sterling"), "{sterling}");
    let (_, rotated) = added(data.path(), &["machnet", "--generate"], b"");
    let old = keys(data.path(), "machnet")[0]["key"].as_str().unwrap().to_owned();
    assert!(rotated.contains(&format!("take the old one out with `keys remove machnet {old}`")), "{rotated}");
}

#[test]
fn a_secret_that_is_made_is_the_only_output_and_counts() {
    let data = tempfile::tempdir().unwrap();
    let (secret, explanation) = added(data.path(), &["machnet", "--generate"], b"");
    assert_eq!((secret.len(), secret.lines().count()), (65, 1), "{secret}");
    assert!(explanation.contains("shown this once") && !explanation.contains(secret.trim()), "{explanation}");
    let server = Server::start(data.path());
    let sent = run(data.path(), &["send", "machnet", "--url", &server.url]);
    assert!(sent.status.success(), "{}{}", output(&sent), errors(&sent));

    server.wait_until_drained();
    let [key] = keys(data.path(), "machnet").try_into().unwrap();
    assert!(key["first_used"].is_string() && key["first_used"] == key["last_used"], "{key}");
    let name = key["key"].as_str().unwrap();
    let in_use = refused(data.path(), &["keys", "remove", "machnet", name, "--even-the-last"], b"");
    assert!(in_use.contains("the key was used at ") && in_use.contains("--yes"), "{in_use}");
    let removed = done(data.path(), &["keys", "remove", "machnet", name, "--even-the-last", "--yes"]);
    assert!(removed.contains("nothing of it is accepted until one is added"), "{removed}");

    let made: Value = serde_json::from_str(&added(data.path(), &["machnet", "--generate", "--json"], b"").0).unwrap();
    assert_eq!(made["secret"].as_str().unwrap().len(), 64);
}

#[test]
fn a_client_whose_account_was_used_lately_is_taken_out_only_with_yes() {
    let data = tempfile::tempdir().unwrap();
    let (secret, _) = added(data.path(), &["sterling", "ibm"], b"");
    added(data.path(), &["sterling", "another"], b"");
    let file = data.path().join("secret");
    std::fs::write(&file, secret).unwrap();
    let server = Server::start(data.path());
    let credentials = ["--client-id", "ibm", "--client-secret-file", file.to_str().unwrap()];
    let sent = run(data.path(), &[&["send", "sterling", "--url", &server.url][..], &credentials].concat());
    assert!(sent.status.success(), "{}{}", output(&sent), errors(&sent));
    server.wait_until_drained();

    let in_use = refused(data.path(), &["keys", "remove", "sterling", "ibm"], b"");
    assert!(in_use.contains("account \"ibm\" had a delivery at ") && in_use.contains("--yes"), "{in_use}");
    done(data.path(), &["keys", "remove", "sterling", "ibm", "--yes"]);
}

#[test]
fn the_urls_of_an_authority_are_not_changed_by_a_base_url() {
    let data = tempfile::tempdir().unwrap();
    added(data.path(), &["sterling", "ibm", "--base-url", "https://hooks.example.com"], b"");
    let refusal =
        refused(data.path(), &["keys", "add", "sterling", "other", "--base-url", "https://tunnel.example.com"], b"");
    assert!(refusal.contains("--base-url is for a new authority, and there is one already"), "{refusal}");
    assert_eq!(keys(data.path(), "sterling").iter().filter(|key| key["account"] == "other").count(), 0);
    let (_, next) = added(data.path(), &["sterling", "other"], b"");
    assert!(next.contains("https://hooks.example.com/oauth/token"), "{next}");
}

#[test]
fn what_is_no_key_is_refused_in_plain_words_and_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let private = b"-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----\n";
    let quoted = format!("\"{SECRET}\"");
    let spaced = format!("{SECRET} \n");
    let large = "x".repeat(65 * 1024);
    for (arguments, input, words) in [
        (&["accredit"][..], &private[..], "treat the private key as leaked"),
        (&["accredit"], &public_key("rsa-2048.certificate.pem"), "openssl x509"),
        (&["accredit", "--padding", "PSS"], &public_key("rsa-2048.spki.pem"), "pkcs1-v1.5 or pss"),
        (&["accredit", "--file", "/nowhere/key.pem"], b"", "/nowhere/key.pem cannot be read"),
        (&["machnet"], b"", "nothing was given"),
        (&["machnet"], b"hunter2", "shorter than 16 bytes"),
        (&["machnet"], quoted.as_bytes(), "quotation marks"),
        (&["machnet"], spaced.as_bytes(), "begins or ends with white space"),
        (&["machnet"], large.as_bytes(), "more than 64 KiB"),
        (&["nowcerts", "--tls"], CONNECTION.as_bytes(), "--queue is needed"),
        (&["sterling"], b"", "<CLIENT-ID> or --signing-key"),
    ] {
        let error = refused(data.path(), &[&["keys", "add"], arguments].concat(), input);
        assert!(error.contains(words), "{arguments:?}: {error}");
        assert!(!error.contains(SECRET) && !error.contains("hunter2"), "{error}");
    }
    assert!(PROVIDERS.iter().all(|provider| keys(data.path(), provider).is_empty()));
    let as_argument = run(data.path(), &["keys", "add", "machnet", SECRET]);
    assert_eq!(as_argument.status.code(), Some(2));
}

#[test]
fn a_check_names_each_thing_that_is_wrong_and_ends_with_1() {
    let data = tempfile::tempdir().unwrap();
    assert_eq!(
        run(data.path(), &["keys", "check"]).status.code(),
        Some(0),
        "a provider that is not used is no mistake"
    );
    assert_eq!(run(data.path(), &["keys", "check", "machnet"]).status.code(), Some(1));

    with_all_keys(data.path());
    let folder = data.path().join("keys");
    std::fs::write(folder.join("accredit.json"), public_key("rsa-2048.spki.pem")).unwrap();
    let weak = r#"{"keys":[{"account":"main","secret":"hunter2"},{"label":"a","account":"a","secret":"x"}]}"#;
    std::fs::write(folder.join("machnet.json"), weak).unwrap();
    std::fs::write(folder.join("nowcerts.json"), r#"{"account":"main","queue":"q"}"#).unwrap();
    std::fs::remove_file(folder.join("sterling.json")).unwrap();
    let checked = run(data.path(), &["keys", "check"]);
    assert_eq!(checked.status.code(), Some(1));
    let text = output(&checked);
    assert!(!text.contains("hunter2"), "{text}");
    assert_printed(
        "keys-check",
        data.path(),
        &text.lines().filter(|line| line.starts_with("problem")).collect::<Vec<_>>().join("\n"),
    );

    let json = output(&run(data.path(), &["keys", "check", "machnet", "--json"]));
    let findings: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(findings.iter().all(|finding| finding["ok"] == false), "{json}");
    assert_eq!(findings[0]["key"], "entry-1");
    done(data.path(), &["keys", "remove", "machnet", "entry-1"]);
    added(data.path(), &["accredit", "--replace"], &public_key("rsa-3072.spki.pem"));
    done(data.path(), &["keys", "check", "accredit"]);
}

#[test]
fn a_login_is_tried_at_its_broker_only_when_that_is_asked_for() {
    let data = tempfile::tempdir().unwrap();
    added(data.path(), &["nowcerts", "--queue", "events", "--plain"], CONNECTION.as_bytes());
    done(data.path(), &["keys", "check", "nowcerts"]);
    let tried = run(data.path(), &["keys", "check", "nowcerts", "--connect"]);
    assert_eq!(tried.status.code(), Some(1));
    let text = output(&tried);
    assert!(text.contains("127.0.0.1:1: the broker cannot be reached; check host and port"), "{text}");
    assert!(!text.contains("hush"), "{text}");
}

#[test]
fn the_old_names_work_and_say_what_to_call_instead() {
    let data = tempfile::tempdir().unwrap();
    let both = |arguments: &[&str]| {
        let ran = run(data.path(), arguments);
        assert!(ran.status.success(), "{arguments:?}: {}", errors(&ran));
        (output(&ran), errors(&ran))
    };
    for (arguments, new_name) in [
        (&["client", "add", "ibm"][..], "keys add sterling"),
        (&["client", "add", "ibm"], "keys add sterling"),
        (&["client", "list"], "keys list sterling"),
        (&["client", "keep-newest", "ibm"], "keys remove sterling"),
        (&["signing-key", "list"], "keys list sterling"),
        (&["signing-key", "add"], "keys add sterling --signing-key"),
        (&["client", "remove", "ibm"], "keys remove sterling"),
        (&["nurturecloud-url", "--account", "north"], "keys add nurturecloud"),
        (&["nurturecloud-url", "--list"], "keys list nurturecloud"),
    ] {
        let (_, error) = both(arguments);
        assert!(error.contains(&format!("is now `{new_name}`, and its old name goes")), "{arguments:?}: {error}");
    }
    let (client, _) = both(&["client", "add", "ibm"]);
    let [id, secret] = client.lines().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!((id, secret.split_whitespace().last().unwrap().len()), ("client id      ibm", 43), "{client}");
    assert!(refused(data.path(), &["signing-key", "activate"], b"").contains("may not be known everywhere"));
    assert!(refused(data.path(), &["signing-key", "retire"], b"").contains("no key was superseded"));
    let one = refused(data.path(), &["client", "list", "--authority-secret", "a"], b"");
    assert!(one.contains("--authority-secret and --verification-secret belong together"), "{one}");

    let url = keys(data.path(), "nurturecloud")[0].clone();
    assert_eq!(url["account"], "north");
    both(&["nurturecloud-url", "--remove", url["key"].as_str().unwrap(), "--even-the-last"]);
    assert!(keys(data.path(), "nurturecloud").is_empty());
    assert!(!done(data.path(), &["--help"]).contains("nurturecloud-url"));
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_what_is_written() {
    use std::os::unix::fs::PermissionsExt as _;
    let data = tempfile::tempdir().unwrap();
    with_all_keys(data.path());
    let files = std::fs::read_dir(data.path().join("keys")).unwrap().map(Result::unwrap);
    let documents: Vec<_> = files.filter(|file| file.path().extension().is_some_and(|kind| kind == "json")).collect();
    assert_eq!(documents.len(), 6);
    for file in documents {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", file.path());
    }
}

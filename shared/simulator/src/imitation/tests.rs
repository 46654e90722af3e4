use std::time::Duration;

use intake_providers::active_keys::MAX_ACTIVE_KEYS;
use intake_providers::nurturecloud::NurtureCloud;
use intake_providers::oauth::authority::{Authority, ClientSecret};
use intake_providers::path_secret::PathSecret;
use intake_providers::webhook::Webhook as _;
use serde_json::json;

use super::*;
use crate::key_files::KeyFolder;
use crate::send::Options;
use crate::{IMITATIONS, nurturecloud, sterling};

fn no_keys() -> KeyFiles {
    KeyFiles::none(KeyFolder::DataDirectory("keys".into()))
}

fn server() -> KeyPurpose {
    KeyPurpose::Server {
        base_url: "http://127.0.0.1:8080".to_owned(),
        secret_refresh: Duration::from_secs(15),
        now: Timestamp::EPOCH,
    }
}

/// Writes the test keys that are missing, and returns how many files that were.
fn make_test_keys(imitation: &dyn Imitation, keys: &mut KeyFiles) -> usize {
    let made = imitation.test_keys(keys, &server()).unwrap();
    let count = made.len();
    for file in made {
        keys.insert(file.name, file.text);
    }
    count
}

fn name(imitation: &dyn Imitation, file: &str) -> KeyName {
    let keys = no_keys();
    *imitation.key_names().iter().find(|name| keys.path(**name).ends_with(file)).unwrap()
}

#[test]
fn test_keys_are_made_once_and_under_the_names_of_the_provider() {
    for imitation in IMITATIONS {
        let mut keys = no_keys();
        assert_eq!(make_test_keys(*imitation, &mut keys), imitation.key_names().len(), "{}", imitation.name());
        assert!(imitation.key_names().iter().all(|name| keys.text(*name).is_some()), "{}", imitation.name());
        assert_eq!(make_test_keys(*imitation, &mut keys), 0, "{}", imitation.name());
    }
}

#[test]
fn what_is_sent_needs_a_key_and_a_missing_one_is_named_with_what_to_do() {
    let options = Options::default();
    for webhook in IMITATIONS.iter().filter_map(|imitation| imitation.webhook()) {
        let order = Order { body: None, options: &options, key: None, tamper: false, now: Timestamp::EPOCH };
        let error = webhook.deliver(&no_keys(), order).unwrap_err().to_string();
        assert!(error.contains("at keys/") && error.contains("run `demo` once"), "{error}");
    }
}

#[test]
fn a_key_that_cannot_sign_is_explained_and_not_repeated() {
    let text = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";
    let options = Options::default();
    let mut refused = 0;
    for webhook in IMITATIONS.iter().filter_map(|imitation| imitation.webhook()) {
        let key = Some(text.into());
        let order = Order { body: None, options: &options, key, tamper: false, now: Timestamp::EPOCH };
        if let Err(error @ SimulatorError::UnusableKey(_)) = webhook.deliver(&no_keys(), order) {
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
            assert!(error.to_string().contains("in the data directory's keys"), "{error}");
            refused += 1;
        }
    }
    assert!(refused >= 2, "accredit and machnet sign with a key");
}

#[test]
fn the_other_secrets_of_a_url_stay_active_and_a_full_list_takes_no_test_secret() {
    let imitation = &nurturecloud::Imitated;
    let secret = name(imitation, "nurturecloud.json");
    let entry = |byte| json!({"account": "a", "secret_sha256": PathSecret::of_randomness([byte; 32]).hash().digest()});
    let mut keys = no_keys();
    keys.insert(secret, json!({"keys": [entry(1), entry(2)]}).to_string());
    assert_eq!(make_test_keys(imitation, &mut keys), 2);
    let active = NurtureCloud::read_keys(keys.text(secret).unwrap()).unwrap().keys;
    let accounts: Vec<&str> = active.iter().map(|(account, _)| account.as_str()).collect();
    assert_eq!(accounts, ["a", "a", "main"]);

    let mut keys = no_keys();
    let full: Vec<_> = (1..=u8::try_from(MAX_ACTIVE_KEYS).unwrap()).map(entry).collect();
    keys.insert(secret, json!({"keys": full}).to_string());
    let error = imitation.test_keys(&keys, &server()).unwrap_err().to_string();
    assert!(error.contains("nurturecloud.json") && error.contains("keys remove nurturecloud <FINGERPRINT>"), "{error}");
}

#[test]
fn an_authority_keeps_its_keys_and_its_other_clients_and_one_elsewhere_is_left_alone() {
    let imitation = &sterling::Imitated;
    let [authority, verification, client] =
        ["sterling-authority.json", "sterling.json", "sterling-client.json"].map(|file| name(imitation, file));
    let mut keys = no_keys();
    make_test_keys(imitation, &mut keys);
    let mut existing: Authority = serde_json::from_str(keys.text(authority).unwrap()).unwrap();
    existing.add_client_secret("other", None, &ClientSecret::generate().unwrap()).unwrap();
    let key = existing.keys[0].kid.clone();
    let mut keys = no_keys();
    keys.insert(authority, serde_json::to_string(&existing).unwrap());
    assert_eq!(make_test_keys(imitation, &mut keys), 3, "the client's secret is lost, so it gets another one");
    let changed: Authority = serde_json::from_str(keys.text(authority).unwrap()).unwrap();
    assert_eq!(changed.keys.iter().map(|key| &key.kid).collect::<Vec<_>>(), [&key]);
    let clients: Vec<&str> = changed.clients.iter().map(|client| client.client_id.as_str()).collect();
    assert_eq!(clients, ["other", "demo"]);
    assert!(keys.text(client).is_some());

    let mut elsewhere = no_keys();
    elsewhere.insert(verification, keys.text(verification).unwrap());
    let error = imitation.test_keys(&elsewhere, &server()).unwrap_err().to_string();
    assert!(error.contains("sterling.json holds keys, and there is no keys/sterling-authority.json"), "{error}");
}

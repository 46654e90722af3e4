//! Secrets as operators store them: documents of keys, the forms of an RSA key, and the login for a broker.

use std::time::Duration;

use intake_providers::ProviderName;
use intake_providers::key_ring::change::{Circumstances, Removal};
use intake_providers::key_ring::new_key::{GivenOptions, KeyInput, NewKey};
use intake_providers::key_ring::{Documents, KeyRing};
use intake_providers::nowcerts::NowCerts;
use intake_providers::queue_source::QueueSource as _;
use intake_providers::registry::{VisitWebhooks, key_ring, visit_webhooks};
use intake_providers::signature::rsa_padding::Padding;
use intake_providers::signature::rsa_sha256::{MAX_MODULUS_BITS, MIN_MODULUS_BITS, RsaPublicKey};
use intake_providers::webhook::Webhook;
use secrecy::ExposeSecret as _;

use crate::input::{RANDOM_INPUTS, halves};
use crate::keys;

/// What `{secret}` in an input stands for. No error may repeat it.
const SECRET: &str = "Rz7-not-to-be-shown-9fQ";

macro_rules! documents {
    ($($(#[$_doc:meta])* $provider:ident = $module:ident ($source:ident),)+) => {
        $(mod $module {
            #[test]
            fn keys() {
                bolero::check!()
                    .with_iterations(crate::input::RANDOM_INPUTS)
                    .with_max_len(4096)
                    .for_each(|input: &[u8]| super::check(intake_providers::ProviderName::$provider, input));
            }
        })+
    };
}

intake_providers::providers!(documents);

/// The document that is stored, and after a line `---` what is read to be added to it.
fn check(provider: ProviderName, input: &[u8]) {
    let (document, new) = halves(input, b"\n---\n");
    let Ok(document) = std::str::from_utf8(document) else { return };
    let document = document.replace("{secret}", SECRET);
    visit_webhooks(&mut ReadKeys { provider, document: &document });
    let ring = key_ring(provider);
    let count = ring.documents().len();
    let stored: Vec<Option<&str>> = (0..count).map(|_| Some(document.as_str())).collect();
    let listing = ring.list(Documents::new(&stored));
    assert!(listing.problems.iter().all(|problem| !problem.contains(SECRET)), "{:?}", listing.problems);
    let _ = ring.repair(Documents::new(&stored));
    add_and_remove(ring, &stored, new);
}

fn add_and_remove(ring: &dyn KeyRing, stored: &[Option<&str>], new: &[u8]) {
    let circumstances = Circumstances {
        base_url: Some("https://webhooks.example.com".to_owned()),
        is_base_url_given: false,
        secret_refresh: Duration::from_secs(300),
        added_within: Duration::from_secs(15),
        now: keys::now(),
    };
    let input = Some(KeyInput::new(new.to_vec())).filter(|_| !new.is_empty());
    let new = NewKey { account: None, input, options: GivenOptions::default() };
    let before = ring.list(Documents::new(stored));
    let change = match ring.add(Documents::new(stored), &new, &circumstances) {
        Ok(change) => change,
        Err(error) => {
            assert!(!error.to_string().contains(SECRET), "{error}");
            return;
        }
    };
    // What was written is read, with the key in it.
    let mut after: Vec<Option<String>> = stored.iter().map(|text| text.map(str::to_owned)).collect();
    for write in &change.writes {
        after[write.document] = Some(write.text.expose_secret().to_owned());
    }
    let after: Vec<Option<&str>> = after.iter().map(Option::as_deref).collect();
    let listing = ring.list(Documents::new(&after));
    assert!(listing.keys.len() >= before.keys.len(), "{listing:?}");
    assert!(listing.keys.iter().any(|key| key.id == change.key.id), "{listing:?}");
    let removal = Removal { even_the_last: true };
    if let Ok(key) = listing.find(&change.key.id.to_string()) {
        let _ = ring.remove(Documents::new(&after), key, removal, &circumstances);
    }
}

struct ReadKeys<'a> {
    provider: ProviderName,
    document: &'a str,
}

impl VisitWebhooks for ReadKeys<'_> {
    fn visit<W: Webhook>(&mut self) {
        if W::NAME != self.provider {
            return;
        }
        let ring = key_ring(W::NAME);
        match W::read_keys(self.document) {
            Ok(read) => {
                assert!(self.document.trim_start().starts_with('{'), "members come with their names");
                assert!(
                    read.problems.iter().all(|problem| !problem.to_string().contains(SECRET)),
                    "{:?}",
                    read.problems
                );
                if ring.documents().len() == 1 {
                    let stored = [Some(self.document)];
                    let listing = ring.list(Documents::new(&stored));
                    let is_usable = listing.keys.iter().any(|key| key.is_usable());
                    assert_eq!(W::is_unset(&read.keys), !is_usable, "{listing:?}");
                }
            }
            Err(error) => assert!(!error.to_string().contains(SECRET), "{error}"),
        }
    }
}

#[test]
fn rsa_keys() {
    bolero::check!().with_iterations(RANDOM_INPUTS).with_max_len(4096).for_each(|input: &[u8]| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        for padding in [Padding::Pkcs1V15, Padding::Pss] {
            let Ok(key) = RsaPublicKey::parse(text, padding) else { continue };
            assert!((MIN_MODULUS_BITS..=MAX_MODULUS_BITS).contains(&key.modulus_bits()));
            assert_eq!(key.modulus_bytes(), key.modulus_bits().div_ceil(8));
            let signature = vec![0x55; key.modulus_bytes()];
            assert!(!key.verify(b"message", &signature));
            assert!(!key.verify_with_second_implementation(b"message", &signature));
            // Line breaks that have become two characters are line breaks.
            let again = RsaPublicKey::parse(&text.replace('\n', "\\n"), padding).unwrap();
            assert_eq!(again.fingerprint(), key.fingerprint());
        }
    });
}

#[test]
fn broker_logins() {
    bolero::check!().with_iterations(RANDOM_INPUTS).with_max_len(2048).for_each(|input: &[u8]| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let text = text.replace("{secret}", SECRET);
        // A text that is not JSON is taken for the connection string in a document.
        let text = if text.trim_start().starts_with('{') {
            text
        } else {
            serde_json::json!({"account": "main", "connection_string": text, "queue": "events", "tls": true})
                .to_string()
        };
        match NowCerts::read_account(&text) {
            Ok(account) => {
                let connection = &account.connection;
                assert!(!connection.host.is_empty() && connection.port > 0 && !connection.username.is_empty());
                assert!(!connection.password.reveal().is_empty() && !connection.virtual_host.is_empty());
                assert!(!format!("{account:?}").contains(&format!("password: {:?}", connection.password.reveal())));
                assert_eq!(NowCerts::read_account(&text).unwrap(), account);
            }
            Err(error) => assert!(!error.to_string().contains(SECRET), "{error}"),
        }
    });
}

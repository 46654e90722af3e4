//! Machnet's keys for the operator: secrets that were agreed with its Subscription API.

use aws_lc_rs::rand;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use zeroize::Zeroizing;

use super::Machnet;
use crate::account::AccountName;
use crate::key_ring::KeyDocument;
use crate::key_ring::change::{Circumstances, Made};
use crate::key_ring::error::KeyRingError;
use crate::key_ring::guide::{Guide, Input, KeyOption, REPLACE};
use crate::key_ring::key_list::{ListedKeys, NewEntry};
use crate::key_ring::new_key::NewKey;
use crate::oauth::serialize_exposed;
use crate::provider::Provider as _;
use crate::signature::KeyFingerprint;
use crate::signature::hmac_sha256::HmacSecret;

const WHAT: &str = "the secret of the subscription";
const GENERATE: &str = "generate";

/// Size of a secret that we make, in random bytes: that of the hash, more of which HMAC does not use.
const NEW_SECRET_BYTES: usize = 32;

#[derive(Serialize)]
struct Entry<'a> {
    account: &'a AccountName,
    #[serde(serialize_with = "serialize_exposed")]
    secret: &'a SecretString,
}

const OPTIONS: &[KeyOption] =
    &[KeyOption::instead_of_input(GENERATE, "Make a new secret, 32 random bytes in hex, and print it, once."), REPLACE];

impl ListedKeys for Machnet {
    type Key = HmacSecret;
    const DOCUMENT: &'static [KeyDocument; 1] = &[KeyDocument { file: "machnet.json", secret: "MachnetSecret" }];
    const WEBHOOK_OUTPUT: &'static str = "MachnetWebhookUrl";
    const GUIDE: Guide = Guide {
        about: "Add the secret with which Machnet signs, or make one",
        long_about: "Add the secret with which Machnet signs, or make one with --generate.\n\nMachnet's Subscription API is given the \
                     same secret. Add it here first, so that nothing is refused. Its text counts as it is: hex and base64 are not \
                     decoded. The line break at the end of a file is no part of it.",
        input: Input::Key { what: WHAT },
        options: OPTIONS,
        default_account: "main",
    };

    fn describe(key: &HmacSecret) -> (KeyFingerprint, String) {
        (key.fingerprint().clone(), "HMAC secret".to_owned())
    }

    fn entry(account: &AccountName, new: &NewKey, circumstances: &Circumstances) -> Result<NewEntry, KeyRingError> {
        let is_made = new.options.has(GENERATE);
        let secret = if is_made { made()? } else { given(new)? };
        HmacSecret::new(secret.expose_secret()).map_err(|error| KeyRingError::Unfit { reason: error.to_string() })?;
        let url = circumstances.url(Self::NAME.source_path());
        let next = format!(
            "Next, at Machnet: give its Subscription API this very secret and the URL {url}, unless that is done."
        );
        let made = is_made.then(|| Made { name: "secret", secret: secret.clone() });
        NewEntry::new(&Entry { account, secret: &secret }, made, next)
    }
}

fn given(new: &NewKey) -> Result<SecretString, KeyRingError> {
    let line = new.input(WHAT)?.line(WHAT)?;
    if line.trim_start().starts_with("{\"keys\"") {
        return Err(KeyRingError::WholeDocument { what: WHAT });
    }
    Ok(line.into())
}

fn made() -> Result<SecretString, KeyRingError> {
    let mut bytes = Zeroizing::new([0; NEW_SECRET_BYTES]);
    rand::fill(bytes.as_mut()).map_err(|_| KeyRingError::NoRandomness)?;
    Ok(hex::encode(bytes.as_ref()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key_ring::change::{Change, Removal};
    use crate::key_ring::new_key::{GivenOptions, KeyInput};
    use crate::key_ring::{Documents, KeyRing as _};
    use crate::testing::circumstances;

    const SECRET: &str = "7c1f0c6fd4f34c0e9b1f8a52d0f5a1be";

    fn new(secret: &str) -> NewKey {
        NewKey { input: Some(KeyInput::new(secret.as_bytes().to_vec())), ..NewKey::default() }
    }

    fn add(document: Option<&str>, new: &NewKey) -> Result<Change, KeyRingError> {
        Machnet.add(Documents::new(&[document]), new, &circumstances())
    }

    #[test]
    fn a_secret_counts_as_its_file_holds_it_without_the_line_break() {
        for text in [SECRET.to_owned(), format!("{SECRET}\n"), format!("{SECRET}\r\n")] {
            let change = add(Some(r#"{"keys":[]}"#), &new(&text)).unwrap();
            assert_eq!(change.key.id.to_string(), HmacSecret::new(SECRET).unwrap().fingerprint().to_string());
            let document: serde_json::Value = serde_json::from_str(change.writes[0].text.expose_secret()).unwrap();
            assert_eq!(document, serde_json::json!({"keys": [{"account": "main", "secret": SECRET}]}));
            assert!(change.made.is_none() && !format!("{change:?}{}", change.next).contains(SECRET));
        }
    }

    #[test]
    fn what_is_to_be_done_next_names_the_url_and_when_the_secret_counts() {
        let change = add(None, &new(SECRET)).unwrap();
        assert!(change.next.contains("https://hooks.example.com/webhooks/machnet"), "{}", change.next);
        assert!(change.counts.contains("within 15 s"), "{}", change.counts);
        let nowhere = Circumstances { base_url: None, ..circumstances() };
        let change = Machnet.add(Documents::new(&[None]), &new(SECRET), &nowhere).unwrap();
        assert!(change.next.contains("https://<host>/webhooks/machnet"), "{}", change.next);
    }

    #[test]
    fn only_a_key_of_the_same_account_is_an_older_one_to_take_out() {
        let first = add(None, &new(SECRET)).unwrap();
        let text = first.writes[0].text.expose_secret();
        for (account, is_older) in [("main", true), ("north", false)] {
            let other = NewKey { account: Some(account.parse().unwrap()), ..new(&format!("{SECRET}2")) };
            let next = add(Some(text), &other).unwrap().next;
            assert_eq!(next.contains("take the old one out"), is_older, "{account}: {next}");
        }
    }

    #[test]
    fn a_weak_or_spoiled_secret_is_refused_in_plain_words() {
        for (text, words) in [
            (format!(" {SECRET}\n"), "begins or ends with white space"),
            (format!("{SECRET}\n\n"), "begins or ends with white space"),
            (format!("\"{SECRET}\"\n"), "quotation marks"),
            (format!("{SECRET}\n{SECRET}\n"), "is one line"),
            ("hunter2".to_owned(), "shorter than 16 bytes"),
            ("change-me-change-me".to_owned(), "placeholder"),
            ("aaaaaaaaaaaaaaaaaaaa".to_owned(), "single repeated character"),
            (format!("{{\"keys\":[{{\"account\":\"main\",\"secret\":\"{SECRET}\"}}]}}"), "a whole document of keys"),
            ("\n".to_owned(), "nothing was given"),
        ] {
            let error = add(None, &new(&text)).unwrap_err();
            assert!(error.to_string().contains(words), "{error}");
            assert!(!format!("{error:?}").contains(SECRET), "{error:?}");
        }
    }

    #[test]
    fn a_secret_is_made_and_shown_once() {
        let generate = NewKey { options: GivenOptions::default().with(GENERATE, ""), ..NewKey::default() };
        let (one, other) = (add(None, &generate).unwrap(), add(None, &generate).unwrap());
        let secret = one.made.as_ref().unwrap().secret.expose_secret();
        assert_eq!(secret.len(), 64);
        assert_ne!(secret, other.made.unwrap().secret.expose_secret());
        assert!(one.writes[0].text.expose_secret().contains(secret));
        assert!(!format!("{one:?}").contains(secret) && !one.next.contains(secret));
    }

    #[test]
    fn eight_secrets_are_active_and_a_ninth_is_refused() {
        let mut document = String::new();
        for number in 0..8 {
            let change = add(Some(&document), &new(&format!("{SECRET}{number}"))).unwrap();
            change.writes[0].text.expose_secret().clone_into(&mut document);
        }
        assert_eq!(add(Some(&document), &new(SECRET)).unwrap_err(), KeyRingError::TooMany { found: 8 });
    }

    #[test]
    fn the_last_secret_goes_only_when_that_is_meant() {
        let added = add(None, &new(SECRET)).unwrap();
        let text = added.writes[0].text.expose_secret();
        let remove = |even_the_last| {
            Machnet.remove(Documents::new(&[Some(text)]), &added.key, Removal { even_the_last }, &circumstances())
        };
        assert_eq!(remove(false).unwrap_err(), KeyRingError::TheLast { provider: "machnet" });
        let removed = remove(true).unwrap();
        assert_eq!(removed.writes[0].text.expose_secret(), "{\n  \"keys\": []\n}\n");
        assert!(removed.next.contains("nothing of it is accepted"));
    }
}

//! Accredit's keys for the operator: RSA public keys, which Accredit shows as Signature Keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::Accredit;
use crate::account::AccountName;
use crate::key_ring::KeyDocument;
use crate::key_ring::change::Circumstances;
use crate::key_ring::error::KeyRingError;
use crate::key_ring::guide::{Guide, Input, KeyOption, REPLACE};
use crate::key_ring::key_list::{ListedKeys, NewEntry};
use crate::key_ring::new_key::NewKey;
use crate::provider::Provider as _;
use crate::signature::KeyFingerprint;
use crate::signature::rsa_padding::Padding;
use crate::signature::rsa_sha256::RsaPublicKey;

const WHAT: &str = "Accredit's public key";
const PADDING: &str = "padding";

#[derive(Serialize)]
struct Entry<'a> {
    account: &'a AccountName,
    public_key: &'a str,
    padding: Padding,
}

const OPTIONS: &[KeyOption] = &[
    KeyOption::with_value(
        PADDING,
        "PADDING",
        "How the signatures are padded: pkcs1-v1.5 or pss. [default: pkcs1-v1.5]",
    ),
    REPLACE,
];

impl ListedKeys for Accredit {
    type Key = RsaPublicKey;
    const DOCUMENT: &'static [KeyDocument; 1] = &[KeyDocument { file: "accredit.json", secret: "AccreditSecret" }];
    const WEBHOOK_OUTPUT: &'static str = "AccreditWebhookUrl";
    const GUIDE: Guide = Guide {
        about: "Add the public key with which Accredit's signatures are verified",
        long_about: "Add the public key with which Accredit's signatures are verified.\n\nAccredit shows it as the Signature Key of \
                     a subscription. Its file is taken as it is: PEM (BEGIN PUBLIC KEY or BEGIN RSA PUBLIC KEY), DER, base64 of \
                     DER, or .NET's RSAKeyValue. A private key is refused, and so is a certificate, with the command that takes \
                     its key out.",
        input: Input::Key { what: WHAT },
        options: OPTIONS,
        default_account: "main",
    };

    fn describe(key: &RsaPublicKey) -> (KeyFingerprint, String) {
        let padding = match key.padding() {
            Padding::Pkcs1V15 => "PKCS#1 v1.5",
            Padding::Pss => "PSS",
        };
        (key.fingerprint().clone(), format!("RSA public key, {} bits, {padding}", key.modulus_bits()))
    }

    fn entry(account: &AccountName, new: &NewKey, circumstances: &Circumstances) -> Result<NewEntry, KeyRingError> {
        let input = new.input(WHAT)?;
        let padding = padding(new.options.text(PADDING))?;
        // A file in DER is binary.
        let text = match input.text(WHAT) {
            Ok(text) if !text.trim_start().starts_with("{\"keys\"") => text.trim().to_owned(),
            Ok(_) => return Err(KeyRingError::WholeDocument { what: WHAT }),
            Err(_) => STANDARD.encode(input.bytes()),
        };
        RsaPublicKey::parse(&text, padding).map_err(|error| KeyRingError::Unfit { reason: error.to_string() })?;
        let entry = Entry { account, public_key: &text, padding };
        let url = circumstances.url(Self::NAME.source_path());
        let next = format!(
            "Next, at Accredit: subscribe to each event with {url} (`POST /api/webhookSubscription`) unless that is done, and have \
                 a sample sent (`POST /api/webhookSubscription/triggerSampleEventNotification`)."
        );
        NewEntry::new(&entry, None, next)
    }
}

fn padding(text: Option<&str>) -> Result<Padding, KeyRingError> {
    let Some(text) = text else { return Ok(Padding::default()) };
    serde_json::from_value(text.into())
        .map_err(|_| KeyRingError::Option { option: "--padding", reason: "is pkcs1-v1.5 or pss".to_owned() })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::key_ring::change::{Change, Removal};
    use crate::key_ring::listing::KeyState;
    use crate::key_ring::new_key::{GivenOptions, KeyInput};
    use crate::key_ring::{Documents, KeyRing as _};
    use crate::testing::circumstances;

    fn file(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/tests/keys/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn new(bytes: Vec<u8>) -> NewKey {
        NewKey { input: Some(KeyInput::new(bytes)), ..NewKey::default() }
    }

    fn add(document: Option<&str>, new: &NewKey) -> Result<Change, KeyRingError> {
        Accredit.add(Documents::new(&[document]), new, &circumstances())
    }

    fn text(change: &Change) -> String {
        change.writes[0].text.expose_secret().to_owned()
    }

    fn der(pem: &str) -> Vec<u8> {
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
        STANDARD.decode(body).unwrap()
    }

    #[test]
    fn a_file_with_a_key_is_taken_as_it_is_in_every_form() {
        let fingerprint = String::from_utf8(file("rsa-2048.fingerprint")).unwrap();
        let der = der(&String::from_utf8(file("rsa-2048.spki.pem")).unwrap());
        for bytes in [file("rsa-2048.spki.pem"), file("rsa-2048.pkcs1.pem"), file("rsa-2048.xml"), der] {
            for placeholder in [None, Some(""), Some("\n"), Some(r#"{"keys":[]}"#)] {
                let change = add(placeholder, &new(bytes.clone())).unwrap();
                assert_eq!(change.key.id.to_string(), fingerprint.trim());
                assert_eq!(change.key.kind, "RSA public key, 2048 bits, PKCS#1 v1.5");
                let listed = Accredit.list(Documents::new(&[Some(&text(&change))]));
                assert_eq!(listed.keys, [change.key]);
            }
        }
    }

    #[test]
    fn keys_are_added_beside_one_another_and_the_same_one_only_once() {
        let first = text(&add(None, &new(file("rsa-2048.spki.pem"))).unwrap());
        let again = add(Some(&first), &new(file("rsa-2048.xml"))).unwrap_err();
        assert!(matches!(again, KeyRingError::AlreadyActive { .. }), "{again}");

        let second = add(Some(&first), &new(file("rsa-3072.spki.pem"))).unwrap();
        let Some(old) = Accredit.list(Documents::new(&[Some(&first)])).keys.pop() else { panic!("no key") };
        assert!(second.next.contains(&format!("`keys remove accredit {}`", old.id)), "{}", second.next);
        let both = text(&second);
        let removed = Accredit.remove(Documents::new(&[Some(&both)]), &old, Removal::default(), &circumstances());
        let listed = Accredit.list(Documents::new(&[Some(&text(&removed.unwrap()))]));
        let kinds: Vec<_> = listed.keys.iter().map(|key| key.kind.as_str()).collect();
        assert_eq!(kinds, ["RSA public key, 3072 bits, PKCS#1 v1.5"]);
    }

    #[test]
    fn what_is_no_public_key_is_refused_in_the_words_of_the_scheme() {
        for (bytes, words) in [
            (
                b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n".to_vec(),
                "treat the private key as leaked",
            ),
            (file("rsa-2048.certificate.pem"), "openssl x509"),
            (file("rsa-1024.spki.pem"), "1024 bits"),
            (file("ec-p256.spki.pem"), "not an rsa key"),
            (br#"{"keys":[{"account":"main","public_key":"x"}]}"#.to_vec(), "a whole document of keys"),
            (b" \n".to_vec(), "nothing was given"),
            (vec![0xff, 0xfe, 0], "damaged"),
        ] {
            let error = add(None, &new(bytes)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn the_padding_is_the_usual_one_unless_another_is_named() {
        let with = |padding: &str| NewKey {
            options: GivenOptions::default().with(PADDING, padding),
            ..new(file("pss-only.spki.pem"))
        };
        let error = add(None, &new(file("pss-only.spki.pem"))).unwrap_err().to_string();
        assert!(error.contains("set the padding to `pss`"), "{error}");
        assert!(add(None, &with("PSS")).is_err());
        let change = add(None, &with("pss")).unwrap();
        assert!(change.key.kind.ends_with("PSS"), "{}", change.key.kind);
        assert!(text(&change).contains(r#""padding":"pss""#));
    }

    #[test]
    fn a_document_that_cannot_be_read_is_left_alone_unless_it_is_to_be_replaced() {
        let pem = String::from_utf8(file("rsa-2048.spki.pem")).unwrap();
        let error = add(Some(&pem), &new(file("rsa-3072.spki.pem"))).unwrap_err().to_string();
        assert!(error.contains("cannot be read") && error.contains("--replace"), "{error}");
        let listed = Accredit.list(Documents::new(&[Some(&pem)]));
        assert!(listed.problems[0].contains("not JSON of the form"), "{listed:?}");

        let replacing =
            || NewKey { options: GivenOptions::default().with("replace", ""), ..new(file("rsa-3072.spki.pem")) };
        let replaced = text(&add(Some(&pem), &replacing()).unwrap());
        assert_eq!(Accredit.list(Documents::new(&[Some(&replaced)])).keys.len(), 1);
        assert_eq!(add(Some(&replaced), &replacing()).unwrap_err(), KeyRingError::NothingToReplace);
    }

    #[test]
    fn an_entry_that_cannot_be_used_is_listed_with_its_reason_and_can_be_taken_out() {
        let good = text(&add(None, &new(file("rsa-2048.spki.pem"))).unwrap());
        let mut document: serde_json::Value = serde_json::from_str(&good).unwrap();
        document["keys"]
            .as_array_mut()
            .unwrap()
            .insert(0, serde_json::json!({"account": "main", "public_key": "hush"}));
        let document = document.to_string();
        let listed = Accredit.list(Documents::new(&[Some(&document)]));
        let KeyState::Unusable(reason) = &listed.keys[0].state else { panic!("{listed:?}") };
        assert!(reason.contains("no known format") || reason.contains("damaged"), "{reason}");
        assert!(!listed.keys[0].is_usable() && listed.keys[1].is_usable());
        let remove = |name| {
            let key = listed.find(name).unwrap();
            Accredit.remove(Documents::new(&[Some(&document)]), key, Removal::default(), &circumstances())
        };
        let last = remove("entry-2").unwrap_err();
        assert_eq!(last, KeyRingError::TheLast { provider: "accredit" }, "what is left cannot be used");
        let removed = remove("entry-1").unwrap();
        assert_eq!(Accredit.list(Documents::new(&[Some(&text(&removed))])).keys[0].id, listed.keys[1].id);
    }
}

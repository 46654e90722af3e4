//! NurtureCloud's keys for the operator: the secrets at the end of the URLs that it may deliver to.

use serde::Serialize;

use super::NurtureCloud;
use crate::account::AccountName;
use crate::digest::Sha256Digest;
use crate::key_ring::KeyDocument;
use crate::key_ring::change::{Circumstances, Made};
use crate::key_ring::error::KeyRingError;
use crate::key_ring::guide::{Guide, Input, REPLACE};
use crate::key_ring::key_list::{ListedKeys, NewEntry};
use crate::key_ring::new_key::NewKey;
use crate::path_secret::{PathSecret, PathSecretHash};
use crate::provider::Provider as _;
use crate::signature::KeyFingerprint;

#[derive(Serialize)]
struct Entry<'a> {
    account: &'a AccountName,
    secret_sha256: Sha256Digest,
}

impl ListedKeys for NurtureCloud {
    type Key = PathSecretHash;
    const DOCUMENT: &'static [KeyDocument; 1] =
        &[KeyDocument { file: "nurturecloud.json", secret: "NurtureCloudSecret" }];
    const WEBHOOK_OUTPUT: &'static str = "NurtureCloudWebhookUrl";
    const GUIDE: Guide = Guide {
        about: "Make a secret URL for NurtureCloud to deliver to, and print it, once",
        long_about: "Make a secret URL for NurtureCloud to deliver to, and print it, once.\n\nNurtureCloud signs nothing, so the secret \
                     in the URL is what its deliveries prove themselves by. Only its hash is kept. Several URLs are live at once: \
                     make a new one, hand it over, and when it is in use take the old one out.",
        input: Input::None,
        options: &[REPLACE],
        default_account: "main",
    };

    fn describe(key: &PathSecretHash) -> (KeyFingerprint, String) {
        (key.fingerprint(), "secret URL".to_owned())
    }

    fn entry(account: &AccountName, _: &NewKey, circumstances: &Circumstances) -> Result<NewEntry, KeyRingError> {
        let base_url = circumstances.base_url.as_ref().ok_or_else(|| KeyRingError::Option {
            option: "--base-url",
            reason: "is needed: say where the stack's webhooks are reached, such as https://hooks.example.com"
                .to_owned(),
        })?;
        let secret = PathSecret::generate().ok_or(KeyRingError::NoRandomness)?;
        let entry = Entry { account, secret_sha256: secret.hash().digest() };
        let url = format!("{base_url}{}/{}", Self::NAME.source_path(), secret.reveal());
        let next = "Next, at NurtureCloud: give this URL as the `targetUrl` of POST /management/webhooks/create-subscription. Anyone who knows \
                 it can deliver, so hand it on by a way that is safe for a secret.";
        NewEntry::new(&entry, Some(Made { name: "url", secret: url.into() }), next.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::key_ring::{Documents, KeyRing as _};
    use crate::testing::circumstances;
    use crate::webhook::Webhook as _;

    #[test]
    fn a_url_ends_in_a_secret_of_which_only_the_hash_is_kept() {
        let documents = Documents::new(&[Some(r#"{"keys":[]}"#)]);
        let change = NurtureCloud.add(documents, &NewKey::default(), &circumstances()).unwrap();
        let url = change.made.as_ref().unwrap().secret.expose_secret();
        let secret = url.strip_prefix("https://hooks.example.com/webhooks/nurturecloud/").unwrap();
        let text = change.writes[0].text.expose_secret();
        assert!(!text.contains(secret) && !format!("{change:?}").contains(secret), "{text}");

        let read = NurtureCloud::read_keys(text).unwrap();
        let offered = PathSecretHash::of_path(&format!("/{secret}")).unwrap();
        assert!(read.keys.iter().any(|(_, hash)| hash.is_of_the_same_secret(&offered)));
        assert_eq!(change.key.id.to_string(), offered.fingerprint().to_string());
    }

    #[test]
    fn where_the_webhook_is_reached_must_be_known() {
        let nowhere = Circumstances { base_url: None, ..circumstances() };
        let error = NurtureCloud.add(Documents::new(&[None]), &NewKey::default(), &nowhere).unwrap_err().to_string();
        assert!(error.starts_with("--base-url is needed"), "{error}");
    }
}

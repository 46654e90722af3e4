//! NurtureCloud's keys for the operator: the secrets at the end of the URLs that it may deliver to.

use serde::Serialize;

use super::NurtureCloud;
use crate::account::AccountName;
use crate::digest::Sha256Digest;
use crate::key_ring::change::{Change, Circumstances, Made, Removal};
use crate::key_ring::error::KeyRingError;
use crate::key_ring::guide::{Guide, Input, REPLACE};
use crate::key_ring::key_list::{self, ListedKeys, rotation};
use crate::key_ring::listing::{KeyListing, ListedKey};
use crate::key_ring::new_key::NewKey;
use crate::key_ring::{Documents, KeyDocument, KeyRing};
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

    fn describe(key: &PathSecretHash) -> (KeyFingerprint, String) {
        (key.fingerprint(), "secret URL".to_owned())
    }
}

impl KeyRing for NurtureCloud {
    fn documents(&self) -> &'static [KeyDocument] {
        &[KeyDocument { file: "nurturecloud.json", secret: "NurtureCloudSecret" }]
    }

    fn webhook_output(&self) -> Option<&'static str> {
        Some("NurtureCloudWebhookUrl")
    }

    fn guide(&self) -> Guide {
        Guide {
            about: "Make a secret URL for NurtureCloud to deliver to, and print it, once",
            long_about: "Make a secret URL for NurtureCloud to deliver to, and print it, once.\n\nNurtureCloud signs nothing, so the secret \
                         in the URL is what its deliveries prove themselves by. Only its hash is kept. Several URLs are live at once: \
                         make a new one, hand it over, and when it is in use take the old one out.",
            input: Input::None,
            options: &[REPLACE],
            default_account: "main",
        }
    }

    fn list(&self, documents: Documents<'_>) -> KeyListing {
        key_list::list::<Self>(documents)
    }

    fn add(
        &self,
        documents: Documents<'_>,
        new: &NewKey,
        circumstances: &Circumstances,
    ) -> Result<Change, KeyRingError> {
        let base_url = circumstances.base_url.as_ref().ok_or_else(|| KeyRingError::Option {
            option: "--base-url",
            reason: "is needed: say where the stack's webhooks are reached, such as https://hooks.example.com"
                .to_owned(),
        })?;
        let secret = PathSecret::generate().ok_or(KeyRingError::NoRandomness)?;
        let account = new.account_or_main();
        let before = key_list::list::<Self>(documents).keys;
        let entry = Entry { account: &account, secret_sha256: secret.hash().digest() };
        let (write, key) = key_list::add::<Self>(documents, new, &entry)?;
        let url = format!("{base_url}{}/{}", Self::NAME.source_path(), secret.reveal());
        Ok(Change {
            writes: vec![write],
            key,
            made: Some(Made { name: "url", secret: url.into() }),
            counts: circumstances.counts_when_added(),
            next: format!(
                "Next, at NurtureCloud: give this URL as the `targetUrl` of POST /management/webhooks/create-subscription. Anyone who knows \
                 it can deliver, so hand it on by a way that is safe for a secret.\n{}",
                rotation(Self::NAME.as_str(), &before, &account)
            ),
        })
    }

    fn remove(
        &self,
        documents: Documents<'_>,
        key: &ListedKey,
        removal: Removal,
        circumstances: &Circumstances,
    ) -> Result<Change, KeyRingError> {
        key_list::remove::<Self>(documents, key, removal, circumstances)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
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

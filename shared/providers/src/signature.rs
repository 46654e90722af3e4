//! Checks that a delivery comes from the provider it claims to come from, over the exact bytes that arrived.
//!
//! Keys and secrets are read and judged once, when the configuration is loaded; a key that exists in one of these types
//! is fit for use. Which header holds a signature, and how it is encoded there, is each provider's own matter.

use std::fmt;

use serde::{Deserialize, Serialize};

pub mod hmac_sha256;
pub(crate) mod rsa_key;
pub mod rsa_padding;
pub mod rsa_sha256;

/// Identifies a key in logs, alarms and queue messages without revealing it, in lower-case hex digits.
///
/// An RSA key has 16 of them ([`rsa_sha256::RsaPublicKey::fingerprint`]), an HMAC secret
/// ([`hmac_sha256::HmacSecret::fingerprint`]) and a path secret
/// ([`PathSecretHash::fingerprint`](crate::path_secret::PathSecretHash::fingerprint)) have 8.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyFingerprint(String);

impl KeyFingerprint {
    /// The first `digits` hex digits of `hash`.
    pub(crate) fn from_hash(hash: &[u8], digits: usize) -> Self {
        let mut text = hex::encode(hash);
        text.truncate(digits);
        Self(text)
    }

    /// Restores a fingerprint that was written with [`fmt::Display`] or serde, for example in a queue message.
    ///
    /// The text is not validated: it only identifies a key, and that key may have been removed since.
    #[must_use]
    pub fn from_recorded(text: String) -> Self {
        Self(text)
    }

    /// The hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for KeyFingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeyFingerprint({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that `tests/make-keys.sh` made with openssl.
    pub(super) fn key_file(name: &str) -> String {
        let path = format!("{}/tests/keys/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    #[test]
    fn a_fingerprint_is_one_string_in_json_and_reads_back_the_same() {
        let fingerprint = KeyFingerprint::from_hash(&[0x01, 0xAB, 0xCD], 4);
        assert_eq!(fingerprint.as_str(), "01ab");
        assert_eq!(fingerprint.to_string(), "01ab");
        assert_eq!(format!("{fingerprint:?}"), "KeyFingerprint(01ab)");
        assert_eq!(serde_json::to_string(&fingerprint).unwrap(), "\"01ab\"");
        assert_eq!(serde_json::from_str::<KeyFingerprint>("\"01ab\"").unwrap(), fingerprint);
        assert_eq!(KeyFingerprint::from_recorded("01ab".to_owned()), fingerprint);
    }
}

//! A secret at the end of a URL, for a provider that signs nothing.
//!
//! Anyone who knows the URL can deliver. So the secret is 256 random bits, we keep its SHA-256 only, and hashes are compared in
//! constant time. With that many random bits a plain hash hides the secret.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroize as _;

use crate::digest::Sha256Digest;
use crate::signature::KeyFingerprint;

/// Minimum length of a secret, in characters: 32 bytes in base64url without padding. A shorter one is rejected, whatever hashes
/// are active.
pub const MIN_SECRET_CHARACTERS: usize = 43;

/// Maximum length of a secret, in characters.
pub const MAX_SECRET_CHARACTERS: usize = 128;

const FINGERPRINT_LABEL: &[u8] = b"webhook-intake path secret";
const FINGERPRINT_DIGITS: usize = 8;

/// A newly generated secret, kept only until it has been shown to the user. `Debug` doesn't show it.
#[derive(Debug)]
pub struct PathSecret(SecretString);

impl PathSecret {
    /// A new secret; nothing when the operating system has no randomness.
    #[must_use]
    pub fn generate() -> Option<Self> {
        let mut randomness = [0; 32];
        aws_lc_rs::rand::fill(&mut randomness).ok()?;
        Some(Self::of_randomness(randomness))
    }

    /// Encodes random bytes as a secret.
    #[must_use]
    pub fn of_randomness(mut randomness: [u8; 32]) -> Self {
        let secret = Self(URL_SAFE_NO_PAD.encode(randomness).into());
        randomness.zeroize();
        secret
    }

    /// The secret in plain text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    /// The SHA-256 that is stored in place of the secret.
    #[must_use]
    pub fn hash(&self) -> PathSecretHash {
        PathSecretHash(Sha256Digest::of(self.reveal().as_bytes()))
    }
}

/// The SHA-256 of a secret: of an active one, or of one that a request offers.
#[derive(Clone, Copy)]
pub struct PathSecretHash(Sha256Digest);

impl PathSecretHash {
    /// Wraps a stored hash.
    #[must_use]
    pub const fn from_recorded(digest: Sha256Digest) -> Self {
        Self(digest)
    }

    /// Whether a text contains the secret, as a path or a URL does, percent-encoded or not.
    pub(crate) fn occurs_in(&self, text: &[u8]) -> bool {
        let is_base64url = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
        let mut after_percent = false;
        text.split_inclusive(|byte| !is_base64url(byte)).any(|part| {
            let run = part.split_last().filter(|(last, _)| !is_base64url(last)).map_or(part, |(_, run)| run);
            // Two hex digits belong to the percent sign before them.
            let run = if after_percent { run.get(2..).unwrap_or_default() } else { run };
            after_percent = part.last() == Some(&b'%');
            (MIN_SECRET_CHARACTERS..=MAX_SECRET_CHARACTERS).contains(&run.len())
                && self.is_of_the_same_secret(&Self(Sha256Digest::of(run)))
        })
    }

    /// The hash of the last segment of a path, if that has the form of a secret: letters, digits, hyphens and underscores,
    /// at least [`MIN_SECRET_CHARACTERS`] of them.
    #[must_use]
    pub fn of_path(path: &str) -> Option<Self> {
        let (_, last) = path.rsplit_once('/')?;
        let is_long_enough = (MIN_SECRET_CHARACTERS..=MAX_SECRET_CHARACTERS).contains(&last.len());
        let is_base64url = last.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        (is_long_enough && is_base64url).then(|| Self(Sha256Digest::of(last.as_bytes())))
    }

    /// Whether both hashes are of the same secret. Compared in constant time.
    #[must_use]
    pub fn is_of_the_same_secret(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }

    /// The digest, for storage. It authenticates nothing: a request has to present the secret.
    #[must_use]
    pub const fn digest(&self) -> Sha256Digest {
        self.0
    }

    /// Identifies the secret in logs: 8 hex digits of a hash of the hash.
    #[must_use]
    pub fn fingerprint(&self) -> KeyFingerprint {
        let hash = Sha256Digest::of_parts([FINGERPRINT_LABEL, self.0.as_bytes().as_slice()]);
        KeyFingerprint::from_hash(hash.as_bytes(), FINGERPRINT_DIGITS)
    }
}

impl fmt::Debug for PathSecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PathSecretHash({})", self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_found_at_the_end_of_a_path_and_only_there() {
        let secret = PathSecret::of_randomness([0xfb; 32]);
        assert_eq!(secret.reveal().len(), MIN_SECRET_CHARACTERS);
        let path = format!("/webhooks/nurturecloud/{}", secret.reveal());
        assert!(PathSecretHash::of_path(&path).unwrap().is_of_the_same_secret(&secret.hash()));
        assert!(PathSecretHash::of_path(&format!("{path}/")).is_none());
        assert!(PathSecretHash::of_path(&format!("{path}%20")).is_none());
        assert!(PathSecretHash::of_path(secret.reveal()).is_none(), "no path");
        let other = PathSecretHash::of_path(&format!("{path}A")).unwrap();
        assert!(!other.is_of_the_same_secret(&secret.hash()));
    }

    #[test]
    fn a_secret_is_noticed_in_whatever_repeats_it() {
        let secret = PathSecret::of_randomness([0xfb; 32]);
        let shown = secret.reveal();
        for text in [
            shown.to_owned(),
            format!("/webhooks/nurturecloud/{shown}?a=b"),
            format!("%2Fwebhooks%2Fnurturecloud%2F{shown}"),
            format!("https://h/x, uri=\"{shown}\""),
        ] {
            assert!(secret.hash().occurs_in(text.as_bytes()), "{text}");
            assert!(!PathSecret::of_randomness([0xfc; 32]).hash().occurs_in(text.as_bytes()), "{text}");
        }
        assert!(!secret.hash().occurs_in(b"%"));
    }

    #[test]
    fn a_secret_has_a_minimum_and_maximum_length_and_base64url_characters() {
        for (segment, is_secret) in [
            ("a".repeat(42), false),
            ("a".repeat(43), true),
            ("a".repeat(128), true),
            ("a".repeat(129), false),
            ("a".repeat(42) + "=", false),
            ("a".repeat(42) + "ä", false),
        ] {
            assert_eq!(PathSecretHash::of_path(&format!("/{segment}")).is_some(), is_secret, "{segment}");
        }
    }

    #[test]
    fn neither_the_secret_nor_its_hash_can_be_printed() {
        let secret = PathSecret::of_randomness([7; 32]);
        assert!(!format!("{secret:?}").contains(secret.reveal()), "{secret:?}");
        let printed = format!("{:?}", secret.hash());
        assert!(!printed.contains(&secret.hash().digest().to_string()[..8]), "{printed}");
        assert_eq!(printed, format!("PathSecretHash({})", secret.hash().fingerprint()));
    }
}

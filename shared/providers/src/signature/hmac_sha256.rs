//! HMAC-SHA256 (RFC 2104, FIPS 180-4) under a shared secret, the way Machnet signs the body of a webhook.

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, ExposeSecretMut as _, SecretBox};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::KeyFingerprint;

/// The size of a tag in bytes. Shorter tags, which RFC 2104 allows, are never accepted.
pub const TAG_BYTES: usize = 32;

/// Minimum length of a secret, in bytes: 128 bits. A shorter one could be guessed offline from a single captured delivery.
pub const MIN_SECRET_BYTES: usize = 16;

/// What [`HmacSecret::fingerprint`] signs. Changing it changes every recorded fingerprint.
const FINGERPRINT_MESSAGE: &[u8] = b"webhook-intake key fingerprint";
const FINGERPRINT_DIGITS: usize = 8;

/// Parts of a secret that mark it as a placeholder, in lower case and without separators.
const PLACEHOLDERS: [&str; 6] = ["placeholder", "replaceme", "replacethis", "changeme", "changethis", "yoursecret"];

/// Why a text is not accepted as an HMAC secret. The text is never repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeakSecret {
    /// The text is empty or only white space.
    #[error("the hmac secret is empty: set it to the secret given to the provider's subscription")]
    Empty,
    /// White space at the start or the end, which would silently make another key.
    #[error(
        "the hmac secret begins or ends with white space, probably a copy-and-paste slip: store it again without the \
         surrounding spaces or line break"
    )]
    SurroundingWhiteSpace,
    /// The text holds words that stand for a secret still to be filled in.
    #[error(
        "the hmac secret looks like a placeholder: replace it with the secret given to the provider's subscription"
    )]
    Placeholder,
    /// Fewer than [`MIN_SECRET_BYTES`] bytes.
    #[error(
        "the hmac secret is shorter than {MIN_SECRET_BYTES} bytes: make a new one, for example with \
         `openssl rand -hex 32`, and give it to the provider's subscription too"
    )]
    TooShort,
    /// One character, repeated.
    #[error(
        "the hmac secret is a single repeated character: make a new one, for example with `openssl rand -hex 32`, and \
         give it to the provider's subscription too"
    )]
    OneCharacter,
}

/// A shared secret that passed the checks of [`HmacSecret::new`]. The copy in here is wiped when it is dropped.
#[derive(Debug)]
pub struct HmacSecret {
    key: KeyBlock,
    fingerprint: KeyFingerprint,
}

impl HmacSecret {
    /// Takes the bytes of `secret` as the key, as they are: hex or base64 digits are not decoded, because Machnet uses
    /// the text of the secret itself.
    ///
    /// # Errors
    /// [`WeakSecret`] for a secret that is empty, surrounded by white space, shorter than [`MIN_SECRET_BYTES`],
    /// made of one character, or evidently a placeholder.
    pub fn new(secret: &str) -> Result<Self, WeakSecret> {
        if secret.trim().is_empty() {
            return Err(WeakSecret::Empty);
        }
        if secret.trim().len() != secret.len() {
            return Err(WeakSecret::SurroundingWhiteSpace);
        }
        if is_placeholder(secret) {
            return Err(WeakSecret::Placeholder);
        }
        if secret.len() < MIN_SECRET_BYTES {
            return Err(WeakSecret::TooShort);
        }
        let mut characters = secret.chars();
        let first = characters.next();
        if characters.all(|character| Some(character) == first) {
            return Err(WeakSecret::OneCharacter);
        }
        let key = KeyBlock::new(secret.as_bytes());
        let fingerprint = KeyFingerprint::from_hash(&key.sign(FINGERPRINT_MESSAGE), FINGERPRINT_DIGITS);
        Ok(Self { key, fingerprint })
    }

    /// The tag of `message` under this secret.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; TAG_BYTES] {
        self.key.sign(message)
    }

    /// Whether `tag` is the tag of `message` under this secret. The time taken does not depend on how much of the tag
    /// is right.
    #[must_use]
    pub fn verify(&self, message: &[u8], tag: &[u8; TAG_BYTES]) -> bool {
        self.key.verify(message, tag)
    }

    /// The first 8 hex digits of HMAC-SHA256(secret, "webhook-intake key fingerprint").
    ///
    /// Not a plain hash of the secret, because that could be looked up in a table made once for everybody, and would
    /// show that two systems share a secret. Not more digits, because each would make a guessed secret easier to
    /// confirm for someone who reads the logs: 32 bits distinguish the few secrets active at a time, and still match
    /// countless wrong guesses.
    #[must_use]
    pub fn fingerprint(&self) -> &KeyFingerprint {
        &self.fingerprint
    }
}

/// Whether `tag` is the HMAC-SHA256 of `message` under `key`, which may be any bytes, in constant time.
///
/// This is the check behind [`HmacSecret::verify`] without the judgement of the secret, so that it can be held against
/// published test vectors, whose keys are not text. Deliveries are checked with an [`HmacSecret`].
#[must_use]
pub fn verify(key: &[u8], message: &[u8], tag: &[u8; TAG_BYTES]) -> bool {
    KeyBlock::new(key).verify(message, tag)
}

/// Fingerprint of a secret that is validated elsewhere, such as a login's password: like [`HmacSecret::fingerprint`], over a message of
/// its own.
pub(crate) fn fingerprint(secret: &[u8], message: &[u8]) -> KeyFingerprint {
    KeyFingerprint::from_hash(&KeyBlock::new(secret).sign(message), FINGERPRINT_DIGITS)
}

/// A key brought to the size of one SHA-256 block, the first step of HMAC (RFC 2104, section 2). In this form a `Hmac`
/// can be made from it without a failure that would have to be answered each time.
#[derive(Debug)]
struct KeyBlock(SecretBox<[u8; 64]>);

impl KeyBlock {
    fn new(key: &[u8]) -> Self {
        let mut secret = SecretBox::new(Box::new([0; 64]));
        let block = secret.expose_secret_mut();
        if key.len() > block.len() {
            let hash = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(key)));
            block.iter_mut().zip(hash.iter()).for_each(|(to, from)| *to = *from);
        } else {
            block.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
        }
        Self(secret)
    }

    fn keyed_with(&self, message: &[u8]) -> Hmac<Sha256> {
        let mut hmac = Hmac::<Sha256>::new(self.0.expose_secret().into());
        hmac.update(message);
        hmac
    }

    fn sign(&self, message: &[u8]) -> [u8; TAG_BYTES] {
        self.keyed_with(message).finalize().into_bytes().into()
    }

    fn verify(&self, message: &[u8], tag: &[u8; TAG_BYTES]) -> bool {
        self.keyed_with(message).verify(tag.into()).is_ok()
    }
}

fn is_placeholder(secret: &str) -> bool {
    let letters: Zeroizing<String> = Zeroizing::new(
        secret
            .chars()
            .filter(|character| character.is_ascii_alphanumeric())
            .map(|character| character.to_ascii_lowercase())
            .collect(),
    );
    PLACEHOLDERS.iter().any(|placeholder| letters.contains(placeholder))
        || (secret.starts_with('<') && secret.ends_with('>'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "7c1f0c6fd4f34c0e9b1f8a52d0f5a1be";
    const MESSAGE: &[u8] = include_bytes!("../../tests/keys/message.json");

    #[test]
    fn the_tag_of_rfc_4231_test_case_4_is_made_and_accepted() {
        let key: String = (1..=25_u8).map(char::from).collect();
        let secret = HmacSecret::new(&key).unwrap();
        let tag: [u8; 32] = hex::decode("82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b")
            .unwrap()
            .try_into()
            .unwrap();
        assert_eq!(secret.sign(&[0xcd; 50]), tag);
        assert!(secret.verify(&[0xcd; 50], &tag));
    }

    #[test]
    fn the_tag_and_the_fingerprint_are_those_that_openssl_computes() {
        let secret = HmacSecret::new(SECRET).unwrap();
        assert_eq!(
            hex::encode(secret.sign(MESSAGE)),
            "b14c29e10b3426108a7163cf102e8860d1c452e3adc16ab433bf176cff982908"
        );
        assert_eq!(secret.fingerprint().as_str(), "59254906");
    }

    #[test]
    fn a_tag_under_another_secret_is_rejected() {
        let tag = HmacSecret::new("7c1f0c6fd4f34c0e9b1f8a52d0f5a1bf").unwrap().sign(MESSAGE);
        assert!(!HmacSecret::new(SECRET).unwrap().verify(MESSAGE, &tag));
        assert!(!verify(SECRET.as_bytes(), MESSAGE, &tag));
    }

    #[test]
    fn a_secret_shows_only_its_fingerprint_when_it_is_printed() {
        let printed = format!("{:?}", HmacSecret::new(SECRET).unwrap());
        assert!(printed.contains("59254906") && printed.contains("REDACTED"), "{printed}");
        assert!(
            !printed.contains(SECRET) && !printed.contains(&format!("{:?}", SECRET.as_bytes())[1..20]),
            "{printed}"
        );
    }

    #[test]
    fn a_weak_secret_is_rejected_with_the_most_helpful_reason() {
        for (secret, reason) in [
            ("", WeakSecret::Empty),
            (" \n\t ", WeakSecret::Empty),
            ("7c1f0c6fd4f34c0e9b1f8a52d0f5a1be\n", WeakSecret::SurroundingWhiteSpace),
            (" 7c1f0c6fd4f34c0e9b1f8a52d0f5a1be", WeakSecret::SurroundingWhiteSpace),
            ("7c1f0c6fd4f34c0e9b1f8a52d0f5a1be\u{a0}", WeakSecret::SurroundingWhiteSpace),
            ("7c1f0c6fd4f34c0", WeakSecret::TooShort),
            ("éééééé7", WeakSecret::TooShort),
            ("0000000000000000000000000000000000", WeakSecret::OneCharacter),
            ("éééééééééééééééé", WeakSecret::OneCharacter),
            ("machnet-Placeholder-secret", WeakSecret::Placeholder),
            ("replace-me-with-the-secret", WeakSecret::Placeholder),
            ("REPLACE_ME_WITH_THE_SECRET", WeakSecret::Placeholder),
            ("replaceme", WeakSecret::Placeholder),
            ("please change me before use", WeakSecret::Placeholder),
            ("change-me", WeakSecret::Placeholder),
            ("changeme12345678", WeakSecret::Placeholder),
            ("your-secret-goes-here", WeakSecret::Placeholder),
            ("<the secret from Machnet>", WeakSecret::Placeholder),
        ] {
            assert_eq!(HmacSecret::new(secret).err(), Some(reason), "{secret:?}");
        }
    }

    #[test]
    fn a_secret_of_the_minimum_length_is_accepted() {
        assert!(HmacSecret::new("7c1f0c6fd4f34c0e").is_ok());
        assert!(HmacSecret::new("ééééééé7é").is_ok());
    }

    #[test]
    fn a_secret_with_an_angle_bracket_on_one_side_is_no_placeholder() {
        assert!(HmacSecret::new(&format!("<{SECRET}")).is_ok());
        assert!(HmacSecret::new(&format!("{SECRET}>")).is_ok());
    }

    #[test]
    fn a_reason_never_repeats_the_secret() {
        let secret = "replace-me-7c1f0c6fd4f34c0e";
        let reason = HmacSecret::new(secret).err().unwrap();
        assert!(!format!("{reason} {reason:?}").contains("7c1f"));
    }

    proptest! {
        #[test]
        fn one_flipped_bit_in_the_body_or_the_tag_is_rejected(
            mut message in proptest::collection::vec(any::<u8>(), 1..300),
            at in any::<proptest::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let secret = HmacSecret::new(SECRET).unwrap();
            let mut tag = secret.sign(&message);
            prop_assert!(secret.verify(&message, &tag));

            let position = at.index(message.len());
            message[position] ^= 1 << bit;
            prop_assert!(!secret.verify(&message, &tag));
            message[position] ^= 1 << bit;

            tag[at.index(TAG_BYTES)] ^= 1 << bit;
            prop_assert!(!secret.verify(&message, &tag));
        }

        #[test]
        fn any_key_and_message_give_the_tag_that_aws_lc_gives(
            key in proptest::collection::vec(any::<u8>(), 0..200),
            message in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let other = aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &key), &message);
            let tag: [u8; TAG_BYTES] = other.as_ref().try_into().unwrap();
            prop_assert_eq!(KeyBlock::new(&key).sign(&message), tag);
            prop_assert!(verify(&key, &message, &tag));
        }
    }
}

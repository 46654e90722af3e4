//! The secrets with which envelopes are signed, as the Standard Webhooks specification has them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use intake_providers::digest::Sha256Digest;
use intake_providers::json_object;
use intake_providers::json_place::JsonPlace;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};
use standardwebhooks::Webhook;
use zeroize::Zeroizing;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// Sizes of a secret, in bytes (Standard Webhooks specification, "Signature scheme").
const MIN_SECRET_BYTES: usize = 24;
const MAX_SECRET_BYTES: usize = 64;

/// Size of a secret that we make, in bytes: that of the hash, more of which HMAC does not use.
const NEW_SECRET_BYTES: usize = 32;

/// Maximum number of secrets that sign at once. Each makes the header longer by 48 characters.
pub const MAX_SECRETS: usize = 8;

const FORM: &str = r#"{"keys":[{"secret":"whsec_…"}]}"#;

/// Number of hex digits of an id.
const ID_DIGITS: usize = 8;

/// What is hashed along with a secret for its id.
const ID_PURPOSE: &[u8] = b"webhook-intake signing secret";

/// Why secrets cannot be used. None is ever repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Not such a document.
    #[error("the signing secrets are not JSON of the form {FORM} ({place})")]
    Malformed {
        /// Where.
        place: JsonPlace,
    },
    /// There is none.
    #[error("there is no signing secret; make one with `keys add forwarding`")]
    None,
    /// Too many.
    #[error(
        "there are {found} signing secrets, and at most {MAX_SECRETS} sign; take one out with `keys remove forwarding`"
    )]
    TooMany {
        /// How many.
        found: usize,
    },
    /// Not the form of one.
    #[error(
        "a signing secret is whsec_ and the base64 of {MIN_SECRET_BYTES} to {MAX_SECRET_BYTES} random bytes; make one with \
         `keys add forwarding`"
    )]
    NotASecret,
    /// Present already.
    #[error("this signing secret is there already, as {id}")]
    Known {
        /// Its id.
        id: String,
    },
    /// None with this id.
    #[error("there is no signing secret {id}; `keys list` names those that there are")]
    Unknown {
        /// The id.
        id: String,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes; try again")]
    NoRandomness,
    /// It could not be written as JSON.
    #[error("the signing secrets cannot be written as json")]
    Unwritable,
}

/// A secret that signs. `Debug` doesn't show it.
#[derive(Clone, Debug)]
pub struct SigningSecret(SecretString);

impl SigningSecret {
    /// Reads a secret.
    ///
    /// # Errors
    /// [`SecretError::NotASecret`].
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let encoded = text.strip_prefix(PREFIX).ok_or(SecretError::NotASecret)?;
        let bytes = Zeroizing::new(STANDARD.decode(encoded).map_err(|_| SecretError::NotASecret)?);
        let is_one_byte = bytes.windows(2).all(|pair| pair.first() == pair.last());
        if !(MIN_SECRET_BYTES..=MAX_SECRET_BYTES).contains(&bytes.len()) || is_one_byte {
            return Err(SecretError::NotASecret);
        }
        Ok(Self(text.into()))
    }

    /// Makes a new secret.
    ///
    /// # Errors
    /// [`SecretError::NoRandomness`].
    pub fn generate() -> Result<Self, SecretError> {
        let mut bytes = Zeroizing::new([0; NEW_SECRET_BYTES]);
        getrandom::fill(bytes.as_mut()).map_err(|_| SecretError::NoRandomness)?;
        Ok(Self(format!("{PREFIX}{}", *Zeroizing::new(STANDARD.encode(bytes.as_ref()))).into()))
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    /// An id that tells it from others without revealing it.
    #[must_use]
    pub fn id(&self) -> String {
        let digest = Sha256Digest::of_parts([ID_PURPOSE, self.reveal().as_bytes()]);
        digest.to_string().chars().take(ID_DIGITS).collect()
    }
}

/// The secrets that sign, all of them each message, so that a receiver can go from one to the next at its own time.
#[derive(Clone, Debug, Default)]
pub struct SigningSecrets(Vec<SigningSecret>);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    keys: Vec<Key>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Key {
    #[serde(serialize_with = "exposed")]
    secret: SecretString,
}

fn exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

impl SigningSecrets {
    /// Reads a document of the form `{"keys":[{"secret":"whsec_…"}]}`, which may hold no secret yet.
    ///
    /// # Errors
    /// [`SecretError`], if any of the secrets is not one: signing with some of them would lock receivers out.
    pub fn read(document: &str) -> Result<Self, SecretError> {
        let malformed = |error: serde_json::Error| SecretError::Malformed { place: JsonPlace::from(&error) };
        let Document { keys } = json_object::read(document).map_err(malformed)?;
        if keys.len() > MAX_SECRETS {
            return Err(SecretError::TooMany { found: keys.len() });
        }
        let secrets = keys.iter().map(|key| SigningSecret::parse(key.secret.expose_secret()));
        Ok(Self(secrets.collect::<Result<_, _>>()?))
    }

    /// The document that [`read`](Self::read) reads.
    ///
    /// # Errors
    /// [`SecretError::Unwritable`].
    pub fn write(&self) -> Result<SecretString, SecretError> {
        let keys = self.0.iter().map(|secret| Key { secret: secret.0.clone() }).collect();
        let text = serde_json::to_string_pretty(&Document { keys }).map_err(|_| SecretError::Unwritable)?;
        Ok((text + "\n").into())
    }

    /// The secrets, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &SigningSecret> {
        self.0.iter()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a secret.
    ///
    /// # Errors
    /// When it is there already, or there are too many.
    pub fn add(&mut self, secret: SigningSecret) -> Result<(), SecretError> {
        if self.0.iter().any(|known| known.reveal() == secret.reveal()) {
            return Err(SecretError::Known { id: secret.id() });
        }
        if self.0.len() >= MAX_SECRETS {
            return Err(SecretError::TooMany { found: self.0.len() + 1 });
        }
        self.0.push(secret);
        Ok(())
    }

    /// Takes the secret with this id out.
    ///
    /// # Errors
    /// [`SecretError::Unknown`].
    pub fn remove(&mut self, id: &str) -> Result<(), SecretError> {
        let before = self.0.len();
        self.0.retain(|secret| secret.id() != id);
        if self.0.len() == before { Err(SecretError::Unknown { id: id.to_owned() }) } else { Ok(()) }
    }

    /// Whether one of the secrets verifies a message, as a receiver does.
    #[must_use]
    pub fn verify(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let verifies = |secret: &SigningSecret| {
            Webhook::new(secret.reveal()).is_ok_and(|webhook| webhook.verify(body, headers).is_ok())
        };
        self.0.iter().any(verifies)
    }

    /// The value of `webhook-signature`: one signature for each secret.
    ///
    /// # Errors
    /// When there is no secret.
    pub(crate) fn sign(&self, message_id: &str, unix_seconds: i64, body: &str) -> Result<String, SecretError> {
        if self.0.is_empty() {
            return Err(SecretError::None);
        }
        let signature = |secret: &SigningSecret| {
            let webhook = Webhook::new(secret.reveal()).map_err(|_| SecretError::NotASecret)?;
            webhook.sign(message_id, unix_seconds, body.as_bytes()).map_err(|_| SecretError::NotASecret)
        };
        Ok(self.0.iter().map(signature).collect::<Result<Vec<_>, _>>()?.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    #[test]
    fn the_signature_is_that_of_the_specifications_example() {
        let mut secrets = SigningSecrets::default();
        secrets.add(SigningSecret::parse(SECRET).unwrap()).unwrap();
        let body = r#"{"email":"test@example.com","username":"test_user"}"#;
        let signature = secrets.sign("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", 1_649_367_553, body).unwrap();
        assert_eq!(signature, "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=");
    }

    #[test]
    fn secrets_are_made_written_and_read() {
        let mut secrets = SigningSecrets::default();
        let (one, other) = (SigningSecret::generate().unwrap(), SigningSecret::generate().unwrap());
        assert_ne!(one.reveal(), other.reveal());
        secrets.add(one.clone()).unwrap();
        secrets.add(other.clone()).unwrap();
        assert_eq!(secrets.add(one.clone()), Err(SecretError::Known { id: one.id() }));
        let mut read = SigningSecrets::read(secrets.write().unwrap().expose_secret()).unwrap();
        assert_eq!(read.iter().map(SigningSecret::id).collect::<Vec<_>>(), [one.id(), other.id()]);
        assert_eq!(read.sign("id", 0, "{}").unwrap(), secrets.sign("id", 0, "{}").unwrap());
        read.remove(&one.id()).unwrap();
        assert_eq!(read.remove(&one.id()), Err(SecretError::Unknown { id: one.id() }));
        assert_eq!(read.sign("id", 0, "{}").unwrap(), secrets.sign("id", 0, "{}").unwrap().split_once(' ').unwrap().1);
        assert!(!format!("{secrets:?}").contains(&one.reveal()[6..]));
    }

    #[test]
    fn what_is_not_a_secret_is_refused_and_not_repeated() {
        let repeated = format!("{PREFIX}{}", STANDARD.encode([7; 32]));
        let long = format!("{PREFIX}{}", STANDARD.encode([0, 1].repeat(33)));
        for text in ["", "whsec_", "hunter2", &SECRET[6..], "whsec_c2hvcnQ=", "whsec_!", &repeated, &long] {
            assert_eq!(SigningSecret::parse(text).unwrap_err(), SecretError::NotASecret, "{text}");
            let document = format!(r#"{{"keys":[{{"secret":"{text}"}}]}}"#);
            assert_eq!(SigningSecrets::read(&document).unwrap_err(), SecretError::NotASecret, "{text}");
        }
        let error = SigningSecrets::read(r#"{"keys":["hunter2"]}"#).unwrap_err();
        assert!(error.to_string().contains("not JSON of the form") && !error.to_string().contains("hunter2"));
        assert_eq!(SigningSecrets::read(r#"{"keys":[]}"#).unwrap().sign("id", 0, ""), Err(SecretError::None));
    }
}

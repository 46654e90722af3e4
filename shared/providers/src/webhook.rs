//! What a provider that calls us has to say about itself.

use http::{HeaderMap, HeaderValue, StatusCode};

use crate::active_keys::{KeySetError, ReadKeySet};
use crate::answer::{Answer, Rejection};
use crate::provider::ProviderName;
use crate::request::{UnverifiedRequest, VerifiedRequest};
use crate::timestamp::Timestamp;

/// A provider that delivers by HTTP request.
pub trait Webhook: Send + Sync + 'static {
    /// Who it is.
    const PROVIDER: ProviderName;

    /// The active keys, as they are read from the secret.
    type Keys: Send + Sync + 'static;

    /// What the request's head offers as proof, checked for its form only.
    type Proof: Send + Sync;

    /// Reads the secret's text.
    ///
    /// # Errors
    /// When the text as a whole cannot be used. Single bad keys are reported beside the good ones instead.
    fn read_keys(secret: &str) -> Result<ReadKeySet<Self::Keys>, KeySetError>;

    /// Whether no key is active, so that nothing can be verified.
    fn is_unset(keys: &Self::Keys) -> bool;

    /// Takes the proof from the headers, or from the path. This is the cheap check that comes before the body and the keys
    /// are looked at.
    ///
    /// # Errors
    /// The refusal, when the proof is missing, repeated or not of its form.
    fn proof(path: &str, headers: &HeaderMap) -> Result<Self::Proof, Rejection>;

    /// Checks the proof against the active keys.
    ///
    /// # Errors
    /// [`VerifyError`].
    fn verify(
        request: UnverifiedRequest,
        proof: &Self::Proof,
        keys: &Self::Keys,
        now: Timestamp,
    ) -> Result<VerifiedRequest, VerifyError>;

    /// The answer to a well-formed proof that no key confirms.
    fn no_key_matches(keys: KeyFreshness) -> Answer;

    /// The status code that means this answer to this provider.
    fn status(answer: &Answer) -> StatusCode;

    /// The `WWW-Authenticate` header of this answer, for providers whose scheme knows one.
    fn challenge(_answer: &Answer) -> Option<HeaderValue> {
        None
    }
}

/// Why a request has not proved itself.
#[derive(Debug)]
pub enum VerifyError {
    /// No active key confirms the proof. The request comes back, to be checked again with newer keys.
    NoKeyMatches(UnverifiedRequest),
    /// The proof doesn't count, whatever the keys.
    Rejected(Rejection),
}

/// How much the keys that matched nothing can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFreshness {
    /// They were read within the last seconds.
    Fresh,
    /// They should have been read again, and could not be.
    Stale,
}

/// The value of a header that must come exactly once.
///
/// # Errors
/// [`Rejection::SignatureMissing`] or [`Rejection::SignatureRepeated`].
pub(crate) fn signature_header<'a>(headers: &'a HeaderMap, header: &'static str) -> Result<&'a [u8], Rejection> {
    let mut values = headers.get_all(header).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(Rejection::SignatureMissing { header }),
        (Some(value), None) => Ok(value.as_bytes()),
        (Some(_), Some(_)) => Err(Rejection::SignatureRepeated { header }),
    }
}

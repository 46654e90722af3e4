//! What a provider that calls us has to say about itself.

use http::{HeaderMap, HeaderValue, StatusCode};

use crate::active_keys::{KeySetError, ReadKeySet};
use crate::answer::{Answer, Rejection};
use crate::authentic::Authentic;
use crate::provider::Provider;
use crate::request::UnverifiedRequest;
use crate::timestamp::Timestamp;

/// A provider that delivers by HTTP request.
pub trait Webhook: Provider {
    /// Where it delivers to.
    const ROUTE: WebhookRoute = WebhookRoute::fixed(Self::NAME.source_path());

    /// The active keys, as they are read from the secret.
    type Keys: Send + Sync + 'static;

    /// What the head of a request offers as proof of its origin, checked for its form only.
    type Credential: Send + Sync;

    /// Reads the secret's text.
    ///
    /// # Errors
    /// When the text as a whole cannot be used. Single bad keys are reported beside the good ones instead.
    fn read_keys(secret: &str) -> Result<ReadKeySet<Self::Keys>, KeySetError>;

    /// Whether no key is active, so that nothing can be verified.
    fn is_unset(keys: &Self::Keys) -> bool;

    /// Takes the credential from the headers, or from the path. This is the cheap check that comes before the body and the
    /// keys are looked at.
    ///
    /// # Errors
    /// The rejection, when the credential is missing, repeated or malformed.
    fn credential(path: &str, headers: &HeaderMap) -> Result<Self::Credential, Rejection>;

    /// Checks the credential against the active keys.
    ///
    /// # Errors
    /// [`VerifyError`].
    fn verify(
        request: UnverifiedRequest,
        credential: &Self::Credential,
        keys: &Self::Keys,
        now: Timestamp,
    ) -> Result<Authentic, VerifyError>;

    /// The answer to a well-formed credential that no key confirms.
    fn no_key_matches(keys: KeyFreshness) -> Answer;

    /// The status code that means this answer to this provider.
    fn status(answer: &Answer) -> StatusCode;

    /// The `WWW-Authenticate` header of this answer, for providers whose scheme knows one.
    fn challenge(_answer: &Answer) -> Option<HeaderValue> {
        None
    }
}

/// Where a provider delivers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebhookRoute {
    path: &'static str,
    ends_with_secret: bool,
}

impl WebhookRoute {
    /// A path that everybody may know.
    #[must_use]
    pub const fn fixed(path: &'static str) -> Self {
        Self { path, ends_with_secret: false }
    }

    /// A path that goes on with a secret.
    #[must_use]
    pub const fn with_secret(path: &'static str) -> Self {
        Self { path, ends_with_secret: true }
    }

    /// The path, without the secret that may end it.
    #[must_use]
    pub const fn path(self) -> &'static str {
        self.path
    }

    /// Whether a secret ends the path.
    #[must_use]
    pub const fn ends_with_secret(self) -> bool {
        self.ends_with_secret
    }

    /// The pattern that matches every path of the route, as an HTTP API and axum write it.
    #[must_use]
    pub fn pattern(self) -> String {
        if self.ends_with_secret { format!("{}/{{secret}}", self.path) } else { self.path.to_owned() }
    }

    /// The path as it is shown: a secret that ends it is not.
    #[must_use]
    pub fn shown(self) -> String {
        if self.ends_with_secret { format!("{}/<secret>", self.path) } else { self.path.to_owned() }
    }
}

/// Why a request is not verified.
#[derive(Debug)]
pub enum VerifyError {
    /// No active key confirms the credential. The request comes back, to be checked again with newer keys.
    NoKeyMatches(UnverifiedRequest),
    /// The credential does not count, whatever the keys.
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

//! The trait of a provider that delivers by HTTP request.

use http::{HeaderMap, HeaderValue, StatusCode};

use crate::active_keys::{KeySetError, ReadKeySet};
use crate::answer::{Answer, Rejection};
use crate::authentic::Authentic;
use crate::explain::case::Case;
use crate::explain::finding::Finding;
use crate::provider::Provider;
use crate::request::UnverifiedRequest;
use crate::timestamp::Timestamp;

/// A provider that delivers by HTTP request.
pub trait Webhook: Provider {
    /// The route that receives its requests.
    const ROUTE: WebhookRoute = WebhookRoute::fixed(Self::NAME.source_path());

    /// The active keys of the secret.
    type Keys: Send + Sync + 'static;

    /// The credential in the head of a request. Only its form has been checked.
    type Credential: Send + Sync;

    /// Parses the text of the secret.
    ///
    /// # Errors
    /// When the text as a whole cannot be used. Single unusable keys are reported beside the usable ones instead.
    fn read_keys(secret: &str) -> Result<ReadKeySet<Self::Keys>, KeySetError>;

    /// Whether no key is active, so that no request can be verified.
    fn is_unset(keys: &Self::Keys) -> bool;

    /// Extracts the credential from the headers or the path. This is the cheap check that comes before reading the body and the
    /// keys.
    ///
    /// # Errors
    /// The rejection, when the credential is missing, repeated or malformed.
    fn credential(path: &str, headers: &HeaderMap) -> Result<Self::Credential, Rejection>;

    /// Checks the credential against the active keys.
    ///
    /// # Errors
    /// [`VerifyError`] when no active key confirms it, or it is invalid under any key.
    fn verify(
        request: UnverifiedRequest,
        credential: &Self::Credential,
        keys: &Self::Keys,
        now: Timestamp,
    ) -> Result<Authentic, VerifyError>;

    /// For the log alone, what is wrong with a proof that did not hold, if that can be said without a secret. It is never part of an
    /// answer: it would tell a forger what is missing.
    fn detail(_credential: &Self::Credential, _keys: &Self::Keys, _now: Timestamp) -> Option<String> {
        None
    }

    /// The answer to a well-formed credential that no active key confirms.
    fn no_key_matches(keys: KeyFreshness) -> Answer;

    /// The status code that has the meaning of this answer for the provider.
    fn status(answer: &Answer) -> StatusCode;

    /// What is wrong with a request that was refused, for the operator. This is never part of an answer.
    fn explain(case: &Case<'_>) -> Vec<Finding>;

    /// The `WWW-Authenticate` header of the answer, for schemes that define one.
    fn challenge(_answer: &Answer) -> Option<HeaderValue> {
        None
    }
}

/// The route of a webhook: a fixed path, optionally followed by a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebhookRoute {
    path: &'static str,
    ends_with_secret: bool,
}

impl WebhookRoute {
    /// A public path.
    #[must_use]
    pub const fn fixed(path: &'static str) -> Self {
        Self { path, ends_with_secret: false }
    }

    /// A path followed by a secret segment.
    #[must_use]
    pub const fn with_secret(path: &'static str) -> Self {
        Self { path, ends_with_secret: true }
    }

    /// The path without the secret segment.
    #[must_use]
    pub const fn path(self) -> &'static str {
        self.path
    }

    /// Whether the path ends with a secret segment.
    #[must_use]
    pub const fn ends_with_secret(self) -> bool {
        self.ends_with_secret
    }

    /// The pattern that matches every path of the route, as an HTTP API and axum write it.
    #[must_use]
    pub fn pattern(self) -> String {
        if self.ends_with_secret { format!("{}/{{secret}}", self.path) } else { self.path.to_owned() }
    }

    /// The path for display, with a placeholder for the secret.
    #[must_use]
    pub fn shown(self) -> String {
        if self.ends_with_secret { format!("{}/<secret>", self.path) } else { self.path.to_owned() }
    }
}

/// Why a request was not verified.
#[derive(Debug)]
pub enum VerifyError {
    /// No active key confirms the credential. The request is returned, to be checked again with newer keys.
    NoKeyMatches(UnverifiedRequest),
    /// The credential is invalid under any key.
    Rejected(Rejection),
}

/// How recently the keys that did not match were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFreshness {
    /// The keys were read within the last seconds.
    Fresh,
    /// The keys are due to be read again, and reading them failed.
    Stale,
}

/// The value of a header that must be present exactly once.
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

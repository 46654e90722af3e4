//! A request to explain, and the keys that are tried.

use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method};
use secrecy::{ExposeSecret as _, SecretString};

use crate::answer::Answer;
use crate::timestamp::Timestamp;

/// A request as it arrived. It may hold secrets, so `Debug` doesn't show it.
#[derive(Clone)]
pub struct CapturedRequest {
    /// The method.
    pub method: Method,
    /// The path, and the query if there is one.
    pub target: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, byte for byte.
    pub body: Bytes,
}

impl CapturedRequest {
    /// The path without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }
}

impl fmt::Debug for CapturedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CapturedRequest({}, a body of {} bytes)", self.method, self.body.len())
    }
}

/// A file with keys: the active ones, or others to try, such as retired ones. `Debug` doesn't show its text.
#[derive(Debug)]
pub struct KeyDocument {
    /// Name of the file.
    pub name: String,
    /// Its text: the form of the secret, or a single key.
    pub text: SecretString,
    /// Whether the webhook uses it.
    pub is_active: bool,
}

impl KeyDocument {
    pub(crate) fn reveal(&self) -> &str {
        self.text.expose_secret()
    }
}

/// A request to explain, with the files whose keys are tried.
#[derive(Debug)]
pub struct Case<'a> {
    pub(crate) request: &'a CapturedRequest,
    pub(crate) documents: &'a [KeyDocument],
    pub(crate) now: Timestamp,
    /// What the webhook would answer.
    pub(crate) answer: &'a Answer,
}

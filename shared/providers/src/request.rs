//! A request on its way from unverified to verified.

use bytes::Bytes;
use http::HeaderMap;

use crate::active_keys::MatchedKey;
use crate::delivery::KeptHeader;
use crate::provider::ProviderName;

/// A request that has proved nothing yet.
#[derive(Debug)]
pub struct UnverifiedRequest {
    /// Boxed, for a request is handed back whole when no key matches.
    headers: Box<HeaderMap>,
    body: Bytes,
}

impl UnverifiedRequest {
    /// A request as it came, with its whole body.
    #[must_use]
    pub fn new(headers: HeaderMap, body: Bytes) -> Self {
        Self { headers: Box::new(headers), body }
    }

    /// The body's bytes.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Only a provider's own check, in this crate, may call this.
    pub(crate) fn proved(self, provider: ProviderName, by: MatchedKey, kept_headers: &[&str]) -> VerifiedRequest {
        let headers = self
            .headers
            .iter()
            .filter(|(name, _)| kept_headers.contains(&name.as_str()))
            .map(|(name, value)| KeptHeader { name: name.as_str().to_owned(), value: value.as_bytes().to_vec() })
            .collect();
        VerifiedRequest { provider, authenticated_by: by, headers, body: self.body }
    }
}

/// A request that proved itself by one of the active keys. Nobody outside this crate can make one:
///
/// ```compile_fail
/// # use intake_providers::{provider::ProviderName, request::UnverifiedRequest};
/// # fn forged(request: UnverifiedRequest, key: intake_providers::active_keys::MatchedKey) {
/// request.proved(ProviderName::Machnet, key, &[]);
/// # }
/// ```
#[derive(Debug)]
pub struct VerifiedRequest {
    provider: ProviderName,
    authenticated_by: MatchedKey,
    headers: Vec<KeptHeader>,
    body: Bytes,
}

impl VerifiedRequest {
    /// The key that proved it.
    #[must_use]
    pub const fn authenticated_by(&self) -> &MatchedKey {
        &self.authenticated_by
    }

    pub(crate) fn into_parts(self) -> (ProviderName, MatchedKey, Vec<KeptHeader>, Bytes) {
        (self.provider, self.authenticated_by, self.headers, self.body)
    }
}

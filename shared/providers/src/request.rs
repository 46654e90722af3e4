//! Requests that have not been verified yet.

use bytes::Bytes;
use http::HeaderMap;

use crate::active_keys::MatchedKey;
use crate::authentic::Authentic;
use crate::kept_headers::HeaderPolicy;
use crate::registry::name::ProviderName;

/// A request that has not been verified yet.
#[derive(Debug)]
pub struct UnverifiedRequest {
    /// Boxed because the whole request is returned when no key matches.
    headers: Box<HeaderMap>,
    body: Bytes,
}

impl UnverifiedRequest {
    /// Wraps a received request with its whole body.
    #[must_use]
    pub fn new(headers: HeaderMap, body: Bytes) -> Self {
        Self { headers: Box::new(headers), body }
    }

    /// The body, byte for byte.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// Only a provider's own check, in this crate, may call this:
    ///
    /// ```compile_fail
    /// # use intake_providers::{ProviderName, active_keys::MatchedKey, request::UnverifiedRequest};
    /// # fn forged(request: UnverifiedRequest, key: MatchedKey) {
    /// request.verified(ProviderName::Machnet, key, todo!());
    /// # }
    /// ```
    pub(crate) fn verified(self, provider: ProviderName, by: MatchedKey, headers: &HeaderPolicy<'_>) -> Authentic {
        let headers = headers.kept(&self.headers);
        Authentic { provider, authenticated_by: by, headers, body: self.body }
    }
}

//! Content whose origin has been verified.

use bytes::Bytes;

use crate::active_keys::MatchedKey;
use crate::registry::name::ProviderName;

/// A header that is kept with a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptHeader {
    /// The name in lower case.
    pub name: String,
    /// The value, byte for byte; HTTP does not guarantee text.
    pub value: Vec<u8>,
}

/// Content that is known to come from a provider: a request that an active key confirmed, or a message that we consumed with
/// our own login. It cannot be constructed outside this crate:
///
/// ```compile_fail
/// # use intake_providers::{ProviderName, active_keys::MatchedKey, authentic::Authentic};
/// # fn forged(key: MatchedKey) -> Authentic {
/// Authentic { provider: ProviderName::NowCerts, authenticated_by: key, headers: Vec::new(), body: "{}".into() }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Authentic {
    pub(crate) provider: ProviderName,
    pub(crate) authenticated_by: MatchedKey,
    pub(crate) headers: Vec<KeptHeader>,
    pub(crate) body: Bytes,
}

impl Authentic {
    /// The key or login that verified it.
    #[must_use]
    pub const fn authenticated_by(&self) -> &MatchedKey {
        &self.authenticated_by
    }
}

//! Content that has proved where it comes from.

use bytes::Bytes;

use crate::active_keys::MatchedKey;
use crate::registry::name::ProviderName;

/// A header that was kept: its name in lower case and its value to the byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptHeader {
    /// Lower-case name.
    pub name: String,
    /// The value's bytes; HTTP does not promise text.
    pub value: Vec<u8>,
}

/// Content that is known to come from a provider: a request that one of the active keys confirmed, or a message that we consumed
/// with our own login. Nobody outside this crate can make one:
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
    /// The key or the login that proved it.
    #[must_use]
    pub const fn authenticated_by(&self) -> &MatchedKey {
        &self.authenticated_by
    }
}

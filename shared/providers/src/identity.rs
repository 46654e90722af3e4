//! Idempotency keys of events.

use std::time::Duration;

use crate::account::AccountName;
use crate::digest::Sha256Digest;
use crate::registry::name::ProviderName;

/// An event's idempotency key: what makes it the same event when it is redelivered. It is made of authenticated content only,
/// and of the account that it belongs to: two accounts of one provider never share an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    provider: ProviderName,
    digest: Sha256Digest,
}

impl Identity {
    /// Derives the identity from parts within an account of a provider. The account and the parts are length-prefixed and
    /// hashed, so ids of any length and alphabet fit and no two lists of parts collide by being joined.
    #[must_use]
    pub fn new<'a>(
        provider: ProviderName,
        account: &'a AccountName,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        let parts = std::iter::once(account.as_str().as_bytes()).chain(parts);
        Self { provider, digest: Sha256Digest::of_parts(parts) }
    }

    /// The ledger's partition key: the provider's name, `#`, 64 hex digits.
    #[must_use]
    pub fn partition_key(&self) -> String {
        format!("{}#{}", self.provider, self.digest)
    }

    /// A number spread evenly over `0..count`, for sharding; 0 when the count is 0.
    #[must_use]
    pub fn shard(&self, count: u8) -> u8 {
        let [first, ..] = *self.digest.as_bytes();
        first.checked_rem(count).unwrap_or(0)
    }
}

/// A secondary deduplication key with a time to live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// The key under which it is stored.
    pub name: Identity,
    /// Time to live, counted from the event that takes the alias.
    pub lifetime: Duration,
}

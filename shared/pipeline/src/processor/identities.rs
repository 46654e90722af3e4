//! One event of an identity at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use intake_providers::identity::Identity;
use tokio::sync::OwnedMutexGuard;

/// A lock for each identity that is worked on. Two events of one entity at once would only get in each other's way: one of them
/// would find another version and start again.
#[derive(Default)]
pub(super) struct IdentityLocks(Mutex<HashMap<Identity, Arc<tokio::sync::Mutex<()>>>>);

/// Holds an identity until it is dropped.
pub(super) struct IdentityGuard<'a> {
    locks: &'a IdentityLocks,
    identity: Identity,
    guard: Option<OwnedMutexGuard<()>>,
}

impl IdentityLocks {
    pub(super) async fn lock(&self, identity: Identity) -> IdentityGuard<'_> {
        let lock = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(identity).or_default());
        IdentityGuard { locks: self, identity, guard: Some(lock.lock_owned().await) }
    }
}

impl Drop for IdentityGuard<'_> {
    fn drop(&mut self) {
        self.guard = None;
        let mut locks = self.locks.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Only the map holds it: nobody waits.
        if locks.get(&self.identity).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            locks.remove(&self.identity);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use intake_providers::ProviderName;
    use intake_providers::account::AccountName;

    use super::*;

    fn identity(name: &str) -> Identity {
        Identity::new(ProviderName::Machnet, &AccountName::new("main").unwrap(), [name.as_bytes()])
    }

    #[tokio::test]
    async fn an_identity_is_held_by_one_at_a_time_and_forgotten_after_the_last() {
        let locks = IdentityLocks::default();
        let first = locks.lock(identity("a")).await;
        let mut second = std::pin::pin!(locks.lock(identity("a")));
        assert!(second.as_mut().now_or_never().is_none(), "the first still holds it");
        let other = locks.lock(identity("b")).await;
        drop(first);
        let second = second.await;
        drop((second, other));
        assert!(locks.0.lock().unwrap().is_empty());
    }
}

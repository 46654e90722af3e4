//! The keys in a secret, cached.
//!
//! Keys are read again when they are older than the refresh interval, and when a well-formed proof matches none of them, so
//! that a rotation needs no deployment. A stranger can cause such a re-read, so there is at most one per
//! [`MIN_REREAD_INTERVAL`]. While the secret can't be fetched, the last keys stay in use, unless the cache has a maximum age and
//! they have reached it. A secret that was fetched but is malformed leaves no key active: a removed key is out, even when the
//! edit had a typing error.

use std::sync::Arc;
use std::time::Duration;

use intake_providers::active_keys::{KeySetError, ReadKeySet};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::port_error::PortError;
use crate::secrets::Secrets;

/// Minimum interval between two re-reads that requests can cause.
pub const MIN_REREAD_INTERVAL: Duration = Duration::from_secs(15);

/// Minimum interval between two attempts while there are no keys, because none were ever read or the last are too old.
pub const MIN_RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// The keys in one secret.
pub struct KeyCache<K, S> {
    secrets: S,
    holder: &'static str,
    read: fn(&str) -> Result<ReadKeySet<K>, KeySetError>,
    refresh: Duration,
    max_age: Option<Duration>,
    state: Mutex<State<K>>,
}

struct State<K> {
    keys: Option<Arc<Keys<K>>>,
    read_at: Option<Instant>,
    attempted_at: Option<Instant>,
}

/// Keys as they were read at one moment.
pub struct Keys<K>(Option<K>);

impl<K> Keys<K> {
    /// The keys, unless the secret was malformed.
    #[must_use]
    pub const fn get(&self) -> Option<&K> {
        self.0.as_ref()
    }
}

/// There are no keys, and none can be read now.
#[derive(Debug, thiserror::Error)]
pub enum KeyCacheError {
    /// The attempt failed.
    #[error(transparent)]
    Fetch(#[from] PortError),
    /// The last attempt failed so recently that none was made.
    #[error("the secret could not be read a moment ago; the next attempt is after {} s", MIN_RETRY_INTERVAL.as_secs())]
    TriedJustNow,
}

/// Result of looking for newer keys.
pub enum Newer<K> {
    /// Other keys.
    Keys(Arc<Keys<K>>),
    /// The keys at hand were read within [`MIN_REREAD_INTERVAL`].
    None,
    /// The last attempt to read them failed.
    Unavailable,
}

impl<K, S: Secrets> KeyCache<K, S> {
    /// A cache that reads its secret at the first use. `holder` names it in the log.
    pub fn new(
        holder: &'static str,
        secrets: S,
        read: fn(&str) -> Result<ReadKeySet<K>, KeySetError>,
        refresh: Duration,
    ) -> Self {
        let state = Mutex::new(State { keys: None, read_at: None, attempted_at: None });
        Self { secrets, holder, read, refresh, max_age: None, state }
    }

    /// The same cache with a maximum age of its keys: after it they are dropped, and there are none until the secret can be
    /// read again. Without one, keys stay in use for as long as the secret can't be read.
    #[must_use]
    pub fn with_max_age(self, max_age: Duration) -> Self {
        Self { max_age: Some(max_age), ..self }
    }

    /// The keys to use.
    ///
    /// # Errors
    /// When no keys were ever read, or the last ones are too old, and they can't be read now.
    pub async fn keys(&self) -> Result<Arc<Keys<K>>, KeyCacheError> {
        let mut state = self.state.lock().await;
        self.drop_keys_past_their_age(&mut state);
        match &state.keys {
            Some(keys) if within(state.read_at, self.refresh) || within(state.attempted_at, MIN_REREAD_INTERVAL) => {
                Ok(Arc::clone(keys))
            }
            Some(keys) => {
                let stale = Arc::clone(keys);
                Ok(self.fetch(&mut state).await.unwrap_or(stale))
            }
            None if within(state.attempted_at, MIN_RETRY_INTERVAL) => Err(KeyCacheError::TriedJustNow),
            None => Ok(self.fetch(&mut state).await?),
        }
    }

    /// Reads the keys before a request needs them. An attempt that fails or is abandoned leaves the cache as it was, so that the first
    /// request makes its own at once.
    ///
    /// # Errors
    /// When the secret can't be read now.
    pub async fn prefetch(&self) -> Result<(), PortError> {
        let mut state = self.state.lock().await;
        if state.keys.is_none() {
            let attempted_at = Instant::now();
            let keys = self.read().await?;
            *state = State { keys: Some(keys), read_at: Some(attempted_at), attempted_at: Some(attempted_at) };
        }
        Ok(())
    }

    /// Newer keys than those that matched nothing, if there are any and it is time to look.
    pub async fn newer_than(&self, seen: &Arc<Keys<K>>) -> Newer<K> {
        let mut state = self.state.lock().await;
        match &state.keys {
            // Another request has read them meanwhile.
            Some(keys) if !Arc::ptr_eq(keys, seen) => Newer::Keys(Arc::clone(keys)),
            _ if within(state.attempted_at, MIN_REREAD_INTERVAL) => {
                if state.read_at == state.attempted_at {
                    Newer::None
                } else {
                    Newer::Unavailable
                }
            }
            _ => self.fetch(&mut state).await.map_or(Newer::Unavailable, Newer::Keys),
        }
    }

    /// From then on the cache is as if it had never read any.
    fn drop_keys_past_their_age(&self, state: &mut State<K>) {
        if self.max_age.is_some_and(|max_age| !within(state.read_at, max_age)) {
            state.keys = None;
        }
    }

    async fn fetch(&self, state: &mut State<K>) -> Result<Arc<Keys<K>>, PortError> {
        // Noted before the call, so that an abandoned attempt counts as one.
        state.attempted_at = Some(Instant::now());
        let keys = self.read().await.inspect_err(|error| {
            tracing::error!(holder = self.holder, %error, "the secret cannot be read");
        })?;
        state.read_at = state.attempted_at;
        state.keys = Some(Arc::clone(&keys));
        Ok(keys)
    }

    async fn read(&self) -> Result<Arc<Keys<K>>, PortError> {
        let secret = self.secrets.fetch().await?;
        let keys = match (self.read)(secret.reveal()) {
            Ok(read) => {
                for problem in read.problems {
                    tracing::warn!(holder = self.holder, %problem, "a key of the secret is not used");
                }
                Some(read.keys)
            }
            Err(error) => {
                tracing::error!(holder = self.holder, %error, "the secret cannot be used; nothing verifies");
                None
            }
        };
        Ok(Arc::new(Keys(keys)))
    }
}

fn within(since: Option<Instant>, duration: Duration) -> bool {
    since.is_some_and(|since| since.elapsed() < duration)
}

#[cfg(test)]
mod tests;

//! The claim check: what is too large for the queue or the ledger is stored elsewhere, and only its key goes along.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;

use crate::port_error::PortError;

/// The store for what is too large for the queue or the ledger, to be read.
pub trait PayloadReader: Send + Sync + 'static {
    /// Fetches the bytes under a key.
    fn get(&self, key: &PayloadKey) -> impl Future<Output = Result<Bytes, PortError>> + Send;
}

impl<S: PayloadReader> PayloadReader for Arc<S> {
    async fn get(&self, key: &PayloadKey) -> Result<Bytes, PortError> {
        (**self).get(key).await
    }
}

/// The store for what is too large for the queue or the ledger.
pub trait Payloads: PayloadReader {
    /// Stores bytes under a key. Keys are chosen so that storing again stores the same bytes.
    fn put(&self, key: &PayloadKey, bytes: Bytes) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// The key of a stored payload.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct PayloadKey(String);

impl PayloadKey {
    /// A key from its text.
    #[must_use]
    pub const fn new(key: String) -> Self {
        Self(key)
    }

    /// The key's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::MemoryPayloads;

    #[tokio::test]
    async fn a_shared_store_gives_what_it_holds() {
        let (payloads, key) = (Arc::new(MemoryPayloads::default()), PayloadKey::new("key".to_owned()));
        payloads.put(&key, Bytes::from_static(b"large")).await.unwrap();
        assert_eq!(PayloadReader::get(&payloads, &key).await.unwrap(), "large");
    }
}

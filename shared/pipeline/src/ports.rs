//! What the flows need from the outside world, as narrow as it can be. The adapters store and fetch; every decision is made
//! in the flows.

use std::future::Future;

use bytes::Bytes;
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};

use crate::entities::EntityEntry;
use crate::ledger::{ConditionalPut, Entry, EntryKey, PutOutcome};
use crate::queue_message::QueueMessage;

/// A call to an outside system that did not succeed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} failed: {message}")]
pub struct PortError {
    /// What was asked, such as `sqs SendMessage`.
    pub operation: &'static str,
    /// What came back, on one line, with no body or secret in it.
    pub message: String,
    /// Whether the call may have taken effect all the same: it was sent, and no answer was understood.
    pub may_have_taken_effect: bool,
}

impl PortError {
    /// An error of this operation, with an error and all its causes on one line.
    #[must_use]
    pub fn new(operation: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Many errors repeat their cause in their own words.
            if !message.contains(&text) {
                message.push_str(": ");
                message.push_str(&text);
            }
            cause = error.source();
        }
        Self { operation, message, may_have_taken_effect: false }
    }

    /// An error of this operation in plain words.
    #[must_use]
    pub fn of(operation: &'static str, message: impl Into<String>) -> Self {
        Self { operation, message: message.into(), may_have_taken_effect: false }
    }

    /// The same error of a call that may have taken effect.
    #[must_use]
    pub fn undecided(self) -> Self {
        Self { may_have_taken_effect: true, ..self }
    }
}

/// The queue between the intakes and the processor.
pub trait Queue: Send + Sync + 'static {
    /// Sends a document of at most [`crate::queue_message::MAX_MESSAGE_BYTES`]. Once this returns `Ok`, the document is durable.
    fn send(&self, document: &QueueMessage) -> impl Future<Output = Result<(), PortError>> + Send;
}

/// The queue, for those who send many documents at a time.
pub trait BatchQueue: Send + Sync + 'static {
    /// Asks whether the queue answers, before anything is taken for it.
    fn check(&self) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Sends at most [`crate::queue_message::MAX_BATCH_MESSAGES`] documents of at most
    /// [`crate::queue_message::MAX_MESSAGE_BYTES`] together, and says of each, in their order, whether it is durable. The
    /// call as a whole fails when nothing is known of any of them.
    fn send_batch(
        &self,
        documents: &[QueueMessage],
    ) -> impl Future<Output = Result<Vec<Result<(), PortError>>, PortError>> + Send;
}

/// The store for what is too large for the queue or the ledger.
pub trait Payloads: Send + Sync + 'static {
    /// Stores bytes under a key. Keys are made so that storing again stores the same bytes.
    fn put(&self, key: &PayloadKey, bytes: Bytes) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Fetches the bytes under a key.
    fn get(&self, key: &PayloadKey) -> impl Future<Output = Result<Bytes, PortError>> + Send;
}

/// The key of a stored payload.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct PayloadKey(String);

impl PayloadKey {
    /// A key as it was written down.
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

/// The secret that holds a provider's active keys.
pub trait Secrets: Send + Sync + 'static {
    /// Fetches the current text.
    fn fetch(&self) -> impl Future<Output = Result<SecretText, PortError>> + Send;
}

/// A secret's text. It is wiped when dropped, and `Debug` doesn't show it.
#[derive(Debug)]
pub struct SecretText(SecretString);

impl SecretText {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

/// The table of events and of what is known beside them, and the table of entities.
pub trait Ledger: Send + Sync + 'static {
    /// Puts every entry, or none: each put names the condition under which it may happen. `now` decides what is expired.
    ///
    /// The call is atomic, and what it finds in the way it returns from the same moment.
    fn put(
        &self,
        now: Timestamp,
        puts: &[ConditionalPut],
    ) -> impl Future<Output = Result<PutOutcome, PortError>> + Send;

    /// The entity at a key, as of the last put that succeeded before the call.
    fn entity(&self, key: &EntryKey) -> impl Future<Output = Result<Option<EntityEntry>, PortError>> + Send;

    /// The entry at a key, except an entity. It may miss a put that succeeded just before the call, so nothing found is a
    /// reason to put, and never a reason not to.
    fn find(&self, key: &EntryKey) -> impl Future<Output = Result<Option<Entry>, PortError>> + Send;
}

/// Time and randomness.
pub trait Clock: Send + Sync + 'static {
    /// The time by our clock.
    fn now(&self) -> Timestamp;

    /// A new id for a delivery that arrived then.
    fn new_delivery_id(&self, received_at: Timestamp) -> DeliveryId;
}

/// The operating system's time and randomness.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let milliseconds = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_unix_milliseconds(milliseconds).unwrap_or(Timestamp::EPOCH)
    }

    fn new_delivery_id(&self, received_at: Timestamp) -> DeliveryId {
        DeliveryId::random(received_at)
    }
}

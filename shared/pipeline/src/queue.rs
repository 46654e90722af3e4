//! The queue between the intakes and the processor.

use std::future::Future;

use crate::port_error::PortError;
use crate::queue_message::QueueMessage;

/// The queue between the intakes and the processor.
pub trait Queue: Send + Sync + 'static {
    /// Sends a document of at most [`crate::queue_message::MAX_MESSAGE_BYTES`]. Once this returns `Ok`, the document is durable.
    fn send(&self, document: &QueueMessage) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Connects to the queue, so that the first `send` need not. A queue without connections has nothing to do.
    fn connect(&self) -> impl Future<Output = Result<(), PortError>> + Send {
        std::future::ready(Ok(()))
    }
}

/// The queue, for senders of many messages at a time.
pub trait BatchQueue: Send + Sync + 'static {
    /// Checks that the queue answers, before anything is taken for it.
    fn check(&self) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Sends at most [`crate::queue_message::MAX_BATCH_MESSAGES`] documents of at most
    /// [`crate::queue_message::MAX_MESSAGE_BYTES`] together. The result of each, in order, is `Ok` if it
    /// is durable. The call as a whole fails when nothing is known of any of them.
    fn send_batch(
        &self,
        documents: &[QueueMessage],
    ) -> impl Future<Output = Result<Vec<Result<(), PortError>>, PortError>> + Send;
}

/// A received message.
#[derive(Clone, Debug)]
pub struct QueueRecord {
    /// The queue's id of the message, by which a failure is reported.
    pub message_id: String,
    /// Its text.
    pub body: String,
    /// Number of times the message was received, this time included.
    pub receive_count: u32,
    /// Whether the delivery is [released from quarantine](QueueMessage::is_release).
    pub is_release: bool,
}

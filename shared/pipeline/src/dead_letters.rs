//! The dead letters: messages whose records failed until the queue gave up on them, and the way back.

use std::future::Future;
use std::num::NonZeroU32;

use intake_providers::timestamp::Timestamp;

use crate::payloads::PayloadReader;
use crate::port_error::PortError;
use crate::queue_message::{InboundMessage, MessageError, MessageOrigin};

/// A message that the queue gave up on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The queue's id of the message, by which the processor's log names it.
    pub message_id: String,
    /// Its text.
    pub body: String,
    /// Number of times the message was received, as the queue counts.
    pub receive_count: u32,
    /// Whether its delivery was [released from quarantine](crate::queue_message::QueueMessage::is_release).
    pub is_release: bool,
    /// When it was sent to the queue, if the queue says so.
    pub sent_at: Option<Timestamp>,
    /// The latest failure that is known. Where it is not kept with the message, it has to be
    /// [searched for](DeadLetters::find_failures).
    pub failure: Option<Failure>,
}

/// Why a record failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// The reason, as the processor's log has it in `error`.
    pub error: String,
}

impl DeadLetter {
    /// What its text says of the delivery, as far as it can be read.
    #[must_use]
    pub fn origin(&self) -> MessageOrigin {
        MessageOrigin::of(&self.body)
    }

    /// Whether this release can read the message and its body. What the ledger would say is not known by that.
    ///
    /// # Errors
    /// The reason for which the record would fail again.
    pub async fn check(&self, payloads: &impl PayloadReader) -> Result<(), MessageError> {
        InboundMessage::parse(&self.body)?.fetch(payloads).await.map(drop)
    }
}

/// Dead letters as they were found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundDeadLetters {
    /// The dead letters.
    pub dead_letters: Vec<DeadLetter>,
    /// Whether there may be more.
    pub is_partial: bool,
    /// What an operator should know of the way in which they were found, in sentences.
    pub remarks: Vec<String>,
}

/// The dead-letter queue.
pub trait DeadLetters: Send + Sync + 'static {
    /// Finds at most this many dead letters, and leaves them where they are.
    fn list(&self, most: usize) -> impl Future<Output = Result<FoundDeadLetters, PortError>> + Send;

    /// Searches for the latest failure of each of these, where it is not kept with the message.
    fn find_failures(&self, dead_letters: &mut [DeadLetter]) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Moves these messages back to the queue, at most `rate` a second, and returns the ids of those that were moved. A message is
    /// sent before it is deleted, so an interruption leaves none behind and may leave one in both places; it is then recorded once.
    fn redrive(
        &self,
        message_ids: &[String],
        rate: Option<NonZeroU32>,
    ) -> impl Future<Output = Result<Vec<String>, PortError>> + Send;

    /// Moves all messages back to the queue, at most `rate` a second, and returns their number.
    fn redrive_all(&self, rate: Option<NonZeroU32>) -> impl Future<Output = Result<u64, PortError>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payloads::PayloadKey;
    use crate::queue_message::{write_inline, write_with_payload};
    use crate::testing::{MemoryPayloads, delivery};

    #[tokio::test]
    async fn a_dead_letter_names_its_delivery_and_is_checked_by_reading_it_and_its_body() {
        let (payloads, delivery) = (MemoryPayloads::default(), delivery(1, "{}"));
        let letter = |body: String| {
            let (message_id, sent_at, failure) = ("m".to_owned(), None, None);
            DeadLetter { message_id, body, receive_count: 5, is_release: false, sent_at, failure }
        };
        let failed = async |body: String| letter(body).check(&payloads).await.is_err();
        let origin = letter(write_inline(&delivery).unwrap()).origin();
        assert_eq!((origin.delivery_id, origin.provider), (Some(delivery.id), Some(delivery.provider)));
        assert!(!failed(write_inline(&delivery).unwrap()).await);
        assert!(failed("{".to_owned()).await);
        let key = PayloadKey::new("deliveries/1".to_owned());
        assert!(failed(write_with_payload(&delivery, key.clone()).unwrap()).await, "its body is not there");
        payloads.0.lock().unwrap().insert(key.as_str().to_owned(), delivery.body.clone());
        assert!(!failed(write_with_payload(&delivery, key).unwrap()).await);
    }
}

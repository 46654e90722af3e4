//! What our side must accept after a pause, before a run takes a message.
//!
//! A message that is taken and refused is returned, and a quorum queue counts that. So a run after a failed one asks our side
//! without the broker's help: it sends what our queue refused, or stores a small object where a large body was refused. As
//! long as that fails nothing is taken, and however long our side is down, no message is returned more often.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use intake_providers::ProviderName;
use intake_providers::amqp::{DELIVERY_COUNT_HEADER, REDELIVERED_HEADER};
use intake_providers::authentic::KeptHeader;
use intake_providers::delivery::VerifiedDelivery;
use intake_providers::digest::Sha256Digest;

use super::outcome::Counters;
use crate::lease::pause::{Pause, PauseReason};
use crate::payloads::{PayloadKey, Payloads};
use crate::port_error::PortError;
use crate::queue::BatchQueue;
use crate::queue_message::QueueMessage;

/// What a proof stores. Always the same bytes under the same key; it expires like a body.
const PROOF_BODY: &[u8] = b"webhook-intake asks whether bodies can be stored here\n";

/// What our queue accepted as a proof: a document whose message is still on the provider's queue.
#[derive(Debug, Default)]
pub(super) struct SentProof {
    message: Option<(Vec<KeptHeader>, Sha256Digest)>,
    is_found: AtomicBool,
}

impl SentProof {
    /// Whether this is the message that was sent as the proof. It is found once: of two messages that are alike, one was sent.
    pub(super) fn is_of(&self, delivery: &VerifiedDelivery) -> bool {
        let Some((headers, sha256)) = &self.message else { return false };
        let delivery = delivery.as_delivery();
        *sha256 == delivery.sha256
            && lasting(headers).eq(lasting(&delivery.headers))
            && !self.is_found.swap(true, Ordering::Relaxed)
    }
}

/// The headers that a redelivery doesn't change.
fn lasting(headers: &[KeptHeader]) -> impl Iterator<Item = &KeptHeader> {
    headers.iter().filter(|header| header.name != REDELIVERED_HEADER && header.name != DELIVERY_COUNT_HEADER)
}

/// Asks our side for what it refused before the pause.
///
/// # Errors
/// When it is refused again.
pub(super) async fn prove(
    provider: ProviderName,
    pause: &Pause,
    queue: &impl BatchQueue,
    payloads: &impl Payloads,
    counters: &Counters,
) -> Result<SentProof, PortError> {
    if pause.reason == PauseReason::PayloadsUnavailable {
        let key = PayloadKey::new(format!("deliveries/{provider}/proof"));
        payloads.put(&key, Bytes::from_static(PROOF_BODY)).await?;
        counters.payloads_proven.store(true, Ordering::Relaxed);
    }
    let refused = pause.refused.as_ref().and_then(|refused| QueueMessage::refused(refused.as_str()));
    let Some((document, headers, sha256)) = refused else { return Ok(SentProof::default()) };
    queue.send_batch(&[document]).await?.into_iter().collect::<Result<(), _>>()?;
    counters.queue_accepted();
    Ok(SentProof { message: Some((headers, sha256)), is_found: AtomicBool::new(false) })
}

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
use intake_providers::delivery::{DeliveryId, VerifiedDelivery};
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
    message: Option<(DeliveryId, Vec<KeptHeader>, Sha256Digest)>,
    is_found: AtomicBool,
}

impl SentProof {
    /// The delivery as which our queue has this message, if it is the one that was sent as the proof. It is found once: of two
    /// messages that are alike, one was sent.
    pub(super) fn sent_as(&self, delivery: &VerifiedDelivery) -> Option<DeliveryId> {
        let (delivery_id, headers, sha256) = self.message.as_ref()?;
        let delivery = delivery.as_delivery();
        let is_alike = *sha256 == delivery.sha256 && lasting(headers).eq(lasting(&delivery.headers));
        (is_alike && !self.is_found.swap(true, Ordering::Relaxed)).then_some(*delivery_id)
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
    let Some((document, delivery_id, headers, sha256)) = refused else { return Ok(SentProof::default()) };
    queue.send_batch(&[document]).await?.into_iter().collect::<Result<(), _>>()?;
    counters.queue_accepted();
    Ok(SentProof { message: Some((delivery_id, headers, sha256)), is_found: AtomicBool::new(false) })
}

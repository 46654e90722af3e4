//! The last step of a delivery: its record.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use intake_providers::delivery::Delivery;
use intake_providers::split::Split;
use tokio::time::{Instant, timeout_at};

use super::{Processor, RecordError};
use crate::delivery_record::{self, DeliveryOutcomes, DeliveryRecord, DeliveryRecords as _, RecordedBody};
use crate::platform::Platform;
use crate::port_error::PortError;

/// Number of receives that a delivery whose record cannot be written is given. At the last of them it is done without one: a record is
/// evidence, and must not keep a delivery whose events are all recorded from being acknowledged.
const MAX_RECEIVES: u32 = 3;

/// Maximum time for a record. The delivery's body is open meanwhile, and others may wait for that.
const MAX_TIME: Duration = Duration::from_secs(5);

impl<P: Platform, X: Split> Processor<P, X> {
    /// Writes the record of a delivery whose events are all recorded.
    pub(super) async fn keep_record(
        &self,
        delivery: &Delivery,
        outcomes: DeliveryOutcomes,
        receive_count: u32,
        until: Instant,
    ) -> Result<(), RecordError> {
        let work = AssertUnwindSafe(self.put_record(delivery, outcomes, receive_count)).catch_unwind();
        let error = match timeout_at(until.min(Instant::now() + MAX_TIME), work).await {
            Ok(Ok(Ok(()))) => return Ok(()),
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(_panic)) => "a defect of the processor, caught".to_owned(),
            Err(_elapsed) => "it took too long".to_owned(),
        };
        if receive_count < MAX_RECEIVES {
            return Err(RecordError::DeliveryRecord(error));
        }
        tracing::error!(
            delivery_id = %delivery.id, receive_count, error,
            "the record of a delivery cannot be written; its events are recorded, and it is acknowledged without a record"
        );
        Ok(())
    }

    async fn put_record(
        &self,
        delivery: &Delivery,
        outcomes: DeliveryOutcomes,
        receive_count: u32,
    ) -> Result<(), PortError> {
        let Some(retention) = self.settings.delivery_retention else { return Ok(()) };
        let body = match delivery_record::place(delivery, outcomes.kept_body(), self.recorder.payloads()).await {
            Ok(body) => body,
            // Everything but the body is still worth keeping.
            Err(error) if receive_count >= MAX_RECEIVES => RecordedBody::NotKept { body_not_kept: error.to_string() },
            Err(error) => return Err(error),
        };
        let recorded_at = self.recorder.now();
        let expires_at = recorded_at.plus(retention);
        let record = DeliveryRecord::of(delivery, outcomes, body, receive_count, recorded_at, expires_at);
        self.delivery_records.put(&record).await
    }
}

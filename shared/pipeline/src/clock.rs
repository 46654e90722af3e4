//! Time and ids.

use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;

/// Time and randomness.
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;

    /// A new id for a delivery that arrived at this time.
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

//! From a delivery to its events.

use crate::delivery::Delivery;
use crate::event::{Event, Malformed, MalformedEvent};
use crate::provider::Provider;
use crate::{accredit, machnet, nowcerts, nurturecloud, sterling};

/// The events of a delivery, each read or found malformed on its own; or the reason why the delivery as a whole holds none.
pub type SplitEvents = Result<Vec<Result<Event, MalformedEvent>>, Malformed>;

/// Makes events of deliveries.
pub trait Split: Send + Sync + 'static {
    /// The delivery's events in their order.
    ///
    /// # Errors
    /// [`Malformed`] when the content as a whole is.
    fn split(&self, delivery: &Delivery) -> SplitEvents;
}

/// Every provider's way of making events, with the settings that it needs.
#[derive(Clone, Debug, Default)]
pub struct Splitter {
    /// How Machnet's deliveries are read.
    pub machnet: machnet::Splitter,
    /// How NowCerts' messages are read.
    pub nowcerts: nowcerts::Splitter,
    /// Whose entities NurtureCloud may tell of.
    pub nurturecloud: nurturecloud::Splitter,
}

impl Split for Splitter {
    fn split(&self, delivery: &Delivery) -> SplitEvents {
        match delivery.provider {
            Provider::Accredit => accredit::split(delivery),
            Provider::Machnet => self.machnet.split(delivery),
            Provider::NowCerts => Ok(vec![Ok(self.nowcerts.split(delivery))]),
            Provider::NurtureCloud => self.nurturecloud.split(delivery),
            Provider::Sterling => sterling::split(delivery),
        }
    }
}

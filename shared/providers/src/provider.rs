//! The trait that every provider implements.

use std::fmt::Debug;

use crate::delivery::Delivery;
use crate::event_form::EventForm;
use crate::malformed::Malformed;
use crate::registry::name::ProviderName;
use crate::settings::Reader;
use crate::split::Events;

/// A company whose events we receive. It is implemented by a type without values, listed in the
/// [registry](crate::registry).
pub trait Provider: Send + Sync + 'static {
    /// The provider's entry in the registry.
    const NAME: ProviderName;

    /// What its events promise to their consumers.
    const EVENTS: EventForm;

    /// Settings for reading its deliveries; `()` if there are none.
    type Settings: Clone + Debug + Default + Send + Sync + 'static;

    /// Reads the settings. Invalid values are reported to the reader.
    #[must_use]
    fn settings(_reader: &mut Reader<'_>) -> Self::Settings {
        Self::Settings::default()
    }

    /// The delivery's events in order. The same delivery always yields the same events, so those that are already recorded can
    /// be skipped.
    ///
    /// # Errors
    /// [`Malformed`] when the delivery as a whole cannot be read.
    fn split<'a>(delivery: &'a Delivery, settings: &'a Self::Settings) -> Result<Events<'a>, Malformed>;
}

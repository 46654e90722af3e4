//! What every provider has to say about itself.

use std::fmt::Debug;

use crate::delivery::Delivery;
use crate::malformed::Malformed;
use crate::registry::name::ProviderName;
use crate::settings::Reader;
use crate::split::Events;

/// A company whose events come in. The type that implements it has no value; it is in the list of the
/// [registry](crate::registry).
pub trait Provider: Send + Sync + 'static {
    /// Its name.
    const NAME: ProviderName;

    /// What a user can set about the way its deliveries are read; `()` when there is nothing to set.
    type Settings: Clone + Debug + Default + Send + Sync + 'static;

    /// Reads its settings. A value that can't be used is noted with the reader.
    #[must_use]
    fn settings(_reader: &mut Reader<'_>) -> Self::Settings {
        Self::Settings::default()
    }

    /// The delivery's events in their order. The same delivery has the same events each time, so whoever has recorded some of
    /// them may skip those.
    ///
    /// # Errors
    /// [`Malformed`] when the content as a whole is.
    fn split<'a>(delivery: &'a Delivery, settings: &'a Self::Settings) -> Result<Events<'a>, Malformed>;
}

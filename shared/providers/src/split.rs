//! From a delivery to its events.

use std::fmt;

use crate::delivery::Delivery;
use crate::event::{Event, Malformed, MalformedEvent};
use crate::provider::Provider;
use crate::{accredit, machnet, nowcerts, nurturecloud, sterling};

/// Maximum number of events in a delivery; a delivery with more is quarantined as a whole.
pub const MAX_EVENTS: usize = 100_000;

/// The events of a delivery in their order, read one by one: each is read, or found malformed, when it is asked for.
pub struct Events<'a> {
    len: usize,
    events: Box<dyn Iterator<Item = Result<Event, MalformedEvent>> + Send + 'a>,
}

impl<'a> Events<'a> {
    /// The only event of a delivery.
    pub(crate) fn one(event: Event) -> Self {
        Self { len: 1, events: Box::new(std::iter::once(Ok(event))) }
    }

    /// The events of a delivery that holds `len` of them; whoever counts may stop beyond [`MAX_EVENTS`].
    pub(crate) fn counted(
        len: usize,
        events: impl Iterator<Item = Result<Event, MalformedEvent>> + Send + 'a,
    ) -> Result<Self, Malformed> {
        match len {
            0 => Err(Malformed::NoEvents),
            1..=MAX_EVENTS => Ok(Self { len, events: Box::new(events) }),
            _ => Err(Malformed::TooManyEvents { limit: MAX_EVENTS }),
        }
    }

    /// How many items it yields in all; at least 1 and at most [`MAX_EVENTS`]. What was yielded already counts.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a delivery without events is malformed")]
    pub const fn len(&self) -> usize {
        self.len
    }
}

impl Iterator for Events<'_> {
    type Item = Result<Event, MalformedEvent>;

    fn next(&mut self) -> Option<Self::Item> {
        self.events.next()
    }
}

impl fmt::Debug for Events<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").field("len", &self.len).finish_non_exhaustive()
    }
}

/// Makes events of deliveries.
pub trait Split: Send + Sync + 'static {
    /// The delivery's events in their order. The same delivery has the same events each time, so whoever has recorded some
    /// of them may skip those.
    ///
    /// # Errors
    /// [`Malformed`] when the content as a whole is.
    fn split<'a>(&'a self, delivery: &'a Delivery) -> Result<Events<'a>, Malformed>;
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
    fn split<'a>(&'a self, delivery: &'a Delivery) -> Result<Events<'a>, Malformed> {
        match delivery.provider {
            Provider::Accredit => accredit::split(delivery).map(Events::one),
            Provider::Machnet => self.machnet.split(delivery).map(Events::one),
            Provider::NowCerts => Ok(Events::one(self.nowcerts.split(delivery))),
            Provider::NurtureCloud => self.nurturecloud.split(delivery),
            Provider::Sterling => sterling::split(delivery),
        }
    }
}

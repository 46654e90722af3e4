//! Splits a delivery into its events.

use std::fmt;

use crate::delivery::Delivery;
use crate::event::Event;
use crate::malformed::{Malformed, MalformedEvent};

/// Maximum number of events in a delivery; a delivery with more is quarantined as a whole.
pub const MAX_EVENTS: usize = 100_000;

/// The events of a delivery in order. Each is parsed lazily, when the iterator reaches it, and may turn out malformed.
pub struct Events<'a> {
    len: usize,
    events: Box<dyn Iterator<Item = Result<Event, MalformedEvent>> + Send + 'a>,
}

impl<'a> Events<'a> {
    /// The only event of a delivery.
    pub(crate) fn one(event: Event) -> Self {
        Self { len: 1, events: Box::new(std::iter::once(Ok(event))) }
    }

    /// The events of a delivery that holds `len` of them. Counting may stop once it exceeds [`MAX_EVENTS`].
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

    /// Total number of items, those already yielded included: 1 to [`MAX_EVENTS`].
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

/// Splits deliveries into events.
pub trait Split: Send + Sync + 'static {
    /// The delivery's events in order. The same delivery always yields the same events, so those that are already recorded can
    /// be skipped.
    ///
    /// # Errors
    /// [`Malformed`] when the delivery as a whole cannot be read.
    fn split<'a>(&'a self, delivery: &'a Delivery) -> Result<Events<'a>, Malformed>;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registry::{ProviderName, Settings};
    use crate::testing::delivery;

    /// Pieces of every provider's deliveries, put together at random; most of what comes out is JSON.
    fn any_value() -> impl Strategy<Value = String> {
        let names = [
            "eventbatch",
            "events",
            "code",
            "channel",
            "identifiers",
            "attributes",
            "name",
            "value",
            "timestamp",
            "domainComponentName",
            "state",
            "payload",
            "organisationName",
            "businessId",
            "id",
            "mergedInto",
            "event_name",
            "Event",
            "Timestamp",
            "x",
            "\\u0078",
            "\\ud800",
        ];
        let scalars = ["0", "null", "\"c\"", "\"\"", "\"Deleted\"", "\"\\ud800\"", "{}", "[]", " 1.50 ", "nul"];
        let leaf = prop::sample::select(scalars.to_vec()).prop_map(str::to_owned);
        leaf.prop_recursive(6, 60, 4, move |inner| {
            let member = (prop::sample::select(names.to_vec()), inner.clone())
                .prop_map(|(name, value)| format!("\"{name}\":{value}"));
            prop_oneof![
                prop::collection::vec(inner, 0..4).prop_map(|elements| format!("[{}]", elements.join(","))),
                prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn a_delivery_has_as_many_events_as_were_counted_each_a_slice_of_it_and_the_rest_after_any_of_them(
            value in any_value(),
            place in prop::sample::select(vec![
                "V", "[V,V]", r#"{"eventbatch":[V,{"a":V,"events":[V,{"code":"c","x":V},{"code":"c","x":V}]}],"b":V}"#,
                r#"{"domainComponentName":"a","state":"Deleted","x":V,"payload":[V,{"organisationName":"o","businessId":"b","id":1,"mergedInto":V}]}"#,
            ]),
            skipped in any::<prop::sample::Index>(),
        ) {
            let body = place.replace('V', &value);
            for provider in ProviderName::ALL {
                let (settings, delivery) = (Settings::default(), delivery(*provider, &[], body.as_bytes()));
                let Ok(events) = settings.split(&delivery) else { continue };
                let len = events.len();
                let all: Vec<_> = events.collect();
                prop_assert_eq!(all.len(), len);
                let skipped = skipped.index(len);
                let rest: Vec<_> = settings.split(&delivery).unwrap().skip(skipped).collect();
                prop_assert_eq!(&rest, &all[skipped..]);
                for event in all {
                    let data = event.map_or_else(|malformed| malformed.data, |event| event.data);
                    let addresses = delivery.body.as_ptr_range();
                    prop_assert!(addresses.contains(&data.as_ptr()) && addresses.end >= data.as_ptr_range().end);
                }
            }
        }
    }
}

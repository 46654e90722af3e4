//! A delivery: one request or message of a provider, kept byte for byte.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::account::AccountName;
use crate::active_keys::MatchedKey;
use crate::authentic::{Authentic, KeptHeader};
use crate::digest::Sha256Digest;
use crate::event::EventIndex;
use crate::registry::name::ProviderName;
use crate::timestamp::Timestamp;

/// Our id for a delivery: a UUID of version 7, so that ids sort by arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DeliveryId(Uuid);

impl DeliveryId {
    /// An id from the moment of arrival and ten random bytes, as RFC 9562 lays out version 7.
    #[must_use]
    pub fn new(received_at: Timestamp, randomness: [u8; 10]) -> Self {
        let milliseconds = u64::try_from(received_at.unix_milliseconds()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(milliseconds, &randomness).into_uuid())
    }

    /// An id from the moment of arrival and the operating system's randomness.
    ///
    /// # Panics
    /// When the operating system cannot provide random bytes.
    #[must_use]
    pub fn random(received_at: Timestamp) -> Self {
        let since_epoch = Duration::from_millis(u64::try_from(received_at.unix_milliseconds()).unwrap_or(0));
        let moment = uuid::Timestamp::from_unix(uuid::NoContext, since_epoch.as_secs(), since_epoch.subsec_nanos());
        Self(Uuid::new_v7(moment))
    }
}

impl DeliveryId {
    /// The moment of arrival that the id was made of; `None` if it is not one of ours, which have version 7.
    #[must_use]
    pub fn received_at(self) -> Option<Timestamp> {
        if self.0.get_version_num() != 7 {
            return None;
        }
        let [first, second, third, fourth, fifth, sixth, ..] = *self.0.as_bytes();
        let milliseconds = u64::from_be_bytes([0, 0, first, second, third, fourth, fifth, sixth]);
        i64::try_from(milliseconds).ok().and_then(|milliseconds| Timestamp::from_unix_milliseconds(milliseconds).ok())
    }

    /// A number below `shards`, evenly distributed over deliveries, also over those with the same body.
    #[must_use]
    pub const fn shard(self, shards: u8) -> u8 {
        let [.., last] = *self.0.as_bytes();
        last % shards
    }

    /// The id of an event that has none of its own: `<delivery id>.<index>`.
    #[must_use]
    pub fn event_id(self, index: EventIndex) -> String {
        format!("{self}.{}", index.0)
    }

    /// The delivery of an event with such an id.
    #[must_use]
    pub fn of_event_id(event_id: &str) -> Option<Self> {
        Self::and_index_of(event_id).map(|(delivery_id, _)| delivery_id)
    }

    /// The delivery of an event with such an id, and the event's place in it.
    #[must_use]
    pub fn and_index_of(event_id: &str) -> Option<(Self, EventIndex)> {
        let (delivery_id, index) = event_id.rsplit_once('.')?;
        Some((delivery_id.parse().ok()?, EventIndex(index.parse().ok()?)))
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Not a valid delivery id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a valid delivery id; it is a UUID")]
pub struct InvalidDeliveryId(String);

impl FromStr for DeliveryId {
    type Err = InvalidDeliveryId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self).map_err(|_| InvalidDeliveryId(text.to_owned()))
    }
}

/// A delivery as the processor reads it. Constructing one proves nothing; only a [`VerifiedDelivery`] can be queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Our id for the delivery.
    pub id: DeliveryId,
    /// The provider that sent it.
    pub provider: ProviderName,
    /// The key that verified it.
    pub authenticated_by: MatchedKey,
    /// When the request or message reached us, by our clock.
    pub received_at: Timestamp,
    /// The headers of the request [but credentials](crate::kept_headers), those of the provider's contract first; of a message, its
    /// properties.
    pub headers: Vec<KeptHeader>,
    /// The body, byte for byte.
    pub body: Bytes,
    /// SHA-256 of the body.
    pub sha256: Sha256Digest,
}

impl Delivery {
    /// The value of a kept header, if it is present exactly once and is UTF-8.
    #[must_use]
    pub fn header_text(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|header| header.name == name);
        match (values.next(), values.next()) {
            (Some(header), None) => std::str::from_utf8(&header.value).ok(),
            _ => None,
        }
    }

    /// The account that the delivery belongs to: that of the key that verified it.
    #[must_use]
    pub const fn account(&self) -> &AccountName {
        &self.authenticated_by.account
    }

    /// The CloudEvents `source` of the delivery's events: the path of the webhook or queue, and the account.
    #[must_use]
    pub fn source(&self) -> String {
        format!("{}/{}", self.provider.source_path(), self.account())
    }
}

/// A delivery of authentic content; only this type can be sent to the queue.
#[derive(Clone, Debug)]
pub struct VerifiedDelivery(Delivery);

impl VerifiedDelivery {
    /// Makes a delivery of authentic content. This is the only constructor.
    #[must_use]
    pub fn new(authentic: Authentic, id: DeliveryId, received_at: Timestamp) -> Self {
        let Authentic { provider, authenticated_by, headers, body } = authentic;
        let sha256 = Sha256Digest::of(&body);
        Self(Delivery { id, provider, authenticated_by, received_at, headers, body, sha256 })
    }

    /// The delivery without the proof that it is authentic.
    #[must_use]
    pub const fn as_delivery(&self) -> &Delivery {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_arrival() {
        let id = |milliseconds, random| {
            DeliveryId::new(Timestamp::from_unix_milliseconds(milliseconds).unwrap(), [random; 10])
        };
        assert!(id(1_795_257_000_001, 0) > id(1_795_257_000_000, 255));
        assert_eq!(id(1_795_257_000_000, 7).to_string().parse(), Ok(id(1_795_257_000_000, 7)));
    }

    #[test]
    fn ids_of_one_moment_are_spread_evenly_over_the_shards() {
        let moment = Timestamp::from_unix_milliseconds(1_795_257_000_000).unwrap();
        let mut counts = [0; 4];
        for random in 0..=u8::MAX {
            counts[usize::from(DeliveryId::new(moment, [random; 10]).shard(4))] += 1;
        }
        assert_eq!(counts, [64; 4]);
    }

    #[test]
    fn an_id_tells_the_millisecond_of_its_arrival() {
        let received_at = Timestamp::from_unix_milliseconds(1_795_257_000_123).unwrap();
        assert_eq!(DeliveryId::new(received_at, [255; 10]).received_at(), Some(received_at));
        assert_eq!(DeliveryId::random(received_at).received_at(), Some(received_at));
        let other_version = "c232ab00-9414-4aec-b3c8-f6bdeced846a".parse::<DeliveryId>().unwrap();
        assert_eq!(other_version.received_at(), None);
    }

    #[test]
    fn the_id_of_an_event_names_its_delivery() {
        let id = DeliveryId::new(Timestamp::from_unix_milliseconds(1_795_257_000_123).unwrap(), [7; 10]);
        assert_eq!(DeliveryId::of_event_id(&id.event_id(EventIndex(12))), Some(id));
        assert_eq!(DeliveryId::and_index_of(&id.event_id(EventIndex(12))), Some((id, EventIndex(12))));
        for other in ["evt.1", &format!("{id}.evt"), &format!("{id}.-1"), &id.to_string()] {
            assert_eq!(DeliveryId::of_event_id(other), None, "{other}");
        }
    }

    #[test]
    fn a_random_id_has_version_7_and_all_bits_but_the_time_are_random() {
        let received_at = Timestamp::from_unix_milliseconds(1_795_257_000_123).unwrap();
        let fixed = DeliveryId::new(received_at, [0; 10]).0.as_u128();
        let (mut ever_set, mut always_set) = (0, u128::MAX);
        for _ in 0..128 {
            let id = DeliveryId::random(received_at).0;
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
            ever_set |= id.as_u128();
            always_set &= id.as_u128();
        }
        // 48 bits of time, 4 of the version, 2 of the variant.
        assert_eq!(always_set, fixed);
        assert_eq!((ever_set & !always_set).count_ones(), 74);
    }
}

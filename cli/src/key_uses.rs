//! When keys were used, from the records of the deliveries that they verified.

use std::time::Duration;

use intake_pipeline::port_error::PortError;
use intake_pipeline::records::{DeliveryFilter, Records, TimeRange};
use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::key_ring::listing::RecordedAs;
use intake_providers::timestamp::Timestamp;

/// Maximum number of a provider's deliveries that are looked at.
pub const MAX_DELIVERIES: u32 = 1_000;

/// Within which time a use makes a key one that is in use.
pub const RECENTLY: Duration = Duration::from_secs(60 * 60);

/// The deliveries of a provider, by what verified them.
#[derive(Debug, Default)]
pub struct KeyUses {
    deliveries: Vec<Verified>,
    /// Set where the listing stopped before its beginning.
    looked_back_to: Option<Timestamp>,
}

#[derive(Debug)]
struct Verified {
    account: AccountName,
    fingerprint: String,
    at: Timestamp,
}

/// When a key was used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Use {
    /// The first time, among the deliveries that were looked at.
    pub first: Timestamp,
    /// The last time.
    pub last: Timestamp,
}

impl KeyUses {
    /// Looks at the latest deliveries of a provider, at most [`MAX_DELIVERIES`].
    ///
    /// # Errors
    /// When the records can't be read.
    pub async fn read(
        records: &impl Records,
        provider: ProviderName,
        since: Option<Timestamp>,
    ) -> Result<Self, PortError> {
        let filter = DeliveryFilter {
            provider: Some(provider),
            received: TimeRange { since, until: None },
            most: Some(MAX_DELIVERIES),
            ..DeliveryFilter::default()
        };
        let listing = records.deliveries(&filter).await?;
        let verified = listing.found.into_iter().map(|record| Verified {
            account: record.account,
            fingerprint: record.key_fingerprint,
            at: record.received_at,
        });
        Ok(Self { deliveries: verified.collect(), looked_back_to: listing.looked_back_to })
    }

    /// Set if there may be deliveries before this time that were not looked at.
    #[must_use]
    pub fn limited_to(&self) -> Option<Timestamp> {
        let is_limited = u64::from(MAX_DELIVERIES) <= self.deliveries.len() as u64;
        let earliest = self.deliveries.iter().map(|delivery| delivery.at).min();
        earliest.filter(|_| is_limited).or(self.looked_back_to)
    }

    /// When a key was used; nothing if it was not.
    #[must_use]
    pub fn of(&self, key: &RecordedAs) -> Option<Use> {
        let is_of_key = |delivery: &&Verified| {
            key.account.as_ref().is_none_or(|account| *account == delivery.account)
                && key.fingerprint.as_ref().is_none_or(|fingerprint| fingerprint.as_str() == delivery.fingerprint)
        };
        let times: Vec<_> = self.deliveries.iter().filter(is_of_key).map(|delivery| delivery.at).collect();
        Some(Use { first: times.iter().copied().min()?, last: times.iter().copied().max()? })
    }
}

#[cfg(test)]
mod tests {
    use intake_providers::signature::KeyFingerprint;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_milliseconds(seconds * 1_000).unwrap()
    }

    fn uses(deliveries: &[(&str, &str, i64)]) -> KeyUses {
        let verified = |&(account, fingerprint, seconds): &(&str, &str, i64)| Verified {
            account: account.parse().unwrap(),
            fingerprint: fingerprint.to_owned(),
            at: at(seconds),
        };
        KeyUses { deliveries: deliveries.iter().map(verified).collect(), looked_back_to: None }
    }

    #[test]
    fn a_key_was_used_from_its_first_to_its_last_delivery() {
        let uses = uses(&[("main", "aa", 5), ("main", "aa", 2), ("main", "bb", 9), ("other", "aa", 1)]);
        let recorded = |account: Option<&str>, fingerprint: Option<&str>| RecordedAs {
            account: account.map(|account| account.parse().unwrap()),
            fingerprint: fingerprint.map(|text| KeyFingerprint::from_recorded(text.to_owned())),
        };
        let used = |first, last| Some(Use { first: at(first), last: at(last) });
        assert_eq!(uses.of(&recorded(Some("main"), Some("aa"))), used(2, 5));
        assert_eq!(uses.of(&recorded(None, Some("aa"))), used(1, 5));
        assert_eq!(uses.of(&recorded(Some("main"), None)), used(2, 9));
        assert_eq!(uses.of(&recorded(Some("third"), None)), None);
    }

    #[test]
    fn a_look_at_the_latest_deliveries_alone_says_how_far_back_it_goes() {
        let delivery = ("main", "aa", 7);
        assert_eq!(uses(&[delivery; 999]).limited_to(), None);
        assert_eq!(uses(&[delivery; 1_000]).limited_to(), Some(at(7)));
    }
}

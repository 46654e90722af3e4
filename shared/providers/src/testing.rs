//! Deliveries for tests of the providers' rules.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use crate::account::AccountName;
use crate::active_keys::MatchedKey;
use crate::authentic::KeptHeader;
use crate::delivery::{Delivery, DeliveryId};
use crate::digest::Sha256Digest;
use crate::key_ring::change::Circumstances;
use crate::registry::ProviderName;
use crate::signature::KeyFingerprint;
use crate::timestamp::Timestamp;

pub(crate) fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, value.parse().unwrap());
    }
    headers
}

pub(crate) fn delivery(provider: ProviderName, headers: &[(&str, &str)], body: &[u8]) -> Delivery {
    let received_at = Timestamp::parse("2026-11-21T09:30:00Z").unwrap();
    Delivery {
        id: DeliveryId::new(received_at, [1; 10]),
        provider,
        authenticated_by: MatchedKey {
            account: AccountName::new("main").unwrap(),
            fingerprint: KeyFingerprint::from_recorded("0011223344556677".to_owned()),
        },
        received_at,
        headers: headers
            .iter()
            .map(|(name, value)| KeptHeader { name: (*name).to_owned(), value: value.as_bytes().to_vec() })
            .collect(),
        body: Bytes::copy_from_slice(body),
        sha256: Sha256Digest::of(body),
    }
}

/// Those of a stack at `https://hooks.example.com`.
pub(crate) fn circumstances() -> Circumstances {
    Circumstances {
        base_url: Some("https://hooks.example.com".to_owned()),
        is_base_url_given: false,
        secret_refresh: Duration::from_secs(300),
        added_within: Duration::from_secs(15),
        now: Timestamp::parse("2026-11-21T09:30:00Z").unwrap(),
    }
}

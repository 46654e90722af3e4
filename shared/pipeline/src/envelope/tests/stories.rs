//! Deliveries with which the real processor fills a ledger, and the envelopes of what is in it then.

use std::time::Duration;

use bytes::Bytes;
use intake_providers::authentic::KeptHeader;
use intake_providers::delivery::Delivery;
use intake_providers::digest::Sha256Digest;
use intake_providers::registry::Settings;
use tokio::time::Instant;

use super::*;
use crate::payloads::{PayloadKey, Payloads as _};
use crate::processor::{Processor, ProcessorSettings};
use crate::queue::QueueRecord;
use crate::queue_message::write_with_payload;
use crate::testing::{Memory, MemoryDeliveryRecords, MemoryLedger, MemoryPayloads, TestClock, delivery};

/// A processor with its stores.
#[derive(Clone, Default)]
pub(crate) struct World {
    pub(crate) ledger: MemoryLedger,
    pub(crate) payloads: MemoryPayloads,
    pub(crate) delivery_records: MemoryDeliveryRecords,
    /// Number of the last delivery. Deliveries arrived in the order of their numbers, in whatever order they are processed.
    pub(crate) number: u8,
}

impl World {
    /// Processes a delivery, and returns the entries that it made, in the order of its events.
    pub(crate) async fn deliver(
        &mut self,
        provider: ProviderName,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Vec<Entry> {
        self.number += 1;
        let sample = delivery(self.number, body);
        let headers = headers.iter().map(|(name, value)| kept(name, value)).collect();
        let delivery = Delivery { provider, headers, sha256: Sha256Digest::of(&sample.body), ..sample };
        let key = PayloadKey::new(format!("deliveries/{}", delivery.id));
        self.payloads.put(&key, delivery.body.clone()).await.unwrap();
        let body = write_with_payload(&delivery, key).unwrap();
        let record = QueueRecord { message_id: "m".to_owned(), body, receive_count: 1, is_release: false };

        let before = self.ledger.entries();
        let processor = Processor::<Memory, _>::new(
            self.ledger.clone(),
            self.payloads.clone(),
            self.delivery_records.clone(),
            Settings::default(),
            TestClock::default(),
            ProcessorSettings::default(),
        );
        let failed = processor.process(vec![record], Instant::now() + Duration::from_secs(30)).await;
        assert!(failed.is_empty(), "{failed:?}");
        let new = self.ledger.entries().into_iter().filter(|(key, _)| !before.contains_key(key));
        let mut new: Vec<Entry> = new.map(|(_, entry)| entry).collect();
        new.sort_by_key(|entry| match entry {
            Entry::Event(event) | Entry::Conflict(event) => Some(event.occurrence),
            _ => None,
        });
        new
    }

    /// The envelopes of entries.
    pub(crate) async fn envelopes(&self, entries: &[Entry]) -> Vec<String> {
        let writer = EnvelopeWriter::new(self.payloads.clone(), PayloadLocation::below("s3://payloads/"));
        let mut texts = Vec::new();
        for entry in entries {
            texts.extend(writer.write(entry, JsonForm::Value).await.unwrap().map(|envelope| envelope.text));
        }
        texts
    }

    /// The envelopes of a delivery's events.
    pub(super) async fn sent(
        &mut self,
        provider: ProviderName,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Vec<String> {
        let entries = self.deliver(provider, headers, body).await;
        self.envelopes(&entries).await
    }
}

fn kept(name: &str, value: &str) -> KeptHeader {
    KeptHeader { name: name.to_owned(), value: value.as_bytes().to_vec() }
}

macro_rules! recorded {
    ($name:literal) => {
        include_str!(concat!("../../../../providers/tests/payloads/", $name, ".json"))
    };
}

/// Every kind of envelope by the name of its example, from recorded deliveries where there are some.
pub(super) async fn stories() -> Vec<(String, String)> {
    let mut stories = Vec::new();
    for provider in ProviderName::ALL {
        let mut world = World::default();
        let mut tell = |name: &str, envelopes: Vec<String>| {
            let [envelope] = &envelopes[..] else { panic!("{name} has {} envelopes", envelopes.len()) };
            stories.push((format!("{provider}-{name}"), envelope.clone()));
        };
        match provider {
            ProviderName::Accredit => {
                tell("stored", world.sent(*provider, &[], recorded!("accredit-badge-export")).await)
            }
            ProviderName::Machnet => {
                let body = recorded!("machnet-current");
                tell("stored", world.sent(*provider, &[], body).await);
                tell("repeat", world.sent(*provider, &[], body.replace("3f0d6c1e", "4a1e7d2f")).await);
                tell("conflict", world.sent(*provider, &[], body.replace("9c1b2a70", "1d2c3b4a")).await);
            }
            ProviderName::NowCerts => {
                let id = ("amqp-message-id", "9d1f6a4e");
                let properties = [
                    ("content-type", "application/json"),
                    ("amqp-type", "PolicyUpdated"),
                    ("amqp-queue", "events.agency"),
                    ("amqp-exchange", "agency"),
                    ("amqp-routing-key", "policy.updated"),
                    ("amqp-timestamp", "1795253400"),
                ];
                let policy = r#"{"Event":"PolicyUpdated","Id":"policy-1","Premium":1234.50}"#;
                let with_id = |body| ([&properties[..], &[id]].concat(), body);
                for (name, (headers, body)) in [
                    ("stored", with_id(policy)),
                    ("conflict", with_id(r#"{"Event":"PolicyUpdated","Id":"policy-1","Premium":1300}"#)),
                    ("without-id", (properties.to_vec(), policy)),
                    ("repeat", (properties.to_vec(), policy)),
                    ("text", (vec![("content-type", "text/plain")], "Premium: 1234.50")),
                ] {
                    tell(name, world.sent(*provider, &headers, body).await);
                }
                let large = format!(r#"{{"Event":"PolicyUpdated","Document":"{}"}}"#, "A".repeat(MAX_ENVELOPE_BYTES));
                tell("large", world.sent(*provider, &properties, large).await);
            }
            ProviderName::NurtureCloud => {
                let current = recorded!("nurturecloud-agent-current");
                let merged = recorded!("nurturecloud-agent-deleted");
                let (start, end) = (merged.find(",\n    \"mergedInto\"").unwrap(), merged.find("\n  }\n}").unwrap());
                let deleted = format!("{}{}", &merged[..start], &merged[end..]);
                let renamed = current.replace("Current", "Updated").replace("Ada", "Augusta Ada");
                tell("created", world.sent(*provider, &[], current).await);
                tell("changed", world.sent(*provider, &[], renamed.clone()).await);
                tell("deleted", world.sent(*provider, &[], deleted).await);
                tell("late", world.sent(*provider, &[], renamed.replace("Augusta Ada", "A. A.")).await);
                tell("revived", world.sent(*provider, &[], current).await);
                tell("merged", world.sent(*provider, &[], merged).await);
            }
            ProviderName::Sterling => {
                let envelopes = world.sent(*provider, &[], recorded!("sterling-eventbatch")).await;
                let [first, second] = envelopes.try_into().unwrap();
                tell("stored", vec![first]);
                tell("second-of-batch", vec![second]);
            }
        }
    }
    stories
}

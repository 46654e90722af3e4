//! Deliveries with which the real processor fills a ledger, and the envelopes of what is in it then.

use std::time::Duration;

use bytes::Bytes;
use intake_providers::authentic::KeptHeader;
use intake_providers::delivery::Delivery;
use intake_providers::digest::Sha256Digest;
use intake_providers::registry::Settings;
use intake_simulator::IMITATIONS;
use intake_simulator::examples::ExampleDelivery;
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

/// Every kind of envelope by the name of its example, from the deliveries that the providers' imitations have for it.
pub(super) async fn stories() -> Vec<(String, String)> {
    let mut stories = Vec::new();
    for imitation in IMITATIONS {
        let (provider, mut world) = (imitation.name(), World::default());
        for ExampleDelivery { names, headers, body } in imitation.examples() {
            let envelopes = world.sent(provider, &headers, body).await;
            assert_eq!(envelopes.len(), names.len(), "{provider}: {names:?} are {envelopes:#?}");
            let names = names.iter().map(|name| format!("{provider}-{name}"));
            stories.extend(names.zip(envelopes));
        }
    }
    stories
}

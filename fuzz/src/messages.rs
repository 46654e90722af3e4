//! Queue messages, messages of a broker, and captured requests that are explained.

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::Method;
use intake_pipeline::payloads::{PayloadKey, PayloadReader, Payloads};
use intake_pipeline::port_error::PortError;
use intake_pipeline::queue_message::{InboundMessage, MAX_MESSAGE_BYTES, MessageOrigin, QueueMessage};
use intake_providers::ProviderName;
use intake_providers::amqp::{Message, Properties};
use intake_providers::answer::Answer;
use intake_providers::delivery::{DeliveryId, VerifiedDelivery};
use intake_providers::explain::case::{CapturedRequest, KeyDocument};
use intake_providers::explain::explain;
use intake_providers::nowcerts::NowCerts;
use intake_providers::queue_source::QueueSource as _;

use crate::input::{RANDOM_INPUTS, Request, halves};
use crate::keys;

/// A payload store in memory.
#[derive(Default)]
struct Memory(Mutex<BTreeMap<String, Bytes>>);

impl PayloadReader for Memory {
    async fn get(&self, key: &PayloadKey) -> Result<Bytes, PortError> {
        let found = self.0.lock().unwrap().get(key.as_str()).cloned();
        found.ok_or_else(|| PortError::of("payload get", "there is none"))
    }
}

impl Payloads for Memory {
    async fn put(&self, key: &PayloadKey, bytes: Bytes) -> Result<(), PortError> {
        self.0.lock().unwrap().insert(key.as_str().to_owned(), bytes);
        Ok(())
    }
}

#[test]
fn queue_messages() {
    bolero::check!().with_iterations(RANDOM_INPUTS).with_max_len(4096).for_each(|input: &[u8]| {
        let Ok(text) = std::str::from_utf8(input) else { return };
        let origin = MessageOrigin::of(text);
        let Ok(message) = InboundMessage::parse(text) else { return };
        let delivery_id = message.delivery_id();
        assert_eq!(origin.delivery_id, Some(delivery_id));
        let (size_bytes, fetched) =
            (message.body_size_bytes(), message.fetch(&Memory::default()).now_or_never().unwrap());
        if let Ok(delivery) = fetched {
            assert_eq!(
                (delivery.id, Some(delivery.provider), Some(delivery.received_at)),
                (delivery_id, origin.provider, origin.received_at)
            );
            assert!(delivery.body.len() <= size_bytes);
            assert_round_trip(delivery_id, &delivery.body);
        }
    });
}

/// What a broker delivers: lines of headers, an empty line, the body.
#[test]
fn broker_messages() {
    let secret = include_str!("nowcerts-secret.json");
    let account = NowCerts::read_account(secret).unwrap();
    bolero::check!().with_iterations(RANDOM_INPUTS).with_max_len(8192).for_each(|input: &[u8]| {
        let (head, body) = halves(input, b"\n\n");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut properties = Properties::default();
        for line in head.split(|byte| *byte == b'\n') {
            let (name, value) = halves(line, b": ");
            match name {
                b"message-id" => properties.message_id = Some(text(value)),
                b"timestamp" => properties.timestamp = text(value).parse().ok(),
                b"type" => properties.kind = Some(text(value)),
                b"content-type" => properties.content_type = Some(text(value)),
                b"content-encoding" => properties.content_encoding = Some(text(value)),
                b"exchange" => properties.exchange = text(value),
                b"routing-key" => properties.routing_key = text(value),
                _ => properties.headers.push((text(name), value.to_vec())),
            }
        }
        let message = Message { body: Bytes::copy_from_slice(body), properties };
        let authentic = account.consumed(&account.queue, message);
        let delivery = VerifiedDelivery::new(authentic, DeliveryId::new(keys::now(), [2; 10]), keys::now());
        let size: usize =
            delivery.as_delivery().headers.iter().map(|header| header.name.len() + header.value.len()).sum();
        assert!(size <= 64 * 1024, "{size}");
        assert_read_back(&delivery);
    });
}

/// Any bytes as the body of a verified request.
fn assert_round_trip(id: DeliveryId, body: &Bytes) {
    let signed = intake_simulator::machnet::Key::new(&keys::MACHNET_SECRET).unwrap().sign(body.clone(), None);
    let secret = keys::secret(ProviderName::Machnet);
    let delivery = signed.verified::<intake_providers::machnet::Machnet>(&secret, id, keys::now()).unwrap();
    assert_read_back(&delivery);
}

/// What is written for the queue is accepted by SQS, and read as it was.
fn assert_read_back(delivery: &VerifiedDelivery) {
    let payloads = Memory::default();
    let message = QueueMessage::prepare(delivery, &payloads).now_or_never().unwrap().unwrap();
    let text = message.text();
    assert!(text.len() <= MAX_MESSAGE_BYTES);
    let is_accepted = |character: char| matches!(character, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..);
    assert!(text.chars().all(is_accepted), "{text:?}");
    let read = InboundMessage::parse(text).unwrap().fetch(&payloads).now_or_never().unwrap().unwrap();
    assert_eq!(&read, delivery.as_delivery());
}

#[test]
fn explanations() {
    let documents: BTreeMap<ProviderName, Vec<KeyDocument>> = ProviderName::ALL
        .iter()
        .map(|provider| {
            let text = keys::secret(*provider).into();
            (*provider, vec![KeyDocument { name: "keys".to_owned(), text, is_active: true }])
        })
        .collect();
    let documents = std::panic::AssertUnwindSafe(documents);
    bolero::check!().with_iterations(RANDOM_INPUTS / 4).with_max_len(2048).for_each(|input: &[u8]| {
        let (provider, input) = halves(input, b"\n");
        let provider = std::str::from_utf8(provider).ok().and_then(|name| name.parse::<ProviderName>().ok());
        let Some(provider) = provider else { return };
        let Request { path, headers, body } = Request::read(input, |body| keys::credential(provider, body));
        let request = CapturedRequest { method: Method::POST, target: path, headers, body };
        let explanation = explain(Some(provider), &request, &documents, keys::now());
        let shown = format!("{:?}", explanation.findings);
        assert!(!shown.contains(keys::PATH_SECRET) && !shown.contains(&**keys::TOKEN), "{shown}");
        assert!(!shown.contains(&**keys::MACHNET_SECRET), "{shown}");
        if explanation.answer == Some(Answer::Accepted) {
            assert!(!explanation.findings.is_empty());
        }
    });
}

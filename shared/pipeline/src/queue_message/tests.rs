use http::{HeaderMap, HeaderValue};
use intake_providers::timestamp::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::testing::{MemoryPayloads, verified};

fn delivery(headers: HeaderMap, body: impl Into<Bytes>) -> VerifiedDelivery {
    let received_at = Timestamp::parse("2026-11-21T09:30:00.123Z").unwrap();
    verified(DeliveryId::new(received_at, [7; 10]), received_at, headers, body.into())
}

async fn sent_and_read(delivery: &VerifiedDelivery, payloads: &MemoryPayloads) -> (QueueMessage, Delivery) {
    let document = QueueMessage::prepare(delivery, payloads).await.unwrap();
    let read = read(document.text(), payloads).await.unwrap();
    (document, read)
}

#[tokio::test]
async fn a_text_body_travels_as_readable_text() {
    let (document, _) =
        sent_and_read(&delivery(HeaderMap::new(), "{\"name\": \"Zoë\"}"), &MemoryPayloads::default()).await;
    assert!(document.text().contains(r#""body":{"text":"{\"name\": \"Zoë\"}"}"#), "{}", document.text());
    assert_eq!((document.group(), document.is_release()), ("machnet", false));
}

#[tokio::test]
async fn a_body_that_fits_stays_inside_and_one_byte_more_goes_to_the_payload_store() {
    let payloads = MemoryPayloads::default();
    let (empty, _) = sent_and_read(&delivery(HeaderMap::new(), "x"), &payloads).await;
    let room = MAX_MESSAGE_BYTES - (empty.text().len() - 1);

    let (document, read) = sent_and_read(&delivery(HeaderMap::new(), "x".repeat(room)), &payloads).await;
    assert_eq!(document.text().len(), MAX_MESSAGE_BYTES);
    assert!(!document.offloaded() && payloads.0.lock().unwrap().is_empty());
    assert_eq!(read.body.len(), room);

    let (document, read) = sent_and_read(&delivery(HeaderMap::new(), "x".repeat(room + 1)), &payloads).await;
    assert!(document.offloaded() && document.text().len() < 1_000);
    assert_eq!(read.body.len(), room + 1);
    let keys: Vec<String> = payloads.0.lock().unwrap().keys().cloned().collect();
    assert_eq!(keys, [format!("deliveries/machnet/2026/11/21/{}", read.id)]);
}

#[tokio::test]
async fn a_payload_that_was_changed_is_noticed() {
    let payloads = MemoryPayloads::default();
    let document = QueueMessage::prepare(&delivery(HeaderMap::new(), vec![b'x'; 2_000_000]), &payloads).await.unwrap();
    payloads.0.lock().unwrap().values_mut().for_each(|body| *body = Bytes::from_static(b"other"));
    assert!(matches!(read(document.text(), &payloads).await, Err(MessageError::DigestMismatch { .. })));
}

#[tokio::test]
async fn a_newer_version_fails_with_the_order_of_an_upgrade() {
    let payloads = MemoryPayloads::default();
    let document = QueueMessage::prepare(&delivery(HeaderMap::new(), "{}"), &payloads).await.unwrap();
    let newer = document.text().replace("\"version\":1", "\"version\":2");
    let error = read(&newer, &payloads).await.unwrap_err();
    assert!(matches!(error, MessageError::UnknownVersion { found: 2 }));
    assert!(error.to_string().contains("deploy processors before intakes"));
}

#[test]
fn a_document_that_cannot_be_written_is_an_error_and_not_an_empty_text() {
    let delivery = delivery(HeaderMap::new(), "{}");
    let id = delivery.as_delivery().id;
    // JSON has no member names but strings.
    let unwritable = std::collections::BTreeMap::from([((), "confidential")]);
    let error = PortError::from(serialize(id, &unwritable).unwrap_err());
    assert!(!error.may_have_taken_effect());
    let words = error.to_string();
    assert!(words.contains(&id.to_string()) && words.contains("cannot be written"), "{words}");
    assert!(!words.contains("confidential"), "{words}");
}

#[tokio::test]
async fn an_error_quotes_nothing_of_a_document_that_cannot_be_read() {
    for text in ["", "confidential", r#"{"version":"confidential"}"#, r#"{"version":1,"confidential":true}"#] {
        let error = read(text, &MemoryPayloads::default()).await.unwrap_err();
        assert!(matches!(error, MessageError::Undecodable(_)));
        assert!(!error.to_string().contains("confidential"), "{error}");
    }
}

/// SQS's own list, in its own numbers: #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF.
fn sqs_accepts(character: char) -> bool {
    let code = u32::from(character);
    matches!(code, 0x9 | 0xA | 0xD)
        || (0x20..=0xD7FF).contains(&code)
        || (0xE000..=0xFFFD).contains(&code)
        || code >= 0x10000
}

#[tokio::test]
async fn text_that_the_queue_would_refuse_travels_as_base64() {
    for (text, readable) in
        [("\u{fffd}", true), ("\u{fffe}", false), ("\u{ffff}", false), ("\u{0}", false), ("\t\r\n", true)]
    {
        let (document, read) = sent_and_read(&delivery(HeaderMap::new(), text), &MemoryPayloads::default()).await;
        assert!(document.text().chars().all(sqs_accepts));
        assert_eq!(document.text().contains(r#""body":{"text""#), readable, "{text:?}");
        assert_eq!(read.body, text);
    }
}

proptest! {
    #[test]
    fn any_bytes_and_any_header_values_come_back_and_the_queue_takes_every_character(
        body in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            any::<String>().prop_map(String::into_bytes),
            "[\u{0}-\u{20}\u{fffd}-\u{ffff}\"\\\\]{0,40}".prop_map(String::into_bytes),
        ],
        values in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..4),
    ) {
        let mut headers = HeaderMap::new();
        for value in values.iter().filter_map(|value| HeaderValue::from_bytes(value).ok()) {
            headers.append("x-raas-event", value);
        }
        let delivery = delivery(headers, body.clone());
        let payloads = MemoryPayloads::default();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (document, read) = runtime.block_on(sent_and_read(&delivery, &payloads));
        prop_assert_eq!(&read, delivery.as_delivery());
        prop_assert_eq!(&read.body[..], &body[..]);
        prop_assert!(document.text().chars().all(sqs_accepts));
        prop_assert!(document.text().len() <= MAX_MESSAGE_BYTES);
    }
}

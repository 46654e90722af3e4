use proptest::prelude::*;

use super::*;
use crate::testing::delivery;

const BODY: &[u8] = br#"{"Id": "e-1", "Name": "Policy", "Number": 12345678901234567890123}"#;

fn settings(pointer: &str) -> Settings {
    Settings { id_pointer: (!pointer.is_empty()).then(|| pointer.parse().unwrap()) }
}

fn event(headers: &[(&str, &str)], body: &[u8]) -> Event {
    Settings::default().event(&delivery(ProviderName::NowCerts, headers, body))
}

#[test]
fn an_event_carries_what_the_broker_and_the_publisher_say() {
    let found = event(
        &[
            ("amqp-message-id", "m-1"),
            ("amqp-timestamp", "1795257000"),
            ("amqp-type", "PolicyUpdated"),
            ("amqp-redelivered", "true"),
            ("amqp-exchange", "changes"),
            ("amqp-routing-key", "policy"),
            ("amqp-delivery-count", "2"),
            ("amqp-queue", "events"),
        ],
        BODY,
    );
    assert_eq!(
        (found.cloud_event.id.as_str(), found.cloud_event.event_type.as_str()),
        ("m-1", "nowcerts.PolicyUpdated")
    );
    assert_eq!(found.cloud_event.source, "/queues/nowcerts/main");
    assert_eq!(found.cloud_event.time.as_deref(), Some("2026-11-21T10:30:00.000Z"));
    assert_eq!(found.cloud_event.datacontenttype, "application/json");
    assert_eq!(found.data, BODY);
    for (name, value) in [
        ("identified_by", "message-id"),
        ("redelivered", "true"),
        ("queue", "events"),
        ("exchange", "changes"),
        ("routing_key", "policy"),
        ("delivery_count", "2"),
        ("timestamp", "1795257000"),
    ] {
        assert_eq!(found.attributes[name], value);
    }
    assert_eq!(found.kind.aliases().0, None);
}

#[test]
fn the_message_id_identifies_an_event_whatever_the_queue_and_the_delivery() {
    let main = event(&[("amqp-message-id", "m-1"), ("amqp-queue", "events")], BODY);
    let mut replayed = delivery(ProviderName::NowCerts, &[("amqp-message-id", "m-1"), ("amqp-queue", "replay")], BODY);
    replayed.id = "0199d1f0-0000-7000-8000-000000000000".parse().unwrap();
    let replayed = Settings::default().event(&replayed);
    assert_eq!(
        (main.identity, &main.cloud_event.id, main.digest),
        (replayed.identity, &replayed.cloud_event.id, replayed.digest)
    );
    assert_ne!(main.identity, event(&[("amqp-message-id", "m-2")], BODY).identity);
}

#[test]
fn a_pointer_finds_the_id_of_a_message_that_has_none() {
    for (pointer, id) in [("/Id", "e-1"), ("/Number", "12345678901234567890123")] {
        let found = settings(pointer).event(&delivery(ProviderName::NowCerts, &[("amqp-message-id", "")], BODY));
        assert_eq!((found.cloud_event.id.as_str(), found.attributes["identified_by"].as_str()), (id, "content"));
        assert_eq!(found.kind.aliases().0, None);
    }
    let named = settings("/Id").event(&delivery(ProviderName::NowCerts, &[("amqp-message-id", "m-1")], BODY));
    assert_eq!(named.cloud_event.id, "m-1", "the message's own id comes first");
    let same_text = event(&[("amqp-message-id", "e-1")], BODY);
    let by_pointer = settings("/Id").event(&delivery(ProviderName::NowCerts, &[], BODY));
    assert_ne!(same_text.identity, by_pointer.identity, "the two kinds of id are two name spaces");
}

#[test]
fn a_pointer_walks_objects_and_arrays_and_unescapes_as_rfc_6901_says() {
    let body = br#"{"a/b":[{"m~n":"deep"},{"":"empty"}],"":"root"}"#;
    for (pointer, id) in [("/a~1b/0/m~0n", Some("deep")), ("/a~1b/1/", Some("empty")), ("/", Some("root"))] {
        assert_eq!(pointer.parse::<JsonPointer>().unwrap().text_in(body).as_deref(), id, "{pointer}");
    }
    for pointer in ["/a~1b/2", "/a~1b/00/m~0n", "/a~1b", "/a~1b/0", "/missing"] {
        assert_eq!(pointer.parse::<JsonPointer>().unwrap().text_in(body), None, "{pointer}");
    }
    for text in ["", "Id", "$.Id", "/a~", "/a~2"] {
        assert!(text.parse::<JsonPointer>().is_err(), "{text:?}");
    }
}

#[test]
fn an_id_that_a_pointer_finds_is_neither_empty_nor_too_long() {
    let pointer: JsonPointer = "/Id".parse().unwrap();
    for (length, is_id) in [(0, false), (1, true), (MAX_TEXT_BYTES, true), (MAX_TEXT_BYTES + 1, false)] {
        let body = format!(r#"{{"Id":"{}"}}"#, "i".repeat(length));
        assert_eq!(pointer.text_in(body.as_bytes()).is_some(), is_id, "{length}");
    }
}

#[test]
fn without_an_id_every_delivery_is_its_own_event_and_the_same_content_has_the_same_alias() {
    let first = delivery(ProviderName::NowCerts, &[("amqp-queue", "events")], BODY);
    let mut second = delivery(ProviderName::NowCerts, &[("amqp-queue", "replay"), ("amqp-redelivered", "true")], BODY);
    second.id = "0199d1f0-0000-7000-8000-000000000000".parse().unwrap();
    for settings in [settings(""), settings("/missing")] {
        let (first, second) = (settings.event(&first), settings.event(&second));
        assert_ne!(first.identity, second.identity);
        assert_eq!(first.attributes["identified_by"], "delivery");
        assert_eq!(first.kind.aliases().0, second.kind.aliases().0);
        assert_eq!(first.kind.aliases().0.unwrap().lifetime, REPEAT_MEMORY);
    }
}

#[test]
fn other_bytes_another_time_or_another_type_is_not_a_repeat() {
    let alias = |headers: &[(&str, &str)], body: &[u8]| event(headers, body).kind.aliases().0.cloned();
    let first = alias(&[("amqp-timestamp", "1"), ("amqp-type", "a")], BODY);
    assert_ne!(first, alias(&[("amqp-timestamp", "2"), ("amqp-type", "a")], BODY));
    assert_ne!(first, alias(&[("amqp-timestamp", "1"), ("amqp-type", "b")], BODY));
    assert_ne!(first, alias(&[("amqp-timestamp", "1"), ("amqp-type", "a")], b"{}"));
    assert_eq!(first, alias(&[("amqp-timestamp", "1"), ("amqp-type", "a"), ("amqp-exchange", "x")], BODY));
}

#[test]
fn content_is_compared_in_its_canonical_form_where_it_is_json_and_by_its_bytes_elsewhere() {
    let digest = |body: &[u8]| event(&[("amqp-message-id", "m")], body).digest;
    assert_eq!(digest(br#"{"a":1,"b":2}"#), digest(br#"{ "b": 2, "a": 1 }"#));
    assert_ne!(digest(br#"{"a":1}"#), digest(br#"{"a":1.0}"#));
    assert_ne!(digest(b"not json"), digest(b"not  json"));
    assert_ne!(digest(br#"{"a":1,"a":2}"#), digest(br#"{"a":1, "a":2}"#), "ambiguous json is compared by its bytes");
}

#[test]
fn the_type_of_the_content_is_the_publishers_or_what_it_turns_out_to_be() {
    let kind = |headers: &[(&str, &str)], body: &[u8]| event(headers, body).cloud_event.datacontenttype;
    assert_eq!(kind(&[("content-type", "text/xml")], b"<a/>"), "text/xml");
    assert_eq!(kind(&[("content-type", "")], b"[1]"), "application/json");
    assert_eq!(kind(&[], b"\xff\xfe"), "application/octet-stream");
    assert_eq!(kind(&[], b""), "application/octet-stream");
    assert_eq!(event(&[], b"").cloud_event.event_type, "nowcerts.event");
}

#[test]
fn a_time_outside_rfc_3339_is_kept_only_as_an_attribute() {
    let found = event(&[("amqp-timestamp", "18446744073709551615")], BODY);
    assert_eq!((found.cloud_event.time, found.attributes["timestamp"].as_str()), (None, "18446744073709551615"));
}

proptest! {
    #[test]
    fn no_message_is_malformed_and_its_bytes_are_kept(
        body in prop::collection::vec(any::<u8>(), 0..200),
        kind in "\\PC{0,20}",
        pointer in prop::option::of("(/[a-z~0]{0,3}){1,3}"),
    ) {
        let settings = Settings { id_pointer: pointer.and_then(|text| text.parse().ok()) };
        let found = settings.event(&delivery(ProviderName::NowCerts, &[("amqp-type", &kind)], &body));
        prop_assert_eq!(&found.data[..], &body[..]);
        prop_assert!(!found.cloud_event.id.is_empty());
    }
}

use bytes::Bytes;
use serde_json::Value;

use super::stories::World;
use super::*;

const MACHNET: ProviderName = ProviderName::Machnet;
const NOWCERTS: ProviderName = ProviderName::NowCerts;
const JSON: [(&str, &str); 2] = [("content-type", "application/json"), ("amqp-message-id", "1")];

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

async fn one(world: &mut World, provider: ProviderName, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Value {
    let envelopes = world.sent(provider, headers, body).await;
    let [envelope] = &envelopes[..] else { panic!("{envelopes:?}") };
    parsed(envelope)
}

#[tokio::test(start_paused = true)]
async fn an_envelope_has_the_members_in_the_order_of_the_specification_and_the_data_to_the_byte() {
    let body = r#"{"id":"e1", "event_name":"done","amount": 1.10,"n":12345678901234567890123 }"#;
    let envelopes = World::default().sent(MACHNET, &[], body).await;
    let expected = format!(
        "{}{}{}{}",
        r#"{"specversion":"1.0","id":"e1","source":"/webhooks/machnet/main","type":"machnet.done","#,
        r#""datacontenttype":"application/json","outcome":"stored","account":"main","#,
        r#""deliveryid":"019aa5d9-4fc0-7101-8101-010101010101","deliveryindex":0,"receivedat":"2026-11-21T09:30:00.000Z","#,
        format_args!(r#""data":{body}}}"#),
    );
    let without_id = |text: &str| {
        let start = text.find("\"deliveryid\"").unwrap();
        let end = start + text[start..].find(',').unwrap();
        format!("{}{}", &text[..start], &text[end..])
    };
    assert_eq!(without_id(&envelopes[0]), without_id(&expected));
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_and_quarantined_content_have_no_envelope() {
    let mut world = World::default();
    let body = r#"{"id":"e1","event_name":"done"}"#;
    assert_eq!(world.sent(MACHNET, &[], body).await.len(), 1);
    assert_eq!(world.sent(MACHNET, &[], body).await.len(), 0);
    let quarantined = world.deliver(MACHNET, &[], "{").await;
    assert!(matches!(&quarantined[..], [Entry::Quarantine(_)]));
    assert_eq!(world.envelopes(&quarantined).await.len(), 0);

    // The entry of an entity's duplicate is an event's, and its data are with another one.
    let entity = r#"{"domainComponentName":"agent","state":"Current",
        "payload":{"organisationName":"o","businessId":"b","id":"1"}}"#;
    assert_eq!(world.sent(ProviderName::NurtureCloud, &[], entity).await.len(), 1);
    let entries = world.deliver(ProviderName::NurtureCloud, &[], entity).await;
    let [Entry::Event(duplicate)] = &entries[..] else { panic!("{entries:?}") };
    assert!(matches!(duplicate.data, EventData::Elsewhere { .. }));
    assert_eq!(world.envelopes(&entries).await.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_has_an_id_of_its_own_so_that_nobody_drops_it_as_known() {
    let mut world = World::default();
    let first = one(&mut world, MACHNET, &[], r#"{"id":"e1","event_name":"done","amount":1}"#).await;
    let other = one(&mut world, MACHNET, &[], r#"{"id":"e1","event_name":"done","amount":2}"#).await;
    let third = one(&mut world, MACHNET, &[], r#"{"id":"e1","event_name":"done","amount":3}"#).await;
    assert_eq!((&first["id"], first.get("conflictwith")), (&"e1".into(), None));
    for conflict in [&other, &third] {
        assert_eq!((&conflict["outcome"], &conflict["conflictwith"]), (&"conflict".into(), &"e1".into()));
        assert!(conflict["id"].as_str().unwrap().starts_with("e1#conflict#"), "{conflict}");
    }
    assert_ne!(other["id"], third["id"]);
    assert_eq!(other["data"]["amount"], 2);
}

#[tokio::test(start_paused = true)]
async fn data_from_the_payload_store_are_inside_up_to_the_limit_and_a_reference_beyond_it() {
    let mut world = World::default();
    let body_of = |bytes: usize| format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
    let small = world.sent(NOWCERTS, &JSON, body_of(100_000)).await.remove(0);
    assert_eq!(parsed(&small)["data"], parsed(&body_of(100_000)));

    let room = MAX_ENVELOPE_BYTES - (small.len() - 100_000);
    let mut world = World::default();
    let largest = world.sent(NOWCERTS, &JSON, body_of(room)).await.remove(0);
    assert_eq!(largest.len(), MAX_ENVELOPE_BYTES);

    for bytes in [room + 1, 1_000_000] {
        let mut world = World::default();
        let envelope = one(&mut world, NOWCERTS, &JSON, body_of(bytes)).await;
        assert_eq!((envelope.get("data"), envelope.get("data_base64")), (None, None));
        let key = envelope["dataref"].as_str().unwrap().strip_prefix("s3://payloads/").unwrap();
        let stored = world.payloads.get(&PayloadKey::new(key.to_owned())).await.unwrap();
        assert_eq!(stored, body_of(bytes));
    }
}

#[tokio::test(start_paused = true)]
async fn data_that_are_too_large_are_not_fetched() {
    let mut world = World::default();
    let entries = world.deliver(NOWCERTS, &JSON, format!("\"{}\"", "x".repeat(MAX_ENVELOPE_BYTES))).await;
    world.payloads.0.lock().unwrap().clear();
    assert!(world.envelopes(&entries).await[0].contains("\"dataref\":\"s3://payloads/events/nowcerts/"));

    let mut world = World::default();
    let entries = world.deliver(NOWCERTS, &JSON, format!("\"{}\"", "x".repeat(20_000))).await;
    world.payloads.0.lock().unwrap().clear();
    let writer = EnvelopeWriter::new(world.payloads.clone(), PayloadLocation::below("s3://payloads/"));
    let error = writer.write(&entries[0], JsonForm::Value).await.unwrap_err();
    assert!(matches!(error, EnvelopeError::Port(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn json_that_was_not_announced_as_such_is_inside_as_far_as_announced_json_is() {
    let headers = [("content-type", "json"), ("amqp-message-id", "1")];
    for (bytes, is_inside) in [(200_000, true), (MAX_ENVELOPE_BYTES, false)] {
        let body = format!("\"{}\"", "x".repeat(bytes - 2));
        let envelope = one(&mut World::default(), NOWCERTS, &headers, body).await;
        assert_eq!(envelope["datacontenttype"], "application/json");
        assert_eq!((envelope["data"].is_string(), envelope["dataref"].is_string()), (is_inside, !is_inside), "{bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_encloses_an_event_goes_along_as_text_or_as_a_reference() {
    let mut world = World::default();
    let batch = |note: &str| format!("{{\"events\":[{{\"code\":\"a\"}}],\n\t\"channel\":\"c\", \"note\":\"{note}\"}}");
    let envelope = one(&mut world, ProviderName::Sterling, &[], batch("n")).await;
    let context = envelope["deliverycontext"].as_str().unwrap();
    assert!(!context.contains(char::is_control), "{context:?}");
    assert_eq!(parsed(context), serde_json::json!({"batch": {"channel": "c", "note": "n"}}));
    assert_eq!(envelope["channel"], "c");

    let envelope = one(&mut world, ProviderName::Sterling, &[], batch(&"n".repeat(2_000))).await;
    assert_eq!(envelope.get("deliverycontext"), None);
    let key = envelope["deliverycontextref"].as_str().unwrap().strip_prefix("s3://payloads/").unwrap();
    assert!(world.payloads.get(&PayloadKey::new(key.to_owned())).await.unwrap().starts_with(b"{\"batch\":{"));
}

#[tokio::test(start_paused = true)]
async fn an_entity_can_be_followed_by_its_name_and_version_alone() {
    let mut world = World::default();
    let notification = |state: &str, id: &str, rest: &str| {
        format!(
            r#"{{"domainComponentName":"agent","state":"{state}","payload":{{"organisationName":"a/b","businessId":"b 1","id":"{id}"{rest}}}}}"#
        )
    };
    let nurturecloud = ProviderName::NurtureCloud;
    let mut sent = Vec::new();
    for (state, rest) in [
        ("Created", r#","n":"A""#),
        ("Updated", r#","n":"B""#),
        ("Deleted", ""),
        ("Created", r#","n":"C""#),
        ("Deleted", r#","mergedInto":{"organisationName":"a/b","businessId":"b 1","id":"2"}"#),
    ] {
        sent.push(one(&mut world, nurturecloud, &[], notification(state, "1", rest)).await);
    }
    assert!(sent.iter().all(|envelope| envelope["entity"] == "agent/a%2Fb/b%201/1"), "{sent:#?}");
    let versions: Vec<u64> = sent.iter().map(|envelope| envelope["entityversion"].as_u64().unwrap()).collect();
    assert_eq!(versions, [1, 2, 3, 4, 5]);
    let changes: Vec<&str> = sent.iter().map(|envelope| envelope["entitychange"].as_str().unwrap()).collect();
    assert_eq!(changes, ["created", "changed", "deleted", "revived", "merged"]);
    let merged: Vec<Option<&str>> = sent.iter().map(|envelope| envelope["mergedinto"].as_str()).collect();
    assert_eq!(merged, [None, None, None, None, Some("agent/a%2Fb/b%201/2")]);
}

#[tokio::test(start_paused = true)]
async fn the_content_of_an_entity_goes_along_where_the_data_are_not_it() {
    for (name, is_inline) in [("B".to_owned(), true), ("B".repeat(5_000), false)] {
        let mut world = World::default();
        let mut changes = Vec::new();
        // The second to arrive is processed last. It brings the entity back, whose content is that of the third.
        for (number, state, content) in [(1, "Deleted", ""), (3, "Updated", name.as_str()), (2, "Current", "A")] {
            world.number = number - 1;
            let body = format!(
                r#"{{"domainComponentName":"agent","state":"{state}","payload":{{"organisationName":"o","businessId":"b","id":"1","n":"{content}"}}}}"#
            );
            changes.push(one(&mut world, ProviderName::NurtureCloud, &[], body).await);
        }
        let [_, late, revived] = &changes[..] else { panic!("{changes:?}") };
        assert_eq!((&late["entitychange"], &revived["entitychange"]), (&"late".into(), &"revived".into()));
        assert_eq!(revived["data"]["n"], "A");
        if is_inline {
            assert_eq!(parsed(revived["entitycontent"].as_str().unwrap())["n"], "B");
        } else {
            let key = revived["entitycontentref"].as_str().unwrap().strip_prefix("s3://payloads/").unwrap();
            let content = world.payloads.get(&PayloadKey::new(key.to_owned())).await.unwrap();
            assert_eq!(parsed(std::str::from_utf8(&content).unwrap()), late["data"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn text_that_cloudevents_forbids_is_encoded_and_an_empty_subject_is_absent() {
    let mut world = World::default();
    let body = r#"{"id":"a\nb","event_name":"x\u0000y","resource_id":"s\u007f%0A"}"#;
    let envelope = one(&mut world, MACHNET, &[], body).await;
    assert_eq!((&envelope["id"], &envelope["type"]), (&"a%0Ab".into(), &"machnet.x%00y".into()));
    assert_eq!(envelope["subject"], "s%7F%250A");

    let triples = r#"[{"name":"itemId","type":"String","value":""}]"#;
    let event = format!(r#"{{"code":"c","attributes":{triples}}}"#);
    let envelope = one(&mut world, ProviderName::Sterling, &[], event).await;
    assert_eq!(envelope.get("subject"), None);
}

#[tokio::test(start_paused = true)]
async fn what_a_forger_can_choose_and_what_serves_nobody_does_not_go_along() {
    let mut world = World::default();
    let accredit = ProviderName::Accredit;
    let body = |event: &str| format!(r#"{{"Event":"{event}","Timestamp":"2026-11-21T09:30:00Z"}}"#);
    for event in ["a", "b"] {
        let entries = world.deliver(accredit, &[("x-jobid", "forged")], body(event)).await;
        let envelopes = world.envelopes(&entries).await;
        assert!(!envelopes[0].contains("forged") && !envelopes[0].contains("job"), "{envelopes:?}");
        assert!(!envelopes[0].contains("fingerprint"), "{envelopes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_should_have_an_envelope_and_cannot_is_an_error_and_not_skipped() {
    let mut world = World::default();
    let entity = r#"{"domainComponentName":"agent","state":"Current",
        "payload":{"organisationName":"o","businessId":"b","id":"1"}}"#;
    let mut entries = world.deliver(ProviderName::NurtureCloud, &[], entity).await;
    entries.retain(|entry| matches!(entry, Entry::Event(_)));
    let Entry::Event(event) = &entries[0] else { panic!("{entries:?}") };
    let writer = EnvelopeWriter::new(world.payloads.clone(), PayloadLocation::below("s3://payloads/"));
    let changed = |change: &dyn Fn(&mut EventEntry)| {
        let mut event = event.clone();
        change(&mut event);
        Entry::Event(event)
    };
    let elsewhere = changed(&|event| event.data = EventData::Elsewhere { same_data_as: "e".to_owned() });
    assert!(matches!(writer.write(&elsewhere, JsonForm::Value).await, Err(EnvelopeError::DataElsewhere { .. })));
    let version = changed(&|event| event.entity.as_mut().unwrap().version = 1 << 31);
    assert!(matches!(writer.write(&version, JsonForm::Value).await, Err(EnvelopeError::TooLargeANumber { .. })));
    let subject = changed(&|event| event.cloud_event.subject = Some("s".repeat(MAX_ENVELOPE_BYTES)));
    assert!(matches!(writer.write(&subject, JsonForm::Value).await, Err(EnvelopeError::TooLarge { .. })));
}

#[tokio::test(start_paused = true)]
async fn json_can_be_written_as_bytes_for_a_bus_that_does_not_take_it() {
    let mut world = World::default();
    let entries = world.deliver(MACHNET, &[], r#"{"id":"e1","event_name":"done","n":1e400}"#).await;
    let writer = EnvelopeWriter::new(world.payloads.clone(), PayloadLocation::below("s3://payloads/"));
    let entry = entries.iter().find(|entry| matches!(entry, Entry::Event(_))).unwrap();
    let envelope = writer.write(entry, JsonForm::Base64).await.unwrap().unwrap();
    assert!(envelope.text.ends_with(r#""data_base64":"eyJpZCI6ImUxIiwiZXZlbnRfbmFtZSI6ImRvbmUiLCJuIjoxZTQwMH0="}"#));
    assert!(envelope.text.contains(r#""datacontenttype":"application/json""#));
}

#[test]
fn a_message_is_named_after_source_and_id_alone_and_by_every_release_alike() {
    let named = |source: &str, id: &str| {
        let (source, id) = (source.to_owned(), id.to_owned());
        let (event_type, text) = ("machnet.done".to_owned(), String::new());
        WrittenEnvelope { provider: MACHNET, source, id, event_type, entity: None, text }.message_id()
    };
    // Receivers drop what they know, so another name would be another event for them.
    assert_eq!(named("/webhooks/machnet/main", "e1"), "evt_83f397fc89128bea4625f78bf5ac8e7e");
    assert_ne!(named("/webhooks/machnet/main", "e2"), named("/webhooks/machnet/main", "e1"));
    assert_ne!(named("/webhooks/machnet/maine", "1"), named("/webhooks/machnet/main", "e1"));
}

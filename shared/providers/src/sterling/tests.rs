use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{delivery, headers};

const BATCH: &str = include_str!("../../tests/payloads/sterling-eventbatch.json");

fn read(body: &str) -> SplitEvents {
    split(&delivery(Provider::Sterling, &[], body.as_bytes()))
}

fn events(body: &str) -> Vec<Event> {
    read(body).unwrap().into_iter().map(|event| event.unwrap()).collect()
}

fn ids(body: &str) -> Vec<String> {
    let mut ids: Vec<String> = events(body).into_iter().map(|event| event.id).collect();
    ids.sort();
    ids
}

#[test]
fn a_batch_becomes_its_events_each_with_its_type_channel_attributes_and_own_bytes() {
    let events = events(BATCH);
    let [first, second] = &events[..] else { panic!("{events:?}") };
    assert_eq!(first.event_type, "sterling.supplyChange");
    assert_eq!(second.event_type, "sterling.supplyChange.v2");
    assert_eq!(first.time.as_deref(), Some("2020-01-18T06:00:00.021Z"));
    assert_eq!(first.subject.as_deref(), Some("item-1"));
    assert_eq!(first.source, "/webhooks/sterling/main");
    for (name, value) in [
        ("channel", "Order Management"),
        ("identifiers", r#"[{"name":"orderNo","value":"7"}]"#),
        ("timestamp", "2020-01-18T06:00:00.021Z"),
        ("attribute.tenantId", "tenant1"),
        ("attribute.quantity", "1.0"),
    ] {
        assert_eq!(first.attributes[name], value);
    }
    let slice = std::str::from_utf8(&first.data).unwrap();
    assert!(slice.starts_with("{ \"code\"") && BATCH.contains(slice), "{slice}");
}

#[test]
fn a_batch_cut_differently_or_in_another_order_holds_the_same_events() {
    let batch: Value = serde_json::from_str(BATCH).unwrap();
    let whole = &batch["eventbatch"][0];
    let cut = |events: &[usize]| {
        let mut part = whole.clone();
        part["events"] = events.iter().map(|index| whole["events"][*index].clone()).collect();
        part
    };
    for other in [
        json!({"eventbatch": [cut(&[1]), cut(&[0])]}),
        json!([{"eventbatch": [cut(&[1])]}, cut(&[0])]),
        json!([cut(&[0]), {"eventbatch": [cut(&[1])]}]),
        cut(&[1, 0]),
    ] {
        assert_eq!(ids(&other.to_string()), ids(BATCH), "{other}");
    }
}

#[test]
fn a_single_event_and_an_array_of_events_are_read() {
    let event = r#"{"code":"demandChange","timestamp":"2020-01-18T06:00:00Z","attributes":[]}"#;
    assert_eq!(events(event)[0].event_type, "sterling.demandChange");
    assert_eq!(events(&format!("[{event},{}]", event.replace("demand", "supply"))).len(), 2);
    assert_eq!(ids(&format!("[{event}]")), ids(event));
    let eighty: Vec<String> = (0..80).map(|number| event.replace("[]", &format!("[{number}]"))).collect();
    assert_eq!(events(&format!("[{}]", eighty.join(","))).len(), 80);
}

#[test]
fn the_same_event_twice_in_one_delivery_is_two_events() {
    let event = r#"{"code":"supplyChange","timestamp":"t"}"#;
    let twice = events(&format!("[{event}, {event} ]"));
    assert_eq!(twice[1].id, format!("{}.1", twice[0].id));
    assert_ne!(twice[0].identity, twice[1].identity);
    assert_eq!((twice[0].attributes.get("copy"), twice[1].attributes["copy"].as_str()), (None, "1"));
}

#[test]
fn events_that_differ_in_channel_identifiers_or_a_number_s_spelling_are_different() {
    let batch = |channel: &str, identifiers: &str, value: &str| {
        format!(
            r#"{{"channel":"{channel}","identifiers":{identifiers},"events":[{{"code":"c","attributes":[{{"name":"n","value":{value}}}]}}]}}"#
        )
    };
    let id = |body: String| events(&body)[0].identity;
    let first = id(batch("a", "[]", r#""1.0""#));
    for other in [
        batch("b", "[]", r#""1.0""#),
        batch("a", "[1]", r#""1.0""#),
        batch("a", "[]", r#""1.00""#),
        batch("a", "[]", "1.0"),
    ] {
        assert_ne!(id(other.clone()), first, "{other}");
    }
}

#[test]
fn one_malformed_event_does_not_take_its_batch_along() {
    let body = r#"{"eventbatch":[{"channel":"a","events":[{"code":"c"},{"timestamp":"no code"},7,{"code":"d","x":1,"x":2}]},
        {"channel":"b"},{"channel":"c","events":[{"code":"e"}]}]}"#;
    let found = read(body).unwrap();
    let reasons: Vec<Option<String>> =
        found.iter().map(|event| event.as_ref().err().map(|malformed| malformed.reason.to_string())).collect();
    let reason = |text: &str| Some(text.to_owned());
    assert_eq!(
        reasons,
        [
            None,
            reason(r#"the member "code" is missing"#),
            reason("the content is not a JSON object"),
            reason(r#"the member "x" comes more than once in one object"#),
            reason(r#"the member "events" is missing"#),
            None,
        ]
    );
    assert_eq!(found[1].as_ref().unwrap_err().data, r#"{"channel":"a","events":[{"timestamp":"no code"}]}"#);
}

#[test]
fn a_malformed_event_keeps_what_surrounds_it_so_that_its_release_has_the_same_identity() {
    let body = r#"{"eventbatch":[{"channel":"a","identifiers":[ 1 ],"events":[{"code":"c", "x":1},{"x":1}]}]}"#;
    let found = read(body).unwrap();
    let released = std::str::from_utf8(&found[1].as_ref().unwrap_err().data).unwrap();
    let repaired = released.replace(r#"{"x":1}"#, r#"{"code":"c", "x":1}"#);
    assert_eq!(events(&repaired)[0].identity, found[0].as_ref().unwrap().identity);
}

#[test]
fn a_delivery_without_events_or_of_another_form_is_malformed_whole() {
    for empty in ["[]", r#"{"eventbatch":[]}"#, r#"{"eventbatch":[{"events":[]}]}"#] {
        assert_eq!(read(empty), Err(Malformed::NoEvents), "{empty}");
    }
    assert_eq!(read("7"), Err(Malformed::NotAnObject));
    assert!(matches!(read("{"), Err(Malformed::NotJson(_))));
    let not_utf8 = delivery(Provider::Sterling, &[], b"\xff");
    assert_eq!(split(&not_utf8), Err(Malformed::NotUtf8));
}

#[test]
fn attributes_of_unreasonable_number_or_size_stay_in_the_data_alone() {
    let triples: Vec<Value> = (0..100).map(|n| json!({"name": format!("n{n}"), "value": "v".repeat(n * 20)})).collect();
    let event = events(&json!({"code": "c", "attributes": triples}).to_string()).remove(0);
    assert_eq!(event.attributes.len(), MOST_ATTRIBUTES);
    assert!(event.attributes.values().all(|value| value.len() <= LONGEST_ATTRIBUTE_BYTES));
    assert!(std::str::from_utf8(&event.data).unwrap().contains("n99"));
}

#[test]
fn a_bearer_token_is_taken_from_the_header_whatever_the_scheme_s_case() {
    for value in ["Bearer abc.def-_.x", "bearer abc", "BEARER  abc="] {
        assert!(Sterling::proof("", &headers(&[("authorization", value)])).is_ok(), "{value}");
    }
    assert_eq!(Sterling::proof("", &headers(&[])).err(), Some(Refusal::TokenMissing));
    let long = format!("Bearer {}", "a".repeat(LONGEST_TOKEN_BYTES + 1));
    for value in ["abc", "Basic abc", "Bearer", "Bearer ", "Bearer a,Bearer b", "Bearer a b", long.as_str()] {
        assert_eq!(
            Sterling::proof("", &headers(&[("authorization", value)])).err(),
            Some(Refusal::TokenMalformed),
            "{value}"
        );
    }
    let twice = headers(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]);
    assert_eq!(Sterling::proof("", &twice).err(), Some(Refusal::TokenMalformed));
}

#[test]
fn the_answers_are_those_that_sterling_understands() {
    for (answer, status, challenge) in [
        (Answer::Accepted, 200, None),
        (Answer::SendAgain(Trouble::QueueUnavailable), 503, None),
        (Sterling::no_key_matches(KeysAre::Outdated), 503, None),
        (Sterling::no_key_matches(KeysAre::Current), 401, Some("not valid")),
        (Answer::Refused(Refusal::TokenInvalid), 401, Some("invalid_token")),
        (Answer::Refused(Refusal::TokenExpired), 401, Some("expired")),
        (Answer::Refused(Refusal::TokenMissing), 401, Some("realm")),
        (Answer::Refused(Refusal::MethodNotAllowed), 405, None),
        (Answer::Refused(Refusal::BodyTooLarge { limit_bytes: 1 }), 413, None),
    ] {
        assert_eq!(Sterling::status(&answer), status, "{answer:?}");
        let found = Sterling::challenge(&answer);
        assert_eq!(found.is_some(), challenge.is_some(), "{answer:?}");
        assert!(found.is_none_or(|found| found.to_str().unwrap().contains(challenge.unwrap())), "{answer:?}");
    }
}

proptest! {
    /// However a list of events is cut into batches and ordered, it is the same set of events.
    #[test]
    fn every_cut_and_order_of_a_batch_gives_the_same_identities(
        codes in prop::collection::vec(0..4_u8, 1..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        rotation in any::<prop::sample::Index>(),
    ) {
        let event = |code: &u8| json!({"code": format!("c{code}"), "timestamp": "t"});
        let batch = |codes: &[u8]| json!({"channel": "a", "events": codes.iter().map(event).collect::<Vec<_>>()});
        let whole = ids(&json!({"eventbatch": [batch(&codes)]}).to_string());
        let mut rotated = codes.clone();
        rotated.rotate_left(rotation.index(codes.len()));
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(codes.len())).collect();
        ends.push(codes.len());
        ends.sort_unstable();
        let mut start = 0;
        let mut batches = Vec::new();
        for end in ends {
            batches.push(batch(&rotated[start..end]));
            start = end;
        }
        prop_assert_eq!(ids(&json!({"eventbatch": batches}).to_string()), whole);
    }
}

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::testing::{delivery, headers};

const BATCH: &str = include_str!("../../tests/payloads/sterling-eventbatch.json");

fn read(body: &str) -> Result<Vec<Result<Event, MalformedEvent>>, Malformed> {
    let delivery = delivery(ProviderName::Sterling, &[], body.as_bytes());
    let events = Sterling::split(&delivery, &())?;
    let len = events.len();
    let found: Vec<_> = events.collect();
    assert_eq!(found.len(), len, "{body}");
    Ok(found)
}

fn reasons(body: &str) -> Vec<Option<String>> {
    read(body).unwrap().iter().map(|event| event.as_ref().err().map(|malformed| malformed.reason.to_string())).collect()
}

fn envelope(event: &Event) -> Option<&str> {
    event.envelope.as_ref().map(|envelope| std::str::from_utf8(&envelope.data).unwrap())
}

fn events(body: &str) -> Vec<Event> {
    read(body).unwrap().into_iter().map(|event| event.unwrap()).collect()
}

fn ids(body: &str) -> Vec<String> {
    let mut ids: Vec<String> = events(body).into_iter().map(|event| event.cloud_event.id).collect();
    ids.sort();
    ids
}

#[test]
fn a_batch_becomes_its_events_each_with_its_type_channel_attributes_and_own_bytes() {
    let events = events(BATCH);
    let [first, second] = &events[..] else { panic!("{events:?}") };
    assert_eq!(first.cloud_event.event_type, "sterling.supplyChange");
    assert_eq!(second.cloud_event.event_type, "sterling.supplyChange.v2");
    assert_eq!(first.cloud_event.time.as_deref(), Some("2020-01-18T06:00:00.021Z"));
    assert_eq!(first.cloud_event.subject.as_deref(), Some("item-1"));
    assert_eq!(first.cloud_event.source, "/webhooks/sterling/main");
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
fn a_batch_split_differently_or_reordered_holds_the_same_events() {
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
    assert_eq!(events(event)[0].cloud_event.event_type, "sterling.demandChange");
    assert_eq!(events(&format!("[{event},{}]", event.replace("demand", "supply"))).len(), 2);
    assert_eq!(ids(&format!("[{event}]")), ids(event));
    let eighty: Vec<String> = (0..80).map(|number| event.replace("[]", &format!("[{number}]"))).collect();
    assert_eq!(events(&format!("[{}]", eighty.join(","))).len(), 80);
}

#[test]
fn the_same_event_twice_in_one_delivery_is_two_events() {
    let event = r#"{"code":"supplyChange","timestamp":"t"}"#;
    let twice = events(&format!("[{event}, {event} ]"));
    assert_eq!(twice[1].cloud_event.id, format!("{}.1", twice[0].cloud_event.id));
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
fn one_malformed_event_leaves_its_batch_alone() {
    let body = r#"{"eventbatch":[{"channel":"a","events":[{"code":"c"},{"timestamp":"no code"},7,{"code":"d","x":1,"x":2}]},
        {"channel":"b"},{"channel":"c","events":[{"code":"e"}]}]}"#;
    let reason = |text: &str| Some(text.to_owned());
    assert_eq!(
        reasons(body),
        [
            None,
            reason(r#"the member "code" is missing"#),
            reason("the content is not a JSON object"),
            reason(r#"the member "x" comes more than once in one object"#),
            reason(r#"the member "events" is missing"#),
            None,
        ]
    );
    let found = read(body).unwrap();
    assert_eq!(found[1].as_ref().unwrap_err().data, r#"{"timestamp":"no code"}"#);
    assert_eq!(found[4].as_ref().unwrap_err().data, r#"{"channel":"b"}"#);
}

#[test]
fn the_content_around_a_batch_is_kept_once_byte_for_byte() {
    let body = r#"{"tenant": 7 ,"eventbatch":[{"x":[1, 2],"channel":"a","events":[{"code":"c"},{"code":"d"}],"identifiers":[ ]},
        {"events":[{"code":"e"}]}],"l\u0061st":null}"#;
    let found = events(body);
    let outer = r#""delivery":{"tenant": 7,"l\u0061st":null}"#;
    let whole = format!(r#"{{{outer},"batch":{{"x":[1, 2],"channel":"a","identifiers":[ ]}}}}"#);
    assert_eq!(envelope(&found[0]), Some(whole.as_str()));
    assert_eq!(envelope(&found[2]), Some(format!("{{{outer}}}").as_str()));
    let [first, second] = [&found[0], &found[1]].map(|event| event.envelope.as_ref().unwrap());
    assert_eq!(first.digest, Sha256Digest::of(whole.as_bytes()));
    assert_eq!(first.data.as_ptr(), second.data.as_ptr(), "one copy for the whole batch");
    for nothing in [r#"{"eventbatch":[{"events":[{"code":"c"}]}]}"#, r#"{"code":"c","channel":"a"}"#] {
        assert_eq!(envelope(&events(nothing)[0]), None, "{nothing}");
    }
}

#[test]
fn events_share_the_memory_of_the_body() {
    let delivery = delivery(ProviderName::Sterling, &[], br#"[{"code":"c"},7]"#);
    let found: Vec<_> = Sterling::split(&delivery, &()).unwrap().collect();
    assert_eq!(found[0].as_ref().unwrap().data.as_ptr(), delivery.body[1..].as_ptr());
    assert_eq!(found[1].as_ref().unwrap_err().data.as_ptr(), delivery.body[14..].as_ptr());
}

#[test]
fn members_around_an_event_are_compared_by_meaning() {
    let body = |outer: &str, inner: &str| format!(r#"{{{outer}"eventbatch":[{{{inner}"events":[{{"code":"c"}}]}}]}}"#);
    let id = |body: String| events(&body)[0].identity;
    let first = id(body(r#""a":1,"#, r#""b":2,"channel":"x","#));
    assert_eq!(id(body(r#" "\u0061" : 1 ,"#, r#""channel": "x", "b" :2,"#)), first);
    for (outer, inner) in [
        ("", r#""b":2,"channel":"x","#),
        (r#""a":1.0,"#, r#""b":2,"channel":"x","#),
        (r#""a":1,"#, r#""channel":"x","#),
        (r#""a":1,"#, r#""b":2,"channel":"x","n":null,"#),
        (r#""b":2,"channel":"x","#, r#""a":1,"#),
    ] {
        assert_ne!(id(body(outer, inner)), first, "{outer} {inner}");
    }
}

#[test]
fn an_ambiguous_object_is_malformed_as_a_whole() {
    let ambiguous = |first: &str, second: &str| {
        Some(format!("the members {first:?} and {second:?} are in one object, which could then be read in two ways"))
    };
    let fine = r#"{"code":"c"}"#;
    for (element, reason) in [
        (r#"{"eventbatch":[{"events":[{"code":"c"}]}],"events":[{"code":"d"}]}"#, ambiguous("eventbatch", "events")),
        (r#"{"events":[{"code":"d"}],"code":"c"}"#, ambiguous("events", "code")),
        (r#"{"eventbatch":[{"events":[{"code":"d"}]}],"code":"c"}"#, ambiguous("eventbatch", "code")),
        (r#"{"eventbatch":[{"events":[{"code":"d"}],"eventbatch":[]}]}"#, ambiguous("eventbatch", "events")),
        (r#"{"eventbatch":[{"events":[{"code":"d","events":[]}]}]}"#, ambiguous("events", "code")),
        (r#"{"eventbatch":[{"eventbatch":[{"events":[]}]}]}"#, Some(r#"the member "events" is missing"#.to_owned())),
        (r#"{"eventbatch":{"events":[]}}"#, Some(r#"the member "eventbatch" is not an array"#.to_owned())),
        (r#"{"eventbatch":[{"events":{"code":"d"}}]}"#, Some(r#"the member "events" is not an array"#.to_owned())),
        (r#"{"eventbatch":[[{"code":"d"}]]}"#, Some("the content is not a JSON object".to_owned())),
        (r#"[{"code":"d"}]"#, Some("the content is not a JSON object".to_owned())),
        (r#"{"eventbatch":[{"id":7,"events":[]}]}"#, Some("the batch holds no event".to_owned())),
        (r#"{"id":7,"eventbatch":[]}"#, Some("the batch holds no event".to_owned())),
        (
            r#"{"x":{"a":1,"a":2},"events":[{"code":"c"},{"code":"d"}]}"#,
            Some(r#"the member "a" comes more than once in one object"#.to_owned()),
        ),
    ] {
        assert_eq!(reasons(&format!("[{fine},{element},{fine}]")), [None, reason, None], "{element}");
    }
    // A member that is null counts as absent, and is kept nevertheless.
    let body = r#"{"eventbatch":null,"code":null,"events":[{"code":"c","events":null}]}"#;
    assert_eq!(envelope(&events(body)[0]), Some(r#"{"batch":{"eventbatch":null,"code":null}}"#));
}

#[test]
fn a_problem_of_the_only_object_is_a_problem_of_the_delivery() {
    let ambiguous = Malformed::AmbiguousMembers { first: "eventbatch", second: "events" };
    assert_eq!(read(r#"{"eventbatch":[{"events":[7]}],"events":[7]}"#), Err(ambiguous));
    assert!(matches!(read(r#"{"eventbatch":7}"#), Err(Malformed::UnexpectedMember { .. })));
}

#[test]
fn a_delivery_above_the_limit_of_events_is_malformed_and_one_at_the_limit_is_not() {
    let zeros = |count: usize| "0,".repeat(count - 1) + "0";
    let too_many = Malformed::TooManyEvents { limit: MAX_EVENTS };
    for (before, after) in [("[", "]"), (r#"{"events":["#, "]}"), (r#"{"eventbatch":["#, "]}")] {
        let body = |count| delivery(ProviderName::Sterling, &[], format!("{before}{}{after}", zeros(count)).as_bytes());
        assert_eq!(Sterling::split(&body(MAX_EVENTS), &()).map(|events| events.len()), Ok(MAX_EVENTS));
        assert_eq!(Sterling::split(&body(MAX_EVENTS + 1), &()).map(|events| events.len()), Err(too_many.clone()));
    }
}

#[test]
fn a_large_envelope_that_many_batches_would_repeat_is_malformed() {
    let body = |batches: usize| {
        let batches = [r#"{"events":[{"code":"c"}]}"#].repeat(batches).join(",");
        format!(r#"{{"x":"{}","eventbatch":[{batches}]}}"#, "x".repeat(1024 * 1024 - r#""x":"""#.len()))
    };
    assert_eq!(events(&body(16)).len(), 16, "exactly the limit");
    assert_eq!(read(&body(17)), Err(Malformed::EnvelopesTooLarge { limit_bytes: MAX_REPEATED_BYTES }));
}

#[test]
fn skipped_events_count_as_copies_too() {
    let body = r#"[{"code":"c"},{"code":"d"},{"code":"c"},7,{"code":"c"}]"#;
    let delivery = delivery(ProviderName::Sterling, &[], body.as_bytes());
    let all: Vec<_> = Sterling::split(&delivery, &()).unwrap().collect();
    for skipped in 0..5 {
        let rest: Vec<_> = Sterling::split(&delivery, &()).unwrap().skip(skipped).collect();
        assert_eq!(rest, all[skipped..], "{skipped}");
    }
}

#[test]
fn a_long_channel_or_identifiers_are_kept_only_in_the_envelope() {
    let body = json!({"channel": "c".repeat(1025), "identifiers": ["i".repeat(1021)], "events": [{"code": "c"}]});
    let event = events(&body.to_string()).remove(0);
    assert!(event.attributes.is_empty(), "{:?}", event.attributes);
    assert!(envelope(&event).unwrap().contains("ccc"));
}

#[test]
fn a_delivery_without_events_or_of_another_form_is_malformed() {
    for empty in ["[]", r#"{"eventbatch":[]}"#, r#"{"eventbatch":[{"events":[]}]}"#] {
        assert_eq!(read(empty), Err(Malformed::NoEvents), "{empty}");
    }
    assert_eq!(read("7"), Err(Malformed::NotAnObject));
    assert!(matches!(read("{"), Err(Malformed::NotJson(_))));
    let not_utf8 = delivery(ProviderName::Sterling, &[], b"\xff");
    assert_eq!(Sterling::split(&not_utf8, &()).map(|events| events.len()), Err(Malformed::NotUtf8));
}

#[test]
fn attributes_beyond_the_limits_are_kept_only_in_the_data() {
    let triples: Vec<Value> = (0..100).map(|n| json!({"name": format!("n{n}"), "value": "v".repeat(n * 20)})).collect();
    let event = events(&json!({"code": "c", "attributes": triples}).to_string()).remove(0);
    let size: usize = event.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(size <= MAX_ATTRIBUTES_BYTES && event.attributes.len() < 32, "{size}");
    assert!(
        event.attributes.values().all(|value| value.len() <= MAX_ATTRIBUTE_BYTES && value.capacity() == value.len())
    );
    let triples: Vec<Value> = (0..100).map(|n| json!({"name": format!("n{n}"), "value": "v"})).collect();
    let small = events(&json!({"code": "c", "attributes": triples}).to_string()).remove(0);
    assert_eq!(small.attributes.len(), MAX_ATTRIBUTES);
    assert!(std::str::from_utf8(&event.data).unwrap().contains("n99"));
    let kilobyte = "v".repeat(1024 - "attribute.n0".len());
    let triples: Vec<Value> = (0..5).map(|n| json!({"name": format!("n{n}"), "value": kilobyte})).collect();
    let full = events(&json!({"code": "c", "attributes": triples}).to_string()).remove(0);
    assert_eq!(full.attributes.len() * 1024, MAX_ATTRIBUTES_BYTES, "as many as fit, names included");
}

#[test]
fn keys_without_a_key_an_issuer_or_an_audience_are_unset() {
    let key = || json!([{"kid": "0123456789abcdef", "x": "x"}]);
    for (issuer, audience, keys, is_unset) in [
        ("issuer", "audience", key(), false),
        ("issuer", "audience", json!([]), true),
        ("", "audience", key(), true),
        ("issuer", "", key(), true),
    ] {
        let document = json!({"issuer": issuer, "audience": audience, "keys": keys, "clients": []}).to_string();
        assert_eq!(Sterling::is_unset(&Sterling::read_keys(&document).unwrap().keys), is_unset, "{document}");
    }
}

#[test]
fn a_bearer_token_is_taken_from_the_header_whatever_the_scheme_s_case() {
    for value in ["Bearer abc.def-_.x", "bearer abc", "BEARER  abc="] {
        assert!(Sterling::credential("", &headers(&[("authorization", value)])).is_ok(), "{value}");
    }
    assert_eq!(Sterling::credential("", &headers(&[])).err(), Some(Rejection::TokenMissing));
    let long = format!("Bearer {}", "a".repeat(MAX_TOKEN_BYTES + 1));
    for value in ["abc", "Basic abc", "Bearer", "Bearer ", "Bearer a,Bearer b", "Bearer a b", long.as_str()] {
        assert_eq!(
            Sterling::credential("", &headers(&[("authorization", value)])).err(),
            Some(Rejection::TokenMalformed),
            "{value}"
        );
    }
    let twice = headers(&[("authorization", "Bearer a"), ("authorization", "Bearer b")]);
    assert_eq!(Sterling::credential("", &twice).err(), Some(Rejection::TokenMalformed));
}

#[test]
fn answers_use_the_status_codes_of_sterling() {
    for (answer, status, challenge) in [
        (Answer::Accepted, 200, None),
        (Answer::RetryLater(Fault::QueueUnavailable), 503, None),
        (Sterling::no_key_matches(KeyFreshness::Stale), 503, None),
        (Sterling::no_key_matches(KeyFreshness::Fresh), 401, Some("not valid")),
        (Answer::Rejected(Rejection::TokenInvalid), 401, Some("invalid_token")),
        (Answer::Rejected(Rejection::TokenExpired), 401, Some("expired")),
        (Answer::Rejected(Rejection::TokenMissing), 401, Some("realm")),
        (Answer::Rejected(Rejection::MethodNotAllowed), 405, None),
        (Answer::Rejected(Rejection::BodyTooLarge { limit_bytes: 1 }), 413, None),
    ] {
        assert_eq!(Sterling::status(&answer), status, "{answer:?}");
        let found = Sterling::challenge(&answer);
        assert_eq!(found.is_some(), challenge.is_some(), "{answer:?}");
        assert!(found.is_none_or(|found| found.to_str().unwrap().contains(challenge.unwrap())), "{answer:?}");
    }
}

proptest! {
    /// However a list of events is split into batches and ordered, it is the same set of events.
    #[test]
    fn every_split_and_order_of_a_batch_gives_the_same_identities(
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
        ends.dedup();
        ends.retain(|end| *end > 0);
        let mut start = 0;
        let mut batches = Vec::new();
        for end in ends {
            batches.push(batch(&rotated[start..end]));
            start = end;
        }
        prop_assert_eq!(ids(&json!({"eventbatch": batches}).to_string()), whole);
    }
}

use bytes::Bytes;

use super::*;
use crate::answer::Fault;
use crate::kept_headers::OMITTED_HEADERS_HEADER;
use crate::testing::{delivery, headers};

const CURRENT: &[u8] = include_bytes!("../../tests/payloads/machnet-current.json");
const OLDER: &[u8] = include_bytes!("../../tests/payloads/machnet-older.json");
const CIP_TAGS: &[u8] = include_bytes!("../../tests/payloads/machnet-cip-tags.json");
const SECRET: &str = "a test secret of thirty-two bytes";
const OTHER_SECRET: &str = "another test secret, just as long";

fn event(body: &[u8]) -> Result<Event, Malformed> {
    Settings::default().event(&delivery(ProviderName::Machnet, &[], body))
}

fn changed(body: &[u8], from: &str, to: &str) -> Vec<u8> {
    let text = std::str::from_utf8(body).unwrap();
    assert!(text.contains(from));
    text.replace(from, to).into_bytes()
}

fn keys(secret: &str) -> ReadKeySet<ActiveKeys<HmacSecret>> {
    Machnet::read_keys(secret).unwrap()
}

#[test]
fn a_delivery_signed_with_any_active_secret_is_verified_and_the_key_is_named() {
    let keys = keys(&format!(
        r#"{{"keys":[{{"account":"eu","secret":"{SECRET}"}},{{"account":"us","secret":"{OTHER_SECRET}"}}]}}"#
    ));
    for (secret, account) in [(SECRET, "eu"), (OTHER_SECRET, "us")] {
        let secret = HmacSecret::new(secret).unwrap();
        let signature = hex::encode_upper(secret.sign(CURRENT));
        let headers =
            headers(&[(SIGNATURE_HEADER, &signature), (EVENT_HEADER, "transaction_completed"), ("cookie", "c")]);
        let proof = Machnet::credential("", &headers).unwrap();
        let request = UnverifiedRequest::new(headers, Bytes::from_static(CURRENT));
        let verified = Machnet::verify(request, &proof, &keys.keys, Timestamp::EPOCH).unwrap();
        assert_eq!(verified.authenticated_by().account.as_str(), account);
        assert_eq!(&verified.authenticated_by().fingerprint, secret.fingerprint());
        let kept: Vec<&str> = verified.headers.iter().map(|header| header.name.as_str()).collect();
        assert_eq!(kept, [SIGNATURE_HEADER, EVENT_HEADER, OMITTED_HEADERS_HEADER], "the cookie is a credential");
    }
}

#[test]
fn a_body_changed_by_one_byte_is_not_verified() {
    let keys = keys(&format!(r#"{{"keys":[{{"account":"eu","secret":"{SECRET}"}}]}}"#)).keys;
    let proof = HmacSecret::new(SECRET).unwrap().sign(CURRENT);
    let other = changed(CURRENT, "completed", "Completed");
    assert!(
        Machnet::verify(UnverifiedRequest::new(HeaderMap::new(), other.into()), &proof, &keys, Timestamp::EPOCH)
            .is_err()
    );
}

#[test]
fn a_weak_or_malformed_key_is_skipped_and_reported_without_being_shown() {
    let read = keys(
        r#"{"keys":[{"account":"a","secret":"too short"},{"account":"b c","secret":"a test secret of thirty-two bytes"},
        {"account":"d","secret":"a test secret of thirty-two bytes"},{"account":"e","password":"hush-hush-hush-hush"}]}"#,
    );
    assert_eq!(read.keys.len(), 1);
    assert_eq!(read.problems.iter().map(|problem| problem.position).collect::<Vec<_>>(), [1, 2, 4]);
    let said = format!("{:?} {read:?}", read.problems);
    for secret in ["too short", "b c", "thirty-two", "hush"] {
        assert!(!said.contains(secret), "{said}");
    }
}

#[test]
fn nine_keys_or_a_document_of_another_form_are_rejected_as_a_whole() {
    let entry = format!(r#"{{"account":"a","secret":"{SECRET}"}}"#);
    let nine = format!(r#"{{"keys":[{}]}}"#, [entry.as_str(); 9].join(","));
    assert_eq!(Machnet::read_keys(&nine).unwrap_err(), KeySetError::TooMany { found: 9 });
    assert_eq!(keys(&format!(r#"{{"keys":[{}]}}"#, [entry.as_str(); 8].join(","))).keys.len(), 8);
    for text in ["", SECRET, r#"{"keys":{}}"#, r#"{"keys":[],"secret":"hush"}"#, r#"["hush"]"#] {
        let error = Machnet::read_keys(text).unwrap_err();
        assert!(!error.to_string().contains("hush") && !error.to_string().contains("thirty"), "{error}");
    }
}

#[test]
fn answers_use_the_status_codes_of_machnet() {
    let header = SIGNATURE_HEADER;
    for (answer, status) in [
        (Answer::Accepted, 200),
        (Answer::RetryLater(Fault::QueueUnavailable), 409),
        (Answer::RetryLater(Fault::Panic), 409),
        (Machnet::no_key_matches(KeyFreshness::Fresh), 409),
        (Answer::Rejected(Rejection::SignatureMissing { header }), 401),
        (Answer::Rejected(Rejection::SignatureRepeated { header }), 401),
        (Answer::Rejected(Rejection::SignatureMalformed { header, expected: "" }), 401),
        (Answer::Rejected(Rejection::MethodNotAllowed), 405),
        (Answer::Rejected(Rejection::BodyTooLarge { limit_bytes: 1 }), 413),
        (Answer::Rejected(Rejection::BodyUnreadable), 400),
    ] {
        assert_eq!(Machnet::status(&answer), status, "{answer:?}");
    }
}

#[test]
fn an_event_is_read_in_either_generation_of_names() {
    let current = event(CURRENT).unwrap();
    assert_eq!(current.cloud_event.event_type, "machnet.transaction_completed");
    assert_eq!(current.cloud_event.source, "/webhooks/machnet/main");
    assert_eq!(current.cloud_event.subject.as_deref(), Some("9c1b2a70-1111-4222-8333-444455556666"));
    assert_eq!(current.cloud_event.time.as_deref(), Some("2026-11-01T09:29:38.969Z"));
    assert_eq!(current.attributes["user_id"], "5d7e");
    assert_eq!(current.data, CURRENT);

    let older = event(OLDER).unwrap();
    assert_eq!((&older.cloud_event.id, older.identity), (&current.cloud_event.id, current.identity));
    assert_eq!((older.attributes["sender_id"].as_str(), older.attributes["receiver_id"].as_str()), ("77aa", "88bb"));
}

#[test]
fn a_timestamp_is_kept_as_it_is_and_is_the_time_only_where_it_is_one() {
    for (body, timestamp) in [(OLDER, "2021-09-01T09:29:38.969"), (CIP_TAGS, "2017-07-02T22:88:12.120Z")] {
        let event = event(body).unwrap();
        assert_eq!(event.attributes["timestamp"], timestamp);
        assert_eq!(event.cloud_event.time, None);
    }
}

#[test]
fn both_ids_may_be_present_if_they_agree_and_one_is_required() {
    let both = |other: &str| changed(CURRENT, r#"{"id""#, &format!(r#"{{"persisted_object_id":"{other}","id""#));
    let agreed = event(&both("3f0d6c1e-6a1c-4f0e-9a55-0a2f4d1c9b77")).unwrap();
    assert_eq!(agreed.digest, event(CURRENT).unwrap().digest);
    assert_eq!(
        event(&both("another")),
        Err(Malformed::ContradictoryIds { first: "id", second: "persisted_object_id" })
    );
    for neither in [r#"{"event_name":"x"}"#, r#"{"event_name":"x","id":null}"#] {
        assert_eq!(event(neither.as_bytes()), Err(Malformed::MissingMember { name: "id" }));
    }
}

#[test]
fn an_id_may_be_a_number_as_it_is_written_and_nothing_else() {
    assert_eq!(
        event(br#"{"id":12345678901234567890123,"event_name":"x"}"#).unwrap().cloud_event.id,
        "12345678901234567890123"
    );
    for odd in ["true", "[1]", "{}", r#""""#] {
        let body = format!(r#"{{"id":{odd},"event_name":"x"}}"#);
        assert!(matches!(event(body.as_bytes()), Err(Malformed::UnexpectedMember { name: "id", .. })), "{odd}");
    }
    let long = format!(r#"{{"id":"{}","event_name":"x"}}"#, "9".repeat(8_193));
    assert_eq!(event(long.as_bytes()), Err(Malformed::TooLong { name: "id", limit_bytes: 8_192 }));
}

#[test]
fn content_is_compared_without_its_timestamp_and_with_everything_else() {
    let digest = event(CURRENT).unwrap().digest;
    assert_eq!(event(&changed(CURRENT, "09:29:38", "10:29:38")).unwrap().digest, digest);
    assert_eq!(event(&changed(CURRENT, "\":\"", "\" : \"")).unwrap().digest, digest);
    assert_ne!(event(&changed(CURRENT, "5d7e", "5d7f")).unwrap().digest, digest);
    assert_ne!(event(&changed(CURRENT, r#""id""#, r#""amount":1,"id""#)).unwrap().digest, digest);
}

#[test]
fn the_same_state_under_another_id_has_the_same_alias_and_another_state_has_another() {
    let alias = |body: &[u8]| event(body).unwrap().kind.aliases().0.unwrap().clone();
    let first = alias(CIP_TAGS);
    assert_eq!(first.lifetime, Duration::from_secs(43_200));
    assert_eq!(alias(&changed(&changed(CIP_TAGS, "6f1d", "7a2e"), "2017", "2018")), first);
    for (from, to) in [
        ("cip_tag_status", "cip_tag_state"),
        ("9c1b", "9c1c"),
        ("5d7e", "5d7f"),
        ("8a90", "8a91"),
        ("PENDING", "VERIFIED"),
        ("user_id", "sender_id"),
    ] {
        assert_ne!(alias(&changed(CIP_TAGS, from, to)), first, "{from}");
    }
    assert_ne!(first.name, event(CIP_TAGS).unwrap().identity);
}

#[test]
fn the_signed_name_decides_and_a_different_header_is_written_down() {
    let split = |announced: &str| {
        let delivery = delivery(ProviderName::Machnet, &[(EVENT_HEADER, announced)], CURRENT);
        Settings::default().event(&delivery).unwrap()
    };
    assert_eq!(split("transaction_completed").attributes.get("mismatched_event_header"), None);
    let mismatched = split("transaction_failed");
    assert_eq!(mismatched.attributes["mismatched_event_header"], "transaction_failed");
    assert_eq!(mismatched.cloud_event.event_type, "machnet.transaction_completed");
    assert_eq!(mismatched.identity, event(CURRENT).unwrap().identity);
}

#[test]
fn content_that_is_not_an_event_is_malformed_with_its_reason() {
    assert_eq!(event(b"\xff"), Err(Malformed::NotUtf8));
    assert!(matches!(event(b""), Err(Malformed::NotJson(_))));
    assert!(matches!(event(b"{\"id\":1}x"), Err(Malformed::NotJson(_))));
    assert_eq!(event(b"[]"), Err(Malformed::NotAnObject));
    assert_eq!(event(br#"{"id":"1"}"#), Err(Malformed::MissingMember { name: "event_name" }));
    assert!(matches!(
        event(br#"{"id":"1","event_name":7}"#),
        Err(Malformed::UnexpectedMember { name: "event_name", .. })
    ));
    let repeated = Err(Malformed::RepeatedMember { name: "id".to_owned() });
    assert_eq!(event(br#"{"id":"1","event_name":"x","id":"2"}"#), repeated);
}

#[test]
fn a_repeated_member_is_malformed_even_in_content_that_is_not_compared() {
    for body in [
        r#"{"id":"1","event_name":"x","timestamp":{"zone":"UTC","zone":"CET"}}"#,
        r#"{"id":"1","event_name":"x","timestamp":[{"zone":1,"z\u006fne":2}]}"#,
        r#"{"id":"1","event_name":"x","payload":{"zone":1,"zone":1}}"#,
        r#"{"id":"1","event_name":"x","more":[{"a":{"zone":1,"zone":1}}]}"#,
    ] {
        assert_eq!(event(body.as_bytes()), Err(Malformed::RepeatedMember { name: "zone".to_owned() }), "{body}");
    }
}

#[test]
fn an_optional_member_is_malformed_unless_it_is_a_string_or_number_within_the_limit() {
    let with =
        |member: &str, value: &str| event(format!(r#"{{"id":"1","event_name":"x","{member}":{value}}}"#).as_bytes());
    for member in ["resource_id", "user_id", "sender_id", "receiver_id", "subscription_id", "timestamp"] {
        for absent in ["null", r#""""#] {
            let event = with(member, absent).unwrap();
            assert_eq!((event.cloud_event.subject, event.attributes.len()), (None, 0), "{member} {absent}");
        }
        assert!(with(member, "17").is_ok(), "{member}");
        for odd in ["true", "[1]", r#"{"a":1}"#] {
            let result = with(member, odd);
            assert!(
                matches!(&result, Err(Malformed::UnexpectedMember { name, .. }) if *name == member),
                "{member} {odd}"
            );
        }
        let long = with(member, &format!("{:?}", "9".repeat(8_193)));
        assert!(matches!(&long, Err(Malformed::TooLong { name, limit_bytes: 8_192 }) if *name == member), "{member}");
        assert!(with(member, &format!("{:?}", "9".repeat(8_192))).is_ok(), "{member}");
    }
}

#[test]
fn the_same_id_and_the_same_state_under_two_accounts_are_two_of_each() {
    let of = |account: &str| {
        let mut delivery = delivery(ProviderName::Machnet, &[], CURRENT);
        delivery.authenticated_by.account = AccountName::new(account).unwrap();
        Settings::default().event(&delivery).unwrap()
    };
    let (main, other) = (of("main"), of("other"));
    assert_eq!((&main.cloud_event.id, main.digest), (&other.cloud_event.id, other.digest));
    assert_ne!(main.identity, other.identity);
    assert_ne!(main.kind.aliases().0.unwrap().name, other.kind.aliases().0.unwrap().name);
    assert_eq!(other.cloud_event.source, "/webhooks/machnet/other");
    assert_eq!(of("main").identity, main.identity);
}

use bytes::Bytes;
use http::HeaderValue;

use super::*;
use crate::answer::Fault;
use crate::malformed::Malformed;
use crate::testing::{delivery, headers};

const BODY: &[u8] = include_bytes!("../../tests/payloads/accredit-badge-export.json");
const MESSAGE: &[u8] = include_bytes!("../../tests/keys/message.json");
const KEY: &str = include_str!("../../tests/keys/rsa-2048.spki.pem");
const SIGNATURE: &str = include_str!("../../tests/keys/rsa-2048.pkcs1-v1.5.signature");
const PSS_SIGNATURE: &str = include_str!("../../tests/keys/rsa-2048.pss.signature");
const LARGER_KEY: &str = include_str!("../../tests/keys/rsa-8192.xml");
const LARGER_SIGNATURE: &str = include_str!("../../tests/keys/rsa-8192.pkcs1-v1.5.signature");

fn event(headers: &[(&str, &str)], body: &[u8]) -> Result<Event, Malformed> {
    super::event(&delivery(ProviderName::Accredit, headers, body))
}

fn secret(entries: &[serde_json::Value]) -> ActiveKeys<RsaPublicKey> {
    let read = Accredit::read_keys(&serde_json::json!({ "keys": entries }).to_string()).unwrap();
    assert_eq!(read.problems, []);
    read.keys
}

fn account_that_verifies(keys: &ActiveKeys<RsaPublicKey>, signature: &str, body: &'static [u8]) -> Option<String> {
    let headers = headers(&[(SIGNATURE_HEADER, signature.trim())]);
    let proof = Accredit::credential("", &headers).unwrap();
    let request = UnverifiedRequest::new(headers, Bytes::from_static(body));
    Some(Accredit::verify(request, &proof, keys, Timestamp::EPOCH).ok()?.authenticated_by().account.to_string())
}

#[test]
fn a_delivery_is_verified_by_whichever_active_key_signed_it() {
    let keys = secret(&[
        serde_json::json!({"account": "events", "public_key": KEY}),
        serde_json::json!({"account": "badges", "public_key": LARGER_KEY, "padding": "pkcs1-v1.5"}),
    ]);
    assert_eq!(account_that_verifies(&keys, SIGNATURE, MESSAGE).as_deref(), Some("events"));
    assert_eq!(account_that_verifies(&keys, LARGER_SIGNATURE, MESSAGE).as_deref(), Some("badges"));
    assert_eq!(account_that_verifies(&keys, SIGNATURE, BODY), None);
}

#[test]
fn pss_is_accepted_only_where_it_is_configured_and_then_exclusively() {
    let standard = secret(&[serde_json::json!({"account": "a", "public_key": KEY})]);
    let pss = secret(&[serde_json::json!({"account": "a", "public_key": KEY, "padding": "pss"})]);
    assert_eq!(account_that_verifies(&standard, PSS_SIGNATURE, MESSAGE), None);
    assert_eq!(account_that_verifies(&pss, SIGNATURE, MESSAGE), None);
    assert!(account_that_verifies(&pss, PSS_SIGNATURE, MESSAGE).is_some());
}

#[test]
fn a_key_that_cannot_be_used_is_named_and_the_others_verify() {
    let document = serde_json::json!({"keys": [
        {"account": "a", "public_key": "PLACEHOLDER"},
        {"account": "b", "public_key": KEY, "padding": "oaep"},
        {"account": "c", "public_key": KEY},
    ]});
    let read = Accredit::read_keys(&document.to_string()).unwrap();
    assert_eq!(read.problems.iter().map(|problem| problem.position).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(read.keys.len(), 1);
    assert!(Accredit::is_unset(&secret(&[])));
}

#[test]
fn a_signature_header_is_required_exactly_once_and_must_be_base64() {
    let header = SIGNATURE_HEADER;
    assert_eq!(Accredit::credential("", &headers(&[])).unwrap_err(), Rejection::SignatureMissing { header });
    let twice = headers(&[(header, SIGNATURE.trim()), (header, SIGNATURE.trim())]);
    assert_eq!(Accredit::credential("", &twice).unwrap_err(), Rejection::SignatureRepeated { header });
    let joined = format!("{0},{0}", SIGNATURE.trim());
    for malformed in ["", "abc", &"A".repeat(100), &"A".repeat(4_000), &joined] {
        let rejection = Accredit::credential("", &headers(&[(header, malformed)])).unwrap_err();
        assert!(matches!(rejection, Rejection::SignatureMalformed { .. }), "{malformed}");
    }
    let mut bytes = HeaderMap::new();
    bytes.insert(header, HeaderValue::from_bytes(b"\xff\xfe").unwrap());
    assert!(matches!(Accredit::credential("", &bytes), Err(Rejection::SignatureMalformed { .. })));
}

#[test]
fn answers_use_the_status_codes_of_accredit() {
    for (answer, status) in [
        (Answer::Accepted, 200),
        (Answer::RetryLater(Fault::SecretsUnavailable), 400),
        (Accredit::no_key_matches(KeyFreshness::Fresh), 400),
        (Answer::Rejected(Rejection::SignatureMissing { header: SIGNATURE_HEADER }), 400),
        (Answer::Rejected(Rejection::MethodNotAllowed), 405),
        (Answer::Rejected(Rejection::BodyTooLarge { limit_bytes: 1 }), 413),
    ] {
        assert_eq!(Accredit::status(&answer), status, "{answer:?}");
    }
}

#[test]
fn an_event_is_identified_by_its_signed_bytes_alone() {
    let first = event(&[(JOB_ID_HEADER, "job-1"), (JOB_ATTEMPT_HEADER, "0")], BODY).unwrap();
    assert_eq!(first.cloud_event.event_type, "accredit.BadgeExportZipFile.Created");
    assert_eq!(first.cloud_event.subject.as_deref(), Some("0b7e5b0e-8f0b-4f6f-9a5e-5f4e1f6b7c8d"));
    assert_eq!(first.cloud_event.time.as_deref(), Some("2024-05-10T11:09:21.248Z"));
    assert_eq!((first.attributes["job_id"].as_str(), first.attributes["job_attempt"].as_str()), ("job-1", "0"));

    let replayed = event(&[(JOB_ID_HEADER, "forged"), (JOB_ATTEMPT_HEADER, "1")], BODY).unwrap();
    assert_eq!(
        (replayed.identity, replayed.digest, &replayed.cloud_event.id),
        (first.identity, first.digest, &first.cloud_event.id)
    );
    assert_eq!(replayed.kind.aliases().0, None);

    let spaced = [BODY, b" "].concat();
    assert_ne!(event(&[], &spaced).unwrap().identity, first.identity);
}

#[test]
fn the_job_id_is_a_hint_where_there_is_one_of_reasonable_length() {
    let hint = |headers: &[(&str, &str)]| event(headers, BODY).unwrap().kind.aliases().1.map(|hint| hint.name);
    let job = hint(&[(JOB_ID_HEADER, "job-1")]);
    assert!(job.is_some());
    assert_eq!(hint(&[(JOB_ID_HEADER, "job-1"), (JOB_ATTEMPT_HEADER, "3")]), job);
    assert_ne!(hint(&[(JOB_ID_HEADER, "job-2")]), job);
    for none in [&[][..], &[(JOB_ID_HEADER, "")], &[(JOB_ID_HEADER, "a"), (JOB_ID_HEADER, "b")]] {
        assert_eq!(hint(none), None);
    }
    assert_eq!(hint(&[(JOB_ID_HEADER, &"j".repeat(257))]), None);
}

#[test]
fn content_without_the_base_fields_is_malformed() {
    for (body, name) in [(r#"{"Timestamp":"t"}"#, "Event"), (r#"{"Event":"A.B"}"#, "Timestamp")] {
        assert_eq!(event(&[], body.as_bytes()), Err(Malformed::MissingMember { name }));
    }
    let nested = br#"{"Event":"A.B","Timestamp":"t","Data":{"x":1,"x":2}}"#;
    assert_eq!(event(&[], nested), Err(Malformed::RepeatedMember { name: "x".to_owned() }));
    let odd = event(&[], br#"{"Event":"Ping","Timestamp":"yesterday","PingId":7}"#).unwrap();
    assert_eq!(
        (odd.cloud_event.time, odd.cloud_event.subject, odd.attributes["timestamp"].as_str()),
        (None, None, "yesterday")
    );
    let number = event(&[], br#"{"Event":"Ping.Sent","Timestamp":"t","PingId":7}"#).unwrap();
    assert_eq!(number.cloud_event.subject.as_deref(), Some("7"));
}

use bytes::Bytes;
use serde_json::{Value, json};

use super::*;
use crate::kept_headers::OMITTED_HEADERS_HEADER;
use crate::path_secret::PathSecret;
use crate::testing::{delivery, headers};

const AGENT: &str = include_str!("../../tests/payloads/nurturecloud-agent-current.json");
const CONTACTS: &str = include_str!("../../tests/payloads/nurturecloud-contacts-updated.json");
const DELETED: &str = include_str!("../../tests/payloads/nurturecloud-agent-deleted.json");
const BUSINESS: &str = "00000000-0000-0000-0000-000000000001";

fn split(body: &str) -> Result<Vec<Result<Event, MalformedEvent>>, Malformed> {
    let (settings, delivery) = (Settings::default(), delivery(ProviderName::NurtureCloud, &[], body.as_bytes()));
    let events = settings.events(&delivery)?;
    let len = events.len();
    let found: Vec<_> = events.collect();
    assert_eq!(found.len(), len, "{body}");
    Ok(found)
}

fn events(body: &str) -> Vec<Event> {
    split(body).unwrap().into_iter().map(Result::unwrap).collect()
}

fn update(event: &Event) -> &EntityUpdate {
    event.kind.entity().as_ref().unwrap()
}

fn changed(body: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut value = serde_json::from_str(body).unwrap();
    change(&mut value);
    value.to_string()
}

fn reference(component: &str, id: &str) -> EntityReference {
    EntityReference {
        account: AccountName::new("main").unwrap(),
        component: component.to_owned(),
        organisation: "raywhite".to_owned(),
        business_id: BUSINESS.to_owned(),
        id: format!("00000000-0000-0000-0000-0000000000{id}"),
    }
}

#[test]
fn one_object_is_one_event_about_its_entity() {
    let [event] = <[_; 1]>::try_from(events(AGENT)).unwrap();
    assert_eq!(event.cloud_event.event_type, "nurturecloud.agent.Current");
    assert_eq!(event.cloud_event.subject.as_deref(), Some("agent/00000000-0000-0000-0000-0000000000a1"));
    assert_eq!(event.cloud_event.source, "/webhooks/nurturecloud/main");
    assert_eq!(event.attributes["correlation_source"], "crm");
    assert_eq!(event.attributes["correlation_value"], "4711");
    assert_eq!(update(&event).entity, reference("agent", "a1"));
    assert_eq!(update(&event).state, EntityState::Current);
    assert!(event.cloud_event.id.ends_with(".0"), "{}", event.cloud_event.id);
    assert!(AGENT.contains(std::str::from_utf8(&event.data).unwrap()));
}

#[test]
fn an_array_is_one_event_per_entity_each_with_its_own_bytes_and_place() {
    let [first, second] = <[_; 2]>::try_from(events(CONTACTS)).unwrap();
    assert_eq!(update(&first).entity, reference("contact", "c1"));
    assert_eq!(update(&second).entity, reference("contact", "c2"));
    assert!(first.cloud_event.id.ends_with(".0") && second.cloud_event.id.ends_with(".1"));
    assert_eq!(first.attributes["domain_component_name"], "contacts");
    let slice = std::str::from_utf8(&second.data).unwrap();
    assert!(CONTACTS.contains(slice) && slice.contains("Turing") && !slice.contains("Hopper"), "{slice}");
}

#[test]
fn singular_and_plural_names_are_about_the_same_entity() {
    let plural = changed(AGENT, |body| body["domainComponentName"] = "agents".into());
    assert_eq!(events(&plural)[0].identity, events(AGENT)[0].identity);
}

#[test]
fn contents_are_compared_without_the_state_the_order_of_members_and_white_space() {
    let updated = changed(AGENT, |body| body["state"] = "Updated".into());
    assert_eq!(events(&updated)[0].digest, events(AGENT)[0].digest);
    assert_ne!(events(&updated)[0].cloud_event.event_type, events(AGENT)[0].cloud_event.event_type);
    let other = changed(AGENT, |body| body["payload"]["mobile"] = "0400000001".into());
    assert_ne!(events(&other)[0].digest, events(AGENT)[0].digest);
}

#[test]
fn the_same_id_elsewhere_is_another_entity() {
    let original = events(AGENT)[0].identity;
    for member in ["organisationName", "businessId", "id"] {
        let other = changed(AGENT, |body| body["payload"][member] = "x".into());
        assert_ne!(events(&other)[0].identity, original, "{member}");
    }
    let other = changed(AGENT, |body| body["domainComponentName"] = "contact".into());
    assert_ne!(events(&other)[0].identity, original);
}

#[test]
fn a_deletion_names_the_entity_that_it_was_merged_into_if_it_was() {
    assert_eq!(update(&events(DELETED)[0]).merged_into, Some(reference("agent", "a2")));
    for nothing in [json!(null), json!("absent")] {
        let plain = changed(DELETED, |body| match nothing {
            Value::Null => body["payload"]["mergedInto"] = Value::Null,
            _ => drop(body["payload"].as_object_mut().unwrap().remove("mergedInto")),
        });
        assert_eq!(update(&events(&plain)[0]).merged_into, None);
        assert_eq!(update(&events(&plain)[0]).state, EntityState::Deleted);
    }
    let broken = changed(DELETED, |body| body["payload"]["mergedInto"] = json!({"id": "1"}));
    let reason = split(&broken).unwrap_err().to_string();
    assert_eq!(reason, "the member \"mergedInto\" is not an object with organisationName, businessId and id");
}

#[test]
fn anything_but_a_notification_is_malformed_as_a_whole_with_the_reason() {
    for (body, reason) in [
        ("[]".to_owned(), "the content is not a JSON object"),
        (
            changed(AGENT, |body| body["state"] = "Changed".into()),
            "the member \"state\" is not Created, Updated, Current or Deleted",
        ),
        (changed(AGENT, |body| body["state"] = Value::Null), "the member \"state\" is missing"),
        (
            changed(AGENT, |body| body["domainComponentName"] = Value::Null),
            "the member \"domainComponentName\" is missing",
        ),
        (changed(AGENT, |body| body["payload"] = Value::Null), "the member \"payload\" is missing"),
        (
            changed(AGENT, |body| body["payload"] = "x".into()),
            "the member \"payload\" is not an object or an array of objects",
        ),
        (changed(AGENT, |body| body["payload"]["id"] = Value::Null), "the member \"id\" is missing"),
        (changed(AGENT, |body| body["payload"]["businessId"] = Value::Null), "the member \"businessId\" is missing"),
        (
            changed(AGENT, |body| body["payload"]["organisationName"] = "".into()),
            "the member \"organisationName\" is not a string of at least one character",
        ),
        (
            changed(AGENT, |body| body["payload"]["id"] = "x".repeat(257).into()),
            "the member \"id\" is longer than 256 bytes",
        ),
        (changed(CONTACTS, |body| body["payload"] = json!([])), "the delivery holds no event"),
    ] {
        assert_eq!(split(&body).unwrap_err().to_string(), reason, "{body}");
    }
    let longest = changed(AGENT, |body| body["payload"]["id"] = "x".repeat(256).into());
    assert_eq!(update(&events(&longest)[0]).entity.id.len(), 256, "an id of 256 bytes is not too long");
}

#[test]
fn an_entity_of_an_array_that_cannot_be_read_leaves_its_neighbours_and_their_indices_alone() {
    let body = changed(CONTACTS, |body| {
        let entities = body["payload"].as_array_mut().unwrap();
        entities.insert(1, json!({"organisationName": "raywhite", "businessId": BUSINESS, "id": {"new": "form"}}));
    });
    let [first, broken, last] = <[_; 3]>::try_from(split(&body).unwrap()).unwrap();
    assert!(first.unwrap().cloud_event.id.ends_with(".0"));
    assert!(last.unwrap().cloud_event.id.ends_with(".2"));
    let broken = broken.unwrap_err();
    assert_eq!(broken.reason.to_string(), "the member \"id\" is not a string of at least one character, or a number");
    assert!(broken.data.starts_with(b"{") && body.contains(std::str::from_utf8(&broken.data).unwrap()));

    let skipped: Vec<_> = {
        let (settings, delivery) = (Settings::default(), delivery(ProviderName::NurtureCloud, &[], body.as_bytes()));
        settings.events(&delivery).unwrap().skip(2).map(|event| event.unwrap().cloud_event.id).collect()
    };
    assert!(skipped.len() == 1 && skipped[0].ends_with(".2"), "{skipped:?}");
}

#[test]
fn other_members_of_a_notification_are_kept_with_each_entity_and_not_compared() {
    let body = CONTACTS.replacen('{', r#"{ "sent" : 1.50, "webhook-intake:position":7,"#, 1);
    let [first, second] = <[_; 2]>::try_from(events(&body)).unwrap();
    let envelope = first.envelope.as_ref().unwrap();
    assert_eq!(envelope.data, r#"{"delivery":{"sent" : 1.50,"webhook-intake:position":7}}"#);
    assert_eq!(envelope.digest, Sha256Digest::of(&envelope.data));
    assert_eq!(envelope.data.as_ptr(), second.envelope.unwrap().data.as_ptr(), "one copy for all entities");
    let plain = events(CONTACTS).remove(0);
    assert_eq!((plain.envelope, plain.digest, plain.cloud_event.id), (None, first.digest, first.cloud_event.id));
}

#[test]
fn an_ambiguous_notification_is_malformed_as_a_whole() {
    let both = changed(AGENT, |body| body["domainComponentNames"] = json!(["contacts"]));
    let ambiguous = Malformed::AmbiguousMembers { first: "domainComponentName", second: "domainComponentNames" };
    assert_eq!(split(&both).unwrap_err(), ambiguous);
    let repeated = AGENT.replacen('{', r#"{"x":{"a":1,"a":2},"#, 1);
    assert_eq!(split(&repeated).unwrap_err(), Malformed::RepeatedMember { name: "a".to_owned() });
}

#[test]
fn a_notification_above_the_limit_of_entities_is_malformed_as_a_whole() {
    let body = |count: usize| {
        let payload = "0,".repeat(count - 1) + "0";
        delivery(
            ProviderName::NurtureCloud,
            &[],
            format!(r#"{{"domainComponentName":"a","state":"Current","payload":[{payload}]}}"#).as_bytes(),
        )
    };
    let len = |delivery: &Delivery| Settings::default().events(delivery).map(|events| events.len());
    assert_eq!(len(&body(MAX_EVENTS)), Ok(MAX_EVENTS));
    assert_eq!(len(&body(MAX_EVENTS + 1)), Err(Malformed::TooManyEvents { limit: MAX_EVENTS }));
}

#[test]
fn organisations_and_businesses_that_are_not_configured_are_malformed() {
    let reason = |settings: Settings| {
        settings
            .events(&delivery(ProviderName::NurtureCloud, &[], AGENT.as_bytes()))
            .err()
            .map(|reason| reason.to_string())
    };
    let ours = Settings { organisation: Some("raywhite".to_owned()), businesses: [BUSINESS.to_owned()].into() };
    assert_eq!(reason(ours.clone()), None);
    let other = Settings { organisation: Some("other".to_owned()), ..ours.clone() };
    let expected =
        "the member \"organisationName\" is none that is configured; look at NURTURECLOUD_ORGANISATION if it should be";
    assert_eq!(reason(other).as_deref(), Some(expected));
    let other = Settings { businesses: ["b".to_owned(), "c".to_owned()].into(), ..ours };
    let expected =
        "the member \"businessId\" is none that is configured; look at NURTURECLOUD_BUSINESSES if it should be";
    assert_eq!(reason(other).as_deref(), Some(expected));
}

#[test]
fn a_delivery_is_verified_by_any_active_secret_at_the_end_of_its_path() {
    let secrets = [PathSecret::of_randomness([1; 32]), PathSecret::of_randomness([2; 32])];
    let document = json!({"keys": [
        {"account": "old", "secret_sha256": secrets[0].hash().digest()},
        {"account": "new", "secret_sha256": secrets[1].hash().digest()},
    ]});
    let keys = NurtureCloud::read_keys(&document.to_string()).unwrap().keys;
    let take = |secret: &str| {
        let proof = NurtureCloud::credential(&format!("/webhooks/nurturecloud/{secret}"), &HeaderMap::new()).unwrap();
        let repeated = format!("https://proxy/webhooks/nurturecloud/{secret}");
        let headers = headers(&[("x-original-uri", repeated.as_str()), ("x-hop", "1")]);
        let request = UnverifiedRequest::new(headers, Bytes::from_static(AGENT.as_bytes()));
        NurtureCloud::verify(request, &proof, &keys, Timestamp::EPOCH).ok()
    };
    for (secret, account) in secrets.iter().zip(["old", "new"]) {
        let verified = take(secret.reveal()).unwrap();
        assert_eq!(verified.authenticated_by().account.as_str(), account);
        assert_eq!(verified.authenticated_by().fingerprint, secret.hash().fingerprint());
        let kept: Vec<&str> = verified.headers.iter().map(|header| header.name.as_str()).collect();
        assert_eq!(kept, ["x-hop", OMITTED_HEADERS_HEADER], "not the one that repeats the secret");
    }
    assert!(take(PathSecret::of_randomness([3; 32]).reveal()).is_none());
    // The hash itself is not accepted as a secret.
    assert!(take(&secrets[0].hash().digest().to_string()).is_none());
    let rejection = NurtureCloud::credential("/webhooks/nurturecloud/short", &HeaderMap::new()).unwrap_err();
    assert_eq!(rejection, Rejection::PathSecretMalformed);
}

#[test]
fn an_entry_that_is_not_a_hash_is_skipped_and_reported_without_being_shown() {
    let document =
        r#"{"keys":[{"account":"a","secret_sha256":"the secret itself"},{"account":"b b","secret_sha256":""}]}"#;
    let read = NurtureCloud::read_keys(document).unwrap();
    assert!(NurtureCloud::is_unset(&read.keys));
    assert_eq!(read.problems.len(), 2);
    assert!(!format!("{:?}", read.problems).contains("itself"));
}

#[test]
fn answers_use_the_status_codes_of_nurturecloud() {
    let status = |answer| NurtureCloud::status(&answer).as_u16();
    assert_eq!(status(Answer::Accepted), 200);
    assert_eq!(status(Answer::RetryLater(Fault::QueueUnavailable)), 503);
    assert_eq!(status(Answer::Rejected(Rejection::PathSecretMalformed)), 401);
    assert_eq!(status(NurtureCloud::no_key_matches(KeyFreshness::Fresh)), 401);
    assert_eq!(status(NurtureCloud::no_key_matches(KeyFreshness::Stale)), 503);
    assert_eq!(status(Answer::Rejected(Rejection::MethodNotAllowed)), 405);
    assert_eq!(status(Answer::Rejected(Rejection::BodyTooLarge { limit_bytes: 1 })), 413);
    assert_eq!(status(Answer::Rejected(Rejection::BodyUnreadable)), 400);
}

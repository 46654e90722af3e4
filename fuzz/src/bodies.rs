//! Bodies: the canonical form in which contents are compared, and the split of each provider's body into events.

use std::fmt::Write as _;

use bytes::Bytes;
use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::active_keys::MatchedKey;
use intake_providers::canonical_json::{Object, canonical};
use intake_providers::delivery::{Delivery, DeliveryId};
use intake_providers::digest::Sha256Digest;
use intake_providers::json::Json;
use intake_providers::registry::Settings;
use intake_providers::signature::KeyFingerprint;
use intake_providers::split::Split as _;
use intake_providers::timestamp::Timestamp;
use serde_json::Value;

use crate::input::RANDOM_INPUTS;
use crate::keys;

macro_rules! splits {
    ($($(#[$_doc:meta])* $provider:ident = $module:ident ($source:ident),)+) => {
        $(mod $module {
            #[test]
            fn body() {
                bolero::check!()
                    .with_iterations(crate::input::RANDOM_INPUTS)
                    .with_max_len(8192)
                    .for_each(|input: &[u8]| super::check(intake_providers::ProviderName::$provider, input));
            }
        })+
    };
}

intake_providers::providers!(splits);

fn delivery(provider: ProviderName, body: Bytes) -> Delivery {
    let account = AccountName::new("main").unwrap();
    Delivery {
        id: DeliveryId::new(keys::now(), [1; 10]),
        provider,
        authenticated_by: MatchedKey { account, fingerprint: KeyFingerprint::from_recorded("00000000".to_owned()) },
        received_at: keys::now(),
        headers: Vec::new(),
        sha256: Sha256Digest::of(&body),
        body,
    }
}

/// What decides about an event: its names, and the digest of its content.
type Decisive = Option<(String, String, String, Sha256Digest)>;

fn check(provider: ProviderName, body: &[u8]) {
    let decisive = split(provider, Bytes::copy_from_slice(body));
    let Ok(value) = Json::read(body) else { return };
    // White space and the order of members say nothing, except where the bytes themselves are the identity.
    let mut rewritten = String::new();
    rewrite(value, &mut rewritten);
    let rewritten = split(provider, rewritten.into());
    if [ProviderName::Accredit, ProviderName::NowCerts].contains(&provider) {
        let events = |decisive: &Option<Vec<Decisive>>| decisive.as_ref().map(Vec::len);
        assert_eq!(events(&rewritten), events(&decisive));
    } else {
        assert_eq!(rewritten, decisive);
    }
}

/// Splits a body. What is malformed as a whole has no events.
fn split(provider: ProviderName, body: Bytes) -> Option<Vec<Decisive>> {
    let (settings, delivery) = (Settings::default(), delivery(provider, body));
    let events = settings.split(&delivery).ok()?;
    let announced = events.len();
    let events: Vec<_> = events.collect();
    assert_eq!(events.len(), announced);
    let body = delivery.body.as_ptr_range();
    let is_part = |data: &Bytes| {
        let data = data.as_ptr_range();
        body.start <= data.start && data.end <= body.end
    };
    let decisive = events.into_iter().map(|event| {
        let event = match event {
            Ok(event) => event,
            Err(malformed) => {
                assert!(is_part(&malformed.data));
                assert!(malformed.reason.to_string().len() < 1024);
                return None;
            }
        };
        assert!(is_part(&event.data));
        assert_eq!(Json::read(&event.data).is_ok(), event.cloud_event.datacontenttype == "application/json");
        assert!(event.envelope.is_none_or(|envelope| Json::read(&envelope.data).unwrap().is_object()));
        let cloud_event = event.cloud_event;
        assert!(!cloud_event.id.is_empty());
        assert!(cloud_event.event_type.starts_with(&format!("{provider}.")));
        assert!(cloud_event.time.is_none_or(|time| Timestamp::parse(&time).is_ok()));
        Some((cloud_event.id, cloud_event.event_type, event.identity.partition_key(), event.digest))
    });
    Some(decisive.collect())
}

/// Writes a value with white space where there may be some, and its members in the opposite order.
fn rewrite(value: Json<'_>, text: &mut String) {
    if let Some(members) = value.members() {
        let mut members: Vec<_> = members.collect();
        members.reverse();
        text.push('{');
        for (place, member) in members.into_iter().enumerate() {
            let separator = if place == 0 { " " } else { " ,\n" };
            write!(text, "{separator}{}\t: ", member.written_name()).unwrap();
            rewrite(member.value(), text);
        }
        text.push_str(" }");
    } else if let Some(elements) = value.elements() {
        text.push('[');
        for (place, element) in elements.enumerate() {
            text.push_str(if place == 0 { "\r\n" } else { " , " });
            rewrite(element, text);
        }
        text.push_str(" ]");
    } else {
        text.push_str(value.as_str());
    }
}

#[test]
fn canonical_json() {
    bolero::check!().with_iterations(RANDOM_INPUTS).with_max_len(4096).for_each(|input: &[u8]| {
        let parsed = serde_json::from_slice::<Value>(input);
        let Ok(value) = Json::read(input) else {
            assert!(parsed.is_err());
            return;
        };
        let mut rewritten = String::new();
        rewrite(value, &mut rewritten);
        let rewritten = canonical(Json::read(rewritten.as_bytes()).unwrap());
        let Ok(text) = canonical(value) else {
            assert!(rewritten.is_err());
            return;
        };
        assert_eq!(rewritten.unwrap(), text);
        assert_eq!(canonical(Json::read(text.as_bytes()).unwrap()).unwrap(), text);
        let Ok(parsed) = parsed else { return };
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), parsed);
        same(value, &parsed);
        if let (Ok(object), Value::Object(members)) = (Object::read(input), &parsed) {
            for (name, member) in members {
                assert_eq!(object.get(name).is_none(), member.is_null());
            }
        }
    });
}

/// The cursors over text find what serde finds.
fn same(value: Json<'_>, parsed: &Value) {
    match parsed {
        Value::Array(parsed) => {
            let elements: Vec<_> = value.elements().unwrap().collect();
            assert_eq!(elements.len(), parsed.len());
            elements.into_iter().zip(parsed).for_each(|(element, parsed)| same(element, parsed));
        }
        Value::Object(parsed) => {
            let members: Vec<_> = value.members().unwrap().collect();
            assert_eq!(members.len(), parsed.len());
            for member in members {
                same(member.value(), &parsed[&*member.name().unwrap()]);
            }
        }
        Value::String(parsed) => assert_eq!(value.to_text().as_ref(), Some(parsed)),
        Value::Null => assert!(value.is_null()),
        Value::Number(_) => assert!(value.is_number()),
        Value::Bool(parsed) => assert_eq!(value.as_str(), parsed.to_string()),
    }
}

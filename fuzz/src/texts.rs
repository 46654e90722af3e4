//! Short texts: dates, waits, paths, and the names and ids in the calls to an API.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use intake_providers::date::Date;
use intake_providers::explain::provider_of;
use intake_providers::nurturecloud::component::{ComponentName, component_name};

use intake_providers::nurturecloud::resync::{BaseUrl, BusinessId, Credentials, EntityId, SyncCall, What};
use intake_providers::path_secret::PathSecretHash;
use intake_providers::registry::webhook_route;
use intake_providers::retry_after;
use intake_providers::timestamp::Timestamp;

use crate::input::RANDOM_INPUTS;
use crate::keys;

fn for_each_text(max_len: usize, check: fn(&str), fuzz: impl FnOnce(usize, usize, &dyn Fn(&[u8]))) {
    fuzz(RANDOM_INPUTS, max_len, &|input| {
        if let Ok(text) = std::str::from_utf8(input) {
            check(text);
        }
    });
}

/// A test of every text that a check takes.
macro_rules! texts {
    ($($name:ident of at most $max_len:literal bytes: $check:ident,)+) => {
        $(#[test]
        fn $name() {
            for_each_text($max_len, $check, |iterations, max_len, check| {
                let check = std::panic::AssertUnwindSafe(check);
                bolero::check!().with_iterations(iterations).with_max_len(max_len).for_each(|input: &[u8]| check(input));
            });
        })+
    };
}

texts! {
    dates of at most 64 bytes: check_date,
    retry_after_header of at most 64 bytes: check_retry_after,
    paths of at most 512 bytes: check_path,
    component_names of at most 128 bytes: check_component,
    calls of at most 512 bytes: check_call,
    api_credentials of at most 512 bytes: check_credentials,
}

fn check_date(text: &str) {
    if let Ok(date) = text.parse::<Date>() {
        assert_eq!(date.to_string(), text, "a date has one form");
        assert!(date.days_before(1) <= date && date.days_before(u16::MAX) <= date);
    }
    if let Ok(instant) = Timestamp::parse(text) {
        let written = instant.to_string();
        assert_eq!(Timestamp::parse(&written).unwrap(), instant);
        assert!(written.starts_with(&instant.hour()) && written.len() == "2026-11-21T09:30:00.000Z".len());
        assert_eq!(Timestamp::from_unix_milliseconds(instant.unix_milliseconds()).unwrap(), instant);
        assert!(instant.plus(Duration::from_secs(1)) >= instant && instant.minus(Duration::from_secs(1)) <= instant);
        assert!(Date::of(instant).to_string() == instant.hour()[..10] || instant < Timestamp::EPOCH);
    }
}

fn check_retry_after(text: &str) {
    let wait = retry_after::wait(text, keys::now());
    if let Ok(seconds) = text.parse::<u32>()
        && !text.starts_with('+')
    {
        assert_eq!(wait, Some(Duration::from_secs(seconds.into())));
    }
}

fn check_path(text: &str) {
    if let Some(provider) = provider_of(text) {
        let route = webhook_route(provider).unwrap().path();
        assert!(text == route || text.starts_with(&format!("{route}/")));
    }
    if let Some(hash) = PathSecretHash::of_path(text) {
        let last = text.rsplit('/').next().unwrap();
        assert!((43..=128).contains(&last.len()));
        assert!(last.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
        assert_eq!(
            hash.digest().to_string(),
            hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, last.as_bytes()))
        );
    }
}

fn check_component(text: &str) {
    let name = component_name(text);
    assert_eq!(component_name(&name), name, "a canonical name is its own");
    assert_eq!(component_name(&text.to_ascii_uppercase()), name);
    if let Ok(component) = ComponentName::new(text) {
        assert_eq!(component.as_str(), name);
        assert_eq!(ComponentName::new(&name).unwrap(), component);
    }
}

/// A call is made below the base, whatever the ids are.
fn check_call(text: &str) {
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (base, business, entity) = (next(), next(), next());
    let (Ok(base), Ok(business_id), Ok(id)) =
        (base.parse::<BaseUrl>(), business.parse::<BusinessId>(), entity.parse::<EntityId>())
    else {
        return;
    };
    assert!(base.is_secure() || base.is_this_machine());
    let component = ComponentName::new("contact").unwrap();
    let url = SyncCall { business_id, component, what: What::ById { id } }.url(&base);
    let path: Vec<_> = url.path_segments().unwrap().collect();
    let [.., business_segment, own, encoded, component, operation] = path[..] else {
        let [own, encoded, component, operation] = path[..] else { panic!("{url}") };
        assert_segments(own, encoded, component, operation, business);
        return;
    };
    assert_ne!(business_segment, "..");
    assert_segments(own, encoded, component, operation, business);
    assert_eq!(url.query_pairs().collect::<Vec<_>>(), [("id".into(), entity.into())]);
    assert!(url.fragment().is_none() && url.username().is_empty());
}

fn assert_segments(own: &str, encoded: &str, component: &str, operation: &str, business: &str) {
    assert_eq!((own, component, operation), ("business", "contact", "sync-by-id"));
    assert_eq!(
        url::form_urlencoded::parse(format!("x={}", encoded.replace('+', "%2B")).as_bytes()).next().unwrap().1,
        business
    );
}

fn check_credentials(text: &str) {
    let Ok(credentials) = Credentials::read(text) else { return };
    let document: serde_json::Value = serde_json::from_str(text).unwrap();
    let encoded = credentials.authorization().to_str().unwrap().strip_prefix("Basic ").unwrap();
    let written =
        format!("{}:{}", document["client_id"].as_str().unwrap(), document["client_secret"].as_str().unwrap());
    assert_eq!(STANDARD.decode(encoded).unwrap(), written.as_bytes());
    assert!(credentials.authorization().is_sensitive());
}

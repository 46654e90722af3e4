//! Bodies of up to 4 MiB whose shapes maximise the cost of reading them.

use bytes::Bytes;
use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::active_keys::MatchedKey;
use intake_providers::delivery::{Delivery, DeliveryId};
use intake_providers::digest::Sha256Digest;
use intake_providers::signature::KeyFingerprint;
use intake_providers::timestamp::Timestamp;

/// Divisor of the body size in builds without optimizations, so that the test takes seconds.
const DIVISOR: usize = if cfg!(debug_assertions) { 32 } else { 1 };

/// Maximum size of a webhook's body, in bytes, divided by the divisor above.
pub(crate) const MAX_BODY_BYTES: usize = 4 * 1024 * 1024 / DIVISOR;

/// A delivery of a provider with this body.
pub(crate) fn delivery(provider: ProviderName, body: String) -> Delivery {
    let received_at = Timestamp::parse("2026-11-21T09:30:00Z").unwrap();
    Delivery {
        id: DeliveryId::new(received_at, [1; 10]),
        provider,
        authenticated_by: MatchedKey {
            account: AccountName::new("main").unwrap(),
            fingerprint: KeyFingerprint::from_recorded("0011223344556677".to_owned()),
        },
        received_at,
        headers: Vec::new(),
        sha256: Sha256Digest::of(body.as_bytes()),
        body: Bytes::from(body),
    }
}

/// The values: each fits into a body once it is put into a place.
pub(crate) fn values() -> Vec<(&'static str, String)> {
    let room = MAX_BODY_BYTES - 1024;
    let filled = |part: &str| part.repeat(room / part.len());
    let listed = |part: &str| format!("[{}]", filled(&format!("{part},")).trim_end_matches(','));
    // Names of three characters, from the last to the first, so that each has to be moved.
    let digits: Vec<char> = ('0'..='[').chain(']'..='~').collect();
    let names = |count: usize| {
        let digits = &digits;
        (0..count / DIVISOR).rev().map(move |number| {
            let digit = |place: usize| digits[number / place % digits.len()];
            [digit(digits.len().pow(2)), digit(digits.len()), digit(1)].iter().collect::<String>()
        })
    };
    let wide = |count: usize, before: &str| {
        let members: Vec<String> = names(count).map(|name| format!(r#""{before}{name}":0"#)).collect();
        format!("{{{}}}", members.join(","))
    };
    // Each level begins with a member that belongs at its end.
    let nested = |levels: usize, innermost: &str| r#"{"b":"#.repeat(levels) + innermost + &r#","a":0}"#.repeat(levels);
    vec![
        ("zero", "0".to_owned()),
        ("zeros", listed("0")),
        ("empty objects", listed("{}")),
        ("empty arrays", listed("[]")),
        ("small objects", listed(r#"{"a":0}"#)),
        ("466,000 members", wide(466_000, "")),
        ("members, names escaped", wide(400_000, "\\n").chars().take(room).collect::<String>()),
        ("members, names alike", {
            let shared = "x".repeat(1_900);
            let members: Vec<String> = names(2_000).map(|name| format!(r#""{shared}{name}":0"#)).collect();
            format!("{{{}}}", members.join(","))
        }),
        ("one long name, many short", format!(r#"{{"{}":0,{}"#, "z".repeat(room / 2), &wide(200_000, "")[1..])),
        ("one string", format!("\"{}\"", filled("x"))),
        ("one string, all escaped", format!("\"{}\"", filled("\\u0041"))),
        ("one string, all control characters", format!("\"{}\"", filled("\\u0001"))),
        ("white space", format!("[{}0]", filled(" "))),
        ("one number", filled("1")),
        ("deep, 64 levels wide below", nested(60, &listed("0"))),
        ("deep, 466,000 members below", nested(60, &wide(465_000, ""))),
        ("2 million levels", "[".repeat(room / 2) + &"]".repeat(room / 2)),
        ("400,000 levels of objects", r#"{"":"#.repeat(room / 6) + "0" + &"}".repeat(room / 6)),
    ]
}

/// The places of a delivery, each with the text around a value.
pub(crate) fn places() -> Vec<(ProviderName, &'static str, &'static str, &'static str)> {
    const ENTITY: &str = r#"{"domainComponentName":"agent","state":"Updated","payload":{"organisationName":"o","businessId":"b","id":"i","x":"#;
    vec![
        (ProviderName::Accredit, "the body", "", ""),
        (ProviderName::Accredit, "a member", r#"{"Event":"E.C","Timestamp":"t","x":"#, "}"),
        (ProviderName::Accredit, "the id", r#"{"Event":"E.C","Timestamp":"t","EId":"#, "}"),
        (ProviderName::Machnet, "the body", "", ""),
        (ProviderName::Machnet, "the payload", r#"{"id":"1","event_name":"e","payload":"#, "}"),
        (ProviderName::Machnet, "the id", r#"{"event_name":"e","id":"#, "}"),
        (ProviderName::NowCerts, "the body", "", ""),
        (ProviderName::NurtureCloud, "the body", "", ""),
        (
            ProviderName::NurtureCloud,
            "the payload",
            r#"{"domainComponentName":"agent","state":"Updated","payload":"#,
            "}",
        ),
        (ProviderName::NurtureCloud, "an entity", ENTITY, "}}"),
        (
            ProviderName::NurtureCloud,
            "the envelope",
            r#"{"domainComponentName":"agent","state":"Updated","payload":[{"organisationName":"o","businessId":"b","id":"i"}],"x":"#,
            "}",
        ),
        (ProviderName::Sterling, "the body", "", ""),
        (ProviderName::Sterling, "an event", r#"{"code":"c","x":"#, "}"),
        (ProviderName::Sterling, "the attributes", r#"{"code":"c","attributes":"#, "}"),
        (ProviderName::Sterling, "the code", r#"{"code":"#, "}"),
        (ProviderName::Sterling, "the events", r#"{"eventbatch":[{"events":"#, "}]}"),
        (ProviderName::Sterling, "the batches", r#"{"eventbatch":"#, "}"),
        (
            ProviderName::Sterling,
            "the identifiers",
            r#"{"eventbatch":[{"events":[{"code":"c"},{"code":"d"}],"identifiers":"#,
            "}]}",
        ),
        (ProviderName::Sterling, "the delivery", r#"{"eventbatch":[{"events":[{"code":"c"},{"code":"d"}]}],"x":"#, "}"),
    ]
}

/// Whole bodies of many events.
pub(crate) fn bodies() -> Vec<(&'static str, ProviderName, String)> {
    let list = |count: usize, part: &str| vec![part; count.div_ceil(DIVISOR)].join(",");
    let filler = |size: usize| "0,".repeat(size / DIVISOR / 2) + "0";
    let triples = |count: usize| list(count, r#"{"name":"itemId","value":"1"}"#);
    let sterling = |count: usize, event: &str, size: usize| {
        format!(r#"{{"eventbatch":[{{"identifiers":[{}],"events":[{}]}}]}}"#, filler(size), list(count, event))
    };
    let notification = |count: usize, entity: &str, size: usize| {
        format!(
            r#"{{"x":[{}],"domainComponentName":"a","state":"Updated","payload":[{}]}}"#,
            filler(size),
            list(count, entity)
        )
    };
    let distinct: Vec<String> = (0..100_000 / DIVISOR).map(|number| format!(r#"{{"code":"{number}"}}"#)).collect();
    let batches: Vec<String> = (0..2_000 / DIVISOR)
        .map(|number| {
            format!(r#"{{"channel":"{number}","identifiers":[{}],"events":[{{"code":"c"}}]}}"#, filler(2_000))
        })
        .collect();
    let entity = r#"{"organisationName":"o","businessId":"b","id":"i"}"#;
    vec![
        ("941 KB of identifiers, 70,000 events", ProviderName::Sterling, sterling(70_000, r#"{"code":"c"}"#, 941_000)),
        ("2 MiB of identifiers, 50,000 events", ProviderName::Sterling, sterling(50_000, r#"{"code":"c"}"#, 2 << 20)),
        ("2 MiB of identifiers, 50,000 malformed", ProviderName::Sterling, sterling(50_000, r#"{"x":7}"#, 2 << 20)),
        ("100,000 events, each another", ProviderName::Sterling, format!("[{}]", distinct.join(","))),
        ("100,000 events, all the same", ProviderName::Sterling, format!("[{}]", list(100_000, r#"{"code":"c"}"#))),
        (
            "100,000 batches of one event",
            ProviderName::Sterling,
            format!(r#"{{"eventbatch":[{}]}}"#, list(100_000, r#"{"a":0,"events":[{"code":"c"}]}"#)),
        ),
        (
            "2,000 batches with 2 KB of identifiers",
            ProviderName::Sterling,
            format!(r#"{{"eventbatch":[{}]}}"#, batches.join(",")),
        ),
        (
            "30,000 batches in 2 MiB",
            ProviderName::Sterling,
            format!(r#"{{"x":[{}],"eventbatch":[{}]}}"#, filler(2 << 20), list(30_000, r#"{"events":[{"code":"c"}]}"#)),
        ),
        (
            "7 batches in 2 MiB",
            ProviderName::Sterling,
            format!(r#"{{"x":[{}],"eventbatch":[{}]}}"#, filler(2 << 20), list(7, r#"{"events":[{"code":"c"}]}"#)),
        ),
        ("300,000 events", ProviderName::Sterling, format!("[{}]", list(300_000, r#"{"code":"c"}"#))),
        (
            "138,000 attributes",
            ProviderName::Sterling,
            format!(r#"{{"code":"c","attributes":[{}]}}"#, triples(138_000)),
        ),
        ("80,000 entities", ProviderName::NurtureCloud, notification(80_000, entity, 0)),
        ("40,000 entities in 2 MiB", ProviderName::NurtureCloud, notification(40_000, entity, 2 << 20)),
        ("100,000 malformed in 2 MiB", ProviderName::NurtureCloud, notification(100_000, r#"{"x":7}"#, 2 << 20)),
    ]
}

/// Every delivery, with a description of its shape.
pub(crate) fn deliveries() -> impl Iterator<Item = (String, Delivery)> {
    let placed = values().into_iter().flat_map(|(shape, value)| {
        places().into_iter().map(move |(provider, place, before, after)| {
            (format!("{provider}: {shape} as {place}"), delivery(provider, format!("{before}{value}{after}")))
        })
    });
    let whole =
        bodies().into_iter().map(|(shape, provider, body)| (format!("{provider}: {shape}"), delivery(provider, body)));
    placed.chain(whole)
}

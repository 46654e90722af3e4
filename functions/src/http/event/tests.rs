use http_body_util::BodyExt as _;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// As `lambda_runtime` reads an event: the first value, and nothing of what follows.
fn read(event: &[u8]) -> Result<Request<Full<Bytes>>, UnreadableEvent> {
    let Event(request) = Event::deserialize(&mut serde_json::Deserializer::from_slice(event)).unwrap();
    request
}

fn event(changes: Value) -> Vec<u8> {
    let mut event = json!({
        "version": "2.0",
        "rawPath": "/webhooks/machnet",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "x-raas-event": "one,two"},
        "requestContext": {"http": {"method": "POST", "path": "/webhooks/machnet"}, "stage": "$default"},
        "body": "{\"name\": \"Zoë\"}",
        "isBase64Encoded": false,
    });
    for (member, value) in changes.as_object().unwrap() {
        event[member] = value.clone();
    }
    event.to_string().into_bytes()
}

fn without(member: &str) -> Vec<u8> {
    let mut event: Value = serde_json::from_slice(&event(json!({}))).unwrap();
    event.as_object_mut().unwrap().remove(member).unwrap();
    event.to_string().into_bytes()
}

async fn body(event: &[u8]) -> Bytes {
    read(event).unwrap().into_body().collect().await.unwrap().to_bytes()
}

#[tokio::test]
async fn an_event_becomes_a_request_with_its_method_path_headers_and_body() {
    let request = read(&event(json!({}))).unwrap();
    assert_eq!((request.method(), request.uri().path()), (&Method::POST, "/webhooks/machnet"));
    assert_eq!(request.headers().len(), 2);
    assert_eq!(request.headers()["x-raas-event"], "one,two");
    assert_eq!(body(&event(json!({}))).await, "{\"name\": \"Zoë\"}");
}

#[test]
fn the_query_is_beside_the_request_and_fits_into_a_request_line() {
    for (query, expected) in [
        (json!("a=1&b=%20?"), Some("a=1&b=%20?")),
        (json!("a b#\r\né"), Some("a%20b%23%0D%0A%C3%A9")),
        (json!(""), None),
        (json!(5), None),
    ] {
        let request = read(&event(json!({"rawQueryString": query}))).unwrap();
        assert_eq!(request.uri().query(), None);
        assert_eq!(request.extensions().get::<RawQuery>(), expected.map(|query| RawQuery(query.to_owned())).as_ref());
    }
    assert!(read(&without("rawQueryString")).is_ok());
}

#[tokio::test]
async fn a_body_in_base64_is_decoded_and_a_missing_one_is_empty() {
    assert_eq!(body(&event(json!({"body": "AP8K", "isBase64Encoded": true}))).await[..], [0, 0xff, b'\n']);
    for event in [event(json!({"body": null})), without("body"), event(json!({"body": "", "isBase64Encoded": true}))] {
        assert_eq!(body(&event).await, "");
    }
    assert_eq!(body(&without("isBase64Encoded")).await, "{\"name\": \"Zoë\"}");
}

#[test]
fn members_that_no_flow_reads_cannot_fail() {
    for changes in [
        json!({"rawQueryString": "a=<b>&c=\"d e\"\u{1}"}),
        json!({"rawQueryString": 1, "queryStringParameters": [], "cookies": "none", "version": "9"}),
        json!({"headers": {"x-forwarded-proto": "ht<tp", "host": "a b_c:é"}}),
        json!({"headers": {"host": ""}}),
        json!({"headers": null, "pathParameters": 7}),
        json!({"requestContext": {"http": {"method": "POST", "sourceIp": 1}, "domainName": " ", "stage": [], "x": null}}),
    ] {
        let read = read(&event(changes.clone()));
        assert_eq!(read.unwrap().uri().path(), "/webhooks/machnet", "{changes}");
    }
    assert!(read(&without("headers")).unwrap().headers().is_empty());
}

#[test]
fn where_a_request_came_from_is_read_if_it_is_there() {
    let origin = |context: Value| {
        let request = read(&event(json!({"requestContext": context}))).unwrap();
        request.extensions().get::<RequestOrigin>().cloned().unwrap()
    };
    let known = RequestOrigin {
        source_address: Some("203.0.113.7".to_owned()),
        api_request_id: Some("JKJaXmPLvHcESHA=".to_owned()),
    };
    let http = json!({"method": "POST", "sourceIp": "203.0.113.7"});
    assert_eq!(origin(json!({"http": http, "requestId": "JKJaXmPLvHcESHA="})), known);
    assert_eq!(origin(json!({"http": {"method": "POST", "sourceIp": 1}, "requestId": []})), RequestOrigin::default());
}

#[test]
fn headers_that_http_does_not_allow_are_dropped_and_the_others_stay() {
    let request = read(&event(json!({"headers": {
        "x-control": "a\u{0}b",
        "x-line": "a\r\nx-injected: 1",
        "x y": "a space in the name",
        "x-ü": "no ascii in the name",
        "": "no name",
        "x-number": 1,
        "x-null": null,
        "x-text": "Zoë",
        "X-Upper": "a",
        "x-upper": "b",
    }})))
    .unwrap();
    let mut found: Vec<(&str, &[u8])> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    found.sort_unstable();
    let expected: [(&str, &[u8]); 3] = [("x-text", "Zoë".as_bytes()), ("x-upper", b"a"), ("x-upper", b"b")];
    assert_eq!(
        found, expected,
        "two spellings of one name are two headers, so a signature is noticed to be there twice"
    );
}

#[test]
fn a_header_that_is_not_unicode_is_dropped() {
    let text = String::from_utf8(event(json!({"headers": {"x-bad": "HERE", "x-good": "1"}}))).unwrap();
    let request = read(text.replace("HERE", r"\ud800").as_bytes()).unwrap();
    assert_eq!(request.headers().len(), 1);
}

#[test]
fn more_headers_than_a_request_can_hold_are_an_error() {
    let headers: serde_json::Map<String, Value> =
        (0..40_000).map(|number| (format!("x-{number}"), "".into())).collect();
    assert_eq!(read(&event(json!({"headers": headers}))).unwrap_err(), UnreadableEvent::Headers);
}

#[test]
fn a_path_is_kept_or_encoded_and_never_becomes_a_query() {
    for (raw, path) in [
        ("/webhooks/nurturecloud/a-b_c", "/webhooks/nurturecloud/a-b_c"),
        ("/prod/webhooks/../x", "/prod/webhooks/../x"),
        ("/a%20b", "/a%20b"),
        ("/a b<\">\u{1}?c#d", "/a%20b%3C%22%3E%01%3Fc%23d"),
        ("/Zoë", "/Zo%C3%AB"),
        ("//host/a", "//host/a"),
        ("/", "/"),
    ] {
        let request = read(&event(json!({"rawPath": raw}))).unwrap();
        assert_eq!((request.uri().path(), request.uri().query()), (path, None), "{raw}");
    }
}

#[test]
fn an_event_that_is_not_a_request_is_an_error_that_quotes_nothing() {
    let long = "a".repeat(70_000);
    for (event, expected) in [
        (without("requestContext"), UnreadableEvent::Form),
        (without("rawPath"), UnreadableEvent::Form),
        (event(json!({"requestContext": {"httpMethod": "POST", "confidential": 1}})), UnreadableEvent::Form),
        (event(json!({"body": {"confidential": 1}})), UnreadableEvent::Form),
        (event(json!({"isBase64Encoded": "confidential"})), UnreadableEvent::Form),
        (event(json!({"headers": "confidential"})), UnreadableEvent::Form),
        (event(json!({"body": "confidential!", "isBase64Encoded": true})), UnreadableEvent::Body),
        (event(json!({"requestContext": {"http": {"method": "confi dential"}}})), UnreadableEvent::Method),
        (event(json!({"rawPath": "confidential"})), UnreadableEvent::Path),
        (event(json!({"rawPath": format!("/{long}")})), UnreadableEvent::Path),
        (br#"{"Records":[{"body":"confidential"}]}"#.to_vec(), UnreadableEvent::Form),
        (br#""confidential""#.to_vec(), UnreadableEvent::Form),
        (br#"{"rawPath": "/confidential", "#.to_vec(), UnreadableEvent::Form),
        (b"{\"rawPath\": \"/\xff\"}".to_vec(), UnreadableEvent::Form),
        (b"confidential".to_vec(), UnreadableEvent::Form),
        (b"".to_vec(), UnreadableEvent::Form),
    ] {
        let error = read(&event).unwrap_err();
        assert_eq!(error, expected, "{}", String::from_utf8_lossy(&event));
        assert!(!error.to_string().contains("confidential"));
    }
}

/// Texts with a taste for what is special in URLs, headers and JSON.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![any::<String>(), "[\u{0}-\u{20}<>\"%/?#:@\\\\\u{7f}\u{e9}a-c]{0,20}"]
}

proptest! {
    #[test]
    fn no_text_in_an_event_makes_reading_it_panic_and_no_unread_member_makes_it_fail(
        headers in prop::collection::btree_map(any_text(), any_text(), 0..6),
        unread in prop::collection::btree_map(any_text(), any_text(), 0..4),
        path in any_text(),
        body in any_text(),
    ) {
        let changes = json!({
            "headers": headers, "rawPath": format!("/{path}"), "body": body, "rawQueryString": path,
            "queryStringParameters": unread, "cookies": [body], "stageVariables": unread,
        });
        let request = read(&event(changes)).unwrap();
        prop_assert!(request.uri().path().starts_with('/') && request.uri().query().is_none());
        prop_assert!(request.headers().len() <= headers.len());
        let _ = read(&event(json!({"body": body, "isBase64Encoded": true, "rawPath": path})));
        let _ = read(body.as_bytes());
    }
}

//! A refused request as one JSON document: the event of an HTTP API (payload format 2.0), as a function gets it, and beside it what
//! the answer was. So `explain` reads it like any other event, and a function can be invoked with it.
//!
//! Cookies are not in it: API Gateway takes them out of the headers, and no provider sends any.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use intake_providers::delivery::DeliveryId;
use intake_providers::explain::provider_of;
use intake_providers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};

use super::{RefusedRequest, RefusedSummary, request_head};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    version: String,
    raw_path: String,
    raw_query_string: String,
    headers: BTreeMap<String, String>,
    request_context: RequestContext,
    body: String,
    is_base64_encoded: bool,
    refused: Refused,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    http: Http,
    time_epoch: i64,
}

#[derive(Serialize, Deserialize)]
struct Http {
    method: String,
}

/// What no event has.
#[derive(Serialize, Deserialize)]
struct Refused {
    id: DeliveryId,
    status: u16,
    reason: String,
    whole: bool,
}

/// Writes a refused request. Several headers of a name become one, joined by a comma, as API Gateway hands them over.
#[must_use]
pub fn write(summary: &RefusedSummary, headers: &HeaderMap, body: &[u8]) -> Bytes {
    let (path, query) = summary.target.split_once('?').unwrap_or((&summary.target, ""));
    let (body, is_base64_encoded) = match std::str::from_utf8(body) {
        Ok(text) if is_plain(text) => (text.to_owned(), false),
        _ => (STANDARD.encode(body), true),
    };
    let mut texts: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let text = String::from_utf8_lossy(value.as_bytes());
        let joined = texts.get(name.as_str()).map_or_else(|| text.to_string(), |first| format!("{first},{text}"));
        texts.insert(name.to_string(), joined);
    }
    let document = Document {
        version: "2.0".to_owned(),
        raw_path: path.to_owned(),
        raw_query_string: query.to_owned(),
        headers: texts,
        request_context: RequestContext {
            http: Http { method: summary.method.clone() },
            time_epoch: summary.received_at.unix_milliseconds(),
        },
        body,
        is_base64_encoded,
        refused: Refused {
            id: summary.id,
            status: summary.status,
            reason: summary.reason.clone(),
            whole: summary.is_whole,
        },
    };
    // The document is plain text and numbers, which always serialise.
    serde_json::to_vec(&document).unwrap_or_default().into()
}

/// Whether JSON writes a text in at most twice its size. It takes six bytes for most control characters.
fn is_plain(text: &str) -> bool {
    !text.bytes().any(|byte| byte.is_ascii_control() && !matches!(byte, b'\n' | b'\r' | b'\t'))
}

/// Not the document of a refused request. Nothing of its content is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the document is not that of a refused request, or another release wrote it; read it with the release that did"
)]
pub struct NotARefusedRequest;

/// Reads a refused request.
///
/// # Errors
/// [`NotARefusedRequest`] when it has another form.
pub fn read(document: &[u8]) -> Result<RefusedRequest, NotARefusedRequest> {
    let document: Document = serde_json::from_slice(document).map_err(|_may_quote_it| NotARefusedRequest)?;
    read_document(document).ok_or(NotARefusedRequest)
}

fn read_document(document: Document) -> Option<RefusedRequest> {
    let Document { raw_path, raw_query_string: query, request_context, refused, .. } = document;
    let method: Method = request_context.http.method.parse().ok()?;
    let mut headers = HeaderMap::new();
    for (name, value) in document.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        headers.try_append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?).ok()?;
    }
    let body: Bytes =
        if document.is_base64_encoded { STANDARD.decode(document.body).ok()?.into() } else { document.body.into() };
    let provider = provider_of(&raw_path);
    let target = if query.is_empty() { raw_path } else { format!("{raw_path}?{query}") };
    let head = request_head(&method, &target, Version::HTTP_11, &headers);
    let summary = RefusedSummary {
        id: refused.id,
        received_at: Timestamp::from_unix_milliseconds(request_context.time_epoch).ok()?,
        provider,
        status: refused.status,
        reason: refused.reason,
        method: method.to_string(),
        target,
        body_bytes: body.len() as u64,
        is_whole: refused.whole,
    };
    Some(RefusedRequest { summary, head, body })
}

#[cfg(test)]
mod tests {
    use intake_providers::ProviderName;
    use proptest::prelude::*;

    use super::*;

    fn summary(target: &str, body: &[u8]) -> RefusedSummary {
        let received_at = Timestamp::parse("2026-11-21T09:30:00.123Z").unwrap();
        RefusedSummary {
            id: DeliveryId::new(received_at, [7; 10]),
            received_at,
            provider: provider_of(target),
            status: 409,
            reason: "signature-mismatch".to_owned(),
            method: "POST".to_owned(),
            target: target.to_owned(),
            body_bytes: body.len() as u64,
            is_whole: true,
        }
    }

    #[test]
    fn the_document_is_the_event_that_a_function_gets_and_says_what_the_answer_was() {
        let mut headers = HeaderMap::new();
        headers.append("x-signature", HeaderValue::from_static("a"));
        headers.append("x-signature", HeaderValue::from_static("b"));
        let summary = summary("/webhooks/machnet?a=1&b", b"{}");
        let document = write(&summary, &headers, b"{}");
        let value: serde_json::Value = serde_json::from_slice(&document).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "version": "2.0",
                "rawPath": "/webhooks/machnet",
                "rawQueryString": "a=1&b",
                "headers": {"x-signature": "a,b"},
                "requestContext": {"http": {"method": "POST"}, "timeEpoch": 1_795_253_400_123_i64},
                "body": "{}",
                "isBase64Encoded": false,
                "refused": {
                    "id": summary.id.to_string(), "status": 409, "reason": "signature-mismatch", "whole": true,
                },
            })
        );
        let read = read(&document).unwrap();
        assert_eq!(read.summary.provider, Some(ProviderName::Machnet));
        assert_eq!(read.raw(), b"POST /webhooks/machnet?a=1&b HTTP/1.1\r\nx-signature: a,b\r\n\r\n{}");
    }

    #[test]
    fn control_characters_do_not_swell_the_document() {
        let body = vec![1; 10_000];
        let document = write(&summary("/webhooks/machnet", &body), &HeaderMap::new(), &body);
        assert!(document.len() <= 2 * body.len(), "{}", document.len());
        assert_eq!(*read(&document).unwrap().body, *body);
    }

    #[test]
    fn another_document_is_not_read_and_not_quoted() {
        for text in ["hunter2", "{}", r#"{"rawPath": "/hunter2"}"#] {
            let error = read(text.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_request_is_read_as_it_was_written_and_takes_no_more_than_twice_its_body(
            body in prop_oneof![proptest::collection::vec(any::<u8>(), 0..300), "\\PC{0,200}".prop_map(String::into_bytes)],
            value in "[ -~é世]{0,30}",
            query in "[a-z=&%?]{0,20}",
        ) {
            let target = if query.is_empty() { "/oauth/token".to_owned() } else { format!("/oauth/token?{query}") };
            let summary = summary(&target, &body);
            let mut headers = HeaderMap::new();
            headers.append("x-a", HeaderValue::from_bytes(value.as_bytes()).unwrap());
            let document = write(&summary, &headers, &body);
            prop_assert!(document.len() <= 2 * body.len() + 500);
            let read = read(&document).unwrap();
            prop_assert_eq!(&read.head, &request_head(&Method::POST, &target, Version::HTTP_11, &headers));
            prop_assert_eq!(&*read.body, &*body);
            prop_assert_eq!(read.summary, summary);
        }
    }
}

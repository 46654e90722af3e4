//! Converts the event of an HTTP API to a request.
//!
//! The conversion in `lambda_http` builds an absolute URL of host, protocol and query, and panics where that is not a URL; a
//! header with a control character makes it reject the whole event. Either way API Gateway would answer 500 instead of us. No
//! flow needs any of this, so only method, path, headers and body are read here, and the query for what is kept of a refused
//! request. Everything else in an event is ignored.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use intake_pipeline::evidence::RequestOrigin;
use intake_pipeline::refused::RawQuery;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The event of an HTTP API or a function URL: payload format 2.0. Deserializing it never fails, because an error here would
/// fail the invocation.
pub(super) struct Event(pub(super) Result<Request<Full<Bytes>>, UnreadableEvent>);

/// Why an event is not a request. The event is never quoted.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UnreadableEvent {
    #[error("the event is not a request in payload format 2.0 of an HTTP API; correct what invokes the function")]
    Form,
    #[error("the event's method is not an HTTP method")]
    Method,
    #[error("the event's path cannot be a path, even percent-encoded")]
    Path,
    #[error("the event has more headers than a request can hold")]
    Headers,
    #[error("the event's body is marked as base64 and cannot be decoded")]
    Body,
}

impl<'de> Deserialize<'de> for Event {
    /// Never fails, even if the text is not JSON: `lambda_runtime` ignores what follows the deserialized value.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let event = HttpApiEvent::deserialize(deserializer).map_err(|_may_quote_the_event| UnreadableEvent::Form);
        Ok(Self(event.and_then(HttpApiEvent::into_request)))
    }
}

/// The members that are read. All others may hold anything.
///
/// Source: AWS, "Create AWS Lambda proxy integrations for HTTP APIs in API Gateway", payload format 2.0.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HttpApiEvent<'a> {
    #[serde(borrow)]
    request_context: RequestContext<'a>,
    #[serde(borrow)]
    raw_path: Cow<'a, str>,
    /// As any JSON, because no answer depends on it.
    #[serde(borrow)]
    raw_query_string: Option<&'a RawValue>,
    /// Values that came in several headers of one name are joined by a comma.
    #[serde(borrow)]
    headers: Option<BTreeMap<String, &'a RawValue>>,
    #[serde(borrow)]
    body: Option<Cow<'a, str>>,
    is_base64_encoded: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    #[serde(borrow)]
    http: Http<'a>,
    /// As any JSON, because no answer depends on it.
    #[serde(borrow)]
    request_id: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Http<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    source_ip: Option<&'a RawValue>,
}

impl RequestContext<'_> {
    fn origin(&self) -> RequestOrigin {
        let text = |value: Option<&RawValue>| serde_json::from_str(value?.get()).ok();
        RequestOrigin { source_address: text(self.http.source_ip), api_request_id: text(self.request_id) }
    }
}

impl HttpApiEvent<'_> {
    fn into_request(self) -> Result<Request<Full<Bytes>>, UnreadableEvent> {
        let body = match self.body {
            None => Bytes::new(),
            Some(text) if self.is_base64_encoded == Some(true) => {
                STANDARD.decode(text.as_bytes()).map(Bytes::from).map_err(|_| UnreadableEvent::Body)?
            }
            Some(text) => Bytes::from(text.into_owned()),
        };
        let mut request = Request::new(Full::new(body));
        let query: Option<String> = self.raw_query_string.and_then(|query| serde_json::from_str(query.get()).ok());
        if let Some(query) = query.filter(|query| !query.is_empty()) {
            let query = utf8_percent_encode(&query, NOT_IN_A_QUERY).to_string();
            request.extensions_mut().insert(RawQuery(query));
        }
        request.extensions_mut().insert(self.request_context.origin());
        *request.method_mut() =
            Method::from_bytes(self.request_context.http.method.as_bytes()).map_err(|_| UnreadableEvent::Method)?;
        *request.uri_mut() = uri(&self.raw_path).ok_or(UnreadableEvent::Path)?;
        *request.headers_mut() = usable_headers(self.headers.unwrap_or_default())?;
        Ok(request)
    }
}

/// Characters that must be encoded in a path. Percent signs stay, because they may already be an encoding.
/// Source: RFC 3986, section 3.3, `pchar`.
const NOT_IN_A_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// Characters that would end a query in a request line.
const NOT_IN_A_QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'#');

/// The path, encoded for a URI. API Gateway has decoded it.
fn uri(raw_path: &str) -> Option<Uri> {
    let path = utf8_percent_encode(raw_path, NOT_IN_A_PATH).to_string();
    path.starts_with('/').then(|| path.parse().ok()).flatten()
}

/// Maximum number of dropped headers whose names are logged, and maximum length of each name, in characters.
const MAX_NAMES: usize = 10;
const MAX_NAME_CHARACTERS: usize = 64;

/// The headers that HTTP allows. Others are dropped; the log shows their names but not their values.
fn usable_headers(headers: BTreeMap<String, &RawValue>) -> Result<HeaderMap, UnreadableEvent> {
    let mut usable = HeaderMap::new();
    let mut left_out = Vec::new();
    for (name, value) in headers {
        match header(&name, value) {
            Some((name, value)) => {
                usable.try_append(name, value).map_err(|_| UnreadableEvent::Headers)?;
            }
            None => left_out.push(name),
        }
    }
    if !left_out.is_empty() {
        let names: Vec<String> = left_out
            .iter()
            .take(MAX_NAMES)
            .map(|name| name.escape_debug().take(MAX_NAME_CHARACTERS).collect())
            .collect();
        tracing::warn!(count = left_out.len(), ?names, "headers that HTTP does not allow are left out");
    }
    Ok(usable)
}

fn header(name: &str, value: &RawValue) -> Option<(HeaderName, HeaderValue)> {
    let value: String = serde_json::from_str(value.get()).ok()?;
    Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_maybe_shared(Bytes::from(value)).ok()?))
}

#[cfg(test)]
mod tests;

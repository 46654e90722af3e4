//! Reads a captured request: an HTTP API event as Lambda gets it, or HTTP as it goes over the wire.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Uri};
use intake_providers::explain::case::CapturedRequest;
use intake_providers::timestamp::Timestamp;
use serde::Deserialize;

/// A captured request, and what its capture says beside it.
#[derive(Clone, Debug)]
pub struct Capture {
    /// The request.
    pub request: CapturedRequest,
    /// When it arrived, if the capture says so.
    pub received_at: Option<Timestamp>,
    /// What is odd about the capture itself, each a sentence.
    pub remarks: Vec<String>,
}

/// Why a file is not a captured request. Nothing of its content is repeated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// JSON of another form.
    #[error(
        "the file is JSON, and not an event of an HTTP API (payload format 2.0): {0}; save the event as Lambda got it, such as \
         those in events/, or the request as it goes over the wire"
    )]
    Event(&'static str),
    /// No request line.
    #[error(
        "line 1 is not a request line such as `POST /webhooks/machnet HTTP/1.1`; save the request as it goes over the wire: that line, \
         the headers, an empty line, and the body"
    )]
    RequestLine,
    /// Not a header.
    #[error(
        "line {line} is not a header such as `content-type: application/json`; the body begins after the first empty line"
    )]
    Header {
        /// The line, counted from 1.
        line: usize,
    },
}

/// Reads a captured request.
///
/// # Errors
/// [`CaptureError`] when it has neither form.
pub fn read(bytes: &[u8]) -> Result<Capture, CaptureError> {
    if bytes.trim_ascii_start().starts_with(b"{") { read_event(bytes) } else { read_http(bytes) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    raw_path: String,
    #[serde(default)]
    raw_query_string: String,
    headers: std::collections::BTreeMap<String, String>,
    request_context: Context,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    http: ContextHttp,
    time_epoch: Option<i64>,
}

#[derive(Deserialize)]
struct ContextHttp {
    method: String,
}

fn read_event(bytes: &[u8]) -> Result<Capture, CaptureError> {
    let event: Event = serde_json::from_slice(bytes).map_err(|_| {
        CaptureError::Event("rawPath, headers or requestContext.http.method is missing or of another type")
    })?;
    let method = event.request_context.http.method.parse().map_err(|_| CaptureError::Event("its method is not one"))?;
    let mut headers = HeaderMap::new();
    for (name, value) in event.headers {
        let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_bytes(value.as_bytes())) else {
            return Err(CaptureError::Event("one of its headers is not one"));
        };
        headers.append(name, value);
    }
    let body = event.body.unwrap_or_default();
    let body = if event.is_base64_encoded {
        STANDARD
            .decode(body)
            .map_err(|_| CaptureError::Event("its body is not the base64 that isBase64Encoded promises"))?
    } else {
        body.into_bytes()
    };
    let query = if event.raw_query_string.is_empty() { String::new() } else { format!("?{}", event.raw_query_string) };
    let target = format!("{}{query}", event.raw_path);
    let request = CapturedRequest { method, target, headers, body: body.into() };
    let time = event.request_context.time_epoch.and_then(|time| Timestamp::from_unix_milliseconds(time).ok());
    Ok(Capture { request, received_at: time, remarks: Vec::new() })
}

fn read_http(bytes: &[u8]) -> Result<Capture, CaptureError> {
    let (line, mut rest) = next_line(bytes);
    let line = std::str::from_utf8(line).map_err(|_| CaptureError::RequestLine)?;
    let mut words = line.split_ascii_whitespace();
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(CaptureError::RequestLine);
    };
    let method: Method = method.parse().map_err(|_| CaptureError::RequestLine)?;
    if !version.starts_with("HTTP/") {
        return Err(CaptureError::RequestLine);
    }
    let mut headers = HeaderMap::new();
    for number in 2.. {
        let (line, after) = next_line(rest);
        let is_last = after.is_empty();
        rest = after;
        if line.is_empty() {
            break;
        }
        let header = || {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (name, value) = line.split_at_checked(colon)?;
            let name = HeaderName::from_bytes(name).ok()?;
            Some((name, HeaderValue::from_bytes(value.get(1..)?.trim_ascii()).ok()?))
        };
        let (name, value) = header().ok_or(CaptureError::Header { line: number })?;
        headers.append(name, value);
        if is_last {
            break;
        }
    }
    let (body, remarks) = body_of(&headers, rest);
    let request = CapturedRequest { method, target: origin_form(target), headers, body };
    Ok(Capture { request, received_at: None, remarks })
}

/// The body, without the chunks of its transfer, or what came after its end.
fn body_of(headers: &HeaderMap, rest: &[u8]) -> (Bytes, Vec<String>) {
    let is_chunked = headers
        .get(TRANSFER_ENCODING)
        .is_some_and(|encoding| encoding.as_bytes().to_ascii_lowercase().ends_with(b"chunked"));
    if let Some(body) = unchunked(rest).filter(|_| is_chunked) {
        return (body.into(), Vec::new());
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut remarks = Vec::new();
    let body = match length {
        Some(length) if length < rest.len() => {
            remarks.push(format!(
                "the body in the file has {} bytes, and content-length says {length}; the first {length} are taken",
                rest.len()
            ));
            rest.get(..length).unwrap_or(rest)
        }
        Some(length) if length > rest.len() => {
            remarks.push(format!(
                "the body in the file has {} bytes, and content-length says {length}: {} bytes were lost, or the capture changed \
                 line breaks or characters",
                rest.len(),
                length - rest.len()
            ));
            rest
        }
        _ => rest,
    };
    (Bytes::copy_from_slice(body), remarks)
}

/// The data of a body in chunks; `None` if it isn't one.
fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let (line, after) = next_line(rest);
        let size = std::str::from_utf8(line).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let (chunk, after) = after.split_at_checked(size)?;
        body.extend_from_slice(chunk);
        rest = after.strip_prefix(b"\r\n").or_else(|| after.strip_prefix(b"\n"))?;
    }
}

/// Path and query of a target, which a proxy may have captured as a whole URL.
fn origin_form(target: &str) -> String {
    if target.starts_with('/') {
        return target.to_owned();
    }
    let path = target.parse::<Uri>().ok().and_then(|uri| uri.path_and_query().map(ToString::to_string));
    path.unwrap_or_else(|| target.to_owned())
}

/// The first line without its line break, and the rest.
fn next_line(bytes: &[u8]) -> (&[u8], &[u8]) {
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return (bytes, &[]) };
    let line = bytes.get(..end).unwrap_or(bytes);
    (line.strip_suffix(b"\r").unwrap_or(line), bytes.get(end + 1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use intake_pipeline::refused::{RefusedSummary, document};
    use intake_providers::delivery::DeliveryId;
    use proptest::prelude::*;

    use super::*;

    fn event(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../events/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    #[test]
    fn the_sample_events_are_captured_requests() {
        let machnet = read(&event("machnet.json")).unwrap();
        assert_eq!((machnet.request.method, machnet.request.target.as_str()), (Method::POST, "/webhooks/machnet"));
        assert!(machnet.request.body.starts_with(b"{\"id\":\"5f8a"));
        assert_eq!(machnet.request.headers["x-raas-event"], "transaction_completed");
        assert_eq!(machnet.received_at, Some(Timestamp::parse("2026-11-21T09:30:00Z").unwrap()));
        let token = read(&event("sterling-token.json")).unwrap();
        assert_eq!(token.request.body, "grant_type=client_credentials", "it is in base64 there");
        assert!(matches!(read(&event("processor.json")), Err(CaptureError::Event(_))));
    }

    #[test]
    fn what_a_stack_has_kept_is_a_captured_request_with_any_header_that_http_allows() {
        let received_at = Timestamp::parse("2026-11-21T09:30:00.123Z").unwrap();
        let summary = RefusedSummary {
            id: DeliveryId::new(received_at, [7; 10]),
            received_at,
            provider: None,
            status: 409,
            reason: "signature-mismatch".to_owned(),
            method: "POST".to_owned(),
            target: "/webhooks/machnet?a=1".to_owned(),
            body_bytes: 2,
            is_whole: true,
        };
        let mut headers = HeaderMap::new();
        headers.append("x-note", HeaderValue::from_bytes("Zoë".as_bytes()).unwrap());
        let captured = read(&document::write(&summary, &headers, b"\0\xff")).unwrap();
        assert_eq!(captured.request.target, summary.target);
        assert_eq!((captured.request.headers, &*captured.request.body), (headers, &b"\0\xff"[..]));
        assert_eq!(captured.received_at, Some(received_at));
    }

    #[test]
    fn http_is_read_to_the_byte_with_either_line_break() {
        for (text, body) in [
            ("POST /a?b=1 HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nx-a:2\r\n\r\n{\r\n}\n", "{\r\n}\n"),
            ("POST /a?b=1 HTTP/1.1\nHost: x\nX-A: 1\nx-a:2\n\n{}", "{}"),
            ("POST http://proxy.example/a?b=1 HTTP/1.0\r\nx-a: 1\r\nx-a: 2\r\n", ""),
        ] {
            let Capture { request, remarks, .. } = read(text.as_bytes()).unwrap();
            assert_eq!((request.target.as_str(), request.body.as_ref()), ("/a?b=1", body.as_bytes()), "{text}");
            assert_eq!(request.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["1", "2"]);
            assert_eq!(remarks, [""; 0]);
        }
    }

    #[test]
    fn the_end_of_the_body_is_what_the_headers_say() {
        let with =
            |headers: &str, body: &str| read(format!("POST / HTTP/1.1\r\n{headers}\r\n\r\n{body}").as_bytes()).unwrap();
        let longer = with("content-length: 2", "{}\n");
        assert_eq!(longer.request.body, "{}");
        assert!(longer.remarks[0].contains("has 3 bytes, and content-length says 2"), "{:?}", longer.remarks);
        let shorter = with("content-length: 9", "{}");
        assert_eq!(shorter.request.body, "{}");
        assert!(shorter.remarks[0].contains("7 bytes were lost"), "{:?}", shorter.remarks);
        assert_eq!(
            with("transfer-encoding: chunked", "2;x=y\r\nab\r\na\r\n0123456789\r\n0\r\n\r\n").request.body,
            "ab0123456789"
        );
        assert_eq!(with("transfer-encoding: chunked", "{}").request.body, "{}", "a proxy has joined the chunks");
    }

    #[test]
    fn what_is_no_request_is_named_by_its_line_and_not_quoted() {
        let error = |text: &str| read(text.as_bytes()).unwrap_err().to_string();
        assert!(error("hunter2").starts_with("line 1 is not a request line") && !error("hunter2").contains("hunter2"));
        assert!(error("POST / HTTP/1.1\r\na: 1\r\nhunter2\r\n\r\n").starts_with("line 3 is not a header"));
        assert!(error("{\"a\": 1}").contains("not an event of an HTTP API"));
    }

    proptest! {
        #[test]
        fn nothing_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), headed in any::<bool>()) {
            let head = if headed { &b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n"[..] } else { b"" };
            let _ = read(&[head, &bytes].concat());
        }
    }
}

//! An event's data in its envelope.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::value::RawValue;

/// The data of an event: exactly one of these members.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Content {
    /// The data, where `datacontenttype` says JSON and they are. They are embedded byte for byte, so that numbers are what the
    /// provider wrote.
    #[serde(rename = "data")]
    Json(#[cfg_attr(test, schemars(with = "serde_json::Value"))] Box<RawValue>),
    /// The bytes of any other data in base64, and of JSON that an event bus does not take, such as an integer beyond 64 bits.
    #[serde(rename = "data_base64")]
    Base64(#[cfg_attr(test, schemars(extend("contentEncoding" = "base64")))] String),
    /// Where the data are, if the envelope would be larger than 200 KiB with them: on AWS an object of S3, as
    /// `s3://bucket/key` (CloudEvents extension "Dataref").
    #[serde(rename = "dataref")]
    Reference(#[cfg_attr(test, schemars(extend("format" = "uri-reference")))] String),
}

/// How data that are JSON are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonForm {
    /// As a JSON value.
    Value,
    /// As bytes, for an event bus that does not take the value.
    Base64,
}

impl Content {
    /// Bytes of this content type.
    pub(super) fn of(bytes: &[u8], content_type: &str, form: JsonForm) -> Self {
        let json = match form {
            JsonForm::Value if is_json(content_type) => std::str::from_utf8(bytes).ok().and_then(raw_value),
            JsonForm::Value | JsonForm::Base64 => None,
        };
        json.map_or_else(|| Self::Base64(STANDARD.encode(bytes)), Self::Json)
    }

    /// Minimum size in an envelope of this number of bytes. Without a media type among what was announced, they may be JSON.
    pub(super) fn min_size(bytes: u64, announced: &str, form: JsonForm) -> u64 {
        let may_be_json = is_json(announced) || !is_media_type(announced);
        // White space around a JSON value is left out, which is hardly ever more than a line break.
        if may_be_json && form == JsonForm::Value { bytes } else { bytes.div_ceil(3).saturating_mul(4) }
    }
}

/// The one JSON value of a text, without the white space around it.
fn raw_value(text: &str) -> Option<Box<RawValue>> {
    let trimmed = text.trim_matches([' ', '\t', '\n', '\r']);
    RawValue::from_string(trimmed.to_owned()).ok()
}

/// The media type that a provider announced, or what the bytes are, as far as they are known, where it announced none that is one.
pub(super) fn content_type(announced: &str, bytes: Option<&[u8]>) -> String {
    if is_media_type(announced) {
        return announced.to_owned();
    }
    let is_json = bytes.is_some_and(|bytes| std::str::from_utf8(bytes).ok().and_then(raw_value).is_some());
    if is_json { "application/json" } else { "application/octet-stream" }.to_owned()
}

/// Whether this has the form of a media type (RFC 2045, section 5.1): a type, a slash, a subtype, and perhaps parameters.
fn is_media_type(text: &str) -> bool {
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
    };
    let is_printable = parameters.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let mut parts = essence.trim().splitn(2, '/');
    is_printable && parts.next().is_some_and(is_token) && parts.next().is_some_and(is_token)
}

/// Whether a media type says JSON: its subtype is `json`, or ends with `+json` (CloudEvents 1.0, JSON format, section 3.1).
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let subtype = essence.split_once('/').map(|(_, subtype)| subtype.to_ascii_lowercase()).unwrap_or_default();
    subtype == "json" || subtype.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8], content_type: &str) -> String {
        serde_json::to_string(&Content::of(bytes, content_type, JsonForm::Value)).unwrap()
    }

    #[test]
    fn json_is_embedded_as_it_was_written_and_anything_else_is_base64() {
        let body = br#" {"n": 1.10, "big":12345678901234567890.10,"e":1E400}
"#;
        let embedded = r#"{"data":{"n": 1.10, "big":12345678901234567890.10,"e":1E400}}"#;
        for json in ["application/json", "application/vnd.masstransit+json; charset=utf-8", "text/JSON"] {
            assert_eq!(written(body, json), embedded, "{json}");
        }
        assert_eq!(written(b"{}", "text/plain"), r#"{"data_base64":"e30="}"#);
        assert_eq!(written(b"{\"cut", "application/json"), r#"{"data_base64":"eyJjdXQ="}"#);
        assert_eq!(written(b"\xff", "application/json"), r#"{"data_base64":"/w=="}"#);
        assert_eq!(written(b"", "application/json"), r#"{"data_base64":""}"#);
    }

    #[test]
    fn what_is_announced_counts_if_it_is_a_media_type_at_all() {
        for (announced, bytes, expected) in [
            ("text/plain; charset=utf-8", b"{}".as_slice(), "text/plain; charset=utf-8"),
            ("json", b"{}", "application/json"),
            ("utf-8", b"<a/>", "application/octet-stream"),
            ("a/b/c", b"{}", "application/json"),
            ("text/plain;\u{e9}", b"{}", "application/json"),
        ] {
            assert_eq!(content_type(announced, Some(bytes)), expected, "{announced}");
        }
    }
}

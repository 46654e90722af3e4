//! A delivery's headers in its record.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use intake_providers::authentic::KeptHeader;
use serde::{Deserialize, Serialize};

/// Maximum size of a record's headers, names and values together, in bytes. A request is within it; a message may be beyond.
pub const MAX_RECORDED_HEADERS_BYTES: usize = intake_providers::kept_headers::MAX_KEPT_HEADERS_BYTES;

/// A header: its name in lower case, and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedHeader(pub String, pub HeaderText);

/// The value of a header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum HeaderText {
    /// UTF-8.
    Text(String),
    /// Any other bytes.
    Base64 {
        /// The bytes in base64.
        base64: String,
    },
}

impl HeaderText {
    fn of(bytes: &[u8]) -> Self {
        std::str::from_utf8(bytes)
            .map_or_else(|_| Self::Base64 { base64: STANDARD.encode(bytes) }, |text| Self::Text(text.to_owned()))
    }

    const fn len(&self) -> usize {
        match self {
            Self::Text(text) | Self::Base64 { base64: text } => text.len(),
        }
    }
}

/// The headers within the limit, and the number of the others.
pub(super) fn recorded(headers: &[KeptHeader]) -> (Vec<RecordedHeader>, u32) {
    let mut left_bytes = MAX_RECORDED_HEADERS_BYTES;
    let mut over_limit = 0;
    let mut recorded = Vec::with_capacity(headers.len());
    for header in headers {
        let value = HeaderText::of(&header.value);
        match left_bytes.checked_sub(header.name.len() + value.len()) {
            Some(left) => {
                left_bytes = left;
                recorded.push(RecordedHeader(header.name.clone(), value));
            }
            None => over_limit += 1,
        }
    }
    (recorded, over_limit)
}

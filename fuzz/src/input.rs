//! What a fuzzer's bytes mean. The forms are those of text, so that a corpus can be read and written by hand.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Number of random inputs that `cargo test` tries besides the corpus.
pub(crate) const RANDOM_INPUTS: usize = 64;

/// A request: a line with the path, lines with headers, an empty line, the body.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// Reads a request. `{credential}` in its head stands for what the sender puts there once it knows the body.
    pub(crate) fn read(input: &[u8], credential: impl FnOnce(&Bytes) -> String) -> Self {
        let (head, body) = halves(input, b"\n\n");
        let body = Bytes::copy_from_slice(body);
        let mut head = head.to_vec();
        let mark = b"{credential}";
        if let Some(at) = head.windows(mark.len()).position(|window| window == mark) {
            head.splice(at..at + mark.len(), credential(&body).into_bytes());
        }
        let mut lines = head.split(|byte| *byte == b'\n');
        let path = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
        Self { path, headers: headers(lines), body }
    }
}

/// The headers of lines `name: value`; what is not one is left out, as an HTTP server leaves it out.
pub(crate) fn headers<'a>(lines: impl Iterator<Item = &'a [u8]>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.take(64) {
        let (name, value) = halves(line, b": ");
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// What comes before and after the first separator; all of it before if there is none.
pub(crate) fn halves<'a>(input: &'a [u8], separator: &[u8]) -> (&'a [u8], &'a [u8]) {
    match input.windows(separator.len()).position(|window| window == separator) {
        Some(at) => (&input[..at], &input[at + separator.len()..]),
        None => (input, &[]),
    }
}

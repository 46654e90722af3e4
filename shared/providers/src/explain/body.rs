//! The usual ways in which a signed body differs from the one that arrives.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::json_form::JsonForm;
use super::mistake::BodyMistake;
use crate::digest::Sha256Digest;
use crate::json::Json;

/// Calls `visit` with the body as it is and with each form that may have been signed, until it returns `false`. Only one form
/// is in memory at a time.
pub(crate) fn for_each_form(body: &[u8], mut visit: impl FnMut(Option<BodyMistake>, &[u8]) -> bool) {
    if !visit(None, body) {
        return;
    }
    for (mistake, make) in PLAIN {
        let signed = make(body).filter(|signed| signed.as_slice() != body);
        if signed.is_some_and(|signed| !visit(Some(mistake), &signed)) {
            return;
        }
    }
    let Ok(json) = Json::read(body) else { return };
    for form in JsonForm::all(json.as_str()) {
        let signed = form.write(json).filter(|signed| signed.as_bytes() != body);
        if signed.is_some_and(|signed| !visit(Some(BodyMistake::Reserialised(form)), signed.as_bytes())) {
            return;
        }
    }
}

type Make = fn(&[u8]) -> Option<Vec<u8>>;

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

const PLAIN: [(BodyMistake, Make); 14] = [
    (BodyMistake::TrailingNewline, |body| Some([body, b"\n"].concat())),
    (BodyMistake::TrailingNewline, |body| Some([body, b"\r\n"].concat())),
    (BodyMistake::WithoutTrailingWhiteSpace, |body| Some(body.trim_ascii_end().to_vec())),
    (BodyMistake::LineFeeds, |body| Some(without_carriage_returns(body))),
    (BodyMistake::CarriageReturns, |body| Some(with_carriage_returns(body))),
    (BodyMistake::CarriageReturns, |body| Some(with_carriage_returns(&[body, b"\n"].concat()))),
    (BodyMistake::ByteOrderMark, |body| Some([BYTE_ORDER_MARK, body].concat())),
    (BodyMistake::WithoutByteOrderMark, |body| body.strip_prefix(BYTE_ORDER_MARK).map(<[u8]>::to_vec)),
    (BodyMistake::DoubleEncoded, |body| latin_1(body).filter(|bytes| std::str::from_utf8(bytes).is_ok())),
    (BodyMistake::Latin1, latin_1),
    (BodyMistake::Base64, |body| Some(STANDARD.encode(body).into_bytes())),
    (BodyMistake::HashedTwice, |body| Some(Sha256Digest::of(body).as_bytes().to_vec())),
    (BodyMistake::HashedTwice, |body| Some(hex::encode(Sha256Digest::of(body).as_bytes()).into_bytes())),
    (BodyMistake::Empty, |_| Some(Vec::new())),
];

fn without_carriage_returns(body: &[u8]) -> Vec<u8> {
    let mut rest = body.iter().peekable();
    let mut bytes = Vec::with_capacity(body.len());
    while let Some(byte) = rest.next() {
        if *byte != b'\r' || rest.peek() != Some(&&b'\n') {
            bytes.push(*byte);
        }
    }
    bytes
}

fn with_carriage_returns(body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(body.len());
    for byte in without_carriage_returns(body) {
        if byte == b'\n' {
            bytes.push(b'\r');
        }
        bytes.push(byte);
    }
    bytes
}

fn latin_1(body: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(body).ok()?.chars().map(|character| u8::try_from(character).ok()).collect()
}

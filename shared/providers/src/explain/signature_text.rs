//! The usual ways to write a signature into a header.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::finding::Finding;
use super::mistake::Encoding;

/// Prefixes that senders write before a signature. Longer ones come before those that they begin with.
const PREFIXES: [&str; 12] = [
    "hmac-sha256=",
    "hmac-sha256 ",
    "rsa-sha256=",
    "rsa-sha256 ",
    "sha256=",
    "sha256:",
    "sha512=",
    "sha1=",
    "signature=",
    "v1=",
    "v0=",
    "bearer ",
];

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);

/// Decodes base64 in either alphabet, with or without padding.
pub(crate) fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let standard: String = text
        .chars()
        .map(|c| {
            if c == '-' {
                '+'
            } else if c == '_' {
                '/'
            } else {
                c
            }
        })
        .collect();
    GeneralPurpose::new(&alphabet::STANDARD, LENIENT).decode(standard).ok()
}

/// The text without one pair of quotes around it.
pub(crate) fn unquoted(text: &str) -> Option<&str> {
    ['"', '\''].into_iter().find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
}

/// Every reading of a header's value as a signature, each with what is wrong with it when `expected` is read.
pub(crate) fn readings(value: &[u8], expected: Encoding) -> Vec<(Vec<u8>, Vec<Finding>)> {
    let Ok(text) = std::str::from_utf8(value) else { return Vec::new() };
    let mut text = text.trim();
    let mut findings = Vec::new();
    if let Some(inner) = unquoted(text) {
        (text, findings) = (inner, vec![Finding::Quoted]);
    }
    let has_prefix = |prefix: &&str| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    if let Some(prefix) = PREFIXES.into_iter().find(has_prefix) {
        text = text.get(prefix.len()..).unwrap_or_default();
        findings.push(Finding::Prefix { prefix });
    }
    let mut readings = Vec::new();
    let mut add = |used: Encoding, bytes: Vec<u8>| {
        let mut findings = findings.clone();
        if used != expected {
            findings.push(Finding::Encoding { used, expected });
        }
        readings.push((bytes, findings));
    };
    if let Ok(bytes) = hex::decode(text) {
        add(Encoding::Hex, bytes);
    }
    if let Some(bytes) = decode_base64(text) {
        if let Ok(bytes) = hex::decode(bytes.trim_ascii()) {
            add(Encoding::HexInBase64, bytes);
        }
        let used = if text.contains(['-', '_']) {
            Encoding::Base64Url
        } else if text.len() % 4 == 0 {
            Encoding::Base64
        } else {
            Encoding::Base64WithoutPadding
        };
        add(used, bytes);
    }
    if let Some(bytes) = decode_base64(&percent_decoded(text)).filter(|_| text.contains('%')) {
        add(Encoding::PercentEncodedBase64, bytes);
    }
    readings
}

/// The text with its percent-encoded bytes decoded. A plus sign stays.
pub(crate) fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let digits = others.get(..2).filter(|_| *first == b'%').and_then(|digits| hex::decode(digits).ok());
        if let Some([byte]) = digits.as_deref() {
            bytes.push(*byte);
            rest = others.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = others;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

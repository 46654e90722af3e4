//! Text as CloudEvents allows it.
//!
//! A CloudEvents string holds no control characters and no noncharacters (CloudEvents 1.0, "Type System"). A provider's ids and
//! names may hold any character.

use std::fmt::Write as _;

/// The text with each character that CloudEvents forbids percent-encoded, and `%` as well where it stands before two hex digits.
/// Two texts never become the same one: decoding every `%` with two hex digits after it gives the text back.
pub(crate) fn string(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for (index, character) in text.char_indices() {
        let is_escape = character == '%' && starts_with_two_hex_digits(text.get(index + 1..).unwrap_or_default());
        if is_escape || is_forbidden(character) {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                // Writing to a string does not fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        } else {
            encoded.push(character);
        }
    }
    encoded
}

/// JSON as a CloudEvents string that means the same JSON. White space between its values becomes spaces; what else is forbidden can
/// only be inside its strings, and is escaped there.
pub(crate) fn json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => escaped.push(' '),
            character if is_forbidden(character) => {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            }
            character => escaped.push(character),
        }
    }
    escaped
}

/// A segment of a path in a URI reference: all but the unreserved characters of RFC 3986 percent-encoded.
pub(crate) fn path_segment(text: &str) -> String {
    let mut segment = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            segment.push(char::from(byte));
        } else {
            let _ = write!(segment, "%{byte:02X}");
        }
    }
    segment
}

fn starts_with_two_hex_digits(text: &str) -> bool {
    let mut characters = text.chars();
    let mut is_hex_digit = || characters.next().is_some_and(|character| character.is_ascii_hexdigit());
    is_hex_digit() && is_hex_digit()
}

/// Control characters, and Unicode's noncharacters: U+FDD0 to U+FDEF, and the last two of each plane.
fn is_forbidden(character: char) -> bool {
    let code = u32::from(character);
    character.is_control() || (0xFDD0..=0xFDEF).contains(&code) || code & 0xFFFE == 0xFFFE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = text;
        while let Some(character) = rest.chars().next() {
            if character == '%' && starts_with_two_hex_digits(&rest[1..]) {
                bytes.push(u8::from_str_radix(&rest[1..3], 16).unwrap());
                rest = &rest[3..];
            } else {
                bytes.extend_from_slice(&rest.as_bytes()[..character.len_utf8()]);
                rest = &rest[character.len_utf8()..];
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn only_what_is_forbidden_or_looks_encoded_is_encoded() {
        for (text, expected) in [
            ("transaction_completed", "transaction_completed"),
            ("Zoë & Söhne / 100 %", "Zoë & Söhne / 100 %"),
            ("a\nb", "a%0Ab"),
            ("a%0Ab", "a%250Ab"),
            ("50%off", "50%off"),
            ("%\n", "%%0A"),
            ("\u{85}\u{FFFE}", "%C2%85%EF%BF%BE"),
        ] {
            assert_eq!(string(text), expected);
        }
        assert_eq!(path_segment("a/b c%é"), "a%2Fb%20c%25%C3%A9");
    }

    #[test]
    fn json_keeps_its_meaning() {
        let text = "{\"a\":\n\t\"\u{7f}\u{FFFE}\u{1FFFF}\"}";
        let written = json(text);
        assert_eq!(written, "{\"a\":  \"\\u007f\\ufffe\\ud83f\\udfff\"}");
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&written), value(text));
    }

    proptest! {
        #[test]
        fn a_string_is_allowed_and_decodes_to_what_it_was(text in "([a%0F\n\u{7f}é\u{FDD0}]|\\PC){0,20}") {
            let encoded = string(&text);
            prop_assert!(!encoded.chars().any(is_forbidden), "{encoded:?}");
            prop_assert_eq!(decoded(&encoded), text);
        }
    }
}

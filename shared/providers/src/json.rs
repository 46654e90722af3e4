//! Cursors over JSON text: parts are borrowed slices, and only the requested ones are parsed.
//!
//! `serde_json` validates the text once. The cursors then walk valid JSON, so each step only looks for the end of a value,
//! whatever its nesting, and its only state is a position in the text.

use std::borrow::Cow;

use memchr::memchr2;
use serde_json::value::RawValue;

use crate::malformed::Malformed;

/// White space of JSON, and the separators in arrays and objects.
pub(crate) const SEPARATORS: [char; 6] = [' ', '\t', '\n', '\r', ',', ':'];

/// The text of one JSON value, without surrounding white space. It is valid except that a string may hold half a surrogate
/// pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// Validates bytes as one JSON value.
    ///
    /// # Errors
    /// [`Malformed`] when they are not UTF-8 or not JSON.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed::NotUtf8)?;
        serde_json::from_str::<&RawValue>(text).map(Self::from).map_err(not_json)
    }

    /// The text.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// Whether it is an object.
    #[must_use]
    pub fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    /// Whether it is a number.
    #[must_use]
    pub fn is_number(self) -> bool {
        self.0.starts_with(|first: char| first == '-' || first.is_ascii_digit())
    }

    /// The unescaped string; `None` for another value, or if it holds half a surrogate pair.
    #[must_use]
    pub fn to_text(self) -> Option<String> {
        serde_json::from_str(self.0).ok()
    }

    /// The elements of an array; `None` for any other value.
    #[must_use]
    pub fn elements(self) -> Option<Elements<'a>> {
        self.0.strip_prefix('[').map(|rest| Elements { rest })
    }

    /// The elements of an array; any other value as the only element.
    #[must_use]
    pub fn elements_or_itself(self) -> Elements<'a> {
        self.elements().unwrap_or(Elements { rest: self.0 })
    }

    /// The members of an object; `None` for any other value.
    #[must_use]
    pub fn members(self) -> Option<Members<'a>> {
        self.0.strip_prefix('{').map(|rest| Members { rest })
    }
}

impl<'a> From<&'a RawValue> for Json<'a> {
    fn from(value: &'a RawValue) -> Self {
        Self(value.get())
    }
}

/// The elements of an array, cut out one by one.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Json<'a>;

    fn next(&mut self) -> Option<Json<'a>> {
        let rest = self.rest.trim_start_matches(SEPARATORS);
        let (value, rest) = rest.split_at_checked(end_of_value(rest))?;
        self.rest = rest;
        (!value.is_empty()).then_some(Json(value))
    }
}

/// The members of an object, cut out one by one in the order of the text.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        let rest = self.rest.trim_start_matches(SEPARATORS);
        let after_name = rest.get(end_of_value(rest)..)?.trim_start_matches(SEPARATORS);
        let after_value = after_name.get(end_of_value(after_name)..)?;
        let (text, rest) = rest.split_at_checked(rest.len() - after_value.len())?;
        self.rest = rest;
        (!text.is_empty()).then_some(Member { text })
    }
}

/// A member of an object.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Name and value, byte for byte.
    text: &'a str,
}

impl<'a> Member<'a> {
    /// Name and value as they are written.
    #[must_use]
    pub const fn as_str(self) -> &'a str {
        self.text
    }

    /// The name as it is written, in quotes.
    #[must_use]
    pub fn written_name(self) -> &'a str {
        self.text.get(..end_of_value(self.text)).unwrap_or_default()
    }

    /// The name.
    ///
    /// # Errors
    /// [`Malformed`] when it holds half a surrogate pair.
    pub fn name(self) -> Result<Cow<'a, str>, Malformed> {
        text_of(self.written_name())
    }

    /// The value.
    #[must_use]
    pub fn value(self) -> Json<'a> {
        Json(self.text.get(end_of_value(self.text)..).unwrap_or_default().trim_start_matches(SEPARATORS))
    }
}

/// Unescapes a quoted string; borrowed if it contains no escapes.
///
/// # Errors
/// [`Malformed`] when it holds half a surrogate pair.
pub(crate) fn text_of(written: &str) -> Result<Cow<'_, str>, Malformed> {
    match written.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(text) if !text.contains('\\') => Ok(Cow::Borrowed(text)),
        _ => serde_json::from_str(written).map(Cow::Owned).map_err(not_json),
    }
}

/// The characters of the string at the start of a text, unescaped lazily, so that comparing two names stops at their first
/// difference. Half a surrogate pair becomes U+FFFD.
pub(crate) fn characters_of(text: &str) -> impl Iterator<Item = char> {
    let mut written = text.chars().skip(1);
    std::iter::from_fn(move || match written.next()? {
        '"' => None,
        '\\' => match written.next()? {
            'b' => Some('\u{8}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'u' => {
                let first = hexadecimal(&mut written);
                let second = (0xd800..0xdc00).contains(&first).then(|| hexadecimal(&mut written.by_ref().skip(2)));
                char::decode_utf16(std::iter::once(first).chain(second))
                    .next()?
                    .ok()
                    .or(Some(char::REPLACEMENT_CHARACTER))
            }
            itself => Some(itself),
        },
        itself => Some(itself),
    })
}

/// Parses the next four hexadecimal digits.
fn hexadecimal(digits: &mut impl Iterator<Item = char>) -> u16 {
    digits.take(4).fold(0, |number, digit| {
        // Four digits of four bits fill the 16.
        number << 4 | digit.to_digit(16).and_then(|digit| u16::try_from(digit).ok()).unwrap_or(0)
    })
}

/// End of the value at the start of the text, in bytes; 0 if there is no value.
pub(crate) fn end_of_value(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at = end_of_string(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            _ => at = end_of_scalar(bytes, at),
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

/// End of the string that starts at `start`, after its closing quote.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        match memchr2(b'"', b'\\', rest) {
            None => return bytes.len(),
            Some(place) if rest.get(place) == Some(&b'"') => return at + place + 1,
            Some(place) => at += place + 2,
        }
    }
}

/// End of the number, `true`, `false` or `null` that starts at `start`.
fn end_of_scalar(bytes: &[u8], start: usize) -> usize {
    let rest = bytes.get(start..).unwrap_or_default();
    let ends = |byte: &u8| matches!(byte, b',' | b']' | b'}' | b':' | b' ' | b'\t' | b'\n' | b'\r');
    rest.iter().position(ends).map_or(bytes.len(), |place| start + place)
}

/// Says where parsing stopped and why without quoting the content: serde's messages about a value's type quote the value, those
/// about syntax only name the place.
pub(crate) fn not_json(error: serde_json::Error) -> Malformed {
    Malformed::NotJson(if error.is_data() {
        format!("a value of an unexpected type at line {} column {}", error.line(), error.column())
    } else {
        error.to_string()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn json(text: &str) -> Json<'_> {
        Json::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn elements_and_members_are_exact_slices() {
        let text = r#" [ 1.50 , "a\\\"]," ,[ 2 , [ ] ], { "x" : "}" } , null,-0 ] "#;
        let elements: Vec<&str> = json(text).elements().unwrap().map(Json::as_str).collect();
        assert_eq!(elements, ["1.50", r#""a\\\"],""#, "[ 2 , [ ] ]", r#"{ "x" : "}" }"#, "null", "-0"]);
        let text = r#"{ "a" : 1, "b\u0022" :[ 2 ] ,"":{ } }"#;
        let members: Vec<_> = json(text).members().unwrap().collect();
        let written: Vec<&str> = members.iter().map(|member| member.as_str()).collect();
        assert_eq!(written, [r#""a" : 1"#, r#""b\u0022" :[ 2 ]"#, r#""":{ }"#]);
        let parts: Vec<_> =
            members.iter().map(|member| (member.name().unwrap().into_owned(), member.value().as_str())).collect();
        assert_eq!(parts, [("a".to_owned(), "1"), ("b\"".to_owned(), "[ 2 ]"), (String::new(), "{ }")]);
        for nothing in ["[]", "[ ]"] {
            assert_eq!(json(nothing).elements().unwrap().count(), 0);
        }
        assert_eq!(json("{ }").members().unwrap().count(), 0);
        assert_eq!(json(" 7 ").elements_or_itself().map(Json::as_str).collect::<Vec<_>>(), ["7"]);
    }

    #[test]
    fn an_error_about_text_that_is_not_json_does_not_quote_it() {
        for text in
            ["{\"secret\":secret}", "secret", "[\"secret\"", "{\"secret\" \"secret\"}", "\"\\secret\"", "1secret"]
        {
            let reason = Json::read(text.as_bytes()).unwrap_err().to_string();
            assert!(reason.contains("line 1") && !reason.contains("secret"), "{reason}");
        }
        let reason = not_json(serde_json::from_str::<u8>("\"secret\"").unwrap_err()).to_string();
        assert!(!reason.contains("secret"), "{reason}");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..5)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_parts_are_those_that_serde_json_finds(value in any_json(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            let part = |json: Json<'_>| serde_json::from_str::<Value>(json.as_str()).unwrap();
            let same = |value: &Value| serde_json::from_str::<Value>(&value.to_string()).unwrap();
            if let Value::Array(elements) = &value {
                let found: Vec<Value> = json(&text).elements().unwrap().map(part).collect();
                prop_assert_eq!(found, elements.iter().map(same).collect::<Vec<_>>());
            }
            if let Value::Object(members) = &value {
                let found: Vec<(String, Value)> = json(&text).members().unwrap()
                    .map(|member| (member.name().unwrap().into_owned(), part(member.value()))).collect();
                prop_assert_eq!(found, members.iter().map(|(name, value)| (name.clone(), same(value))).collect::<Vec<_>>());
            }
        }

        #[test]
        fn the_characters_of_a_string_are_its_text_however_it_is_escaped(text in any::<String>()) {
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            for written in [serde_json::to_string(&text).unwrap(), format!("\"{escaped}\"")] {
                prop_assert_eq!(characters_of(&written).collect::<String>(), text.clone(), "{}", written);
                prop_assert_eq!(text_of(&written).unwrap(), text.clone(), "{}", written);
            }
        }
    }
}

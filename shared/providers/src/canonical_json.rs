//! JSON in the one form in which contents are compared.
//!
//! Members are sorted by name, white space is gone, strings are unescaped and escaped anew, and number lexemes stay as they
//! were written. RFC 8785 would turn numbers into doubles, and `10000000000000001` and `10000000000000000` would be equal;
//! so would a remittance of one amount and another. A repeated member name is malformed.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::event::Malformed;

/// The deepest nesting that is read. The providers' own events stay below ten.
pub const DEEPEST_LEVEL: usize = 64;

/// The longest id, name or timestamp that is read, in bytes. Several of them must fit into one entry of the ledger.
pub const LONGEST_TEXT_BYTES: usize = 8 * 1024;

/// A JSON object whose values are still text.
#[derive(Debug, Default)]
pub struct Object<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Object<'a> {
    /// Reads bytes that should hold one JSON object.
    ///
    /// # Errors
    /// [`Malformed`] when they are not UTF-8, not JSON, no object, or repeat a member.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(bytes).map_err(|_| Malformed::NotUtf8)?;
        let value: &RawValue = serde_json::from_str(text).map_err(not_json)?;
        Self::of(value)
    }

    /// Reads a value that should be an object.
    ///
    /// # Errors
    /// [`Malformed`] when it is none, or repeats a member.
    pub fn of(value: &'a RawValue) -> Result<Self, Malformed> {
        if !value.get().starts_with('{') {
            return Err(Malformed::NotAnObject);
        }
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Result<BTreeMap<String, &'de RawValue>, String>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                let mut repeated = None;
                while let Some((name, value)) = access.next_entry::<String, &'de RawValue>()? {
                    match members.entry(name) {
                        Entry::Vacant(vacant) => {
                            vacant.insert(value);
                        }
                        Entry::Occupied(occupied) => repeated = Some(occupied.key().clone()),
                    }
                }
                Ok(repeated.map_or(Ok(members), Err))
            }
        }
        let mut deserializer = serde_json::Deserializer::from_str(value.get());
        match deserializer.deserialize_map(Members).map_err(not_json)? {
            Ok(members) => Ok(Self(members)),
            Err(name) => Err(Malformed::RepeatedMember { name }),
        }
    }

    /// A member's value; a member that is null counts as absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied().filter(|value| value.get() != "null")
    }

    /// A member that must be a string of at least one character.
    ///
    /// # Errors
    /// [`Malformed`] when it is absent, no string, or empty.
    pub fn text(&self, name: &'static str) -> Result<String, Malformed> {
        let value = self.get(name).ok_or(Malformed::MissingMember { name })?;
        let text = serde_json::from_str::<String>(value.get())
            .ok()
            .filter(|text| !text.is_empty())
            .ok_or(Malformed::UnexpectedMember { name, expected: "a string of at least one character" })?;
        not_too_long(name, text)
    }

    /// A member that may be absent, and otherwise must be a string of at least one character or a number. A number is
    /// taken as it is written.
    ///
    /// # Errors
    /// [`Malformed`] when it is something else.
    pub fn text_or_number(&self, name: &'static str) -> Result<Option<String>, Malformed> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        if value.get().starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return not_too_long(name, value.get().to_owned()).map(Some);
        }
        let text = serde_json::from_str::<String>(value.get())
            .ok()
            .filter(|text| !text.is_empty())
            .ok_or(Malformed::UnexpectedMember { name, expected: "a string of at least one character, or a number" })?;
        not_too_long(name, text).map(Some)
    }

    /// The canonical form of the members that `keep` lets through.
    ///
    /// # Errors
    /// [`Malformed`] when a value inside is.
    pub fn canonical(&self, keep: impl Fn(&str) -> bool) -> Result<String, Malformed> {
        let mut text = String::new();
        self.write(&mut text, &keep, 1)?;
        Ok(text)
    }

    fn write(&self, text: &mut String, keep: &dyn Fn(&str) -> bool, level: usize) -> Result<(), Malformed> {
        text.push('{');
        let mut first = true;
        for (name, value) in self.0.iter().filter(|(name, _)| keep(name)) {
            if !std::mem::take(&mut first) {
                text.push(',');
            }
            write_string(text, name)?;
            text.push(':');
            write_value(text, value, level)?;
        }
        text.push('}');
        Ok(())
    }
}

fn not_too_long(name: &'static str, text: String) -> Result<String, Malformed> {
    if text.len() > LONGEST_TEXT_BYTES {
        return Err(Malformed::TooLong { name, limit_bytes: LONGEST_TEXT_BYTES });
    }
    Ok(text)
}

/// The canonical form of a whole value.
///
/// # Errors
/// [`Malformed`] when the value repeats a member, is nested too deep, or holds a string that is no Unicode.
pub fn canonical(value: &RawValue) -> Result<String, Malformed> {
    let mut text = String::new();
    write_value(&mut text, value, 0)?;
    Ok(text)
}

fn write_value(text: &mut String, value: &RawValue, level: usize) -> Result<(), Malformed> {
    match value.get().as_bytes().first() {
        Some(b'{' | b'[') if level >= DEEPEST_LEVEL => Err(Malformed::TooDeep { limit: DEEPEST_LEVEL }),
        Some(b'{') => Object::of(value)?.write(text, &|_| true, level + 1),
        Some(b'[') => {
            let elements: Vec<&RawValue> = serde_json::from_str(value.get()).map_err(not_json)?;
            text.push('[');
            for (index, element) in elements.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_value(text, element, level + 1)?;
            }
            text.push(']');
            Ok(())
        }
        Some(b'"') => write_string(text, &serde_json::from_str::<String>(value.get()).map_err(not_json)?),
        _ => {
            text.push_str(value.get());
            Ok(())
        }
    }
}

fn write_string(text: &mut String, string: &str) -> Result<(), Malformed> {
    text.push_str(&serde_json::to_string(string).map_err(not_json)?);
    Ok(())
}

/// Says where reading stopped. serde's messages for syntax name no content, only the place.
fn not_json(error: serde_json::Error) -> Malformed {
    Malformed::NotJson(error.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical_text(text: &str) -> Result<String, Malformed> {
        canonical(serde_json::from_str(text).map_err(not_json)?)
    }

    #[test]
    fn order_and_white_space_and_escapes_do_not_count() {
        let one = canonical_text(r#" { "b" : [ 1 , true , null ], "a" : "\u0041\/" } "#).unwrap();
        assert_eq!(one, r#"{"a":"A/","b":[1,true,null]}"#);
        assert_eq!(canonical_text(r#"{"a":"A/","b":[1,true,null]}"#).unwrap(), one);
    }

    #[test]
    fn numbers_that_a_double_would_make_equal_stay_different() {
        assert_ne!(canonical_text("10000000000000001").unwrap(), canonical_text("10000000000000000").unwrap());
        assert_ne!(canonical_text("[1.0]").unwrap(), canonical_text("[1]").unwrap());
    }

    #[test]
    fn a_repeated_member_is_malformed_at_any_level_and_in_any_spelling() {
        let repeated = Err(Malformed::RepeatedMember { name: "a".to_owned() });
        assert_eq!(canonical_text(r#"{"a":1,"a":1}"#), repeated);
        assert_eq!(canonical_text(r#"[{"x":{"a":1,"\u0061":2}}]"#), repeated);
    }

    #[test]
    fn nesting_beyond_the_limit_is_malformed_and_costs_no_stack() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(canonical_text(&nested(DEEPEST_LEVEL)).is_ok());
        assert_eq!(canonical_text(&nested(DEEPEST_LEVEL + 1)), Err(Malformed::TooDeep { limit: DEEPEST_LEVEL }));
        assert!(canonical_text(&nested(500_000)).is_err());
    }

    #[test]
    fn half_a_surrogate_pair_is_malformed() {
        assert!(matches!(canonical_text(r#"{"a":"\ud800"}"#), Err(Malformed::NotJson(_))));
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        use serde_json::Value;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
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
        fn the_canonical_form_means_the_same_and_is_its_own_canonical_form(value in any_json()) {
            let compact = canonical_text(&value.to_string()).unwrap();
            let pretty = canonical_text(&serde_json::to_string_pretty(&value).unwrap()).unwrap();
            prop_assert_eq!(&compact, &pretty);
            prop_assert_eq!(&canonical_text(&compact).unwrap(), &compact);
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&compact).unwrap(), serde_json::from_str::<serde_json::Value>(&value.to_string()).unwrap());
        }
    }
}

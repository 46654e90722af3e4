//! The canonical form of JSON in which contents are compared.
//!
//! Members are sorted by name, white space is removed, strings are unescaped and escaped again, and numbers stay as they are
//! written. RFC 8785 would convert numbers to doubles, and `10000000000000001` and `10000000000000000` would be equal; so would
//! remittances of two different amounts. A repeated member name is malformed.

use std::cmp::Ordering;

use crate::json::{Json, Member, SEPARATORS, characters_of, end_of_value, not_json, text_of};
use crate::malformed::Malformed;

/// Maximum nesting, in levels. The providers' own events stay below ten.
pub const MAX_DEPTH: usize = 64;

/// Maximum length of an id, name or timestamp, in bytes. Several of them must fit into one entry of the ledger.
pub const MAX_TEXT_BYTES: usize = 8 * 1024;

/// Maximum length of a name that is quoted from content, in characters.
const MAX_QUOTED_CHARACTERS: usize = 64;

/// A JSON object without repeated members, whose values are still text.
#[derive(Clone, Debug, Default)]
pub struct Object<'a> {
    /// The members, sorted by name.
    members: Vec<Member<'a>>,
}

impl<'a> Object<'a> {
    /// Parses bytes as one JSON object.
    ///
    /// # Errors
    /// [`Malformed`] when they are not UTF-8, not JSON, not an object, or repeat a member.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::of(Json::read(bytes)?)
    }

    /// Reads a value as an object.
    ///
    /// # Errors
    /// [`Malformed`] when it is another value, repeats a member, or has a name with half a surrogate pair.
    pub fn of(value: Json<'a>) -> Result<Self, Malformed> {
        let mut members = Vec::new();
        for member in value.members().ok_or(Malformed::NotAnObject)? {
            member.name()?;
            members.push(member);
        }
        sort(&mut members, |member| member.as_str())?;
        Ok(Self { members })
    }

    /// The members except some, as they are written and in the order of the text, joined with commas.
    #[must_use]
    pub fn written_besides(&self, excluded: &[&str]) -> String {
        let mut members: Vec<&str> = self
            .members
            .iter()
            .filter(|member| !excluded.iter().any(|name| characters_of(member.as_str()).eq(name.chars())))
            .map(|member| member.as_str())
            .collect();
        // All of them are parts of one text, so the order of their addresses is the order in it.
        members.sort_unstable_by_key(|member| member.as_ptr());
        members.join(",")
    }

    /// A member's value; a member that is null counts as absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Json<'a>> {
        let found = self.members.binary_search_by(|member| characters_of(member.as_str()).cmp(name.chars()));
        let member = self.members.get(found.ok()?)?;
        Some(member.value()).filter(|value| !value.is_null())
    }

    /// A member that must be a string of at least one character.
    ///
    /// # Errors
    /// [`Malformed`] when it is absent, not a string, or empty.
    pub fn text(&self, name: &'static str) -> Result<String, Malformed> {
        let value = self.get(name).ok_or(Malformed::MissingMember { name })?;
        let text = value
            .to_text()
            .filter(|text| !text.is_empty())
            .ok_or(Malformed::UnexpectedMember { name, expected: "a string of at least one character" })?;
        not_too_long(name, text)
    }

    /// A member that may be absent, and otherwise must be a string of at least one character or a number. A number is
    /// kept as it is written.
    ///
    /// # Errors
    /// [`Malformed`] when it has another type, is empty, or is too long.
    pub fn text_or_number(&self, name: &'static str) -> Result<Option<String>, Malformed> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        if value.is_number() {
            return not_too_long(name, value.as_str().to_owned()).map(Some);
        }
        let text = value
            .to_text()
            .filter(|text| !text.is_empty())
            .ok_or(Malformed::UnexpectedMember { name, expected: "a string of at least one character, or a number" })?;
        not_too_long(name, text).map(Some)
    }

    /// The canonical form of the members that `keep` selects.
    ///
    /// # Errors
    /// [`Malformed`] when a value inside is.
    pub fn canonical(&self, keep: impl Fn(&str) -> bool) -> Result<String, Malformed> {
        let mut writer = Writer::default();
        writer.text.push('{');
        for member in &self.members {
            if keep(&member.name()?) {
                if writer.text.len() > 1 {
                    writer.text.push(',');
                }
                writer.rest = member.as_str();
                writer.member(1)?;
            }
        }
        writer.text.push('}');
        Ok(writer.text)
    }
}

fn not_too_long(name: &'static str, text: String) -> Result<String, Malformed> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(Malformed::TooLong { name, limit_bytes: MAX_TEXT_BYTES });
    }
    Ok(text)
}

/// The canonical form of a whole value.
///
/// # Errors
/// [`Malformed`] when the value repeats a member, is nested too deep, or holds a string that is not Unicode.
pub fn canonical(value: Json<'_>) -> Result<String, Malformed> {
    let mut writer = Writer { rest: value.as_str(), ..Writer::default() };
    writer.value(0)?;
    Ok(writer.text)
}

/// Writes the canonical form in one pass over the text. An object's members are written in the order of the text; if that is
/// not sorted, their written forms are reordered once the object ends.
#[derive(Default)]
struct Writer<'a> {
    /// The rest of the input.
    rest: &'a str,
    text: String,
    /// The written members of the open objects.
    members: Vec<WrittenMember>,
    /// Buffer for reordering members.
    sorted: String,
}

/// Start and end of a written member.
#[derive(Clone, Copy)]
struct WrittenMember {
    start: usize,
    end: usize,
}

impl Writer<'_> {
    /// Writes the next value; `level` is how many arrays and objects enclose it.
    fn value(&mut self, level: usize) -> Result<(), Malformed> {
        match self.rest.as_bytes().first() {
            Some(b'{' | b'[') if level >= MAX_DEPTH => Err(Malformed::TooDeep { limit: MAX_DEPTH }),
            Some(b'{') => self.object(level + 1),
            Some(b'[') => self.array(level + 1),
            Some(b'"') => self.string(),
            _ => {
                let scalar = self.take(end_of_value(self.rest));
                self.text.push_str(scalar);
                Ok(())
            }
        }
    }

    fn array(&mut self, level: usize) -> Result<(), Malformed> {
        self.open('[');
        let start = self.text.len();
        while self.goes_on(']') {
            if self.text.len() > start {
                self.text.push(',');
            }
            self.value(level)?;
        }
        self.close(']');
        Ok(())
    }

    fn object(&mut self, level: usize) -> Result<(), Malformed> {
        self.open('{');
        let (start, first) = (self.text.len(), self.members.len());
        while self.goes_on('}') {
            if self.text.len() > start {
                self.text.push(',');
            }
            let start = self.text.len();
            self.member(level)?;
            self.members.push(WrittenMember { start, end: self.text.len() });
        }
        self.sort_members(start, first)?;
        self.close('}');
        Ok(())
    }

    fn member(&mut self, level: usize) -> Result<(), Malformed> {
        self.string()?;
        self.text.push(':');
        self.skip_separators();
        self.value(level)
    }

    fn string(&mut self) -> Result<(), Malformed> {
        let written = self.take(end_of_value(self.rest));
        if written.contains('\\') {
            self.text.push_str(&serde_json::to_string(&text_of(written)?).map_err(not_json)?);
        } else {
            self.text.push_str(written);
        }
        Ok(())
    }

    /// Sorts the members of the object that ends, which are all from `first` on; they were written from `start` on.
    fn sort_members(&mut self, start: usize, first: usize) -> Result<(), Malformed> {
        let text = self.text.as_str();
        let members = self.members.get_mut(first..).unwrap_or_default();
        let written = |member: &WrittenMember| text.get(member.start..member.end).unwrap_or_default();
        if sort(members, written)? {
            self.sorted.clear();
            for member in members {
                if !self.sorted.is_empty() {
                    self.sorted.push(',');
                }
                self.sorted.push_str(written(member));
            }
            self.text.truncate(start);
            self.text.push_str(&self.sorted);
        }
        self.members.truncate(first);
        Ok(())
    }

    fn open(&mut self, bracket: char) {
        self.rest = self.rest.strip_prefix(bracket).unwrap_or(self.rest);
        self.text.push(bracket);
    }

    /// Advances to the next part of an array or object, if there is one.
    fn goes_on(&mut self, bracket: char) -> bool {
        self.skip_separators();
        !self.rest.is_empty() && !self.rest.starts_with(bracket)
    }

    fn close(&mut self, bracket: char) {
        self.open(bracket);
    }

    fn skip_separators(&mut self) {
        self.rest = self.rest.trim_start_matches(SEPARATORS);
    }
}

impl<'a> Writer<'a> {
    fn take(&mut self, length_bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at_checked(length_bytes).unwrap_or((self.rest, ""));
        self.rest = rest;
        taken
    }
}

/// Sorts members by name, where `written` is the text that begins with the name. Returns whether their order changed.
fn sort<'t, T>(members: &mut [T], written: impl Fn(&T) -> &'t str) -> Result<bool, Malformed> {
    let by_name = |one: &T, other: &T| characters_of(written(one)).cmp(characters_of(written(other)));
    if members.is_sorted_by(|one, other| by_name(one, other) == Ordering::Less) {
        return Ok(false);
    }
    members.sort_unstable_by(by_name);
    match members.array_windows().find(|[one, other]| by_name(one, other) == Ordering::Equal) {
        Some([repeated, _]) => Err(repeated_member(written(repeated))),
        None => Ok(true),
    }
}

/// The error for a member that comes more than once, whose written form begins the text. A long name is truncated.
fn repeated_member(written: &str) -> Malformed {
    let mut name: String = characters_of(written).take(MAX_QUOTED_CHARACTERS).collect();
    if characters_of(written).nth(MAX_QUOTED_CHARACTERS).is_some() {
        name.push('…');
    }
    Malformed::RepeatedMember { name }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::de::{Deserializer as _, MapAccess, Visitor};
    use serde_json::value::RawValue;

    use super::*;

    fn canonical_text(text: &str) -> Result<String, Malformed> {
        canonical(Json::read(text.as_bytes())?)
    }

    /// The canonical form, computed in the simplest way: serde_json reads each level on its own.
    fn plainly(text: &str, level: usize) -> Option<String> {
        let value: &RawValue = serde_json::from_str(text).ok()?;
        let parts: Vec<String> = match value.get().as_bytes()[0] {
            b'{' | b'[' if level >= MAX_DEPTH => return None,
            b'{' => plain_members(value.get())?
                .iter()
                .map(|(name, value)| {
                    Some(format!("{}:{}", serde_json::to_string(name).unwrap(), plainly(value.get(), level + 1)?))
                })
                .collect::<Option<_>>()?,
            b'[' => serde_json::from_str::<Vec<&RawValue>>(value.get())
                .unwrap()
                .iter()
                .map(|element| plainly(element.get(), level + 1))
                .collect::<Option<_>>()?,
            b'"' => return serde_json::to_string(&serde_json::from_str::<String>(value.get()).ok()?).ok(),
            _ => return Some(value.get().to_owned()),
        };
        let (open, close) = if value.get().starts_with('{') { ('{', '}') } else { ('[', ']') };
        Some(format!("{open}{}{close}", parts.join(",")))
    }

    fn plain_members(text: &str) -> Option<BTreeMap<String, &RawValue>> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Option<BTreeMap<String, &'de RawValue>>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let (mut members, mut count) = (BTreeMap::new(), 0);
                while let Some((name, value)) = access.next_entry::<String, &'de RawValue>()? {
                    members.insert(name, value);
                    count += 1;
                }
                Ok((members.len() == count).then_some(members))
            }
        }
        serde_json::Deserializer::from_str(text).deserialize_map(Members).ok()?
    }

    /// JSON with few names in many spellings, so that some repeat, and white space and numbers as they may be written.
    fn any_spelling() -> impl Strategy<Value = String> {
        let string = || {
            prop::collection::vec(
                prop::sample::select(vec![
                    "a",
                    "b",
                    "\\u0061",
                    "\\u0041",
                    "A",
                    "\\n",
                    "\\u000a",
                    "\\u001f",
                    "\\\\",
                    "\\\"",
                    "/",
                    "\\/",
                    "é",
                    "\\u00e9",
                    "😀",
                    "\\ud83d\\ude00",
                    "\u{ffff}",
                    "\u{7f}",
                    "\\ud800",
                ]),
                0..3,
            )
            .prop_map(|parts| format!("\"{}\"", parts.concat()))
        };
        let space = prop::sample::select(vec!["", "", " ", "\n\t"]);
        let scalars = vec!["0", "-0", "1.0", "1.00", "1e5", "1E+5", "true", "false", "null", "12345678901234567890123"];
        let leaf = prop_oneof![string(), prop::sample::select(scalars).prop_map(str::to_owned)];
        leaf.prop_recursive(5, 40, 5, move |inner| {
            let (space, other_space) = (space.clone(), space.clone());
            prop_oneof![
                (prop::collection::vec(inner.clone(), 0..4), space).prop_map(|(elements, space)| format!(
                    "[{space}{}{space}]",
                    elements.join(&format!("{space},{space}"))
                )),
                (prop::collection::vec((string(), inner), 0..4), other_space).prop_map(|(members, space)| {
                    let members: Vec<String> =
                        members.iter().map(|(name, value)| format!("{name}{space}:{space}{value}")).collect();
                    format!("{{{space}{}{space}}}", members.join(&format!("{space},{space}")))
                }),
            ]
        })
    }

    #[test]
    fn order_white_space_and_escapes_make_no_difference() {
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
        let arrays = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        let objects = |levels: usize| r#"{"a":"#.repeat(levels) + "1" + &"}".repeat(levels);
        for nested in [&arrays as &dyn Fn(usize) -> String, &objects] {
            assert!(canonical_text(&nested(MAX_DEPTH)).is_ok());
            assert_eq!(canonical_text(&nested(MAX_DEPTH + 1)), Err(Malformed::TooDeep { limit: MAX_DEPTH }));
            assert!(canonical_text(&nested(500_000)).is_err());
        }
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

    #[test]
    fn a_long_name_is_truncated_when_it_is_quoted() {
        let text = format!(r#"{{"{0}":1,"{0}":2}}"#, "é".repeat(100_000));
        let Err(Malformed::RepeatedMember { name }) = canonical_text(&text) else { panic!() };
        assert_eq!(name, "é".repeat(64) + "…");
        assert!(name.capacity() < 1_000, "{}", name.capacity());
    }

    #[test]
    fn members_are_found_and_omitted_however_their_names_are_escaped() {
        let object = Object::read(br#"{"z":1, "\u0061" : [ 1 ],"b":null,"c":3}"#).unwrap();
        assert_eq!(object.get("a").map(Json::as_str), Some("[ 1 ]"));
        assert_eq!(object.get("b"), None);
        assert_eq!(object.get("d"), None);
        assert_eq!(object.written_besides(&["c"]), r#""z":1,"\u0061" : [ 1 ],"b":null"#);
        assert_eq!(object.written_besides(&["a", "z", "c", "b"]), "");
    }

    proptest! {
        #[test]
        fn one_pass_agrees_with_reading_level_by_level(text in any_spelling()) {
            prop_assert_eq!(canonical_text(&text).ok(), plainly(&text, 0), "{}", text);
            let object = Object::read(text.as_bytes()).and_then(|object| object.canonical(|_| true)).ok();
            prop_assert_eq!(object, plainly(&text, 0).filter(|_| text.starts_with('{')), "{}", text);
        }

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

//! Documents whose members come with their names.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};

/// Reads a structure from a JSON object. `serde_json` alone would read one from an array too, its members in the order of their
/// declaration, which is a second form of each document that nobody writes.
///
/// # Errors
/// `serde_json`'s, which may quote the text.
pub fn read<'de, T: Deserialize<'de>>(text: &'de str) -> serde_json::Result<T> {
    serde_json::from_str(text).map(|Named(document)| document)
}

struct Named<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }

        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::value::RawValue;

    use super::*;
    use crate::json_place::JsonPlace;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Document<'a> {
        name: &'a str,
        #[serde(borrow)]
        rest: &'a RawValue,
    }

    #[test]
    fn members_are_read_by_their_names_only_and_an_error_says_where() {
        let document: Document<'_> = read(" {\"rest\": [1, 2], \"name\": \"a\"}\n").unwrap();
        assert_eq!((document.name, document.rest.get()), ("a", "[1, 2]"));
        for (text, place) in [
            ("[\"a\", [1, 2]]", "line 1, column 0"),
            ("{\"name\": \"a\",\n \"rest\": 1, \"more\": 2}", "line 2, column 18"),
            ("{\"name\": \"a\"}", "line 1, column 13"),
            ("{\"name\": \"a\", \"rest\": 1} 2", "line 1, column 26"),
            ("null", "line 1, column 4"),
        ] {
            let error = read::<Document<'_>>(text).unwrap_err();
            assert_eq!(JsonPlace::from(&error).to_string(), place, "{text}");
        }
    }
}

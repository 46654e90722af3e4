//! The forms in which common libraries write the same JSON. Numbers stay as they are written.

use std::fmt::{self, Write as _};

use crate::canonical_json::MAX_DEPTH;
use crate::json::Json;

/// White space between the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// None, as JavaScript writes JSON.
    Compact,
    /// A blank after each comma and colon, as Python writes JSON.
    Spaced,
    /// A line for each value, indented by this text.
    Indented(&'static str),
}

/// How strings are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strings {
    /// As they arrived.
    Kept,
    /// Everything beyond ASCII, as Python does.
    Ascii,
    /// Only what must be.
    Unescaped,
    /// Everything beyond ASCII, and slashes, as PHP does.
    Slashes,
    /// The characters `<`, `>` and `&`, as Go does.
    Html,
}

/// A form of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonForm {
    layout: Layout,
    is_sorted: bool,
    strings: Strings,
    ends_with_newline: bool,
}

const LAYOUTS: [Layout; 5] =
    [Layout::Compact, Layout::Spaced, Layout::Indented("  "), Layout::Indented("    "), Layout::Indented("\t")];
const STRINGS: [Strings; 5] = [Strings::Kept, Strings::Ascii, Strings::Unescaped, Strings::Slashes, Strings::Html];

impl JsonForm {
    /// The forms that this text may have, the plainer ones first. Those are left out whose strings would be the same.
    pub(crate) fn all(text: &str) -> impl Iterator<Item = Self> {
        let (is_escaped, is_ascii) = (text.contains('\\'), text.is_ascii());
        let differs = move |strings: &Strings| match strings {
            Strings::Kept => true,
            Strings::Ascii => is_escaped || !is_ascii,
            Strings::Unescaped => is_escaped,
            Strings::Slashes => text.contains('/'),
            Strings::Html => text.contains(['<', '>', '&', '\u{2028}', '\u{2029}']),
        };
        let strings: Vec<Strings> = STRINGS.into_iter().filter(differs).collect();
        [false, true].into_iter().flat_map(move |ends_with_newline| {
            strings.clone().into_iter().flat_map(move |strings| {
                [false, true].into_iter().flat_map(move |is_sorted| {
                    LAYOUTS.into_iter().map(move |layout| Self { layout, is_sorted, strings, ends_with_newline })
                })
            })
        })
    }

    /// A value in this form; `None` when it is nested too deep, or holds half a surrogate pair.
    pub(crate) fn write(self, value: Json<'_>) -> Option<String> {
        let mut text = String::with_capacity(value.as_str().len() + 1);
        self.value(value, 0, &mut text)?;
        if self.ends_with_newline {
            text.push('\n');
        }
        Some(text)
    }

    fn value(self, value: Json<'_>, depth: usize, text: &mut String) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        if let Some(elements) = value.elements() {
            return self
                .container(['[', ']'], elements, depth, text, |element, text| self.value(element, depth + 1, text));
        }
        if let Some(members) = value.members() {
            let mut members = members.map(|member| Some((member.name().ok()?, member))).collect::<Option<Vec<_>>>()?;
            if self.is_sorted {
                members.sort_by(|(one, _), (other, _)| one.cmp(other));
            }
            return self.container(['{', '}'], members.into_iter(), depth, text, |(_, member), text| {
                self.string(member.written_name(), text)?;
                text.push_str(if self.layout == Layout::Compact { ":" } else { ": " });
                self.value(member.value(), depth + 1, text)
            });
        }
        if value.as_str().starts_with('"') {
            return self.string(value.as_str(), text);
        }
        text.push_str(value.as_str());
        Some(())
    }

    fn container<T>(
        self,
        [open, close]: [char; 2],
        parts: impl Iterator<Item = T>,
        depth: usize,
        text: &mut String,
        write: impl Fn(T, &mut String) -> Option<()>,
    ) -> Option<()> {
        text.push(open);
        let mut is_empty = true;
        for part in parts {
            if !is_empty {
                text.push_str(if self.layout == Layout::Spaced { ", " } else { "," });
            }
            is_empty = false;
            self.new_line(depth + 1, text);
            write(part, text)?;
        }
        if !is_empty {
            self.new_line(depth, text);
        }
        text.push(close);
        Some(())
    }

    fn new_line(self, depth: usize, text: &mut String) {
        if let Layout::Indented(indentation) = self.layout {
            text.push('\n');
            text.extend(std::iter::repeat_n(indentation, depth));
        }
    }

    fn string(self, written: &str, text: &mut String) -> Option<()> {
        if self.strings == Strings::Kept {
            text.push_str(written);
            return Some(());
        }
        let unescaped: String = serde_json::from_str(written).ok()?;
        for character in serde_json::to_string(&unescaped).ok()?.chars() {
            let is_escaped = match self.strings {
                Strings::Ascii | Strings::Slashes => !character.is_ascii(),
                Strings::Html => matches!(character, '<' | '>' | '&' | '\u{2028}' | '\u{2029}'),
                Strings::Kept | Strings::Unescaped => false,
            };
            if is_escaped {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a string does not fail.
                    let _ = write!(text, "\\u{unit:04x}");
                }
            } else if character == '/' && self.strings == Strings::Slashes {
                text.push_str("\\/");
            } else {
                text.push(character);
            }
        }
        Some(())
    }
}

impl fmt::Display for JsonForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.layout {
            Layout::Compact => "without white space",
            Layout::Spaced => "with a blank after each comma and colon",
            Layout::Indented("\t") => "indented by tabs",
            Layout::Indented("  ") => "indented by two blanks",
            Layout::Indented(_) => "indented by four blanks",
        })?;
        if self.is_sorted {
            f.write_str(", with sorted members")?;
        }
        f.write_str(match self.strings {
            Strings::Kept => "",
            Strings::Ascii => ", with characters beyond ASCII escaped",
            Strings::Unescaped => ", with characters beyond ASCII not escaped",
            Strings::Slashes => ", with slashes and characters beyond ASCII escaped",
            Strings::Html => ", with <, > and & escaped",
        })?;
        if self.ends_with_newline {
            f.write_str(", with a line break at the end")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(layout: Layout, is_sorted: bool, strings: Strings) -> String {
        let json = br#"{"b": [1.0,{}, []],  "a":"Zo\u00eb </\">" , "c": {"d":null}}"#;
        JsonForm { layout, is_sorted, strings, ends_with_newline: false }.write(Json::read(json).unwrap()).unwrap()
    }

    /// The expected texts are what the named libraries print for this value.
    #[test]
    fn each_form_is_what_the_library_writes() {
        assert_eq!(
            written(Layout::Compact, false, Strings::Unescaped),
            r#"{"b":[1.0,{},[]],"a":"Zoë </\">","c":{"d":null}}"#,
            "JSON.stringify"
        );
        assert_eq!(
            written(Layout::Spaced, true, Strings::Ascii),
            r#"{"a": "Zo\u00eb </\">", "b": [1.0, {}, []], "c": {"d": null}}"#,
            "json.dumps(sort_keys=True)"
        );
        assert_eq!(
            written(Layout::Compact, false, Strings::Slashes),
            r#"{"b":[1.0,{},[]],"a":"Zo\u00eb <\/\">","c":{"d":null}}"#,
            "json_encode"
        );
        assert_eq!(
            written(Layout::Compact, true, Strings::Html),
            r#"{"a":"Zoë \u003c/\"\u003e","b":[1.0,{},[]],"c":{"d":null}}"#,
            "json.Marshal"
        );
        assert_eq!(
            written(Layout::Indented("  "), false, Strings::Kept),
            "{\n  \"b\": [\n    1.0,\n    {},\n    []\n  ],\n  \"a\": \"Zo\\u00eb </\\\">\",\n  \"c\": {\n    \"d\": null\n  }\n}",
            "JSON.stringify(_, null, 2), and json.dumps(indent=2)"
        );
    }

    #[test]
    fn a_value_that_is_nested_too_deep_has_no_form() {
        let deepest = "[".repeat(MAX_DEPTH) + "1" + &"]".repeat(MAX_DEPTH);
        let form = JsonForm::all(&deepest).next().unwrap();
        assert_eq!(form.write(Json::read(deepest.as_bytes()).unwrap()), Some(deepest.clone()));
        let deep = "[".repeat(MAX_DEPTH + 2) + &"]".repeat(MAX_DEPTH + 2);
        let form = JsonForm::all(&deep).next().unwrap();
        assert_eq!(form.write(Json::read(deep.as_bytes()).unwrap()), None);
    }
}

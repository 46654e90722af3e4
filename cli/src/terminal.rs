//! Text of others on a terminal, and the terminal's width.
//!
//! Ids, types, data and reasons come from providers, and a terminal obeys what it is sent: control characters move the cursor or
//! change what is on the screen, bidirectional ones reorder a line, and invisible ones make two texts look the same. They are
//! shown as escapes; every other text stays as it is.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// The width of standard output in columns: the terminal's if it is one, or else what `COLUMNS` says; `None` if nothing says it.
#[must_use]
pub fn width() -> Option<u16> {
    let terminal = terminal_size::terminal_size_of(io::stdout()).map(|(terminal_size::Width(width), _)| width);
    width_of(terminal, std::env::var("COLUMNS").ok().as_deref())
}

/// Some terminals say that they have no columns.
fn width_of(terminal: Option<u16>, columns: Option<&str>) -> Option<u16> {
    let named = || columns?.parse().ok();
    terminal.filter(|width| *width > 0).or_else(named).filter(|width| *width > 0)
}

/// A text without line breaks: what a terminal would not show as it is becomes `\u{…}`, line breaks included.
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_with(text, is_unsafe, in_braces)
}

/// The same for text that was laid out already: its line breaks stay.
#[must_use]
pub fn escape_lines(text: &str) -> Cow<'_, str> {
    escape_with(text, |character| character != '\n' && is_unsafe(character), in_braces)
}

/// The same for JSON texts, one a line, which keep their meaning: the escapes are JSON's own, `\uXXXX`. What is escaped can
/// only stand inside a JSON string, if no other white space than line breaks is between its tokens.
#[must_use]
pub fn escape_json_lines(text: &str) -> Cow<'_, str> {
    escape_with(text, |character| character != '\n' && is_unsafe(character), in_json)
}

/// Writes JSON lines to a terminal, such as those of a log.
#[derive(Debug)]
pub struct EscapedJsonLines<W>(pub W);

impl<W: Write> Write for EscapedJsonLines<W> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.0.write_all(escape_json_lines(&String::from_utf8_lossy(buffer)).as_bytes())?;
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether a terminal may do something else with a character than show it. An unassigned one may become anything.
fn is_unsafe(character: char) -> bool {
    // Nearly all that is written are these, and the server writes two lines for each delivery.
    let is_plain = matches!(character, ' '..='~');
    !is_plain
        && matches!(
            character.general_category(),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
                | GeneralCategory::Surrogate
                | GeneralCategory::Unassigned
        )
}

fn escape_with(text: &str, escaped: impl Fn(char) -> bool, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.chars().any(&escaped) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        if escaped(character) {
            escape(&mut safe, character);
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

fn in_braces(text: &mut String, character: char) {
    text.extend(character.escape_unicode());
}

fn in_json(text: &mut String, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        // Writing to a string does not fail.
        let _ = write!(text, "\\u{unit:04x}");
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// One of each kind that may fool a terminal or a reader.
    const HOSTILE: [char; 24] = [
        '\0',
        '\u{7}',
        '\u{8}',
        '\t',
        '\n',
        '\r',
        '\u{1b}',
        '\u{7f}',
        '\u{85}',
        '\u{9b}',
        '\u{ad}',
        '\u{61c}',
        '\u{200b}',
        '\u{200e}',
        '\u{200f}',
        '\u{2028}',
        '\u{2029}',
        '\u{202a}',
        '\u{202e}',
        '\u{2066}',
        '\u{2069}',
        '\u{feff}',
        '\u{e0001}',
        '\u{e007f}',
    ];

    /// Everything that the ranges name which must never reach a terminal, beside the categories that decide.
    fn is_named(character: char) -> bool {
        matches!(
            character,
            '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
    }

    fn any_text() -> impl Strategy<Value = String> {
        let character = prop_oneof![any::<char>(), proptest::sample::select(&HOSTILE[..]), "[ -~]".prop_map(first)];
        proptest::collection::vec(character, 0..40).prop_map(|characters| characters.into_iter().collect())
    }

    fn first(text: String) -> char {
        text.chars().next().unwrap()
    }

    #[test]
    fn the_width_is_the_terminals_before_that_of_the_environment() {
        assert_eq!(width_of(Some(80), Some("200")), Some(80));
        assert_eq!(width_of(None, Some("200")), Some(200));
        assert_eq!(width_of(Some(0), Some("200")), Some(200));
        for columns in [None, Some("0"), Some("wide"), Some("99999")] {
            assert_eq!(width_of(None, columns), None);
        }
    }

    #[test]
    fn what_a_terminal_obeys_is_shown_as_an_escape() {
        assert_eq!(escape("evt\u{1b}[2J\r\nevt_2\t\u{9b}31m"), r"evt\u{1b}[2J\u{d}\u{a}evt_2\u{9}\u{9b}31m");
        assert_eq!(
            escape("a\u{202e}b\u{2066}c\u{e0041}\u{200b}\u{2028}"),
            r"a\u{202e}b\u{2066}c\u{e0041}\u{200b}\u{2028}"
        );
        assert_eq!(escape_lines("a\nb\u{7f}\u{85}\n"), "a\nb\\u{7f}\\u{85}\n");
        assert_eq!(escape_json_lines("\"\u{7f}\u{202e}\u{e0041}\"\n"), "\"\\u007f\\u202e\\udb40\\udc41\"\n");
    }

    #[test]
    fn ordinary_text_of_any_script_stays_as_it_is() {
        let plain =
            "evt_1 \\ \"quoted\" C:\\u{41} Zoë Zoe\u{308} 10\u{a0}000 € 日本語\u{3000}文 हिन्दी العربية 🙂❤\u{fe0f}";
        assert!(matches!(escape(plain), Cow::Borrowed(same) if same == plain));
    }

    #[test]
    fn every_named_character_is_of_a_category_that_is_escaped() {
        let forgotten: Vec<char> = ('\0'..=char::MAX).filter(|c| is_named(*c) && !is_unsafe(*c)).collect();
        assert!(forgotten.is_empty(), "{forgotten:?}");
        assert!(HOSTILE.into_iter().all(is_unsafe));
    }

    #[test]
    fn log_lines_are_escaped_on_their_way() {
        let mut written = Vec::new();
        EscapedJsonLines(&mut written).write_all("{\"client_id\":\"\u{202e}\"}\n".as_bytes()).unwrap();
        assert_eq!(written, b"{\"client_id\":\"\\u202e\"}\n");
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_obeys_is_left(text in any_text()) {
            prop_assert!(!escape(&text).chars().any(|c| is_named(c) || c.is_control()));
            prop_assert!(!escape_lines(&text).chars().any(|c| c != '\n' && (is_named(c) || c.is_control())));
            prop_assert_eq!(escape_lines(&text).matches('\n').count(), text.matches('\n').count());
        }

        #[test]
        fn json_keeps_its_meaning(text in any_text()) {
            let value = serde_json::json!({ (text.clone()): [text] });
            let line = serde_json::to_string(&value).unwrap() + "\n";
            let escaped = escape_json_lines(&line);
            prop_assert!(!escaped.trim_end_matches('\n').chars().any(|c| is_named(c) || c.is_control()));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
        }

        #[test]
        fn text_without_such_characters_is_unchanged(text in r"[ -~¡-¬®-ͷА-я一-龥가-힣😀-🙏]*") {
            prop_assert_eq!(escape(&text), text.as_str());
        }
    }
}

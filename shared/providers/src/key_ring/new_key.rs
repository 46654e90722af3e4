//! A key that is to be added, as it was given.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

use super::error::KeyRingError;
use crate::account::AccountName;

/// A key that is to be added.
#[derive(Debug, Default)]
pub struct NewKey {
    /// The account that it belongs to, if one was named.
    pub account: Option<AccountName>,
    /// What was read, where a key is read.
    pub input: Option<KeyInput>,
    /// The provider's own options.
    pub options: GivenOptions,
}

impl NewKey {
    /// What was read.
    ///
    /// # Errors
    /// When nothing was.
    pub(crate) fn input(&self, what: &'static str) -> Result<&KeyInput, KeyRingError> {
        self.input.as_ref().filter(|input| !input.is_blank()).ok_or(KeyRingError::NothingGiven { what })
    }

    /// The named account, or else `main`.
    pub(crate) fn account_or_main(&self) -> AccountName {
        self.account.clone().unwrap_or_else(|| AccountName::of_name("main".to_owned()))
    }
}

/// The values of a provider's own options, by their names; a flag has an empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GivenOptions(BTreeMap<&'static str, String>);

impl GivenOptions {
    /// Gives an option.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.0.insert(name, value.into());
        self
    }

    /// Whether an option is given.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The value of an option.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// The bytes of standard input or of a file. They are wiped when dropped, and `Debug` doesn't show them.
pub struct KeyInput(Zeroizing<Vec<u8>>);

impl fmt::Debug for KeyInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyInput({} bytes)", self.0.len())
    }
}

impl KeyInput {
    /// Wraps what was read.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn is_blank(&self) -> bool {
        self.0.trim_ascii().is_empty()
    }

    /// The text, without a byte order mark.
    pub(crate) fn text(&self, what: &'static str) -> Result<&str, KeyRingError> {
        let text = std::str::from_utf8(&self.0).map_err(|_| KeyRingError::NotText { what })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.contains('\0') { Err(KeyRingError::NotText { what }) } else { Ok(text) }
    }

    /// The only line of the text, without the line break at its end, which files and `echo` put there. White space besides is
    /// left for the key's own check.
    pub fn line(&self, what: &'static str) -> Result<&str, KeyRingError> {
        let text = self.text(what)?;
        let line = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
        let trimmed = line.trim();
        if trimmed.contains(['\n', '\r']) {
            return Err(KeyRingError::SeveralLines { what });
        }
        let is_in = |mark: char| trimmed.len() > 1 && trimmed.starts_with(mark) && trimmed.ends_with(mark);
        if ['"', '\'', '`'].into_iter().any(is_in) || (trimmed.starts_with('\u{201c}') && trimmed.ends_with('\u{201d}'))
        {
            return Err(KeyRingError::Quoted { what });
        }
        Ok(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &[u8]) -> Result<String, KeyRingError> {
        KeyInput::new(text.to_vec()).line("the secret").map(str::to_owned)
    }

    #[test]
    fn the_line_break_that_files_end_with_is_no_part_of_a_secret() {
        for text in ["secret", "secret\n", "secret\r\n", "\u{feff}secret\n"] {
            assert_eq!(line(text.as_bytes()).as_deref(), Ok("secret"), "{text:?}");
        }
        assert_eq!(line(b" secret \n").as_deref(), Ok(" secret "), "the key's own check refuses it");
    }

    #[test]
    fn a_quotation_mark_on_one_side_is_part_of_a_secret() {
        for text in ["\"", "\"secret", "secret'", "\u{201c}secret", "secret\u{201d}"] {
            assert_eq!(line(text.as_bytes()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_cannot_be_one_secret_is_refused_and_not_repeated() {
        let what = "the secret";
        for (text, expected) in [
            (&b"one\ntwo\n"[..], KeyRingError::SeveralLines { what }),
            (b"\"secret\"\n", KeyRingError::Quoted { what }),
            (b" 'secret' ", KeyRingError::Quoted { what }),
            ("\u{201c}secret\u{201d}".as_bytes(), KeyRingError::Quoted { what }),
            (b"\xff\xfes\0e\0", KeyRingError::NotText { what }),
            (b"s\0e\0c\0", KeyRingError::NotText { what }),
        ] {
            assert_eq!(line(text), Err(expected), "{text:?}");
        }
        assert!(!format!("{:?}", KeyInput::new(b"hunter2".to_vec())).contains("hunter2"));
    }
}

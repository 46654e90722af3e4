//! What is needed to add a key, for the help texts.

/// What is read from standard input or a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Nothing: we make the key ourselves.
    None,
    /// A key that the provider gives, or that was agreed with it.
    Key {
        /// What it is, such as `the shared secret`.
        what: &'static str,
    },
}

/// An option of a provider's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyOption {
    /// Its name, without hyphens before it.
    pub name: &'static str,
    /// What its value is called; `None` for a flag.
    pub value: Option<&'static str>,
    /// Whether it is given without its name.
    pub is_positional: bool,
    /// Whether a key is made instead of read.
    pub is_instead_of_input: bool,
    /// A sentence about it.
    pub help: &'static str,
}

impl KeyOption {
    /// An option with a value.
    #[must_use]
    pub const fn with_value(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Self { name, value: Some(value), is_positional: false, is_instead_of_input: false, help }
    }

    /// An option that is given or not.
    #[must_use]
    pub const fn flag(name: &'static str, help: &'static str) -> Self {
        Self { name, value: None, is_positional: false, is_instead_of_input: false, help }
    }

    /// A value without a name.
    #[must_use]
    pub const fn positional(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Self { is_positional: true, ..Self::with_value(name, value, help) }
    }

    /// A flag by which a key is made instead of read.
    #[must_use]
    pub const fn instead_of_input(name: &'static str, help: &'static str) -> Self {
        Self { is_instead_of_input: true, ..Self::flag(name, help) }
    }
}

/// Replaces a document of several keys that cannot be read.
pub(crate) const REPLACE: KeyOption = KeyOption::flag(
    "replace",
    "Replace what is there, if it cannot be read: a key that was stored without its form, for example.",
);

/// What is needed to add a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guide {
    /// One line.
    pub about: &'static str,
    /// The whole story, beginning with that line.
    pub long_about: &'static str,
    /// What is read.
    pub input: Input,
    /// The options of this provider's own.
    pub options: &'static [KeyOption],
    /// The account of a key for which none is named.
    pub default_account: &'static str,
}

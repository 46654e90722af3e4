//! What `send` asks an imitation for, and the options by which a user says it.

use std::collections::BTreeMap;

use bytes::Bytes;
use intake_providers::timestamp::Timestamp;
use secrecy::SecretString;

use crate::signed_delivery::SignedDelivery;
use crate::token::TokenDelivery;

/// An option that only one provider has.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// The name, without the hyphens before it.
    pub name: &'static str,
    /// What the value is called in the help.
    pub value_name: &'static str,
    /// What it is, with its default.
    pub help: &'static str,
    /// Which values it takes.
    pub values: OptionValues,
    /// Whether it describes the body that is made up, so that it cannot be given together with a body.
    pub is_of_body: bool,
    /// Another option without which it means nothing.
    pub requires: Option<&'static str>,
}

impl OptionSpec {
    /// An option that takes any text.
    #[must_use]
    pub const fn text(name: &'static str, value_name: &'static str, help: &'static str) -> Self {
        Self { name, value_name, help, values: OptionValues::Text, is_of_body: false, requires: None }
    }

    /// The same with other values.
    #[must_use]
    pub const fn taking(self, values: OptionValues) -> Self {
        Self { values, ..self }
    }

    /// The same for an option that describes the body.
    #[must_use]
    pub const fn of_body(self) -> Self {
        Self { is_of_body: true, ..self }
    }

    /// The same for an option that needs another one.
    #[must_use]
    pub const fn with(self, requires: &'static str) -> Self {
        Self { requires: Some(requires), ..self }
    }
}

/// Which values an option takes.
#[derive(Clone, Copy, Debug)]
pub enum OptionValues {
    /// Any text.
    Text,
    /// A whole number from 0 on.
    Number,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A file's name. The imitation gets the file's text.
    File,
}

/// The options that were given, by name.
#[derive(Clone, Debug, Default)]
pub struct Options(BTreeMap<&'static str, String>);

impl Options {
    /// Adds an option.
    pub fn insert(&mut self, name: &'static str, value: String) {
        self.0.insert(name, value);
    }

    /// An option's value, if it was given.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// Whether a provider's deliveries can be signed with a key from a file that the user names.
#[derive(Clone, Copy, Debug)]
pub enum KeyOption {
    /// They can; what the file holds.
    Takes(&'static str),
    /// They cannot; why, and what to do.
    Refuses(&'static str),
}

/// What `send` asks for.
#[derive(Debug)]
pub struct Order<'a> {
    /// The body; one with made-up ids if there is none.
    pub body: Option<Bytes>,
    /// The provider's options.
    pub options: &'a Options,
    /// The key that the user gave, in place of the test key: the text of a file, or the secret that ended the URL.
    pub key: Option<SecretString>,
    /// Whether to change what was signed, as a forger would.
    pub tamper: bool,
    /// The time.
    pub now: Timestamp,
}

/// What is to be sent.
#[derive(Debug)]
pub enum Outgoing {
    /// A delivery that is complete.
    Ready(SignedDelivery),
    /// A delivery that needs an access token first.
    NeedsToken(TokenDelivery),
}

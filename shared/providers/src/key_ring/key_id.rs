//! The names of keys.

use std::fmt;

use crate::signature::KeyFingerprint;

/// How a key is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyId {
    /// By its fingerprint.
    Fingerprint(KeyFingerprint),
    /// By its name.
    Name(String),
    /// By its place in the document, because it cannot be read.
    Position(usize),
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fingerprint(fingerprint) => fingerprint.fmt(f),
            Self::Name(name) => f.write_str(name),
            Self::Position(position) => write!(f, "entry-{position}"),
        }
    }
}

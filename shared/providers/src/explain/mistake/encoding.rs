//! Ways of writing a signature's bytes.

use std::fmt;

/// An encoding of bytes as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Hex digits.
    Hex,
    /// Base64 (RFC 4648, section 4).
    Base64,
    /// Base64 without `=` at the end.
    Base64WithoutPadding,
    /// Base64url (RFC 4648, section 5).
    Base64Url,
    /// Base64 of the hex digits.
    HexInBase64,
    /// Base64 whose `+`, `/` and `=` are percent-encoded.
    PercentEncodedBase64,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Base64WithoutPadding => "base64 without padding",
            Self::Base64Url => "base64url",
            Self::HexInBase64 => "the base64 of hex digits",
            Self::PercentEncodedBase64 => "percent-encoded base64",
        })
    }
}

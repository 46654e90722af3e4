//! Mistakes with a signed body.

use std::fmt;

use strum::IntoStaticStr;

use crate::explain::json_form::JsonForm;

/// What was signed in place of the body that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum BodyMistake {
    /// The body and a line break.
    TrailingNewline,
    /// The body without the white space at its end.
    WithoutTrailingWhiteSpace,
    /// The body with Windows line breaks.
    CarriageReturns,
    /// The body without carriage returns.
    LineFeeds,
    /// The body with a byte order mark.
    ByteOrderMark,
    /// The body without its byte order mark.
    WithoutByteOrderMark,
    /// The same JSON in another form.
    Reserialised(JsonForm),
    /// The same text in Latin-1.
    Latin1,
    /// Text whose UTF-8 was read as Latin-1 and encoded again.
    DoubleEncoded,
    /// The base64 of the body.
    Base64,
    /// The SHA-256 of the body.
    HashedTwice,
    /// Nothing.
    Empty,
}

impl BodyMistake {
    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::TrailingNewline | Self::WithoutTrailingWhiteSpace => {
                "sign exactly the bytes that are sent; a tool that reads the body from a file may add or take away the line break at its \
                 end (curl: use --data-binary)"
            }
            Self::CarriageReturns | Self::LineFeeds => {
                "sign exactly the bytes that are sent; a tool or proxy changes line breaks (curl: use --data-binary)"
            }
            Self::ByteOrderMark | Self::WithoutByteOrderMark => {
                "sign and send the same bytes, best without a byte order mark"
            }
            Self::Reserialised(_) => {
                "serialise the body once, sign that text, and send the same bytes; if the sender does so already, a proxy in between \
                 parses the body and writes it again"
            }
            Self::Latin1 | Self::DoubleEncoded => {
                "encode the body as UTF-8 once, sign those bytes, and send the same bytes"
            }
            Self::Base64 => "sign the body itself; something in between may encode or decode it",
            Self::HashedTwice => "sign the body itself; the signature function computes the digest",
            Self::Empty => "sign the body; the sender's code signs before it has the body, or has read it already",
        }
    }
}

impl fmt::Display for BodyMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reserialised(form) => {
                return write!(f, "the signature is over the same JSON in another form: {form}");
            }
            Self::TrailingNewline => "the signature is over the body and a line break after it, which did not arrive",
            Self::WithoutTrailingWhiteSpace => "the signature is over the body without the white space at its end",
            Self::CarriageReturns => "the signature is over the body with Windows line breaks",
            Self::LineFeeds => "the signature is over the body without the carriage returns that arrived",
            Self::ByteOrderMark => "the signature is over the body with a byte order mark, which did not arrive",
            Self::WithoutByteOrderMark => "the signature is over the body without the byte order mark that arrived",
            Self::Latin1 => "the signature is over the body in Latin-1, and it arrived in UTF-8",
            Self::DoubleEncoded => "the body was encoded to UTF-8 twice after it was signed",
            Self::Base64 => "the signature is over the base64 of the body",
            Self::HashedTwice => "the signature is over the SHA-256 of the body, so that the body is hashed twice",
            Self::Empty => "the signature is over an empty body",
        })
    }
}

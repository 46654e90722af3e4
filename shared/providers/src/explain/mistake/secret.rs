//! Mistakes with a shared secret.

use std::fmt;

use strum::IntoStaticStr;

/// What the sender uses in place of the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum SecretMistake {
    /// The secret and a line feed.
    TrailingNewline,
    /// The secret, a carriage return and a line feed.
    TrailingCarriageReturn,
    /// The secret with a blank before or after it.
    Blank,
    /// The secret without the white space around it.
    OursHasWhiteSpace,
    /// The secret in quotes.
    Quoted,
    /// The secret without the quotes around it.
    OursIsQuoted,
    /// The bytes whose hex digits the secret is.
    HexDecoded,
    /// The bytes whose base64 the secret is.
    Base64Decoded,
    /// The hex digits of the secret.
    HexEncoded,
    /// The base64 of the secret.
    Base64Encoded,
    /// The secret in lower or upper case.
    Case,
    /// Nothing, or the word for nothing of a programming language.
    Unset,
}

impl SecretMistake {
    /// What to do about it.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::TrailingNewline | Self::TrailingCarriageReturn => {
                "set the secret at the sender again without the line break; `echo` and most editors add one, `printf %s` does not"
            }
            Self::Blank => "set the secret at the sender again without the blank",
            Self::OursHasWhiteSpace => "store our secret again without the white space around it",
            Self::Quoted => "set the secret at the sender again without the quotes",
            Self::OursIsQuoted => "store our secret again without the quotes inside the JSON string",
            Self::HexDecoded | Self::Base64Decoded => {
                "have the sender use the secret's text as it is, without decoding it; if it cannot, agree on a secret that is plain text"
            }
            Self::HexEncoded | Self::Base64Encoded => {
                "have the sender use the secret's text as it is, without encoding it; or store the encoded text as our secret"
            }
            Self::Case => "set the secret again at the sender with the same upper-case and lower-case letters as ours",
            Self::Unset => "set the secret at the sender; it has none",
        }
    }
}

impl fmt::Display for SecretMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TrailingNewline => "the sender signs with the secret and a line break after it",
            Self::TrailingCarriageReturn => "the sender signs with the secret and a Windows line break after it",
            Self::Blank => "the sender signs with the secret and a blank before or after it",
            Self::OursHasWhiteSpace => "our secret has white space around it that the sender's has not",
            Self::Quoted => "the sender signs with the secret in quotes",
            Self::OursIsQuoted => "our secret is in quotes, and the sender's is not",
            Self::HexDecoded => "the sender decodes the secret from hex, and signs with the bytes",
            Self::Base64Decoded => "the sender decodes the secret from base64, and signs with the bytes",
            Self::HexEncoded => "the sender signs with the hex digits of the secret",
            Self::Base64Encoded => "the sender signs with the base64 of the secret",
            Self::Case => "the sender's secret has other upper-case and lower-case letters",
            Self::Unset => "the sender signs with an empty secret",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_is_said_with_whose_secret_is_to_be_set_again_and_how() {
        for (mistake, sentence, remedy) in [
            (SecretMistake::TrailingNewline, "a line break", "without the line break"),
            (SecretMistake::TrailingCarriageReturn, "a Windows line break", "without the line break"),
            (SecretMistake::Blank, "a blank before or after", "at the sender again without the blank"),
            (SecretMistake::OursHasWhiteSpace, "our secret has white space", "store our secret again"),
            (SecretMistake::Quoted, "the secret in quotes", "at the sender again without the quotes"),
            (SecretMistake::OursIsQuoted, "our secret is in quotes", "store our secret again"),
            (SecretMistake::HexDecoded, "decodes the secret from hex", "without decoding"),
            (SecretMistake::Base64Decoded, "decodes the secret from base64", "without decoding"),
            (SecretMistake::HexEncoded, "the hex digits of the secret", "without encoding"),
            (SecretMistake::Base64Encoded, "the base64 of the secret", "without encoding"),
            (SecretMistake::Case, "other upper-case and lower-case letters", "the same upper-case and lower-case"),
            (SecretMistake::Unset, "an empty secret", "set the secret at the sender"),
        ] {
            assert!(mistake.to_string().contains(sentence), "{mistake:?}: {mistake}");
            assert!(mistake.remedy().contains(remedy), "{mistake:?}: {}", mistake.remedy());
        }
    }
}

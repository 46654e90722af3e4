//! Mistakes with the secret at the end of a URL.

use std::fmt;

use strum::IntoStaticStr;

use crate::path_secret::{MAX_SECRET_CHARACTERS, MIN_SECRET_CHARACTERS};

/// What is wrong with a secret at the end of a URL.
#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum PathSecretMistake {
    /// The URL has none.
    Missing,
    /// A slash follows it.
    TrailingSlash,
    /// More of a path follows it, or comes before it.
    FurtherSegments,
    /// It is percent-encoded.
    PercentEncoded,
    /// Quotes, blanks, brackets or punctuation are around it.
    Surrounded,
    /// It ends with `=`.
    Padded,
    /// It is in another encoding.
    Encoded {
        /// Name of the encoding.
        used: &'static str,
    },
    /// It is in the query.
    Query,
    /// It is in a header.
    Header {
        /// Name of the header.
        used: String,
    },
    /// It is the stored hash.
    HashInstead,
    /// It is too short or too long.
    Length {
        /// Its length, in characters.
        found: usize,
    },
    /// It holds characters that no secret of ours has.
    Characters,
    /// It has no upper-case letter, or no lower-case one.
    Case,
}

impl PathSecretMistake {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::HashInstead => {
                "register the URL that `keys add nurturecloud` printed; if it is lost, make a new one, because the stored hash cannot be \
                 turned back"
            }
            Self::Missing | Self::Length { .. } | Self::Characters | Self::Case => {
                "register the whole URL that `keys add nurturecloud` printed, unchanged; if it is lost, make a new one"
            }
            Self::TrailingSlash
            | Self::FurtherSegments
            | Self::PercentEncoded
            | Self::Surrounded
            | Self::Padded
            | Self::Encoded { .. }
            | Self::Query
            | Self::Header { .. } => "register the URL exactly as `keys add nurturecloud` printed it, with the secret as its end",
        }
        .to_owned()
    }
}

impl fmt::Display for PathSecretMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the URL does not end with a secret"),
            Self::TrailingSlash => f.write_str("a slash follows the secret"),
            Self::FurtherSegments => {
                f.write_str("the path does not end with the secret right after the webhook's path")
            }
            Self::PercentEncoded => f.write_str("the secret, or a character beside it, is percent-encoded"),
            Self::Surrounded => f.write_str("quotes, blanks, brackets or punctuation are around the secret"),
            Self::Padded => f.write_str("an equals sign follows the secret"),
            Self::Encoded { used } => write!(f, "the secret is written in {used}"),
            Self::Query => f.write_str("the secret is in the URL's query"),
            Self::Header { used } => write!(f, "the secret is in the header {used}"),
            Self::HashInstead => {
                f.write_str("the URL ends with the stored SHA-256 of the secret in place of the secret")
            }
            Self::Length { found } => write!(
                f,
                "what should be the secret has {found} characters; one of ours has {MIN_SECRET_CHARACTERS}, and none has more than \
                 {MAX_SECRET_CHARACTERS}"
            ),
            Self::Characters => f.write_str(
                "what should be the secret holds other characters than letters, digits, hyphens and underscores",
            ),
            Self::Case => f.write_str(
                "what should be the secret has letters of one case only; the URL was probably changed to it",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_remedy_says_which_url_is_to_be_registered() {
        let (whole, exact) = ("the whole URL", "exactly as");
        for (mistake, words) in [
            (PathSecretMistake::Missing, whole),
            (PathSecretMistake::TrailingSlash, exact),
            (PathSecretMistake::FurtherSegments, exact),
            (PathSecretMistake::PercentEncoded, exact),
            (PathSecretMistake::Surrounded, exact),
            (PathSecretMistake::Padded, exact),
            (PathSecretMistake::Encoded { used: "hex" }, exact),
            (PathSecretMistake::Query, exact),
            (PathSecretMistake::Header { used: "x-secret".to_owned() }, exact),
            (PathSecretMistake::HashInstead, "if it is lost, make a new one"),
            (PathSecretMistake::Length { found: 1 }, whole),
            (PathSecretMistake::Characters, whole),
            (PathSecretMistake::Case, whole),
        ] {
            let remedy = mistake.remedy();
            assert!(remedy.contains(words) && remedy.contains("`keys add nurturecloud`"), "{mistake}: {remedy}");
        }
    }
}

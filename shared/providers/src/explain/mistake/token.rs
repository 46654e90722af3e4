//! Mistakes with an access token.

use std::fmt;

use strum::IntoStaticStr;

use crate::oauth::access_token::LEEWAY;
use crate::timestamp::Timestamp;

/// What is wrong with an access token, or with the header that should carry it.
#[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum TokenMistake {
    /// The header is missing.
    Missing,
    /// The header came more than once.
    Repeated,
    /// The token is in another header.
    Header {
        /// Name of the header.
        used: String,
    },
    /// The header holds the client's own credentials.
    ClientCredentials,
    /// The word `Bearer` is missing before the token.
    NoScheme,
    /// Another scheme than `Bearer`.
    Scheme,
    /// The token is in quotes.
    Quoted,
    /// Not a JWT.
    NotAToken,
    /// Signed with another algorithm, so by another server.
    Algorithm {
        /// The algorithm.
        found: String,
    },
    /// Another type of token, such as an id token.
    Type {
        /// The type.
        found: String,
    },
    /// The key is unknown.
    UnknownKey {
        /// The key's id in the token.
        found: String,
        /// The ids of the active keys.
        known: Vec<String>,
    },
    /// The key is in a file that is not the active one.
    RetiredKey {
        /// The key's id.
        found: String,
        /// Name of the file.
        file: String,
    },
    /// Another key than the named one made the signature.
    AnotherKey {
        /// The named key.
        named: String,
        /// The key that made it.
        signed_by: String,
    },
    /// The signature is wrong: the token was changed, or forged.
    Signature,
    /// Another issuer.
    Issuer {
        /// The token's.
        found: String,
        /// Ours.
        expected: String,
    },
    /// Another audience.
    Audience {
        /// The token's.
        found: String,
        /// Ours.
        expected: String,
    },
    /// A claim is missing.
    Claim {
        /// Name of the claim.
        name: &'static str,
    },
    /// Not valid yet by our clock.
    NotYetValid {
        /// When it becomes valid.
        from: Timestamp,
        /// Our time.
        now: Timestamp,
    },
    /// Expired by our clock.
    Expired {
        /// When it expired.
        at: Timestamp,
        /// Our time.
        now: Timestamp,
    },
    /// The client is not known.
    UnknownClient {
        /// The client's id.
        found: String,
    },
}

impl TokenMistake {
    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        match self {
            Self::Missing => "have the sender get a token from the token endpoint and send it as `authorization: Bearer <token>`",
            Self::Repeated => "have the header sent once; a proxy in between may add its own",
            Self::Header { .. } | Self::NoScheme | Self::Scheme | Self::Quoted => {
                "have the sender send it as `authorization: Bearer <token>`"
            }
            Self::ClientCredentials => {
                "have the sender exchange its client id and secret for a token at the token endpoint first; they do not belong here"
            }
            Self::NotAToken => "have the sender use the access_token of the token endpoint's answer, whole",
            Self::Algorithm { .. } | Self::Type { .. } | Self::Issuer { .. } | Self::Audience { .. } | Self::Claim { .. } => {
                "have the sender get its token from this deployment's own token endpoint; this one was issued by another server, or \
                 for another deployment"
            }
            Self::UnknownKey { .. } | Self::RetiredKey { .. } => {
                "have the sender get a new token; if new ones name this key too, the webhook's copy of the keys is old: run \
                 `keys check sterling --repair`, which derives it again"
            }
            Self::AnotherKey { .. } | Self::Signature => {
                "have the sender get a new token and send it as it is; something changed this one"
            }
            Self::NotYetValid { .. } => "set the clocks of both machines by NTP",
            Self::Expired { .. } => {
                "have the sender get a new token before the old one expires, by `expires_in` of the token endpoint's answer"
            }
            Self::UnknownClient { .. } => {
                "add the client with `keys add sterling`, or give the sender the id and the secret of one that `keys list sterling` \
                 shows"
            }
        }
        .to_owned()
    }
}

impl fmt::Display for TokenMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("the header authorization is missing, and no other header holds a token"),
            Self::Repeated => f.write_str("the header authorization came more than once"),
            Self::Header { used } => write!(f, "the token is in the header {used}, and not in authorization"),
            Self::ClientCredentials => f.write_str("the header authorization holds the client's id and secret (Basic) in place of a token"),
            Self::NoScheme => f.write_str("the word Bearer is missing before the token"),
            Self::Scheme => f.write_str("the header authorization has another scheme than Bearer"),
            Self::Quoted => f.write_str("the token is in quotes"),
            Self::NotAToken => f.write_str("what follows Bearer is not an access token: it has not the three parts of a JWT, or they are not base64url and JSON"),
            Self::Algorithm { found } => write!(f, "the token is signed with {found}, and tokens of ours are signed with EdDSA"),
            Self::Type { found } => write!(f, "the token's type is {found}, and that of an access token is \"at+jwt\""),
            Self::UnknownKey { found, known } => {
                write!(f, "the token names the key {found}, which is not known here; known are {}", known.join(", "))
            }
            Self::RetiredKey { found, file } => write!(f, "the token names the key {found}, which is in {file} and not active"),
            Self::AnotherKey { named, signed_by } => write!(f, "the token names the key {named}, and the key {signed_by} signed it"),
            Self::Signature => f.write_str("the token's signature is wrong: it was changed after it was signed, or none of the known keys signed it"),
            Self::Issuer { found, expected } => write!(f, "the token's issuer is {found}, and ours is {expected}"),
            Self::Audience { found, expected } => write!(f, "the token's audience is {found}, and ours is {expected}"),
            Self::Claim { name } => write!(f, "the token has no claim {name} of the expected type"),
            Self::NotYetValid { from, now } => {
                write!(f, "the token is valid from {from} on, and by our clock it was {now}: the clocks differ by more than {} s", LEEWAY.as_secs())
            }
            Self::Expired { at, now } => {
                let seconds = now.unix_seconds().saturating_sub(at.unix_seconds());
                write!(f, "the token expired at {at}, {seconds} s before the request came ({now})")
            }
            Self::UnknownClient { found } => write!(f, "the token belongs to the client {found}, which is not known here"),
        }
    }
}

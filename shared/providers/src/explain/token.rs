//! What is wrong with an access token. Every check is made, so that all of it is found at once.

use std::fmt;

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header;
use serde_json::Value;
use strum::IntoStaticStr;

use super::finding::{Finding, TriedKey};
use super::signature_text::unquoted;
use super::{Case, KeyDocument};
use crate::oauth::access_token::{self, LEEWAY};
use crate::oauth::authority::Verification;
use crate::timestamp::Timestamp;

/// Maximum length of a claim that is quoted, in characters.
const MAX_QUOTED_CHARACTERS: usize = 120;

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
                 `signing-key list`, which derives it again"
            }
            Self::AnotherKey { .. } | Self::Signature => {
                "have the sender get a new token and send it as it is; something changed this one"
            }
            Self::NotYetValid { .. } => "set the clocks of both machines by NTP",
            Self::Expired { .. } => {
                "have the sender get a new token before the old one expires, by `expires_in` of the token endpoint's answer"
            }
            Self::UnknownClient { .. } => {
                "add the client with `client add`, or give the sender the id and the secret of one that is listed by `client list`"
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

/// A token that has the form of one.
struct Token<'a> {
    header: Value,
    claims: Value,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (signed, signature) = text.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let object = |part: &str| serde_json::from_slice(&decode(part)?).ok().filter(Value::is_object);
        Some(Self { header: object(header)?, claims: object(claims)?, signed, signature: decode(signature)? })
    }

    fn is_signed_by(&self, x: &str) -> bool {
        let key = URL_SAFE_NO_PAD.decode(x).unwrap_or_default();
        UnparsedPublicKey::new(&ED25519, key).verify(self.signed.as_bytes(), &self.signature).is_ok()
    }
}

/// A value as it is quoted.
fn quoted(value: &Value) -> String {
    let text = value.to_string();
    if text.chars().count() <= MAX_QUOTED_CHARACTERS {
        return text;
    }
    text.chars().take(MAX_QUOTED_CHARACTERS).chain(['…']).collect()
}

/// What is wrong with the request's token. The documents are those that the webhook verifies with.
pub(crate) fn explain(case: &Case<'_>) -> Vec<Finding> {
    let (text, mut mistakes) = find(case);
    let Some(text) = text else { return mistakes.into_iter().map(Finding::Token).collect() };
    let documents: Vec<(&KeyDocument, Verification)> = case
        .documents
        .iter()
        .filter_map(|document| Some((document, serde_json::from_str(document.reveal()).ok()?)))
        .collect();
    let Some((document, active)) = documents.iter().find(|(document, _)| document.is_active) else {
        return mistakes.into_iter().map(Finding::Token).collect();
    };
    match Token::read(text) {
        None => mistakes.push(TokenMistake::NotAToken),
        Some(token) => mistakes.extend(problems(&token, active, &documents, case.now)),
    }
    if mistakes.is_empty()
        && let Ok(key) = access_token::verify(text, active, case.now)
    {
        let (account, fingerprint) = (Some(key.account.to_string()), Some(key.fingerprint.to_string()));
        return vec![Finding::Genuine(TriedKey { file: document.name.clone(), account, fingerprint })];
    }
    mistakes.into_iter().map(Finding::Token).collect()
}

/// The text that may be the token, and what is wrong with the way in which it came.
fn find<'a>(case: &'a Case<'_>) -> (Option<&'a str>, Vec<TokenMistake>) {
    let mut values = case.request.headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => {
            let other = case.request.headers.iter().find_map(|(name, value)| {
                let text = value.to_str().ok()?.split_whitespace().next_back()?;
                Token::read(text).map(|_| (name, text))
            });
            return match other {
                Some((name, text)) => (Some(text), vec![TokenMistake::Header { used: name.to_string() }]),
                None => (None, vec![TokenMistake::Missing]),
            };
        }
        (Some(_), Some(_)) => return (None, vec![TokenMistake::Repeated]),
        (Some(value), None) => value,
    };
    let Ok(text) = value.to_str() else { return (None, vec![TokenMistake::NotAToken]) };
    let mut mistakes = Vec::new();
    let (scheme, rest) = text.trim().split_once(' ').unwrap_or(("", text.trim()));
    if scheme.eq_ignore_ascii_case("basic") {
        return (None, vec![TokenMistake::ClientCredentials]);
    }
    if !scheme.eq_ignore_ascii_case("bearer") {
        mistakes.push(if scheme.is_empty() { TokenMistake::NoScheme } else { TokenMistake::Scheme });
    }
    let rest = rest.trim();
    if let Some(inner) = unquoted(rest) {
        mistakes.push(TokenMistake::Quoted);
        return (Some(inner), mistakes);
    }
    (Some(rest), mistakes)
}

fn problems(
    token: &Token<'_>,
    active: &Verification,
    documents: &[(&KeyDocument, Verification)],
    now: Timestamp,
) -> Vec<TokenMistake> {
    let mut mistakes = Vec::new();
    let member = |object: &'_ Value, name: &str| object.get(name).cloned().unwrap_or(Value::Null);
    let algorithm = member(&token.header, "alg");
    if algorithm != "EdDSA" {
        mistakes.push(TokenMistake::Algorithm { found: quoted(&algorithm) });
    }
    let kind = member(&token.header, "typ");
    let is_access_token = kind.as_str().is_some_and(access_token::is_access_token_type);
    if !is_access_token {
        mistakes.push(TokenMistake::Type { found: quoted(&kind) });
    }
    mistakes.extend(key_problem(token, &member(&token.header, "kid"), active, documents));

    let issuer = member(&token.claims, "iss");
    if issuer != active.issuer.as_str() {
        mistakes
            .push(TokenMistake::Issuer { found: quoted(&issuer), expected: quoted(&active.issuer.as_str().into()) });
    }
    let audience = member(&token.claims, "aud");
    let holds = |value: &Value| *value == active.audience.as_str();
    if !holds(&audience) && !audience.as_array().is_some_and(|audiences| audiences.iter().any(holds)) {
        mistakes.push(TokenMistake::Audience {
            found: quoted(&audience),
            expected: quoted(&active.audience.as_str().into()),
        });
    }
    if !member(&token.claims, "sub").is_string() {
        mistakes.push(TokenMistake::Claim { name: "sub" });
    }
    mistakes.extend(time_problems(&token.claims, now));
    match member(&token.claims, "client_id").as_str() {
        None => mistakes.push(TokenMistake::Claim { name: "client_id" }),
        Some(client) if active.clients.iter().all(|known| known.client_id.as_str() != client) => {
            mistakes.push(TokenMistake::UnknownClient { found: quoted(&client.into()) });
        }
        Some(_) => {}
    }
    mistakes
}

fn key_problem(
    token: &Token<'_>,
    kid: &Value,
    active: &Verification,
    documents: &[(&KeyDocument, Verification)],
) -> Option<TokenMistake> {
    let named = active.keys.iter().find(|key| *kid == key.kid.as_str());
    if named.is_some_and(|key| token.is_signed_by(&key.x)) {
        return None;
    }
    let mut all = documents.iter().flat_map(|(document, keys)| keys.keys.iter().map(move |key| (document, key)));
    let signer = all.find(|(_, key)| token.is_signed_by(&key.x));
    Some(match (named, signer) {
        (None, Some((document, key))) if *kid == key.kid.as_str() => {
            TokenMistake::RetiredKey { found: quoted(kid), file: document.name.clone() }
        }
        (_, Some((_, key))) => {
            TokenMistake::AnotherKey { named: quoted(kid), signed_by: quoted(&key.kid.as_str().into()) }
        }
        (Some(_), None) => TokenMistake::Signature,
        (None, None) => TokenMistake::UnknownKey {
            found: quoted(kid),
            known: active.keys.iter().map(|key| quoted(&key.kid.as_str().into())).collect(),
        },
    })
}

fn time_problems(claims: &Value, now: Timestamp) -> Vec<TokenMistake> {
    let time = |name: &str| {
        let seconds = claims.get(name)?.as_i64()?;
        Timestamp::from_unix_milliseconds(seconds.checked_mul(1000)?).ok()
    };
    let leeway = i64::try_from(LEEWAY.as_secs()).unwrap_or(0);
    let mut mistakes = Vec::new();
    match time("iat") {
        None => mistakes.push(TokenMistake::Claim { name: "iat" }),
        Some(issued) => {
            let from = time("nbf").unwrap_or(issued).max(issued);
            if from.unix_seconds() > now.unix_seconds().saturating_add(leeway) {
                mistakes.push(TokenMistake::NotYetValid { from, now });
            }
        }
    }
    match time("exp") {
        None => mistakes.push(TokenMistake::Claim { name: "exp" }),
        Some(at) if now.unix_seconds() >= at.unix_seconds().saturating_add(leeway) => {
            mistakes.push(TokenMistake::Expired { at, now });
        }
        Some(_) => {}
    }
    mistakes
}

//! What is wrong with an access token. Every check is made, so that all of it is found at once.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header;
use serde_json::Value;

use super::case::{Case, KeyDocument};
use super::finding::{Finding, TriedKey};
use super::mistake::TokenMistake;
use super::signature_text::unquoted;
use crate::oauth::access_token::{self, LEEWAY};
use crate::oauth::authority::Verification;
use crate::timestamp::Timestamp;

/// Maximum length of a claim that is quoted, in characters.
const MAX_QUOTED_CHARACTERS: usize = 120;

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

/// The names of what is wrong with a token, such as `signature audience`, for the log. Nothing of the token is in them.
pub(crate) fn names(text: &str, keys: &Verification, now: Timestamp) -> String {
    let mistakes =
        Token::read(text).map_or_else(|| vec![TokenMistake::NotAToken], |token| problems(&token, keys, &[], now));
    let names: Vec<&'static str> = mistakes.iter().map(Into::into).collect();
    names.join(" ")
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

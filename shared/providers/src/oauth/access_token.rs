//! Access tokens: JWTs as in RFC 9068, signed with Ed25519.

use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::active_keys::MatchedKey;
use crate::delivery::DeliveryId;
use crate::oauth::authority::{Authority, Verification};
use crate::oauth::client_id::ClientId;
use crate::signature::KeyFingerprint;
use crate::timestamp::Timestamp;

/// Maximum length of a token that is parsed, in bytes. Ours have about 500.
pub const MAX_TOKEN_BYTES: usize = 4 * 1024;

/// Maximum clock skew between signer and verifier.
pub const LEEWAY: Duration = Duration::from_secs(30);

/// RFC 9068, section 2.1.
const TOKEN_TYPE: &str = "at+jwt";

/// The claims of RFC 9068, section 2.2.
#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    iat: i64,
    exp: i64,
    jti: String,
    client_id: String,
}

/// The claims that are read; we are the only issuer, so nothing else is expected.
#[derive(Deserialize)]
struct VerifiedClaims {
    iat: i64,
    exp: i64,
    nbf: Option<i64>,
    client_id: String,
}

/// A newly issued token. `Debug` doesn't show it.
#[derive(Debug)]
pub struct AccessToken {
    text: SecretString,
    /// Lifetime from the moment of issue.
    pub expires_in: Duration,
}

impl AccessToken {
    /// The token in plain text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.text.expose_secret()
    }
}

/// The authority has no key that signs, or a key that can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no signing key can be used; set the authority up, or activate a key")]
pub struct NoSigningKey;

/// Issues a token to an authenticated client.
///
/// # Errors
/// [`NoSigningKey`] when no key is active, or the active key cannot be read.
pub fn issue(
    authority: &Authority,
    client_id: &ClientId,
    token_id: DeliveryId,
    now: Timestamp,
) -> Result<AccessToken, NoSigningKey> {
    let key = authority.signing_key().ok_or(NoSigningKey)?;
    let private_key = key.pkcs8().ok_or(NoSigningKey)?;
    let expires_in = authority.token_lifetime();
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some(TOKEN_TYPE.to_owned());
    header.kid = Some(key.kid.clone());
    let claims = Claims {
        iss: authority.issuer.clone(),
        sub: client_id.to_string(),
        aud: authority.audience.clone(),
        iat: now.unix_seconds(),
        exp: now.plus(expires_in).unix_seconds(),
        jti: token_id.to_string(),
        client_id: client_id.to_string(),
    };
    let text =
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ed_der(&private_key)).map_err(|_| NoSigningKey)?;
    Ok(AccessToken { text: text.into(), expires_in })
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenProblem {
    /// It is genuine and has expired.
    #[error("the access token expired")]
    Expired,
    /// It is not genuine, or not meant for us.
    #[error("the access token is not valid here")]
    Invalid,
    /// It names a key that the document doesn't hold.
    #[error("the access token names an unknown key")]
    UnknownKey,
    /// It is genuine, and its client is not in the document.
    #[error("the access token's client is not known")]
    UnknownClient,
}

/// Whether a token's `typ` is that of an access token. RFC 9068, section 4: either spelling, in any case.
pub(crate) fn is_access_token_type(found: &str) -> bool {
    let found = found.to_ascii_lowercase();
    found == TOKEN_TYPE || found.strip_prefix("application/") == Some(TOKEN_TYPE)
}

/// Verifies a token. The delivery belongs to the client's account according to the document, not the token. The algorithm is
/// determined by the key; the token's header must agree.
///
/// # Errors
/// [`TokenProblem`] when the token is expired, not genuine, or of an unknown key or client.
pub fn verify(token: &str, verification: &Verification, now: Timestamp) -> Result<MatchedKey, TokenProblem> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenProblem::Invalid);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| TokenProblem::Invalid)?;
    let type_is_right = header.typ.as_deref().is_some_and(is_access_token_type);
    // No critical extension is supported (RFC 7515, section 4.1.11).
    if header.alg != Algorithm::EdDSA || !type_is_right || header.crit.is_some() {
        return Err(TokenProblem::Invalid);
    }
    let kid = header.kid.ok_or(TokenProblem::Invalid)?;
    let key = verification.keys.iter().find(|key| key.kid == kid).ok_or(TokenProblem::UnknownKey)?;
    let decoding_key = DecodingKey::from_ed_components(&key.x).map_err(|_| TokenProblem::Invalid)?;

    let mut validation = Validation::new(Algorithm::EdDSA);
    validation.set_required_spec_claims(&["iss", "aud", "exp", "sub"]);
    validation.set_issuer(&[&verification.issuer]);
    validation.set_audience(&[&verification.audience]);
    // Times are checked below, against the time that is handed in.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    let claims = jsonwebtoken::decode::<VerifiedClaims>(token, &decoding_key, &validation)
        .map_err(|_| TokenProblem::Invalid)?
        .claims;

    let now = now.unix_seconds();
    let leeway = i64::try_from(LEEWAY.as_secs()).unwrap_or(0);
    if claims.nbf.unwrap_or(claims.iat).max(claims.iat) > now.saturating_add(leeway) {
        return Err(TokenProblem::Invalid);
    }
    if now >= claims.exp.saturating_add(leeway) {
        return Err(TokenProblem::Expired);
    }
    let client = verification.clients.iter().find(|client| client.client_id.as_str() == claims.client_id);
    Ok(MatchedKey {
        account: client.ok_or(TokenProblem::UnknownClient)?.account.clone(),
        fingerprint: KeyFingerprint::from_recorded(kid),
    })
}

#[cfg(test)]
mod tests;

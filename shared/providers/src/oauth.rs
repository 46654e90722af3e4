//! The OAuth 2.0 server that IBM Sterling requires from a receiver of its events: the client credentials grant of RFC 6749, with
//! access tokens as in RFC 9068.
//!
//! - [`authority`]: the signing keys, the clients, and the steps of a key rotation.
//! - [`client_id`]: the ids of the clients.
//! - [`token_request`]: parsing a token request, and the errors of RFC 6749.
//! - [`access_token`]: issuing and verifying tokens.

/// The path of the token endpoint.
pub const TOKEN_PATH: &str = "/oauth/token";

pub mod access_token;
pub mod authority;
pub mod client_id;
pub mod token_request;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serializer;

/// Serializes a secret in plain text, for `serialize_with` in a document that is secret as a whole. [`SecretString`] does not
/// implement `Serialize`, so each such place is explicit.
///
/// # Errors
/// The serializer's.
pub fn serialize_exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

//! The OAuth 2.0 server that IBM Sterling asks of whoever receives its events: the client credentials grant of RFC 6749, with
//! access tokens in the manner of RFC 9068.
//!
//! - [`authority`]: who may sign and who may ask: the signing keys, the clients, and the steps of a rotation.
//! - [`client_id`]: the ids of those who may ask.
//! - [`token_request`]: reading a request for a token, and the errors of RFC 6749.
//! - [`access_token`]: making a token and checking one.

/// The path of the token endpoint.
pub const TOKEN_PATH: &str = "/oauth/token";

pub mod access_token;
pub mod authority;
pub mod client_id;
pub mod token_request;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Serializer;

/// Writes a secret into a document that is secret as a whole, for `serialize_with`: a [`SecretString`] leaves it to each place
/// where that is meant.
///
/// # Errors
/// The serializer's.
pub fn serialize_exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

//! For a provider whose deliveries carry an access token: how it gets one, and what it sends with it.

use bytes::Bytes;
use intake_providers::oauth::TOKEN_PATH;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::made_up::base64;
use crate::signed_delivery::{SignedDelivery, altered};

/// A client of the token endpoint with its secret, as it is written down. `Debug` doesn't show the secret.
#[derive(Debug, Serialize, Deserialize)]
pub struct ClientCredentials {
    /// The client id.
    pub client_id: String,
    /// The secret.
    #[serde(serialize_with = "serialize_exposed")]
    pub client_secret: SecretString,
}

/// The file is secret as a whole.
fn serialize_exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

/// A request for an access token by the client credentials grant (RFC 6749, section 4.4).
#[derive(Clone, Debug)]
pub struct TokenRequest {
    authorization: SecretString,
}

impl TokenRequest {
    /// The path of the token endpoint.
    pub const PATH: &str = TOKEN_PATH;

    /// The body.
    pub const BODY: &str = "grant_type=client_credentials";

    /// The request of this client, by HTTP Basic with both parts form-encoded (RFC 6749, section 2.3.1).
    #[must_use]
    pub fn of(client: &ClientCredentials) -> Self {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let credentials = format!("{}:{}", encoded(&client.client_id), encoded(client.client_secret.expose_secret()));
        Self { authorization: format!("Basic {}", base64(credentials)).into() }
    }

    /// Every header by name.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [("authorization", self.authorization.expose_secret()), ("content-type", "application/x-www-form-urlencoded")]
            .into_iter()
    }
}

/// A delivery that needs an access token first. After a 401 the provider gets a new token and tries once more.
#[derive(Debug)]
pub struct TokenDelivery {
    /// Where tokens come from, if that was said; otherwise from the server that the delivery goes to.
    pub token_url: Option<String>,
    /// The request for a token.
    pub request: TokenRequest,
    /// The body.
    pub body: Bytes,
    /// Whether the token is changed, as a forger would.
    pub tamper: bool,
}

impl TokenDelivery {
    /// The delivery with a token.
    #[must_use]
    pub fn with(&self, token: &SecretString) -> SignedDelivery {
        let token = token.expose_secret();
        if self.tamper {
            SignedDelivery::with_bearer_token(&tampered_token(token), self.body.clone())
        } else {
            SignedDelivery::with_bearer_token(token, self.body.clone())
        }
    }
}

/// The same token with a signature that isn't its own.
#[must_use]
pub(crate) fn tampered_token(token: &str) -> String {
    let Some((signed, signature)) = token.rsplit_once('.') else { return token.to_owned() };
    format!("{signed}.{}", altered(signature))
}

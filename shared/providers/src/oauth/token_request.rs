//! Token requests: RFC 6749, sections 2.3.1, 4.4.2 and 5.2.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::oauth::authority::ClientSecret;

/// Maximum size of a token request's body, in bytes.
pub const MAX_TOKEN_REQUEST_BYTES: usize = 16 * 1024;

/// A token request with the client credentials grant, not authenticated yet.
#[derive(Debug)]
pub struct TokenRequest {
    /// The claimed client id.
    pub client_id: String,
    /// The presented secret.
    pub client_secret: ClientSecret,
}

/// Why no token is issued: the error codes of RFC 6749, section 5.2.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The request is malformed.
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// The client is unknown, or its secret is wrong. The answer is the same for both.
    #[error("the client id or the client secret is not right")]
    InvalidClient,
    /// A grant type other than client credentials.
    #[error("grant_type must be client_credentials")]
    UnsupportedGrantType,
}

impl TokenError {
    /// The error code of RFC 6749, section 5.2.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
        }
    }

    /// The HTTP status of RFC 6749, section 5.2.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::InvalidClient => StatusCode::UNAUTHORIZED,
            Self::InvalidRequest(_) | Self::UnsupportedGrantType => StatusCode::BAD_REQUEST,
        }
    }
}

/// Checks the content type before the body is read.
///
/// # Errors
/// [`TokenError::InvalidRequest`].
pub fn check_content_type(headers: &HeaderMap) -> Result<(), TokenError> {
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        Ok(())
    } else {
        Err(TokenError::InvalidRequest("the content type must be application/x-www-form-urlencoded"))
    }
}

impl TokenRequest {
    /// Parses a request.
    ///
    /// # Errors
    /// [`TokenError`] when the request is malformed, or its credentials are missing or unreadable.
    pub fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, TokenError> {
        check_content_type(headers)?;
        let mut form = Form::default();
        for (name, value) in form_urlencoded::parse(body) {
            let slot = match &*name {
                "grant_type" => &mut form.grant_type,
                "client_id" => &mut form.client_id,
                "client_secret" => &mut form.client_secret,
                // Unknown parameters are ignored (section 3.2), and a scope changes nothing here.
                _ => continue,
            };
            if slot.replace(value.into_owned().into()).is_some() {
                return Err(TokenError::InvalidRequest("a parameter comes more than once"));
            }
        }
        match form.grant_type.as_ref().map(|grant| grant.expose_secret()) {
            None | Some("") => return Err(TokenError::InvalidRequest("grant_type is missing")),
            Some("client_credentials") => {}
            Some(_) => return Err(TokenError::UnsupportedGrantType),
        }
        let (client_id, client_secret) = match (basic(headers)?, form.client_id, form.client_secret) {
            (Some(_), _, Some(_)) => {
                return Err(TokenError::InvalidRequest(
                    "the client authenticates both by the authorization header and in the body; use one of them",
                ));
            }
            (Some((id, _)), Some(other), None) if other.expose_secret() != id => {
                return Err(TokenError::InvalidRequest("client_id is not the client of the authorization header"));
            }
            (Some(credentials), _, None) => credentials,
            (None, Some(id), Some(secret)) => (id.expose_secret().to_owned(), ClientSecret::new(secret)),
            (None, _, _) => return Err(TokenError::InvalidClient),
        };
        Ok(Self { client_id, client_secret })
    }
}

#[derive(Default)]
struct Form {
    grant_type: Option<SecretString>,
    client_id: Option<SecretString>,
    client_secret: Option<SecretString>,
}

/// The credentials of HTTP Basic. Both parts are form-encoded before they are joined (section 2.3.1).
fn basic(headers: &HeaderMap) -> Result<Option<(String, ClientSecret)>, TokenError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value.as_bytes(),
        (Some(_), Some(_)) => return Err(TokenError::InvalidRequest("the authorization header comes more than once")),
    };
    let credentials = value
        .split_at_checked("basic ".len())
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"basic "))
        .and_then(|(_, encoded)| STANDARD.decode(encoded.trim_ascii()).ok())
        .map(Zeroizing::new)
        .ok_or(TokenError::InvalidClient)?;
    let colon = credentials.iter().position(|byte| *byte == b':').ok_or(TokenError::InvalidClient)?;
    let (id, secret) = credentials.split_at_checked(colon).ok_or(TokenError::InvalidClient)?;
    let secret = secret.get(1..).unwrap_or_default();
    Ok(Some((form_decoded(id)?, ClientSecret::new(form_decoded(secret)?))))
}

/// One form-encoded value.
fn form_decoded(bytes: &[u8]) -> Result<String, TokenError> {
    // An ampersand or an equals sign would be escaped, so they can only mean that the value wasn't encoded.
    let escaped: Vec<u8> = bytes
        .iter()
        .flat_map(|byte| match byte {
            b'&' => b"%26".to_vec(),
            b'=' => b"%3D".to_vec(),
            other => vec![*other],
        })
        .collect();
    let decoded = form_urlencoded::parse(&escaped).next().map(|(name, _)| name.into_owned()).unwrap_or_default();
    if decoded.contains(char::REPLACEMENT_CHARACTER) {
        return Err(TokenError::InvalidClient);
    }
    Ok(decoded)
}

#[cfg(test)]
mod tests;

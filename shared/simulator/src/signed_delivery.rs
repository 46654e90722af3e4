//! A delivery with everything that is sent beside its body.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use intake_providers::delivery::{DeliveryId, VerifiedDelivery};
use intake_providers::request::UnverifiedRequest;
use intake_providers::timestamp::Timestamp;
use intake_providers::webhook::Webhook;
use secrecy::{ExposeSecret as _, SecretString};

use crate::error::SimulatorError;

/// A delivery with everything that is sent beside its body. `Debug` doesn't show its signature, token or secret.
#[derive(Clone, Debug)]
pub struct SignedDelivery {
    /// The body.
    pub body: Bytes,
    headers: Vec<(&'static str, String)>,
    credential: Credential,
}

/// What proves a delivery.
#[derive(Clone, Debug)]
enum Credential {
    None,
    Header { name: &'static str, value: SecretString, times: usize },
    PathSecret(SecretString),
}

impl SignedDelivery {
    /// A JSON body that a header proves, to be sent with these headers besides.
    #[must_use]
    pub fn with_header(
        name: &'static str,
        value: impl Into<SecretString>,
        body: Bytes,
        headers: Vec<(&'static str, String)>,
    ) -> Self {
        Self { headers, ..Self::json(body, Credential::Header { name, value: value.into(), times: 1 }) }
            .and_content_type()
    }

    /// A JSON body with a bearer token beside it (RFC 6750, section 2.1).
    #[must_use]
    pub fn with_bearer_token(token: &str, body: Bytes) -> Self {
        Self::with_header("authorization", format!("Bearer {token}"), body, Vec::new())
    }

    /// A JSON body for a URL that ends with this secret.
    #[must_use]
    pub fn with_path_secret(secret: &str, body: Bytes) -> Self {
        Self::json(body, Credential::PathSecret(secret.into())).and_content_type()
    }

    const fn json(body: Bytes, credential: Credential) -> Self {
        Self { body, headers: Vec::new(), credential }
    }

    fn and_content_type(mut self) -> Self {
        self.headers.push(("content-type", "application/json".to_owned()));
        self
    }

    /// Every header by name. One that comes more than once is listed as often.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let credential = match &self.credential {
            Credential::Header { name, value, times } => {
                Some(std::iter::repeat_n((*name, value.expose_secret()), *times))
            }
            Credential::PathSecret(_) | Credential::None => None,
        };
        self.headers.iter().map(|(name, value)| (*name, value.as_str())).chain(credential.into_iter().flatten())
    }

    /// The headers as they arrive. One whose value HTTP does not allow is left out.
    #[must_use]
    pub fn header_map(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in self.headers() {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        headers
    }

    /// What the intake makes of it under this secret.
    ///
    /// # Errors
    /// When the secret does not verify it.
    pub fn verified<W: Webhook>(
        &self,
        secret: &str,
        id: DeliveryId,
        received_at: Timestamp,
    ) -> Result<VerifiedDelivery, SimulatorError> {
        let mismatched = || SimulatorError::Mismatched(W::NAME);
        let headers = self.header_map();
        let keys = W::read_keys(secret).map_err(|_| mismatched())?.keys;
        let credential = W::credential(&self.path(W::ROUTE.path()), &headers).map_err(|_| mismatched())?;
        let request = UnverifiedRequest::new(headers, self.body.clone());
        let authentic = W::verify(request, &credential, &keys, received_at).map_err(|_| mismatched())?;
        Ok(VerifiedDelivery::new(authentic, id, received_at))
    }

    /// The path to post to: the webhook's, and the secret where there is one.
    #[must_use]
    pub fn path(&self, webhook_path: &str) -> String {
        match self.path_secret() {
            Some(secret) => format!("{}/{secret}", webhook_path.trim_end_matches('/')),
            None => webhook_path.to_owned(),
        }
    }

    /// The secret that ends the URL, where there is one. It is not shown to anybody.
    #[must_use]
    pub fn path_secret(&self) -> Option<&str> {
        match &self.credential {
            Credential::PathSecret(secret) => Some(secret.expose_secret()),
            Credential::Header { .. } | Credential::None => None,
        }
    }

    /// The same with a body that isn't the signed one.
    #[must_use]
    pub fn tampered(mut self) -> Self {
        // White space after it leaves JSON what it was; a signature over bytes must notice all the same.
        self.body = [self.body, Bytes::from_static(b" ")].concat().into();
        self
    }

    /// The same without the signature, token or secret.
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        self.credential = Credential::None;
        self
    }

    /// The same with another value in place of the signature, token or secret.
    #[must_use]
    pub fn with_credential(mut self, new: impl Into<SecretString>) -> Self {
        match &mut self.credential {
            Credential::Header { value, .. } | Credential::PathSecret(value) => *value = new.into(),
            Credential::None => {}
        }
        self
    }

    /// The same with the credential's header twice; nothing if it is not in a header.
    #[must_use]
    pub fn repeated(mut self) -> Option<Self> {
        match &mut self.credential {
            Credential::Header { times, .. } => *times = 2,
            Credential::PathSecret(_) | Credential::None => return None,
        }
        Some(self)
    }
}

/// The same text in base64url with another first character. The last one may hold bits that don't count.
pub(crate) fn altered(text: &str) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    if let Some(first) = characters.first_mut() {
        *first = if *first == 'A' { 'B' } else { 'A' };
    }
    characters.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_proves_a_delivery_is_sent_and_not_shown() {
        let body = Bytes::from_static(b"{}");
        for delivery in [
            SignedDelivery::with_path_secret("hunter2", body.clone()),
            SignedDelivery::with_bearer_token("hunter2", body.clone()),
            SignedDelivery::with_header("x-signature", "hunter2", body, Vec::new()),
        ] {
            assert!(!format!("{delivery:?}").contains("hunter2"), "{delivery:?}");
            let sent = |delivery: &SignedDelivery| {
                let headers: Vec<_> = delivery.headers().collect();
                format!("{} {headers:?}", delivery.path("/w")).matches("hunter2").count()
            };
            assert_eq!(sent(&delivery), 1);
            assert_eq!(sent(&delivery.clone().unsigned()), 0);
            assert_eq!(sent(&delivery.clone().with_credential("other")), 0);
            assert_eq!(delivery.repeated().as_ref().map(sent).unwrap_or(2), 2);
        }
    }
}

//! Signs deliveries as the providers do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use intake_providers::ProviderName;
use intake_providers::signature::hmac_sha256::{HmacSecret, WeakSecret};
use rsa::PrivateKey;
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs1v15::SigningKey;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::sha2::Sha256;
use rsa::signature::{SignatureEncoding as _, Signer as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

/// A provider's way of signing, with its key. `Debug` doesn't show it.
#[derive(Debug)]
pub enum Signer {
    /// RSA with SHA-256 and PKCS#1 v1.5 padding, in base64.
    Accredit(Box<SigningKey<Sha256>>),
    /// HMAC-SHA256, in hex digits.
    Machnet(HmacSecret),
}

/// Why a key can't sign. Nothing in here repeats the key.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// No private key.
    #[error(
        "this is no rsa private key in pem (PKCS#8 or PKCS#1) without a passphrase; accredit's deliveries are signed with \
         one, such as accredit-private.pem in the data directory's keys"
    )]
    NoPrivateKey,
    /// No secret document.
    #[error(
        "this is not json of the form {{\"keys\": [{{\"account\": \"...\", \"secret\": \"...\"}}]}} with at least one key, \
         such as machnet.json in the data directory's keys"
    )]
    NoSecretDocument,
    /// The first secret is weak.
    #[error("the first key cannot sign")]
    WeakSecret(#[from] WeakSecret),
    /// No signature at all.
    #[error(
        "sterling's deliveries carry an access token and no signature; get a token with a client such as the one in \
         sterling-client.json in the data directory's keys"
    )]
    NoSignature,
    /// A secret in the URL instead of a signature.
    #[error(
        "nurturecloud's deliveries carry no signature, for a secret ends their url, such as the one in \
         nurturecloud-path-secret in the data directory's keys"
    )]
    PathSecret,
    /// Signing itself failed.
    #[error("the body could not be signed")]
    Signing(#[from] rsa::signature::Error),
}

#[derive(Deserialize)]
struct SecretDocument {
    keys: Vec<SecretEntry>,
}

#[derive(Deserialize)]
struct SecretEntry {
    secret: String,
}

impl Signer {
    /// Reads a provider's signing key: a private key as PEM for Accredit; for Machnet the same document that verifies, whose
    /// first secret signs.
    ///
    /// # Errors
    /// [`SignerError`]; always for Sterling, whose deliveries prove themselves by a token, for NurtureCloud, whose URL does, and
    /// for NowCerts, who sends none.
    pub fn read(provider: ProviderName, text: &str) -> Result<Self, SignerError> {
        match provider {
            ProviderName::Accredit => {
                let key = PrivateKey::from_pkcs8_pem(text)
                    .or_else(|_| PrivateKey::from_pkcs1_pem(text))
                    .map_err(|_| SignerError::NoPrivateKey)?;
                Ok(Self::Accredit(Box::new(SigningKey::new(key))))
            }
            ProviderName::Machnet => {
                let document: SecretDocument = serde_json::from_str(text).map_err(|_| SignerError::NoSecretDocument)?;
                let entry = document.keys.first().ok_or(SignerError::NoSecretDocument)?;
                Ok(Self::Machnet(HmacSecret::new(&entry.secret)?))
            }
            ProviderName::NowCerts | ProviderName::Sterling => Err(SignerError::NoSignature),
            ProviderName::NurtureCloud => Err(SignerError::PathSecret),
        }
    }

    /// Whose signatures these are.
    #[must_use]
    pub const fn provider(&self) -> ProviderName {
        match self {
            Self::Accredit(_) => ProviderName::Accredit,
            Self::Machnet(_) => ProviderName::Machnet,
        }
    }

    /// The header that carries the signature, and its value for this body.
    ///
    /// # Errors
    /// When the key can't sign.
    pub fn sign(&self, body: &[u8]) -> Result<(&'static str, String), SignerError> {
        Ok(match self {
            Self::Accredit(key) => ("x-signature", STANDARD.encode(key.try_sign(body)?.to_bytes())),
            Self::Machnet(secret) => ("x-raas-webhook-signature", hex::encode(secret.sign(body))),
        })
    }
}

/// A delivery with everything that is sent beside its body. `Debug` doesn't show its signature, token or secret.
#[derive(Clone, Debug)]
pub struct SignedDelivery {
    /// The body.
    pub body: Bytes,
    headers: Vec<(&'static str, String)>,
    proof: Proof,
}

/// What proves a delivery.
#[derive(Clone, Debug)]
enum Proof {
    None,
    Header(&'static str, SecretString),
    PathSecret(SecretString),
}

impl SignedDelivery {
    /// Signs a JSON body, to be sent with these headers besides.
    ///
    /// # Errors
    /// When the key can't sign.
    pub fn new(signer: &Signer, body: Bytes, mut headers: Vec<(&'static str, String)>) -> Result<Self, SignerError> {
        headers.push(("content-type", "application/json".to_owned()));
        let (name, value) = signer.sign(&body)?;
        Ok(Self { body, headers, proof: Proof::Header(name, value.into()) })
    }

    /// A JSON body with a bearer token beside it, as Sterling sends one.
    #[must_use]
    pub fn with_bearer_token(token: &str, body: Bytes) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { body, headers, proof: Proof::Header("authorization", format!("Bearer {token}").into()) }
    }

    /// A JSON body for a URL that ends with this secret, as NurtureCloud sends one.
    #[must_use]
    pub fn with_path_secret(secret: &str, body: Bytes) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { body, headers, proof: Proof::PathSecret(secret.into()) }
    }

    /// Every header by name.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let proof = match &self.proof {
            Proof::Header(name, value) => Some((*name, value.expose_secret())),
            Proof::PathSecret(_) | Proof::None => None,
        };
        self.headers.iter().map(|(name, value)| (*name, value.as_str())).chain(proof)
    }

    /// The path to post to: the webhook's, and the secret where there is one.
    #[must_use]
    pub fn path(&self, webhook_path: &str) -> String {
        match &self.proof {
            Proof::PathSecret(secret) => format!("{}/{}", webhook_path.trim_end_matches('/'), secret.expose_secret()),
            Proof::Header(..) | Proof::None => webhook_path.to_owned(),
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
        self.proof = Proof::None;
        self
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use intake_providers::accredit::Accredit;
    use intake_providers::machnet::Machnet;
    use intake_providers::request::UnverifiedRequest;
    use intake_providers::timestamp::Timestamp;
    use intake_providers::webhook::Webhook;

    use super::*;
    use crate::key_files::{new_accredit_key, new_machnet_key};

    fn verifies<W: Webhook>(secret: &str, signer: &Signer, body: &'static [u8]) -> bool {
        let keys = W::read_keys(secret).unwrap().keys;
        let (name, value) = signer.sign(body).unwrap();
        let headers = HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_str(&value).unwrap())]);
        let proof = W::credential(W::NAME.source_path(), &headers).unwrap();
        W::verify(UnverifiedRequest::new(headers, body.into()), &proof, &keys, Timestamp::EPOCH).is_ok()
    }

    #[test]
    fn what_is_signed_here_is_verified_there() {
        let accredit = new_accredit_key().unwrap();
        let signer = Signer::read(ProviderName::Accredit, accredit.private_key.expose_secret()).unwrap();
        assert!(verifies::<Accredit>(&accredit.secret, &signer, b"{}"));
        let machnet = new_machnet_key().unwrap();
        let signer = Signer::read(ProviderName::Machnet, &machnet).unwrap();
        assert!(verifies::<Machnet>(&machnet, &signer, b"{}"));
        assert!(!verifies::<Machnet>(&new_machnet_key().unwrap(), &signer, b"{}"));
    }

    #[test]
    fn neither_a_signer_nor_a_delivery_shows_what_proves_it() {
        let body = Bytes::from_static(b"{}");
        let key = new_accredit_key().unwrap().private_key;
        let signer = Signer::read(ProviderName::Accredit, key.expose_secret()).unwrap();
        let signed = SignedDelivery::new(&signer, body.clone(), Vec::new()).unwrap();
        let (_, signature) = signed.headers().last().unwrap();
        assert_eq!(signature.len(), 344, "2048 bits in base64");
        assert!(!format!("{signed:?}").contains(signature), "{signed:?}");
        let shown = format!("{signer:?}");
        assert!(shown.contains("d: \"...\", primes: \"&[...]\", precomputed: \"Some(...)\""), "{shown}");
        for delivery in [
            SignedDelivery::with_path_secret("hunter2", body.clone()),
            SignedDelivery::with_bearer_token("hunter2", body),
        ] {
            assert!(!format!("{delivery:?}").contains("hunter2"), "{delivery:?}");
        }
    }

    #[test]
    fn a_key_that_cannot_sign_is_explained_and_not_repeated() {
        let text = "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n";
        for &provider in ProviderName::ALL {
            let error = Signer::read(provider, text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
            assert!(error.to_string().contains("in the data directory's keys"), "{error}");
        }
    }
}

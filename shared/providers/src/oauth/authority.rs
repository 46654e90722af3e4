//! The authority: signing keys and clients, stored in two secrets.
//!
//! The whole document ([`Authority`]) holds the private keys and the hashes of the clients' secrets; only the token function can
//! read it. The webhook function reads [`Verification`], which is derived from it and holds nothing secret.
//!
//! A key is rotated in three steps, each of which is rejected if it is too early: a new key is *added*, so that every function
//! can verify with it; it is *activated* once no cache can be older than it; the old one is *retired* once its last token has
//! expired.

use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use crate::account::AccountName;
use crate::digest::Sha256Digest;
use crate::oauth::client_id::{ClientId, InvalidClientId};
use crate::oauth::serialize_exposed;
use crate::timestamp::Timestamp;

/// Default lifetime of a token: two hours.
pub const DEFAULT_TOKEN_LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);

/// Minimum lifetime unless a shorter one is explicitly allowed. Sterling refreshes 30 minutes before a token
/// expires, and IBM recommends that tokens last an hour at least.
pub const MIN_TOKEN_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// Added to each interval that a rotation waits for, to allow for clock skew.
pub const ROTATION_MARGIN: Duration = Duration::from_secs(60);

/// Maximum number of secrets that a client may have at once.
pub const MAX_CLIENT_SECRETS: usize = 4;

/// The whole authority. It holds private keys.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    /// The token's `iss`: the token endpoint's URL, or another name that is the authority's own.
    pub issuer: String,
    /// The token's `aud`: the webhook's URL, or another name that is the webhook's own.
    pub audience: String,
    /// Lifetime of a token, in seconds.
    pub token_lifetime_seconds: u64,
    /// Explicitly allows a lifetime below [`MIN_TOKEN_LIFETIME`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub short_tokens_are_meant: bool,
    /// How long a function may cache this document, or the one derived from it, in seconds: the functions' `SECRET_REFRESH_SECONDS`.
    pub secret_refresh_seconds: u64,
    /// The signing keys, oldest first.
    pub keys: Vec<SigningKey>,
    /// The clients that may request tokens.
    pub clients: Vec<Client>,
}

/// A signing key, Ed25519.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SigningKey {
    /// The key's id in tokens: the first 16 hex digits of the SHA-256 of its public key.
    pub kid: String,
    /// The private key as PKCS#8 in base64.
    #[serde(serialize_with = "serialize_exposed")]
    private_key: SecretString,
    /// When it was added and began to verify.
    pub added_at: Timestamp,
    /// When it was activated and began to sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<Timestamp>,
    /// When another key was activated in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<Timestamp>,
}

/// A client, its account, and the hashes of its secrets. Secrets are 256 random bits that we make, so a plain hash hides them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// The client id.
    pub client_id: ClientId,
    /// The account that its events belong to. Clients of one Sterling tenant share one, so that a tenant's events
    /// stay the same events when it changes its client.
    pub account: AccountName,
    /// SHA-256 of each valid secret.
    pub secrets: Vec<Sha256Digest>,
}

/// The document from which the webhook function verifies tokens. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// The only accepted `iss`.
    pub issuer: String,
    /// The only accepted `aud`.
    pub audience: String,
    /// The keys that verify tokens.
    pub keys: Vec<VerificationKey>,
    /// The clients whose tokens are accepted.
    pub clients: Vec<VerificationClient>,
}

/// A client whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationClient {
    /// The client id, as its tokens name it.
    pub client_id: ClientId,
    /// The account that its events belong to.
    pub account: AccountName,
}

/// An Ed25519 public key that verifies tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationKey {
    /// The key's id in tokens.
    pub kid: String,
    /// The public key, 32 bytes in base64url, as the member `x` of a JWK (RFC 8037).
    pub x: String,
}

/// Why a change of the authority is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The lifetime is below [`MIN_TOKEN_LIFETIME`] and not explicitly allowed.
    #[error(
        "tokens of {seconds} s are shorter than the {} s that IBM recommends; say explicitly that short tokens are meant",
        MIN_TOKEN_LIFETIME.as_secs()
    )]
    ShortTokens {
        /// The lifetime asked for, in seconds.
        seconds: u64,
    },
    /// The private key cannot be parsed.
    #[error("the signing key {kid} cannot be read; make a new one")]
    UnreadableKey {
        /// The key's id.
        kid: String,
    },
    /// A key was added already and is not active yet.
    #[error("the key {kid} was added and does not sign yet; activate it first")]
    KeyUnderWay {
        /// The key's id.
        kid: String,
    },
    /// No key was added that could be activated.
    #[error("no key is waiting to be activated; add one first")]
    NothingToActivate,
    /// A function's cache may not hold the new key yet.
    #[error("the key {kid} may not be known everywhere before {not_before}; activate it then")]
    ActivatedTooEarly {
        /// The key's id.
        kid: String,
        /// The earliest time for this step.
        not_before: Timestamp,
    },
    /// No key was superseded.
    #[error("no key was superseded")]
    NothingToRetire,
    /// A token of the old key may still be valid.
    #[error("tokens of the key {kid} may be valid until {not_before}; retire it then")]
    RetiredTooEarly {
        /// The key's id.
        kid: String,
        /// The earliest time for this step.
        not_before: Timestamp,
    },
    /// The client id is invalid.
    #[error(transparent)]
    InvalidClientId(#[from] InvalidClientId),
    /// The client exists and belongs to another account.
    #[error(
        "the client {client_id} belongs to the account {account}, and under another one its events would be new; leave --account \
         out, or add another client"
    )]
    AnotherAccount {
        /// The client.
        client_id: ClientId,
        /// The account that it belongs to.
        account: AccountName,
    },
    /// The client does not exist.
    #[error("there is no client {0}")]
    UnknownClient(String),
    /// The client already has [`MAX_CLIENT_SECRETS`] secrets.
    #[error("the client {0} has {MAX_CLIENT_SECRETS} secrets; remove one that is no longer used first")]
    TooManySecrets(String),
}

/// A freshly made signing key in PKCS#8.
#[derive(Debug)]
#[must_use = "this is the only copy of the key"]
pub struct NewSigningKey(SecretString);

impl NewSigningKey {
    /// Generates a key from the operating system's randomness; `None` if that fails.
    #[must_use]
    pub fn generate() -> Option<Self> {
        let document = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).ok()?;
        Some(Self(STANDARD.encode(document.as_ref()).into()))
    }
}

/// The id and the public key of a private key.
fn public_key(private_key: &SecretString) -> Option<(String, Vec<u8>)> {
    let document = Zeroizing::new(STANDARD.decode(private_key.expose_secret()).ok()?);
    let pair = Ed25519KeyPair::from_pkcs8(&document).ok()?;
    let public = pair.public_key().as_ref().to_vec();
    let kid = Sha256Digest::of(&public).to_string().chars().take(16).collect();
    Some((kid, public))
}

impl SigningKey {
    /// The private key in PKCS#8.
    #[must_use]
    pub(crate) fn pkcs8(&self) -> Option<Zeroizing<Vec<u8>>> {
        STANDARD.decode(self.private_key.expose_secret()).ok().map(Zeroizing::new)
    }
}

impl Authority {
    /// An authority with one key, which is active at once: there are no tokens and no caches yet.
    ///
    /// # Errors
    /// When the lifetime is too short and not explicitly allowed, or the key cannot be parsed.
    pub fn new(
        issuer: String,
        audience: String,
        token_lifetime: Duration,
        short_tokens_are_meant: bool,
        secret_refresh: Duration,
        key: NewSigningKey,
        now: Timestamp,
    ) -> Result<Self, AuthorityError> {
        let mut authority = Self {
            issuer,
            audience,
            token_lifetime_seconds: token_lifetime.as_secs(),
            short_tokens_are_meant,
            secret_refresh_seconds: secret_refresh.as_secs(),
            keys: Vec::new(),
            clients: Vec::new(),
        };
        authority.check_lifetime()?;
        authority.add_key(key, now)?;
        if let Some(first) = authority.keys.first_mut() {
            first.activated_at = Some(now);
        }
        Ok(authority)
    }

    /// Rejects a lifetime below [`MIN_TOKEN_LIFETIME`] that is not explicitly allowed.
    ///
    /// # Errors
    /// [`AuthorityError::ShortTokens`], with the lifetime.
    pub fn check_lifetime(&self) -> Result<(), AuthorityError> {
        if self.token_lifetime_seconds < MIN_TOKEN_LIFETIME.as_secs() && !self.short_tokens_are_meant {
            return Err(AuthorityError::ShortTokens { seconds: self.token_lifetime_seconds });
        }
        Ok(())
    }

    /// Lifetime of a token.
    #[must_use]
    pub const fn token_lifetime(&self) -> Duration {
        Duration::from_secs(self.token_lifetime_seconds)
    }

    /// The key that signs now.
    #[must_use]
    pub fn signing_key(&self) -> Option<&SigningKey> {
        self.keys.iter().rev().find(|key| key.activated_at.is_some() && key.superseded_at.is_none())
    }

    /// First step of a rotation: a new key verifies, and does not sign yet.
    ///
    /// # Errors
    /// When another key is waiting to be activated, or the key cannot be parsed.
    pub fn add_key(&mut self, key: NewSigningKey, now: Timestamp) -> Result<&str, AuthorityError> {
        if let Some(waiting) = self.keys.iter().find(|key| key.activated_at.is_none()) {
            return Err(AuthorityError::KeyUnderWay { kid: waiting.kid.clone() });
        }
        let (kid, _) = public_key(&key.0).ok_or_else(|| AuthorityError::UnreadableKey { kid: "new".to_owned() })?;
        self.keys.push(SigningKey { kid, private_key: key.0, added_at: now, activated_at: None, superseded_at: None });
        Ok(self.keys.last().map_or("", |key| key.kid.as_str()))
    }

    /// Second step: the new key signs from now on. It must have been known for longer than any function may keep an older
    /// document.
    ///
    /// # Errors
    /// When no key is waiting to be activated, or it is too early.
    pub fn activate_key(&mut self, now: Timestamp) -> Result<&str, AuthorityError> {
        let refresh = Duration::from_secs(self.secret_refresh_seconds);
        let waiting = self.keys.iter().position(|key| key.activated_at.is_none());
        let waiting = waiting.ok_or(AuthorityError::NothingToActivate)?;
        for (position, key) in self.keys.iter_mut().enumerate() {
            if position == waiting {
                let not_before = key.added_at.plus(refresh).plus(ROTATION_MARGIN);
                if now < not_before {
                    return Err(AuthorityError::ActivatedTooEarly { kid: key.kid.clone(), not_before });
                }
                key.activated_at = Some(now);
            }
        }
        for (position, key) in self.keys.iter_mut().enumerate() {
            if position != waiting && key.superseded_at.is_none() {
                key.superseded_at = Some(now);
            }
        }
        Ok(self.keys.get(waiting).map_or("", |key| key.kid.as_str()))
    }

    /// Third step: a superseded key no longer verifies. Its last token must have expired; that token may have been signed as late
    /// as the token function's cache allowed.
    ///
    /// # Errors
    /// When no key was superseded, or it is too early.
    pub fn retire_key(&mut self, now: Timestamp) -> Result<String, AuthorityError> {
        let longest = Duration::from_secs(self.secret_refresh_seconds) + self.token_lifetime() + ROTATION_MARGIN;
        let old = self.keys.iter().enumerate().find_map(|(position, key)| Some((position, key.superseded_at?)));
        let (position, superseded_at) = old.ok_or(AuthorityError::NothingToRetire)?;
        let not_before = superseded_at.plus(longest);
        let kid = self.keys.get(position).map(|key| key.kid.clone()).unwrap_or_default();
        if now < not_before {
            return Err(AuthorityError::RetiredTooEarly { kid, not_before });
        }
        self.keys.remove(position);
        Ok(kid)
    }

    /// Adds a secret to a client, and the client if it is new. A new client belongs to the named account, or else to an account
    /// with the client's own name.
    ///
    /// # Errors
    /// When the id is invalid, the client has [`MAX_CLIENT_SECRETS`] secrets, or it exists and belongs to another account than the
    /// named one.
    pub fn add_client_secret(
        &mut self,
        client_id: &str,
        account: Option<&AccountName>,
        secret: &ClientSecret,
    ) -> Result<(), AuthorityError> {
        let client_id = ClientId::new(client_id)?;
        let hash = secret.hash();
        match self.clients.iter_mut().find(|client| client.client_id == client_id) {
            Some(client) if account.is_some_and(|account| *account != client.account) => {
                let account = client.account.clone();
                return Err(AuthorityError::AnotherAccount { client_id, account });
            }
            Some(client) if client.secrets.len() >= MAX_CLIENT_SECRETS => {
                return Err(AuthorityError::TooManySecrets(client_id.to_string()));
            }
            Some(client) => client.secrets.push(hash),
            None => {
                let account = account.cloned().unwrap_or_else(|| client_id.own_account());
                self.clients.push(Client { client_id, account, secrets: vec![hash] });
            }
        }
        Ok(())
    }

    /// Removes all secrets of a client but the newest, and returns how many were removed.
    ///
    /// # Errors
    /// When the client does not exist.
    pub fn remove_older_secrets(&mut self, client_id: &str) -> Result<usize, AuthorityError> {
        let client = self.clients.iter_mut().find(|client| client.client_id.as_str() == client_id);
        let client = client.ok_or_else(|| AuthorityError::UnknownClient(client_id.to_owned()))?;
        let older = client.secrets.len().saturating_sub(1);
        client.secrets.drain(..older);
        Ok(older)
    }

    /// Removes a client. It gets no more tokens, and its existing tokens are no longer accepted.
    ///
    /// # Errors
    /// When the client does not exist.
    pub fn remove_client(&mut self, client_id: &str) -> Result<(), AuthorityError> {
        let before = self.clients.len();
        self.clients.retain(|client| client.client_id.as_str() != client_id);
        if self.clients.len() == before {
            return Err(AuthorityError::UnknownClient(client_id.to_owned()));
        }
        Ok(())
    }

    /// The client that these credentials belong to. Every secret of every client is compared in constant time, so an unknown
    /// client costs what a wrong secret costs.
    #[must_use]
    pub fn authenticate(&self, client_id: &str, secret: &ClientSecret) -> Option<&ClientId> {
        let presented = secret.hash();
        let presented_id = Sha256Digest::of(client_id.as_bytes());
        let mut found = None;
        for client in &self.clients {
            let id = Sha256Digest::of(client.client_id.as_str().as_bytes());
            let same_id = id.as_bytes().ct_eq(presented_id.as_bytes());
            let known = client
                .secrets
                .iter()
                .fold(Choice::from(0), |known, hash| known | hash.as_bytes().ct_eq(presented.as_bytes()));
            if bool::from(same_id & known) {
                found = Some(&client.client_id);
            }
        }
        found
    }

    /// The client with this id, whatever secret it presents. Like [`Self::authenticate`], it takes as long for an unknown id.
    #[must_use]
    pub fn client_named(&self, client_id: &str) -> Option<&ClientId> {
        let presented = Sha256Digest::of(client_id.as_bytes());
        self.clients.iter().fold(None, |found, client| {
            let id = Sha256Digest::of(client.client_id.as_str().as_bytes());
            if bool::from(id.as_bytes().ct_eq(presented.as_bytes())) { Some(&client.client_id) } else { found }
        })
    }

    /// Derives the document that the webhook function reads.
    ///
    /// # Errors
    /// When a private key cannot be parsed.
    pub fn verification(&self) -> Result<Verification, AuthorityError> {
        let keys = self
            .keys
            .iter()
            .map(|key| match public_key(&key.private_key) {
                Some((_, public)) => Ok(VerificationKey { kid: key.kid.clone(), x: URL_SAFE_NO_PAD.encode(public) }),
                None => Err(AuthorityError::UnreadableKey { kid: key.kid.clone() }),
            })
            .collect::<Result<_, _>>()?;
        Ok(Verification {
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            keys,
            clients: self
                .clients
                .iter()
                .map(|Client { client_id, account, .. }| VerificationClient {
                    client_id: client_id.clone(),
                    account: account.clone(),
                })
                .collect(),
        })
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kids: Vec<&str> = self.keys.iter().map(|key| key.kid.as_str()).collect();
        f.debug_struct("Authority").field("issuer", &self.issuer).field("keys", &kids).finish_non_exhaustive()
    }
}

/// A client's secret. It is wiped when dropped, and `Debug` doesn't show it.
#[derive(Debug)]
pub struct ClientSecret(SecretString);

impl ClientSecret {
    /// Wraps a presented secret.
    #[must_use]
    pub fn new(text: impl Into<SecretString>) -> Self {
        Self(text.into())
    }

    /// A new secret: 256 random bits in base64url, which form encoding leaves unchanged; `None` if the operating
    /// system has no randomness.
    #[must_use]
    pub fn generate() -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(bytes.as_mut()).ok()?;
        Some(Self::new(URL_SAFE_NO_PAD.encode(bytes.as_ref())))
    }

    /// The secret in plain text, to show it to the operator once.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }

    fn hash(&self) -> Sha256Digest {
        Sha256Digest::of(self.reveal().as_bytes())
    }
}

#[cfg(test)]
mod tests;

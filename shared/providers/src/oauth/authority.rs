//! The authority: signing keys and clients, as they are kept in two secrets.
//!
//! The whole document ([`Authority`]) holds the private keys and the hashes of the clients' secrets; only the token function can
//! read it. What the webhook function needs ([`Verification`]) is derived from it and holds nothing secret.
//!
//! A key is rotated in three steps, each of which refuses to be done too early: a new key is *added*, so that everybody can
//! verify with it; it is *activated* once no cache can be older than it; the old one is *retired* once its last token is out.

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

/// How long a token is valid unless the document says otherwise: two hours.
pub const DEFAULT_TOKEN_LIFETIME: Duration = Duration::from_secs(2 * 60 * 60);

/// The shortest lifetime that is taken without being asked for explicitly. Sterling refreshes 30 minutes before a token
/// expires, and IBM recommends that tokens last an hour at least.
pub const MIN_TOKEN_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// What is waited for beyond the intervals that must pass, for clocks that disagree.
pub const ROTATION_MARGIN: Duration = Duration::from_secs(60);

/// The most secrets that one client may have at once.
pub const MAX_CLIENT_SECRETS: usize = 4;

/// The whole authority. It holds private keys.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Authority {
    /// The token's `iss`: the token endpoint's URL, or another name that is the authority's own.
    pub issuer: String,
    /// The token's `aud`: the webhook's URL, or another name that is the webhook's own.
    pub audience: String,
    /// How long a token is valid, in seconds.
    pub token_lifetime_seconds: u64,
    /// Whether a lifetime below [`MIN_TOKEN_LIFETIME`] is meant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub short_tokens_are_meant: bool,
    /// How long a function may keep this document, or what is derived from it, before it reads it again, in seconds:
    /// the functions' `SECRET_REFRESH_SECONDS`.
    pub secret_refresh_seconds: u64,
    /// The signing keys, the oldest first.
    pub keys: Vec<SigningKey>,
    /// Who may ask for tokens.
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
    /// Since when it verifies.
    pub added_at: Timestamp,
    /// Since when it signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<Timestamp>,
    /// Since when another one signs in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub superseded_at: Option<Timestamp>,
}

/// A client, its account, and the hashes of its secrets. Secrets are 256 random bits that we make, so a plain hash hides them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// The client id.
    pub client_id: ClientId,
    /// The account that the events belong to which it sends. Clients of one Sterling tenant share one, so that a tenant's events
    /// stay the same events when it changes its client.
    pub account: AccountName,
    /// The SHA-256 of each secret that is valid.
    pub secrets: Vec<Sha256Digest>,
}

/// What the webhook function needs to verify tokens. Nothing in it is secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// The only `iss` that counts.
    pub issuer: String,
    /// The only `aud` that counts.
    pub audience: String,
    /// The keys that verify.
    pub keys: Vec<VerificationKey>,
    /// The clients whose tokens count.
    pub clients: Vec<VerificationClient>,
}

/// A client whose tokens count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationClient {
    /// The client id, as its tokens name it.
    pub client_id: ClientId,
    /// The account that its events belong to.
    pub account: AccountName,
}

/// A key that verifies: Ed25519.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationKey {
    /// The key's id in tokens.
    pub kid: String,
    /// The public key, 32 bytes in base64url, as the member `x` of a JWK (RFC 8037).
    pub x: String,
}

/// Why a step can't be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The lifetime is too short to be meant.
    #[error(
        "tokens of {seconds} s are shorter than the {} s that IBM recommends; say explicitly that short tokens are meant",
        MIN_TOKEN_LIFETIME.as_secs()
    )]
    ShortTokens {
        /// The lifetime asked for, in seconds.
        seconds: u64,
    },
    /// A private key that can't be read.
    #[error("the signing key {kid} cannot be read; make a new one")]
    UnreadableKey {
        /// The key's id.
        kid: String,
    },
    /// A new key is under way already.
    #[error("the key {kid} was added and does not sign yet; activate it first")]
    KeyUnderWay {
        /// The key's id.
        kid: String,
    },
    /// There is no new key.
    #[error("there is no key that waits to be activated; add one first")]
    NothingToActivate,
    /// A cache may not know the new key yet.
    #[error("the key {kid} may not be known everywhere before {not_before}; activate it then")]
    ActivatedTooEarly {
        /// The key's id.
        kid: String,
        /// From when on it may be done.
        not_before: Timestamp,
    },
    /// There is no old key.
    #[error("there is no key that was superseded")]
    NothingToRetire,
    /// A token of the old key may still be valid.
    #[error("tokens of the key {kid} may be valid until {not_before}; retire it then")]
    RetiredTooEarly {
        /// The key's id.
        kid: String,
        /// From when on it may be done.
        not_before: Timestamp,
    },
    /// A client id that can't be used.
    #[error(transparent)]
    InvalidClientId(#[from] InvalidClientId),
    /// A client that belongs to another account.
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
    /// No such client.
    #[error("there is no client {0}")]
    UnknownClient(String),
    /// A client with as many secrets as one may have.
    #[error("the client {0} has {MAX_CLIENT_SECRETS} secrets; remove one that is no longer used first")]
    TooManySecrets(String),
}

/// A freshly made signing key in PKCS#8.
#[derive(Debug)]
#[must_use = "this is the only copy of the key"]
pub struct NewSigningKey(SecretString);

impl NewSigningKey {
    /// Makes a key from the operating system's randomness; nothing when that fails.
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
    /// An authority with one key, which signs at once: nobody has a token yet, and nobody knows another key.
    ///
    /// # Errors
    /// When the lifetime is short and that isn't said to be meant, or the key can't be read.
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

    /// Refuses a lifetime that is too short to be meant.
    ///
    /// # Errors
    /// [`AuthorityError::ShortTokens`].
    pub fn check_lifetime(&self) -> Result<(), AuthorityError> {
        if self.token_lifetime_seconds < MIN_TOKEN_LIFETIME.as_secs() && !self.short_tokens_are_meant {
            return Err(AuthorityError::ShortTokens { seconds: self.token_lifetime_seconds });
        }
        Ok(())
    }

    /// How long a token is valid.
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
    /// When a new key is under way already, or the key can't be read.
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
    /// When there is no new key, or it is too early.
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

    /// Third step: a superseded key verifies no more. Its last token must be out, which was signed as late as the token
    /// function's document allowed.
    ///
    /// # Errors
    /// When there is no superseded key, or it is too early.
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

    /// Adds a secret to a client, and the client if it is new. A new client belongs to the account that is named, or to one of
    /// its own, which is called as the client is.
    ///
    /// # Errors
    /// When the id can't be used, the client has too many secrets, or it is there and belongs to another account than the one
    /// that is named.
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

    /// Removes every secret of a client but its newest.
    ///
    /// # Errors
    /// When there is no such client.
    pub fn remove_older_secrets(&mut self, client_id: &str) -> Result<usize, AuthorityError> {
        let client = self.clients.iter_mut().find(|client| client.client_id.as_str() == client_id);
        let client = client.ok_or_else(|| AuthorityError::UnknownClient(client_id.to_owned()))?;
        let older = client.secrets.len().saturating_sub(1);
        client.secrets.drain(..older);
        Ok(older)
    }

    /// Removes a client. It gets no more tokens, and those that it has count no more.
    ///
    /// # Errors
    /// When there is no such client.
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

    /// What the webhook function needs.
    ///
    /// # Errors
    /// When a private key can't be read.
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
    /// A secret as it was presented.
    #[must_use]
    pub fn new(text: impl Into<SecretString>) -> Self {
        Self(text.into())
    }

    /// A new secret: 256 random bits in base64url, which every way of encoding a form leaves as they are; nothing when the
    /// operating system has no randomness.
    #[must_use]
    pub fn generate() -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(bytes.as_mut()).ok()?;
        Some(Self::new(URL_SAFE_NO_PAD.encode(bytes.as_ref())))
    }

    /// The text, for the one who is to be told.
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

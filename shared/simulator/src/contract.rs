//! What a webhook owes its provider: the answer in each situation, and the requests that bring the situations about.

use std::fmt;

use bytes::Bytes;
use intake_providers::ProviderName;
use intake_providers::registry::webhook_route;
use intake_providers::timestamp::Timestamp;
use intake_providers::webhook::WebhookRoute;
use secrecy::{ExposeSecret as _, SecretString};
use strum::VariantArray;

use crate::error::SimulatorError;
use crate::imitation::{ImitatedWebhook, Imitation};
use crate::signed_delivery::SignedDelivery;

/// What can become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum Situation {
    /// It is genuine, and the queue has it.
    Accepted,
    /// It is not a POST.
    WrongMethod,
    /// Nothing proves it.
    CredentialMissing,
    /// The header that proves it came twice.
    CredentialRepeated,
    /// What should prove it has not the form.
    CredentialMalformed,
    /// It is proved by a key that is not active, and our keys are fresh.
    WrongKey,
    /// No key is active.
    NoActiveKey,
    /// The secret cannot be used.
    SecretMalformed,
    /// The secret cannot be read, and was never read.
    SecretsAway,
    /// The body is larger than we take.
    BodyTooLarge,
    /// The queue does not take it.
    QueueAway,
    /// The time for an answer was up.
    DeadlineExceeded,
    /// A defect of ours, caught.
    Panic,
    /// The function's runtime hands over an event that cannot be read.
    EventUnreadable,
}

impl Situation {
    /// Every situation.
    pub const ALL: &[Self] = Self::VARIANTS;

    /// Whether the fault is ours.
    #[must_use]
    pub const fn is_our_fault(self) -> bool {
        match self {
            Self::NoActiveKey
            | Self::SecretMalformed
            | Self::SecretsAway
            | Self::QueueAway
            | Self::DeadlineExceeded
            | Self::Panic
            | Self::EventUnreadable => true,
            Self::Accepted
            | Self::WrongMethod
            | Self::CredentialMissing
            | Self::CredentialRepeated
            | Self::CredentialMalformed
            | Self::WrongKey
            | Self::BodyTooLarge => false,
        }
    }
}

/// The answer that a provider is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedAnswer {
    /// The status code.
    pub status: u16,
    /// Whether a `WWW-Authenticate` header comes with it.
    pub has_challenge: bool,
    /// Whether the provider sends the delivery again.
    pub redelivery: Redelivery,
}

impl ExpectedAnswer {
    /// A status without a challenge.
    #[must_use]
    pub const fn new(status: u16, redelivery: Redelivery) -> Self {
        Self { status, has_challenge: false, redelivery }
    }

    /// The same with a challenge.
    #[must_use]
    pub const fn with_challenge(self) -> Self {
        Self { has_challenge: true, ..self }
    }
}

/// Whether a provider sends a delivery again after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redelivery {
    /// It does, for a while.
    Yes,
    /// It does not.
    No,
    /// Its documentation does not say.
    Undocumented,
}

/// A key of the provider: the secret that verifies, in the form of the secret on AWS, and what signs.
pub struct TestKey {
    secret: SecretString,
    sign: Box<dyn Fn(Bytes) -> Result<SignedDelivery, SimulatorError> + Send + Sync>,
}

impl TestKey {
    /// A key of a secret and what signs for it.
    pub(crate) fn new(
        secret: impl Into<SecretString>,
        sign: impl Fn(Bytes) -> Result<SignedDelivery, SimulatorError> + Send + Sync + 'static,
    ) -> Self {
        Self { secret: secret.into(), sign: Box::new(sign) }
    }

    /// The secret's text.
    #[must_use]
    pub fn secret(&self) -> &str {
        self.secret.expose_secret()
    }

    /// A genuine delivery of this body.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn sign(&self, body: Bytes) -> Result<SignedDelivery, SimulatorError> {
        (self.sign)(body)
    }
}

impl fmt::Debug for TestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TestKey(..)")
    }
}

/// A secret that cannot be used as a whole, whoever's it is.
const MALFORMED_SECRETS: &[&str] = &["not json", r#"{"keys":"#, "[]"];

/// One webhook's contract, with new keys.
pub struct Contract {
    /// Whose it is.
    pub provider: ProviderName,
    /// Where requests go.
    pub route: WebhookRoute,
    /// The key that is active.
    pub key: TestKey,
    /// Another key: a wrong one, until it takes the place of the first.
    pub other_key: TestKey,
    /// The body of the requests.
    pub body: Bytes,
    webhook: &'static dyn ImitatedWebhook,
}

impl Contract {
    /// The contract of a provider, unless it has no webhook.
    ///
    /// # Errors
    /// When there is no randomness for its keys.
    pub fn of(imitation: &'static dyn Imitation, now: Timestamp) -> Result<Option<Self>, SimulatorError> {
        let (Some(webhook), Some(route)) = (imitation.webhook(), webhook_route(imitation.name())) else {
            return Ok(None);
        };
        Ok(Some(Self {
            provider: imitation.name(),
            route,
            key: webhook.new_key(now)?,
            other_key: webhook.new_key(now)?,
            body: webhook.body(now),
            webhook,
        }))
    }

    /// The answer that the provider is owed; none where the situation cannot come about.
    #[must_use]
    pub fn expected(&self, situation: Situation) -> Option<ExpectedAnswer> {
        self.webhook.expected(situation)
    }

    /// A genuine request.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn genuine(&self) -> Result<SignedDelivery, SimulatorError> {
        self.key.sign(self.body.clone())
    }

    /// A request that the other key proves.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn by_other_key(&self) -> Result<SignedDelivery, SimulatorError> {
        self.other_key.sign(self.body.clone())
    }

    /// A request that nothing proves.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn credential_missing(&self) -> Result<SignedDelivery, SimulatorError> {
        Ok(self.genuine()?.unsigned())
    }

    /// A request with the credential's header twice; none if it is not in a header.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn credential_repeated(&self) -> Result<Option<SignedDelivery>, SimulatorError> {
        Ok(self.genuine()?.repeated())
    }

    /// Requests with a credential that has not the form of one.
    ///
    /// # Errors
    /// When the key cannot sign.
    pub fn credential_malformed(&self) -> Result<Vec<SignedDelivery>, SimulatorError> {
        Ok(self.webhook.malformed(&self.genuine()?))
    }

    /// Secrets in which no key is active.
    #[must_use]
    pub fn unset_secrets(&self) -> &'static [&'static str] {
        self.webhook.unset_secrets()
    }

    /// Secrets that cannot be used as a whole.
    #[must_use]
    pub const fn malformed_secrets(&self) -> &'static [&'static str] {
        MALFORMED_SECRETS
    }
}

impl fmt::Debug for Contract {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Contract({})", self.provider)
    }
}

#[cfg(test)]
mod tests;

//! The answers that a provider is owed, and the keys that prove its requests.

use std::fmt;

use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use strum::VariantArray;

use crate::error::SimulatorError;
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

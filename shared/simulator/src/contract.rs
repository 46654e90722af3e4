//! What a webhook owes its provider: the answer in each situation, and the requests that bring the situations about.

use std::fmt;

use bytes::Bytes;
use intake_providers::ProviderName;
use intake_providers::registry::webhook_route;
use intake_providers::timestamp::Timestamp;
use intake_providers::webhook::WebhookRoute;

use crate::error::SimulatorError;
use crate::imitation::{ImitatedWebhook, Imitation};
use crate::owed::{ExpectedAnswer, Situation, TestKey};
use crate::signed_delivery::SignedDelivery;

/// A secret that cannot be used as a whole, for any provider.
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

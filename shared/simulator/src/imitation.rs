//! What a provider's file has to say.

use bytes::Bytes;
use intake_providers::ProviderName;
use intake_providers::timestamp::Timestamp;

use crate::error::SimulatorError;
use crate::examples::ExampleDelivery;
use crate::key_files::{KeyFiles, KeyName, KeyPurpose, NewKeyFile};
use crate::owed::{ExpectedAnswer, Situation, TestKey};
use crate::samples::Samples;
use crate::scenario::Step;
use crate::send::{KeyOption, OptionSpec, Order, Outgoing};
use crate::signed_delivery::SignedDelivery;

/// A provider, imitated.
pub trait Imitation: Send + Sync {
    /// Its name.
    fn name(&self) -> ProviderName;

    /// Its key files. The first is locked while keys are made, so it is one that commands lock before they change keys.
    fn key_names(&self) -> &'static [KeyName] {
        &[]
    }

    /// The test keys that are missing, in the order in which they must be written; none if all are there. Keys that are not for
    /// tests stay as they are.
    ///
    /// # Errors
    /// When test keys cannot be made beside those that are there, or there is no randomness.
    fn test_keys(&self, _found: &KeyFiles, _purpose: &KeyPurpose) -> Result<Vec<NewKeyFile>, SimulatorError> {
        Ok(Vec::new())
    }

    /// Its samples, the same for the same keys, to the byte.
    ///
    /// # Errors
    /// When a key is missing or cannot sign, or does not belong to the secret.
    fn samples(&self, _keys: &KeyFiles) -> Result<Samples, SimulatorError> {
        Ok(Samples::default())
    }

    /// Its steps of the demo, in the order in which they must be sent, numbered from `first` on. Ids are new each time.
    ///
    /// # Errors
    /// When a key is missing or cannot sign.
    fn demo(&self, _keys: &KeyFiles, _first: usize, _now: Timestamp) -> Result<Vec<Step>, SimulatorError> {
        Ok(Vec::new())
    }

    /// Deliveries of which the examples of its envelopes are made, in the order in which they are processed. The first brings in an
    /// event called `stored`, or for a provider of entities `created`.
    fn examples(&self) -> Vec<ExampleDelivery>;

    /// How it calls us, if it does.
    fn webhook(&self) -> Option<&dyn ImitatedWebhook>;
}

/// A provider that calls us, imitated.
pub trait ImitatedWebhook: Send + Sync {
    /// Whether `send --key` is for it.
    fn key_option(&self) -> KeyOption;

    /// What `send --tamper` changes in place of the body, as a noun.
    fn tampers_with(&self) -> Option<&'static str> {
        None
    }

    /// The options of `send` that only it has.
    fn options(&self) -> &'static [OptionSpec] {
        &[]
    }

    /// The delivery that `send` asks for.
    ///
    /// # Errors
    /// When options contradict one another, or a key is missing or cannot sign.
    fn deliver(&self, keys: &KeyFiles, order: Order<'_>) -> Result<Outgoing, SimulatorError>;

    /// A genuine body with made-up ids.
    fn body(&self, now: Timestamp) -> Bytes;

    /// A new key.
    ///
    /// # Errors
    /// When there is no randomness.
    fn new_key(&self, now: Timestamp) -> Result<TestKey, SimulatorError>;

    /// The delivery with its credential in forms that are none.
    fn malformed(&self, delivery: &SignedDelivery) -> Vec<SignedDelivery>;

    /// Secrets in which no key is active.
    fn unset_secrets(&self) -> &'static [&'static str];

    /// The answer that the provider is owed, from its own documentation and not from our code; none where the situation cannot
    /// come about.
    fn expected(&self, situation: Situation) -> Option<ExpectedAnswer>;
}

#[cfg(test)]
mod tests;

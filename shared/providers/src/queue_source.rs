//! The trait of a provider whose message queue we consume.

use crate::amqp::{Account, AccountProblems};
use crate::provider::Provider;

/// A provider that publishes its events to a message queue of its own.
pub trait QueueSource: Provider {
    /// Parses the secret with our login.
    ///
    /// # Errors
    /// All problems of the secret at once.
    fn read_account(secret: &str) -> Result<Account, AccountProblems>;
}

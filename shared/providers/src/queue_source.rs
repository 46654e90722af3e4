//! What a provider whose queue we consume has to say about itself.

use crate::amqp::{Account, AccountProblems};
use crate::provider::Provider;

/// A provider whose events wait in a message queue of its own.
pub trait QueueSource: Provider {
    /// Reads the secret with our login.
    ///
    /// # Errors
    /// All problems at once.
    fn read_account(secret: &str) -> Result<Account, AccountProblems>;
}

//! A deployed stack, if this build can reach one.

use intake_providers::ProviderName;
use intake_providers::registry::key_ring;

#[cfg(feature = "aws")]
mod reached;
#[cfg(not(feature = "aws"))]
mod unreachable;

#[cfg(feature = "aws")]
pub use reached::{Stack, StackError, open, secret, secret_of_arn};
#[cfg(not(feature = "aws"))]
pub use unreachable::{Stack, StackError, open, secret, secret_of_arn};

/// What comes before `/webhooks/` in the URL of a provider's webhook, as the stack says it; `None` if the provider is disabled there.
#[must_use]
pub fn base_url(stack: &Stack, provider: ProviderName) -> Option<String> {
    let url = stack.output(key_ring(provider).webhook_output()?)?;
    Some(url.split_once(provider.source_path())?.0.to_owned())
}

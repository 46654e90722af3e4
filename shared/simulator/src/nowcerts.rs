//! NowCerts has no webhook: we consume its queue. Its messages prove themselves by the login with which they are consumed, and a
//! login can't be made up, so there are neither test keys nor samples.

use intake_providers::ProviderName;

use crate::imitation::{ImitatedWebhook, Imitation};

/// NowCerts, of which there is nothing to imitate.
pub struct Imitated;

impl Imitation for Imitated {
    fn name(&self) -> ProviderName {
        ProviderName::NowCerts
    }

    fn webhook(&self) -> Option<&dyn ImitatedWebhook> {
        None
    }
}

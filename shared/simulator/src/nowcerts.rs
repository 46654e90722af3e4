//! NowCerts has no webhook: we consume its queue. Its messages prove themselves by the login with which they are consumed, and a
//! login can't be made up, so there are neither test keys nor samples.

use intake_pipeline::envelope::MAX_ENVELOPE_BYTES;
use intake_providers::ProviderName;

use crate::examples::ExampleDelivery;
use crate::imitation::{ImitatedWebhook, Imitation};

/// NowCerts, of which there is nothing to imitate.
pub struct Imitated;

/// The properties of a message, as headers.
const PROPERTIES: &[(&str, &str)] = &[
    ("content-type", "application/json"),
    ("amqp-type", "PolicyUpdated"),
    ("amqp-queue", "events.agency"),
    ("amqp-exchange", "agency"),
    ("amqp-routing-key", "policy.updated"),
    ("amqp-timestamp", "1795253400"),
];

impl Imitation for Imitated {
    fn name(&self) -> ProviderName {
        ProviderName::NowCerts
    }

    fn examples(&self) -> Vec<ExampleDelivery> {
        let policy = r#"{"Event":"PolicyUpdated","Id":"policy-1","Premium":1234.50}"#;
        let other = r#"{"Event":"PolicyUpdated","Id":"policy-1","Premium":1300}"#;
        let large = format!(r#"{{"Event":"PolicyUpdated","Document":"{}"}}"#, "A".repeat(MAX_ENVELOPE_BYTES));
        let with_id = [PROPERTIES, &[("amqp-message-id", "9d1f6a4e")]].concat();
        let text = vec![("content-type", "text/plain")];
        vec![
            ExampleDelivery { names: &["stored"], headers: with_id.clone(), body: policy.into() },
            ExampleDelivery { names: &["conflict"], headers: with_id, body: other.into() },
            ExampleDelivery { names: &["without-id"], headers: PROPERTIES.to_vec(), body: policy.into() },
            ExampleDelivery { names: &["repeat"], headers: PROPERTIES.to_vec(), body: policy.into() },
            ExampleDelivery { names: &["text"], headers: text, body: "Premium: 1234.50".into() },
            ExampleDelivery { names: &["large"], headers: PROPERTIES.to_vec(), body: large.into() },
        ]
    }

    fn webhook(&self) -> Option<&dyn ImitatedWebhook> {
        None
    }
}

//! Receives IBM Sterling's webhooks. Its secret holds public keys and client ids only.

use intake_providers::sterling::Sterling;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), intake_functions::Error> {
    intake_functions::run_webhook::<Sterling>().await
}

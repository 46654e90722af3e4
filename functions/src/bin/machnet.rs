//! Receives Machnet's webhooks.

use intake_providers::machnet::Machnet;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), intake_functions::Error> {
    intake_functions::run_webhook::<Machnet>().await
}

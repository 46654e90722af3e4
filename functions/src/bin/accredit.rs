//! Receives Accredit's webhooks.

use intake_providers::accredit::Accredit;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), intake_functions::Error> {
    intake_functions::run_webhook::<Accredit>().await
}

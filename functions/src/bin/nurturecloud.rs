//! Receives NurtureCloud's notifications.

use intake_providers::nurturecloud::NurtureCloud;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), intake_functions::Error> {
    intake_functions::run_webhook::<NurtureCloud>().await
}

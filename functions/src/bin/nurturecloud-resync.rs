//! Asks NurtureCloud to resend its entities, because notifications may be lost and there is no API to read entities back.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), intake_functions::Error> {
    intake_functions::run_resync().await
}

//! Asks NurtureCloud to send everything again, because notifications may be lost and nothing can be read back.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), intake_functions::Error> {
    intake_functions::run_resync().await
}

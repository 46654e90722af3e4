//! Receives deliveries from the queue and records their events.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), intake_functions::Error> {
    intake_functions::run_processor().await
}

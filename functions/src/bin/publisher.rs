//! Puts new events on an event bus.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), intake_functions::Error> {
    intake_functions::run_publisher().await
}

//! Empties NowCerts' message queue into ours: on Lambda once for each invocation, anywhere else without end.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), intake_functions::Error> {
    intake_functions::run_drain().await
}

//! Empties NowCerts' message queue into ours: on Lambda once for each invocation, anywhere else without end.

use intake_providers::nowcerts::NowCerts;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), intake_functions::Error> {
    intake_functions::run_drain::<NowCerts>().await
}

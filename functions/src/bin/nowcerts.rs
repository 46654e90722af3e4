//! Drains NowCerts' message queue into ours: on Lambda once per invocation, anywhere else continuously.

use intake_providers::nowcerts::NowCerts;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), intake_functions::Error> {
    intake_functions::run_drain::<NowCerts>().await
}

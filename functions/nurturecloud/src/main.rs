#![doc = include_str!("../README.md")]

use providers::nurturecloud::NurtureCloud;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    lambda::run_webhook::<NurtureCloud>().await
}

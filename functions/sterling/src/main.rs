#![doc = include_str!("../README.md")]

use providers::sterling::Sterling;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    lambda::run_webhook::<Sterling>().await
}

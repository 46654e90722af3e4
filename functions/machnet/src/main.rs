#![doc = include_str!("../README.md")]

use providers::machnet::Machnet;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    lambda::run_webhook::<Machnet>().await
}

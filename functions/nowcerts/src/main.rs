#![doc = include_str!("../README.md")]

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    lambda::run_drain().await
}

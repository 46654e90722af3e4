#![doc = include_str!("../README.md")]

use providers::accredit::Accredit;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda::Error> {
    lambda::run_webhook::<Accredit>().await
}

//! Answers `POST /oauth/token`: gives IBM Sterling the tokens that its webhook then verifies. The only function that can read
//! the private keys.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), intake_functions::Error> {
    intake_functions::run_token_endpoint().await
}

//! Answers `POST /oauth/token`: issues the tokens that IBM Sterling's webhook verifies. This is the only function that
//! can read the private keys.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), intake_functions::Error> {
    intake_functions::run_token_endpoint().await
}

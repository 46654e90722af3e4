//! The command line as `cargo run` starts it.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    intake_cli::main().await
}

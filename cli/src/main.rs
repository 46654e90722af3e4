//! The command line as it is installed.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    intake_cli::main().await
}

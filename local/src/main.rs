//! The development server's command line.

use std::process::ExitCode;

use clap::Parser as _;
use webhook_intake::commands::{self, CommandLine};
use webhook_intake::terminal;

#[tokio::main]
async fn main() -> ExitCode {
    match commands::run(CommandLine::parse()).await.map_err(anyhow::Error::from) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", terminal::escape_lines(&format!("error: {error:#}")));
            ExitCode::FAILURE
        }
    }
}

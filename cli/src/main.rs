//! The development server's command line.

use std::process::ExitCode;

use clap::Parser as _;
use intake_cli::commands::{self, CommandLine};
use intake_cli::terminal;

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

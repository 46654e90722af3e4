#![doc = include_str!("../README.md")]

pub mod capture;
pub mod client;
pub mod commands;
mod connections;
pub mod deployed_stack;
pub mod doctor;
pub mod drain;
pub mod eraser;
pub mod forwarding;
pub mod kept_requests;
pub mod key_files;
pub mod key_store;
pub mod key_uses;
mod large_bodies;
pub mod records;
mod refused;
pub mod repair;
pub mod replay_target;
pub mod server;
pub mod stored_document;
pub mod terminal;
pub mod worker;

use std::process::ExitCode;

use clap::Parser as _;

/// The server takes memory in one thread and gives it back in another, at which the allocator of glibc is slow.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the command of this process's arguments, and prints why it failed if it did.
pub async fn main() -> ExitCode {
    match commands::run(commands::CommandLine::parse()).await.map_err(anyhow::Error::from) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("{}", terminal::escape_lines(&format!("error: {error:#}")));
            ExitCode::FAILURE
        }
    }
}

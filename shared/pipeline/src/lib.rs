#![doc = include_str!("../README.md")]

pub mod clock;
pub mod config;
pub mod drain;
pub mod intake;
pub mod key_cache;
pub mod ledger;
pub mod payloads;
pub mod port_error;
mod problem;
pub mod processor;
pub mod queue;
pub mod queue_message;
pub mod recording;
pub mod resync;
pub mod secrets;
pub mod telemetry;
pub mod token_endpoint;

#[cfg(test)]
mod testing;

#![doc = include_str!("../README.md")]

pub mod config;
pub mod drain;
pub mod entities;
pub mod intake;
pub mod key_cache;
pub mod ledger;
pub mod ports;
mod problem;
pub mod processor;
pub mod queue_message;
pub mod recording;
pub mod resync;
pub mod telemetry;
pub mod token_endpoint;

#[cfg(test)]
mod testing;

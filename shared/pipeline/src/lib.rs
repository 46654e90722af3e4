#![doc = include_str!("../README.md")]

pub mod config;
pub mod document;
pub mod drain;
pub mod entities;
mod exchange;
pub mod intake;
pub mod key_store;
pub mod ledger;
pub mod ports;
pub mod processor;
pub mod recording;
pub mod resync;
pub mod telemetry;
pub mod token_endpoint;

#[cfg(test)]
mod testing;

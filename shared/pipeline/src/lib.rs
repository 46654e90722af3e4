#![doc = include_str!("../README.md")]

pub mod answering;
pub mod clock;
pub mod config;
mod counters;
pub mod dead_letters;
pub mod delivery_record;
pub mod drain;
pub mod envelope;
pub mod erasure;
pub mod evidence;
pub mod forwarding;
pub mod intake;
pub mod key_cache;
pub mod lease;
pub mod ledger;
pub mod payloads;
pub mod platform;
pub mod port_error;
pub mod preparation;
pub mod problem;
pub mod processor;
pub mod publisher;
pub mod quarantine;
pub mod queue;
pub mod queue_message;
pub mod rate_limiter;
pub mod receiver;
pub mod recording;
pub mod records;
pub mod refused;
pub mod replay;
pub mod resync;
pub mod secrets;
pub mod telemetry;
pub mod token_endpoint;

#[cfg(test)]
mod testing;

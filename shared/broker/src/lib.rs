#![doc = include_str!("../README.md")]

mod broker_error;
mod message;
mod session;

pub use session::{AmqpBroker, AmqpMessages, AmqpReceipt, AmqpSession};

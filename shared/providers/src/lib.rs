#![doc = include_str!("../README.md")]

pub mod account;
pub mod accredit;
pub mod active_keys;
pub mod amqp;
pub mod answer;
pub mod authentic;
pub mod canonical_json;
pub mod date;
pub mod delivery;
pub mod digest;
pub mod entity;
pub mod event;
pub mod json;
pub mod machnet;
pub mod nowcerts;
pub mod nurturecloud;
pub mod oauth;
pub mod path_secret;
pub mod provider;
pub mod queue_source;
pub mod registry;
pub mod request;
pub mod settings;
pub mod signature;
pub mod split;
pub mod sterling;
pub mod timestamp;
pub mod webhook;

pub use registry::ProviderName;

#[cfg(test)]
mod testing;

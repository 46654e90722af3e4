#![doc = include_str!("../README.md")]

#[macro_use]
pub mod registry;

pub mod account;
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
pub mod event_form;
pub mod explain;
pub mod identity;
pub mod json;
pub mod json_object;
pub mod json_place;
pub mod kept_headers;
pub mod key_ring;
pub mod malformed;
pub mod oauth;
pub mod path_secret;
pub mod provider;
pub mod queue_source;
pub mod request;
pub mod retry_after;
pub mod settings;
pub mod signature;
pub mod split;
pub mod timestamp;
pub mod webhook;

macro_rules! modules {
    ($($(#[$_doc:meta])* $_provider:ident = $module:ident ($_source:ident),)+) => {
        $(pub mod $module;)+
    };
}

providers!(modules);

pub use registry::ProviderName;

#[cfg(test)]
mod testing;

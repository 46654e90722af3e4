#![doc = include_str!("../README.md")]

mod http_client;
mod sync_api;

pub use http_client::{Limits, NoClient, Peer, http_client, is_this_machine};
pub use sync_api::HttpSyncApi;

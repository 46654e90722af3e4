#![doc = include_str!("../README.md")]

mod http_client;
mod receiver;
mod receiver_url;
pub mod signing_secrets;
mod sync_api;

pub use http_client::{Limits, NoClient, Peer, http_client, is_this_machine};
pub use receiver::HttpReceiver;
pub use receiver_url::{InvalidReceiverUrl, ReceiverUrl};
pub use sync_api::HttpSyncApi;

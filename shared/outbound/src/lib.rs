#![doc = include_str!("../README.md")]

mod sync_api;

pub use sync_api::{HttpSyncApi, NoClient};

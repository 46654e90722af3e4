#![doc = include_str!("../README.md")]

pub mod authority_store;
pub mod capture;
pub mod client;
pub mod commands;
pub mod drain;
pub mod key_files;
pub mod path_secrets;
mod refused;
pub mod server;
pub mod stored_document;
pub mod terminal;
pub mod worker;

use super::*;

mod asyncapi;
mod compatibility;
mod rules;
mod schemas;
mod simulated;
pub(crate) mod stories;

use super::*;

mod compatibility;
mod rules;
mod schemas;
mod simulated;
pub(crate) mod stories;

use super::*;

mod compatibility;
mod rules;
mod schemas;
mod simulated;
mod stories;

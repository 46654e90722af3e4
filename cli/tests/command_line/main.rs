//! The real program, as one calls it.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod authority;
mod crash;
mod dead_letters;
mod deliveries;
mod demo;
mod doctor;
mod drain;
mod entities;
mod events;
mod help;
mod keys;
mod nurturecloud;
mod program;
mod quarantine;
mod refused;
mod resync;
mod samples;
mod send;
mod serve;
mod snapshots;

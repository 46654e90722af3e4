//! The checks of `doctor`: whether a data directory or a deployed stack is well, and what to do where it isn't.
//!
//! What is asked is apart from what is made of it: the folder's `directory` and `stack` ask, and the other files judge.

#[cfg(feature = "aws")]
pub mod alarms;
pub mod broker;
pub mod check;
pub mod directory;
#[cfg(feature = "aws")]
pub mod functions;
pub mod keys;
pub mod records;
#[cfg(feature = "aws")]
pub mod stack;
pub mod version;

/// Says how to call this program for the same place with a command, such as `keys list`.
pub type Call<'a> = &'a (dyn Fn(&str) -> String + Sync);

//! What the operator's commands ask of a deployed stack. The functions are built without it.

mod dead_letters;
mod failures;
mod records;
mod stack;

pub use dead_letters::StackDeadLetters;
pub use records::StackRecords;
pub use stack::{Stack, StackError};

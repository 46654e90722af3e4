//! What the operator's commands ask of a deployed stack. The functions are built without it.

mod records;
mod stack;

pub use records::StackRecords;
pub use stack::{Stack, StackError};

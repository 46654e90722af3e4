//! What the operator's commands ask of a deployed stack. The functions are built without it.

mod active_secrets;
mod records;
mod refused;
mod stack;

pub use records::StackRecords;
pub use refused::StackRefused;
pub use stack::{Stack, StackError};

//! What the operator's commands ask of a deployed stack. The functions are built without it.

mod dead_letters;
mod entities;
mod failures;
mod hours;
mod items;
mod records;
mod search;
mod stack;
mod time_index;

pub use dead_letters::StackDeadLetters;
pub use records::StackRecords;
pub use search::LOOK_BACK;
pub use stack::{Stack, StackError};

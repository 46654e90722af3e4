//! What the operator's commands ask of a deployed stack. The functions are built without it.

mod health;
mod records;
mod server_clock;
mod stack;

pub use health::{Alarm, Schedule, Subscribers};
pub use records::StackRecords;
pub use stack::{Stack, StackError};

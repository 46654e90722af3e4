//! What the operator's commands ask of a deployed stack. The functions are built without it.

mod dead_letters;
mod empty_buckets;
mod entities;
mod eraser;
mod failures;
mod functions;
mod health;
mod hours;
mod items;
mod records;
mod refused;
mod search;
mod secrets;
mod server_clock;
mod stack;
mod stack_error;
mod time_index;

pub use dead_letters::StackDeadLetters;
pub use eraser::StackEraser;
pub use functions::{DeployedFunction, EventSource, LIVE, Mapping, Readiness, Update, Version};
pub use health::{Alarm, Alarms, Schedule, Subscribers};
pub use records::StackRecords;
pub use refused::StackRefused;
pub use search::LOOK_BACK;
pub use stack::Stack;
pub use stack_error::StackError;

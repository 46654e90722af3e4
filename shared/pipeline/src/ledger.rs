//! The ledger: what has become of every event, and what is known of every entity.

mod data;
pub mod entity;
mod entry;
mod key;
pub mod merges;
mod outcome;
mod port;

pub use data::{EnvelopeData, EventData};
pub use entry::{
    AliasEntry, Entry, EventEntry, Occurrence, ProgressEntry, QuarantineEntry, QuarantinedContent, Release,
    TIME_SHARDS, TimeIndex,
};
pub(crate) use key::EVENT_SORT;
pub use key::EntryKey;
pub use outcome::{Outcome, OutcomeCounts};
pub use port::{Condition, ConditionalPut, Ledger, LedgerReader, PutOutcome};

//! Entries that could not be read.

use intake_pipeline::ledger::EntryKey;
use intake_pipeline::records::Listing;

use super::error::CommandError;
use super::output::explain;

/// What a listing found. What it could not read is named beside the output.
pub(super) fn found<T>(listing: Listing<T>) -> Result<Vec<T>, CommandError> {
    let Listing { found, unreadable, .. } = listing;
    if !unreadable.is_empty() {
        explain(&not_read(&unreadable))?;
    }
    Ok(found)
}

/// What to say of entries that could not be read.
pub(super) fn not_read(unreadable: &[EntryKey]) -> String {
    let keys: String = unreadable.iter().map(|key| format!("\n  {} {}", key.partition, key.sort)).collect();
    format!(
        "warning: {} could not be read and {} left out; damaged, or written by a later version than this one:{keys}\n",
        if unreadable.len() == 1 { "an entry".to_owned() } else { format!("{} entries", unreadable.len()) },
        if unreadable.len() == 1 { "is" } else { "are" },
    )
}

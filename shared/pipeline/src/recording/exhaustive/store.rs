//! The ledger's entries as a part of the model's state.

use std::collections::BTreeMap;

use intake_providers::timestamp::Timestamp;

use super::known::Known;
use super::process::{Answer, Put};
use crate::ledger::{Entry, EntryKey};
use crate::testing::gives_way;

/// The entries by key.
pub(super) type Entries = BTreeMap<Known<EntryKey>, Known<Entry>>;

/// Puts every entry, or none if a condition fails.
pub(super) fn put(entries: &mut Entries, now: Timestamp, puts: &[Put]) -> Answer {
    let existing = puts.iter().map(|put| {
        let existing = entries.get(&put.key)?;
        (!gives_way(existing, &put.condition, now)).then(|| existing.clone())
    });
    let existing: Vec<_> = existing.collect();
    if existing.iter().any(Option::is_some) {
        return Answer::ConditionFailed(existing);
    }
    entries.extend(puts.iter().map(|put| (put.key.clone(), put.entry.clone())));
    Answer::Done
}

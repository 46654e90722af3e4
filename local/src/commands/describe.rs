//! Entries of the ledger in words that fit a table.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use pipeline::ledger::Entry;

/// A table that fits a terminal of 120 columns; only its last column is wrapped.
pub(super) fn table<const COLUMNS: usize>(header: [&str; COLUMNS], rows: Vec<[String; COLUMNS]>) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(120)
        .set_header(header)
        .add_rows(rows)
        .set_constraints([ColumnConstraint::ContentWidth; COLUMNS].into_iter().take(COLUMNS.saturating_sub(1)));
    table
}

/// An id, cut to its beginning when it is long; Accredit's are 64 hex digits.
pub(super) fn short_id(id: &str) -> String {
    shortened(id, 16, 12)
}

/// An event's type without the provider's name, cut when it is long.
pub(super) fn short_type(event_type: &str) -> String {
    shortened(event_type.split_once('.').map_or(event_type, |(_, name)| name), 28, 27)
}

fn shortened(text: &str, longest: usize, kept: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars().take(kept).chain(['…']).collect()
}

/// What there is to say about an entry beyond its outcome. `name` tells how another event is called by its id.
pub(super) fn remark(entry: &Entry, name: impl Fn(&str) -> String) -> String {
    match entry {
        Entry::Event(event) => {
            let repeat = event.repeat_of.as_deref().map(|id| format!("same state as {}", name(id)));
            let hint = event.same_job_as.as_deref().map(|id| format!("unsigned hint: same job id as {}", name(id)));
            repeat.into_iter().chain(hint).collect::<Vec<_>>().join("; ")
        }
        Entry::Conflict(event) => format!("kept beside {}", name(&event.id)),
        Entry::Quarantine(quarantine) => quarantine.reason.clone(),
        Entry::Alias(_) | Entry::Hint(_) | Entry::Entity(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_long_ids_and_types_are_cut() {
        assert_eq!(short_id("evt_1"), "evt_1");
        assert_eq!(short_id(&"äb".repeat(32)), "äbäbäbäbäbäb…");
        assert_eq!(short_type("accredit.BadgeExportZipFile.Created"), "BadgeExportZipFile.Created");
    }
}

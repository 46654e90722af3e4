//! Entries of the ledger in words that fit a table.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
use intake_pipeline::ledger::entity::{Change, EntityChange};
use intake_pipeline::ledger::{Entry, EventData};
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;

use crate::terminal::escape;

/// The width of a terminal that tables fit, in columns.
const WIDTH: u16 = 120;

/// The border and the two spaces of a cell, in columns of the terminal.
const FRAME: u16 = 3;

/// A table that fits a terminal of 120 columns if its other columns leave the last one room. Only the last one is wrapped, and
/// never within a word. Whatever is in a cell, it is shown as text.
pub(super) fn table<const COLUMNS: usize>(header: [&str; COLUMNS], rows: Vec<[String; COLUMNS]>) -> Table {
    let rows: Vec<_> = rows.into_iter().map(|row| row.map(|cell| escape(&cell).into_owned())).collect();
    let last_cells = rows.iter().filter_map(|row| row.last()).map(String::as_str).chain(header.last().copied());
    let longest_word = last_cells.flat_map(str::split_whitespace).map(|word| word.chars().count()).max();
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header)
        .add_rows(rows)
        .set_constraints([ColumnConstraint::ContentWidth; COLUMNS].into_iter().take(COLUMNS.saturating_sub(1)));
    let others: u16 =
        table.column_max_content_widths().iter().take(COLUMNS.saturating_sub(1)).map(|width| width + FRAME).sum();
    let last = u16::try_from(longest_word.unwrap_or_default()).unwrap_or(WIDTH) + FRAME;
    table.set_width(WIDTH.max(others.saturating_add(last).saturating_add(1)));
    table
}

/// An id, cut to its beginning when it is long; Accredit's are 64 hex digits. NurtureCloud's are a delivery's id, which
/// begins with the time, and a place in it; so they differ in their end.
pub(super) fn short_id(id: &str) -> String {
    match id.rsplit_once('.') {
        Some((delivery, place)) if delivery.parse::<DeliveryId>().is_ok() => {
            let end: String = delivery.chars().skip(delivery.chars().count().saturating_sub(8)).collect();
            format!("…{end}.{place}")
        }
        _ => shortened(id, 16, 12),
    }
}

/// A time as tables show it, to the millisecond.
pub(super) fn in_milliseconds(time: Timestamp) -> String {
    time.to_string().replace('T', " ").trim_end_matches('Z').to_owned()
}

/// A time as tables show it, to the second.
pub(super) fn in_seconds(time: Timestamp) -> String {
    let time = in_milliseconds(time);
    time.split_once('.').map_or(time.as_str(), |(time, _)| time).to_owned()
}

/// An id that a table of 80 columns has room for, or the beginning of a longer one.
pub(super) fn id_in_table(id: &str) -> String {
    shortened(id, 40, 12)
}

/// A text, cut to its first characters when it is longer than `longest`.
pub(super) fn shortened(text: &str, longest: usize, kept: usize) -> String {
    // Escaped first, so that what is kept has the width that it is cut to.
    let text = escape(text);
    if text.chars().count() <= longest {
        return text.into_owned();
    }
    text.chars().take(kept).chain(['…']).collect()
}

/// What there is to say about an entry beyond its outcome. `name` gives the name of another event by its id.
pub(super) fn remark(entry: &Entry, name: impl Fn(&str) -> String) -> String {
    match entry {
        Entry::Event(event) => {
            let change = event.entity.as_ref().and_then(change_summary);
            let same = match &event.data {
                EventData::Elsewhere { same_data_as } => Some(format!("same as {}", name(same_data_as))),
                EventData::Inline { .. } | EventData::Payload { .. } => None,
            };
            let repeat = event.repeat_of.as_deref().map(|id| format!("same state as {}", name(id)));
            let hint = event.same_job_as.as_deref().map(|id| format!("unsigned hint: same job id as {}", name(id)));
            [change, same, repeat, hint].into_iter().flatten().collect::<Vec<_>>().join("; ")
        }
        Entry::Conflict(event) => format!("kept beside {}", name(&event.cloud_event.id)),
        Entry::Quarantine(quarantine) => quarantine.reason.clone(),
        Entry::Alias(_) | Entry::Hint(_) | Entry::Entity(_) | Entry::Progress(_) => String::new(),
    }
}

/// What an event changed about its entity, if there is anything to say.
pub(super) fn change_summary(change: &EntityChange) -> Option<String> {
    let what = match change.change {
        Change::Created => "created the entity",
        Change::Changed => "changed the entity",
        Change::Deleted => "deleted the entity",
        Change::Revived => "revived the entity",
        Change::Merged => {
            let into = change.merged_into.as_ref().map_or_else(String::new, |into| shortened(&into.id, 16, 12));
            return Some(format!("merged the entity into {into} (version {})", change.version));
        }
        Change::Late => return Some("late: something newer is known, or the entity is gone".to_owned()),
        Change::Unchanged => return None,
    };
    Some(format!("{what} (version {})", change.version))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_word_of_the_last_column_is_never_broken() {
        let row = ["0".repeat(110), "stored, quarantined".to_owned()];
        let text = table(["id", "outcome"], vec![row]).to_string();
        assert!(text.contains("stored, ") && text.contains("quarantined "), "{text}");
    }

    proptest! {
        #[test]
        fn no_cell_holds_what_a_terminal_obeys(
            text in "(?s).{0,20}[\0-\u{1f}\u{7f}-\u{9f}\u{200e}\u{202a}-\u{202e}\u{2066}-\u{2069}].{0,20}",
        ) {
            let shown = table(["id", "remark"], vec![[short_id(&text), text]]).to_string();
            let obeyed = |c: char| c.is_control() || matches!(c, '\u{200e}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            prop_assert!(!shown.chars().any(|c| c != '\n' && obeyed(c)), "{shown:?}");
        }
    }

    #[test]
    fn only_long_ids_are_cut() {
        assert_eq!(short_id("evt_1"), "evt_1");
        assert_eq!(short_id(&"äb".repeat(32)), "äbäbäbäbäbäb…");
        assert_eq!(short_id("019aa7ba-0b4f-7000-8000-00000000abcd.12"), "…0000abcd.12");
        assert_eq!(short_id("a.1"), "a.1");
        assert_eq!(short_id("\u{1b}]0;owned\u{7}\u{202e}"), r"\u{1b}]0;own…");
        assert_eq!(id_in_table("019aa7ba-0b4f-7000-8000-00000000abcd.12"), "019aa7ba-0b4f-7000-8000-00000000abcd.12");
        assert_eq!(id_in_table(&"0123456789abcdef".repeat(4)), "0123456789ab…");
    }
}

//! Entries of the ledger in words that fit a table.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use intake_pipeline::ledger::entity::{Change, EntityChange};
use intake_pipeline::ledger::{Entry, EventData};
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;

use crate::terminal::{self, escape};

/// The width of a table when nobody says how wide it may be, in columns.
const DEFAULT_WIDTH: u16 = 120;

/// The border and the two spaces of a cell, in columns of the terminal.
const FRAME: u16 = 3;

/// Maximum length of a word that is not broken. A terminal that wide is none.
const MAX_WORD: u16 = 10_000;

/// The spaces of a cell alone, which comfy-table counts among the width of a column.
const SPACES: u16 = 2;

/// A table that fits the terminal, as far as its words do. Whatever is in a cell, it is shown as text.
pub(super) fn table<const COLUMNS: usize>(header: [&str; COLUMNS], rows: Vec<[String; COLUMNS]>) -> String {
    table_within(terminal::width(), header, rows)
}

/// The same within a number of columns, or within 120 if that is nobody's limit. Only the last cell of a row is wrapped if that leaves it
/// room for its longest word; otherwise a terminal gets all of them wrapped, and anything else a wider table. No word is broken, so
/// that what is copied is whole: where the longest ones do not fit, each cell gets a line of its own.
pub(super) fn table_within<const COLUMNS: usize>(
    limit: Option<u16>,
    header: [&str; COLUMNS],
    rows: Vec<[String; COLUMNS]>,
) -> String {
    let rows: Vec<_> = rows.into_iter().map(|row| row.map(|cell| escape(&cell).into_owned())).collect();
    let words = longest_words(header, &rows);
    let narrowest = words.iter().fold(1_u16, |sum, word| sum.saturating_add(word + FRAME));
    if limit.is_some_and(|limit| narrowest > limit) {
        return list(header, &rows);
    }
    let mut table = Table::new();
    table
        .load_style(presets::UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(header)
        .add_rows(rows);
    let others = COLUMNS.saturating_sub(1);
    let unwrapped: u16 = table.column_max_content_widths().iter().take(others).map(|width| width + FRAME).sum();
    let last = words.last().copied().unwrap_or_default() + FRAME;
    let needed = unwrapped.saturating_add(last).saturating_add(1);
    let width = limit.unwrap_or(DEFAULT_WIDTH);
    if limit.is_none() || needed <= width {
        table
            .set_constraints([ColumnConstraint::ContentWidth; COLUMNS].into_iter().take(others))
            .set_width(width.max(needed));
    } else {
        table
            .set_constraints(words.map(|word| ColumnConstraint::LowerBoundary(Width::Fixed(word + SPACES))))
            .set_width(width);
    }
    table.to_string()
}

/// Each cell on a line, after the name of its column; the rows are apart.
fn list<const COLUMNS: usize>(header: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let width = header.map(|name| name.chars().count()).into_iter().max().unwrap_or_default();
    let row = |row: &[String; COLUMNS]| {
        let cells = header.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
        cells.map(|(name, cell)| format!("{name:<width$}  {cell}")).collect::<Vec<_>>().join("\n")
    };
    rows.iter().map(row).collect::<Vec<_>>().join("\n\n")
}

/// The length of the longest word of each column, in characters.
fn longest_words<const COLUMNS: usize>(header: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> [u16; COLUMNS] {
    let longest = |text: &str| text.split(' ').map(|word| word.chars().count()).max().unwrap_or_default();
    let mut words = header.map(longest);
    for row in rows {
        for (word, cell) in words.iter_mut().zip(row) {
            *word = longest(cell).max(*word);
        }
    }
    words.map(|word| u16::try_from(word).unwrap_or(MAX_WORD))
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

/// An event's type without the provider's name, cut when it is long.
pub(super) fn short_type(event_type: &str) -> String {
    shortened(event_type.split_once('.').map_or(event_type, |(_, name)| name), 28, 27)
}

/// A time as tables show it, to the minute.
pub(super) fn in_minutes(time: Timestamp) -> String {
    let time = in_milliseconds(time);
    time.rsplit_once(':').map_or(time.as_str(), |(time, _)| time).to_owned()
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
                EventData::Erased { .. } => Some("erased".to_owned()),
            };
            let repeat = event.repeat_of.as_deref().map(|id| format!("same state as {}", name(id)));
            let hint = event.same_job_as.as_deref().map(|id| format!("unsigned hint: same job id as {}", name(id)));
            [change, same, repeat, hint].into_iter().flatten().collect::<Vec<_>>().join("; ")
        }
        Entry::Conflict(event) => {
            let erased = event.data.erased_at().map_or("", |_| "; erased");
            format!("kept beside {}{erased}", name(&event.cloud_event.id))
        }
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
        for limit in [None, Some(128), Some(140), Some(200)] {
            let text = table_within(limit, ["id", "outcome"], vec![row.clone()]);
            assert!(text.contains(&row[0]), "{text}");
            assert!(text.contains("stored, ") && text.contains("quarantined "), "{text}");
        }
    }

    #[test]
    fn a_table_fits_the_terminal_and_breaks_no_id() {
        let id = "6b8e64f2-c1d9-4a5c-8f3e-0a7d5b219c40";
        let row = ["2026-11-21 09:30:00", "machnet", id, "the member \"event_name\" is missing; at receive 2"];
        let table =
            |limit| table_within(limit, ["received (UTC)", "provider", "id", "remark"], vec![row.map(str::to_owned)]);
        for width in [79, 80, 100, 120, 200] {
            let text = table(Some(width));
            assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "{width}:\n{text}");
            assert!(text.contains(id), "{text}");
        }
        assert_eq!(table(Some(200)).lines().count(), 5, "{}", table(Some(200)));
        assert!(table(Some(100)).contains(row[0]), "the last column alone:\n{}", table(Some(100)));
    }

    #[test]
    fn where_the_longest_words_do_not_fit_each_cell_has_a_line() {
        let rows =
            vec![["machnet", "0123456789", ""].map(str::to_owned), ["sterling", "x", "a remark"].map(str::to_owned)];
        let text = table_within(Some(30), ["provider", "id", "remark"], rows);
        let expected = "provider  machnet\nid        0123456789\n\nprovider  sterling\nid        x\nremark    a remark";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_table_for_no_terminal_is_wider_rather_than_wrapped_but_for_its_last_column() {
        let row = ["two words".repeat(12), "x".repeat(30)];
        let text = table_within(None, ["id", "remark"], vec![row.clone()]);
        assert!(text.contains(&row[0]) && text.contains(&row[1]), "{text}");
    }

    proptest! {
        #[test]
        fn no_cell_holds_what_a_terminal_obeys(
            text in "(?s).{0,20}[\0-\u{1f}\u{7f}-\u{9f}\u{200e}\u{202a}-\u{202e}\u{2066}-\u{2069}].{0,20}",
        ) {
            let shown = table(["id", "remark"], vec![[short_id(&text), text]]);
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

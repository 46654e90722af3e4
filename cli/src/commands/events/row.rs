//! An event in a row of a table, or in a line.

use intake_pipeline::ledger::{Entry, Outcome};
use intake_pipeline::records::RecordedEvent;
use intake_providers::ProviderName;

use crate::commands::describe::{id_in_table, in_seconds, remark, shortened, table};
use crate::terminal::escape;

/// Maximum length of an event's own id in a table, in characters. Its place, which is always there, is as long.
const MAX_ID_CHARACTERS: usize = 40;

/// Maximum length of a type, in characters, so that the table fits 80 columns.
const MAX_TYPE_CHARACTERS: usize = 40;

/// What there is to show.
struct Shown {
    received: String,
    provider: ProviderName,
    outcome: Outcome,
    event_type: Option<String>,
    /// `<delivery id>.<index>`, which `show` takes.
    place: String,
    /// What else there is to say, empty if nothing.
    details: String,
}

/// A table whose ids are whole, in 80 columns.
pub(in crate::commands) fn rows<'a>(events: impl IntoIterator<Item = &'a RecordedEvent>) -> String {
    let row = |shown: Shown| {
        let what = shown.event_type.unwrap_or_else(|| shown.provider.to_string());
        let details = after_dash(&shown.details);
        [shown.received, shown.outcome.as_str().to_owned(), format!("{what} {}{details}", shown.place)]
    };
    let rows = events.into_iter().filter_map(shown).map(row).collect();
    format!("{}\n", table(["received (UTC)", "outcome", "event"], rows))
}

/// A line for a stream of events.
pub(super) fn line(event: &RecordedEvent) -> String {
    let Some(shown) = shown(event) else { return String::new() };
    let Shown { received, provider, outcome, event_type, place, details } = shown;
    let what = event_type.unwrap_or_else(|| provider.to_string());
    format!("{received}  {:<11}  {place}  {}{}\n", outcome.as_str(), escape(&what), escape(&after_dash(&details)))
}

fn after_dash(details: &str) -> String {
    if details.is_empty() { String::new() } else { format!(" – {details}") }
}

fn shown(event: &RecordedEvent) -> Option<Shown> {
    let ((received_at, occurrence), (provider, outcome)) = (event.made()?, event.outcome()?);
    let place = occurrence.delivery_id.event_id(occurrence.index);
    let (event_type, id) = match &event.entry {
        Entry::Event(event) | Entry::Conflict(event) => {
            let event_type = shortened(&event.cloud_event.event_type, MAX_TYPE_CHARACTERS, MAX_TYPE_CHARACTERS - 1);
            (Some(event_type), Some(event.cloud_event.id.as_str()))
        }
        _ => (None, None),
    };
    // A longer one, such as a digest, says nothing to a reader.
    let id = id.filter(|id| *id != place && id.chars().count() <= MAX_ID_CHARACTERS).map(|id| format!("id {id}"));
    let details = [id.unwrap_or_default(), remark(&event.entry, id_in_table)];
    let details: Vec<&str> = details.iter().map(String::as_str).filter(|text| !text.is_empty()).collect();
    Some(Shown { received: in_seconds(received_at), provider, outcome, event_type, place, details: details.join("; ") })
}

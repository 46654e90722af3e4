//! Everything about an event, in words.

use std::fmt::Write as _;

use intake_pipeline::delivery_record::RecordedBody;
use intake_pipeline::ledger::{
    Entry, EnvelopeData, EventData, EventEntry, Occurrence, Outcome, QuarantineEntry, QuarantinedContent,
};
use intake_pipeline::records::{RecordedEvent, Records};
use intake_providers::timestamp::Timestamp;

use super::first_of;
use crate::commands::describe::{change_summary, in_milliseconds};
use crate::commands::error::CommandError;
use crate::commands::place::Place;
use crate::terminal::escape;

/// The width of the headings, in columns.
const HEADING: usize = 12;

/// Maximum size of data that are shown, in bytes.
const MAX_SHOWN_DATA_BYTES: usize = 4 * 1024;

/// A text of headings, each with one or more lines.
#[derive(Default)]
struct Sheet(String);

impl Sheet {
    /// A line of what was escaped where it needs to be.
    fn line(&mut self, heading: &str, text: &str) {
        let _ = writeln!(self.0, "{heading:<HEADING$}{text}");
    }

    /// A line of somebody else's text.
    fn foreign(&mut self, heading: &str, text: &str) {
        self.line(heading, &escape(text));
    }
}

pub(super) async fn text(records: &impl Records, place: &Place, event: &RecordedEvent) -> Result<String, CommandError> {
    let mut sheet = Sheet::default();
    match &event.entry {
        Entry::Event(entry) | Entry::Conflict(entry) => {
            identity(&mut sheet, entry);
            let why = why(records, event, entry).await?;
            sheet.line("outcome", &why);
            arrival(&mut sheet, records, place, entry.received_at, entry.occurrence).await?;
            sheet.foreign("key", &entry.key_fingerprint);
            sheet.foreign("entry", &format!("{} {}", event.key.partition, event.key.sort));
            content(&mut sheet, entry);
        }
        Entry::Quarantine(entry) => {
            let _ = writeln!(sheet.0, "what {} sent could not be read as an event\n", entry.provider);
            sheet.line("event", &entry.occurrence.delivery_id.event_id(entry.occurrence.index));
            sheet.line("outcome", &format!("quarantined: {}", escape(&entry.reason)));
            arrival(&mut sheet, records, place, entry.received_at, entry.occurrence).await?;
            sheet.foreign("entry", &format!("{} {}", event.key.partition, event.key.sort));
            quarantined_data(&mut sheet, entry);
        }
        Entry::Alias(_) | Entry::Hint(_) | Entry::Entity(_) | Entry::Progress(_) => {}
    }
    Ok(sheet.0)
}

fn identity(sheet: &mut Sheet, entry: &EventEntry) {
    let event = &entry.cloud_event;
    let _ = writeln!(sheet.0, "{} of {}, account {}\n", escape(&event.event_type), entry.provider, entry.account);
    sheet.line("event", &entry.occurrence.delivery_id.event_id(entry.occurrence.index));
    sheet.foreign("id", &event.id);
    sheet.foreign("source", &event.source);
    if let Some(subject) = &event.subject {
        sheet.foreign("subject", subject);
    }
    if let Some(time) = &event.time {
        sheet.foreign("time", &format!("{time}, by the provider's clock"));
    }
}

/// The outcome, and why it is that one.
async fn why(records: &impl Records, event: &RecordedEvent, entry: &EventEntry) -> Result<String, CommandError> {
    let outcome = entry.outcome.as_str();
    Ok(match entry.outcome {
        Outcome::Stored => format!("{outcome}: it was new"),
        Outcome::Repeat => {
            let first = entry.repeat_of.as_deref().unwrap_or("that is not named");
            format!("{outcome}: it reports the same state as event {}", escape(first))
        }
        Outcome::Duplicate => match &entry.data {
            EventData::Elsewhere { same_data_as } => {
                format!("{outcome}: the same content as event {}", escape(same_data_as))
            }
            EventData::Inline { .. } | EventData::Payload { .. } | EventData::Erased { .. } => outcome.to_owned(),
        },
        Outcome::Conflict => match first_of(records, event).await?.and_then(|first| first.made()) {
            Some((received_at, first)) => format!(
                "{outcome}: event {} came first, at {}, with the same id and other content",
                first.delivery_id.event_id(first.index),
                in_milliseconds(received_at)
            ),
            None => format!("{outcome}: an event with the same id and other content came first"),
        },
        Outcome::Quarantined => outcome.to_owned(),
    })
}

async fn arrival(
    sheet: &mut Sheet,
    records: &impl Records,
    place: &Place,
    received_at: Timestamp,
    occurrence: Occurrence,
) -> Result<(), CommandError> {
    let Occurrence { delivery_id, index } = occurrence;
    sheet.line("received", &in_milliseconds(received_at));
    let record = records.delivery(delivery_id).await?;
    let delivery = match &record {
        Some(record) if record.events > 1 => {
            format!("{delivery_id}, no. {} of its {} events", index.0 + 1, record.events)
        }
        Some(_) => format!("{delivery_id}, its only event"),
        None => format!("{delivery_id}, of which there is no record, or none any more"),
    };
    sheet.line("delivery", &delivery);
    if let Some(record) = record {
        let what = if matches!(record.body, RecordedBody::Erased { .. }) {
            "says what is left of it"
        } else {
            "has its headers and its body"
        };
        sheet.line("", &format!("`{}` {what}", place.call(&format!("deliveries show {delivery_id}"))));
    }
    Ok(())
}

fn content(sheet: &mut Sheet, entry: &EventEntry) {
    if let Some(change) = &entry.entity {
        let entity = &change.entity;
        let [component, id, business, organisation] =
            [&entity.component, &entity.id, &entity.business_id, &entity.organisation].map(|name| escape(name));
        sheet.line("entity", &format!("{component} {id} of business {business}, organisation {organisation}"));
        let state = change.state.as_str();
        let what = change_summary(change).unwrap_or_else(|| "changed nothing".to_owned());
        sheet.line("", &format!("{state}: {}", escape(&what)));
    }
    if let Some(other) = &entry.same_job_as {
        sheet.foreign("hint", &format!("unsigned: the same job id as event {other}"));
    }
    for (heading, (name, value)) in std::iter::once("attributes").chain(std::iter::repeat("")).zip(&entry.attributes) {
        sheet.foreign(heading, &format!("{name}: {value}"));
    }
    sheet.line("digest", &entry.digest.to_string());
    match &entry.envelope {
        Some(EnvelopeData::Inline { envelope }) => sheet.foreign("envelope", envelope),
        Some(EnvelopeData::Payload { envelope_key, envelope_size_bytes }) => {
            sheet.foreign("envelope", &format!("{envelope_size_bytes} bytes, as payload {}", envelope_key.as_str()));
        }
        None => {}
    }
    let media_type = escape(&entry.cloud_event.datacontenttype);
    match &entry.data {
        EventData::Inline { data } => {
            sheet.line("data", &format!("{media_type}, {} bytes, in the entry", data.len()));
            whole_data(sheet, data);
        }
        EventData::Payload { data_key, data_size_bytes } => {
            let key = escape(data_key.as_str());
            sheet.line("data", &format!("{media_type}, {data_size_bytes} bytes, as payload {key}; --raw writes them"));
        }
        EventData::Elsewhere { same_data_as } => {
            sheet.line("data", &format!("those of event {}; --raw writes them", escape(same_data_as)));
        }
        EventData::Erased { erased_at } => sheet.line("data", &erased(*erased_at)),
    }
}

fn quarantined_data(sheet: &mut Sheet, entry: &QuarantineEntry) {
    match &entry.content {
        QuarantinedContent::Kept { data: Some(data), .. } => {
            sheet.line("data", &format!("{} bytes, the part that could not be read", data.len()));
            whole_data(sheet, data);
        }
        QuarantinedContent::Kept { data: None, .. } => {
            sheet.line("data", "the whole delivery; --raw writes its body");
        }
        QuarantinedContent::Erased { erased_at } => sheet.line("data", &erased(*erased_at)),
    }
}

fn erased(at: Timestamp) -> String {
    format!("erased at {}; key, digest and outcome are left", in_milliseconds(at))
}

/// Data of others, each line of them under the first, so that none looks like one of ours.
fn whole_data(sheet: &mut Sheet, data: &str) {
    if data.len() > MAX_SHOWN_DATA_BYTES {
        sheet.line("", "--raw writes them");
        return;
    }
    for line in data.lines() {
        sheet.foreign("", line);
    }
}

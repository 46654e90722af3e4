//! One delivery in words.

use std::fmt::Write as _;

use intake_pipeline::delivery_record::{DeliveryRecord, EventOutcome, HeaderText, RecordedBody, RecordedHeader};
use intake_pipeline::ledger::{Entry, EntryKey, LedgerReader, Outcome};
use intake_providers::timestamp::Timestamp;

use super::{duration, in_words, time_to_record};
use crate::commands::describe::{in_milliseconds, in_seconds};
use crate::commands::error::CommandError;
use crate::terminal::escape;

/// What follows a heading, from this column on.
const INDENT: &str = "          ";

pub(super) async fn text(ledger: &impl LedgerReader, record: &DeliveryRecord) -> Result<String, CommandError> {
    let mut text = format!("delivery {} of {}, account {}\n\n", record.delivery_id, record.provider, record.account);
    let _ = writeln!(
        text,
        "received  {}, recorded {} later{}",
        in_milliseconds(record.received_at),
        duration(time_to_record(record)),
        if record.receive_count > 1 { format!(", at receive {}", record.receive_count) } else { String::new() },
    );
    let _ = writeln!(text, "key       {}", escape(&record.key_fingerprint));
    let _ = writeln!(text, "body      {} bytes, {}", record.body_bytes, place(&record.body));
    let _ = writeln!(text, "{INDENT}SHA-256 {}", record.sha256);
    let _ = writeln!(text, "outcomes  {}", in_words(record.counts()));
    for event in &record.outcomes {
        let _ = writeln!(text, "{INDENT}{}  {}", event.index.0, outcome(ledger, record, event).await?);
    }
    if !record.further_outcomes.is_empty() && !record.outcomes.is_empty() {
        let _ = writeln!(text, "{INDENT}and {}", in_words(record.further_outcomes));
    }
    let types: Vec<_> = record.event_types.iter().map(|name| escape(name)).collect();
    list(&mut text, "types", &types.iter().map(AsRef::as_ref).collect::<Vec<&str>>());
    let headers: Vec<String> = record.headers.iter().map(header).collect();
    list(&mut text, "headers", &headers);
    if record.headers_over_limit > 0 {
        let _ = writeln!(text, "{INDENT}and {} more, beyond the limit", record.headers_over_limit);
    }
    if let Ok(until) = Timestamp::from_unix_milliseconds(record.expires_at.saturating_mul(1000)) {
        let _ = writeln!(text, "kept      until {}", in_seconds(until));
    }
    Ok(text)
}

/// A heading with each item on a line of its own.
fn list(text: &mut String, heading: &str, items: &[impl AsRef<str>]) {
    let headings = std::iter::once(heading).chain(std::iter::repeat(""));
    for (heading, item) in headings.zip(items) {
        let _ = writeln!(text, "{heading:<width$}{}", item.as_ref(), width = INDENT.len());
    }
}

fn header(RecordedHeader(name, value): &RecordedHeader) -> String {
    match value {
        HeaderText::Text(value) => format!("{}: {}", escape(name), escape(value)),
        HeaderText::Base64 { base64 } => format!("{}: {base64} (base64)", escape(name)),
    }
}

fn place(body: &RecordedBody) -> String {
    match body {
        RecordedBody::Text { .. } | RecordedBody::Base64 { .. } => "kept in the record".to_owned(),
        RecordedBody::Payload { body_key } => format!("kept as {}", body_key.as_str()),
        RecordedBody::Event { .. } => "kept as the data of the event".to_owned(),
        RecordedBody::Quarantine { .. } => "kept in quarantine".to_owned(),
        RecordedBody::NotKept { body_not_kept } => format!("not kept: {}", escape(body_not_kept)),
        RecordedBody::Erased { body_erased_at } => format!("erased at {}", in_milliseconds(*body_erased_at)),
    }
}

/// What became of one event, with the delivery that brought it first or the reason of its quarantine.
pub(in crate::commands) async fn outcome(
    ledger: &impl LedgerReader,
    record: &DeliveryRecord,
    event: &EventOutcome,
) -> Result<String, CommandError> {
    let name = event.outcome.as_str();
    Ok(match (event.outcome, event.first_delivery) {
        (Outcome::Conflict, Some(first)) => format!("{name}, other content than in delivery {first}"),
        (_, Some(first)) => format!("{name}, first in delivery {first}"),
        (Outcome::Quarantined, None) => match quarantine_reason(ledger, record, event).await? {
            Some(reason) => format!("{name}: {}", escape(&reason)),
            None => name.to_owned(),
        },
        (_, None) => name.to_owned(),
    })
}

/// Why an event of a delivery was quarantined, unless that is gone.
pub(in crate::commands) async fn quarantine_reason(
    ledger: &impl LedgerReader,
    record: &DeliveryRecord,
    event: &EventOutcome,
) -> Result<Option<String>, CommandError> {
    let key =
        EntryKey { partition: format!("quarantine#{}", record.delivery_id), sort: format!("{:05}", event.index.0) };
    Ok(match ledger.find(&key).await? {
        Some(Entry::Quarantine(entry)) => Some(entry.reason),
        _ => None,
    })
}

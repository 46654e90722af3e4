//! The events that forwarding gave up, among the dead letters.

use std::fmt::Write as _;

use intake_pipeline::forwarding::{UndeliveredEvent, UndeliveredEvents as _};
use intake_pipeline::ledger::Entry;
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;
use serde::Serialize;

use crate::commands::describe::in_seconds;
use crate::commands::error::CommandError;
use crate::repair::Repair;
use crate::terminal::escape;

/// At most this many; none of a stack, where nothing is forwarded.
pub(super) async fn list(repair: &Repair, most: usize) -> Result<Vec<UndeliveredEvent>, CommandError> {
    match &repair.undelivered {
        Some(undelivered) => Ok(undelivered.list(most).await?),
        None => Ok(Vec::new()),
    }
}

/// Lets these be sent again, and returns their number.
pub(super) async fn redrive(repair: &Repair, events: &[UndeliveredEvent]) -> Result<u64, CommandError> {
    let positions: Vec<_> = events.iter().map(|event| event.position).collect();
    match &repair.undelivered {
        Some(undelivered) => Ok(undelivered.redrive(&positions).await?.len() as u64),
        None => Ok(0),
    }
}

/// Whether an id is that of the event, `<delivery>.<index>`, or of its delivery.
pub(super) fn is_named(letter: &UndeliveredEvent, id: &str) -> bool {
    place(letter).is_some_and(|place| place == id)
        || id
            .parse::<DeliveryId>()
            .is_ok_and(|id| letter.event().is_some_and(|event| event.occurrence.delivery_id == id))
}

/// The event's id, `<delivery>.<index>`, or what there is instead.
pub(super) fn name(letter: &UndeliveredEvent) -> String {
    match place(letter) {
        Some(place) => format!("event {place}"),
        None => format!("the event at position {} of the ledger, which cannot be read", letter.position.0),
    }
}

fn place(letter: &UndeliveredEvent) -> Option<String> {
    let occurrence = letter.event()?.occurrence;
    Some(occurrence.delivery_id.event_id(occurrence.index))
}

pub(super) fn in_words(letter: &UndeliveredEvent) -> String {
    let mut text = String::new();
    let _ = match letter.event() {
        Some(event) => {
            let occurrence = event.occurrence;
            let place = occurrence.delivery_id.event_id(occurrence.index);
            writeln!(text, "event     {place} of {}, {}", event.provider, escape(&event.cloud_event.event_type))
        }
        None => writeln!(text, "event     at position {} of the ledger, which cannot be read", letter.position.0),
    };
    let attempts =
        if letter.attempts == 1 { "one attempt".to_owned() } else { format!("{} attempts", letter.attempts) };
    let _ = writeln!(text, "not forwarded, given up after {attempts}");
    let _ = writeln!(text, "failed    {} UTC: {}", in_seconds(letter.given_up_at), escape(&letter.reason));
    text
}

/// An event as a line of JSON.
#[derive(Serialize)]
pub(super) struct Listed<'a> {
    kind: &'static str,
    event: Option<String>,
    delivery_id: Option<DeliveryId>,
    provider: Option<ProviderName>,
    received_at: Option<Timestamp>,
    attempts: u32,
    failed_at: Timestamp,
    error: &'a str,
}

impl<'a> Listed<'a> {
    pub(super) fn of(letter: &'a UndeliveredEvent) -> Self {
        let event = letter.event();
        Self {
            kind: "event",
            event: place(letter),
            delivery_id: event.map(|event| event.occurrence.delivery_id),
            provider: event.map(|event| event.provider),
            received_at: event.map(|event| event.received_at),
            attempts: letter.attempts,
            failed_at: letter.given_up_at,
            error: &letter.reason,
        }
    }
}

/// What the ledger has of it, as JSON.
pub(super) fn entry(letter: &UndeliveredEvent) -> String {
    let json = |entry: &Entry| serde_json::to_string(entry).unwrap_or_default();
    letter.event.as_ref().map(json).unwrap_or_default()
}

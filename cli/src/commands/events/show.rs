//! One event: what it is, what became of it and why.

use std::process::ExitCode;

use intake_pipeline::ledger::Entry;
use intake_pipeline::port_error::PortError;
use intake_pipeline::records::{EventFilter, Listing, RecordedEvent, Records, TimeRange};
use intake_providers::delivery::DeliveryId;
use intake_providers::event::EventIndex;

use super::{Show, json_lines, row};
use crate::commands::deliveries;
use crate::commands::error::CommandError;
use crate::commands::listing::looked_back;
use crate::commands::output::{explain, print, print_json_lines, write_to_stdout};
use crate::commands::place::Place;
use crate::commands::unreadable::found;
use crate::terminal::escape;

mod text;

/// Maximum number of events that are listed where more than one matches.
const MAX_LISTED: u32 = 50;

pub(super) async fn run(records: &impl Records, place: &Place, show: &Show) -> Result<ExitCode, CommandError> {
    let listing = find(records, show).await?;
    let looked_back = looked_back(&listing);
    let mut found = found(listing)?;
    let Some(event) = found.pop() else {
        explain(&looked_back.unwrap_or_default())?;
        return Err(unknown(records, show).await?);
    };
    if !found.is_empty() {
        found.push(event);
        several(&found, show, place)?;
        return Ok(ExitCode::FAILURE);
    }
    if show.raw {
        write_to_stdout(&event.read_data(records).await?)?;
    } else if show.selection.json {
        print_json_lines(&json_lines([&event]))?;
    } else {
        print(&text::text(records, place, &event).await?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What an id names: an event by its own id, and one place in a delivery, or all of them.
async fn find(records: &impl Records, show: &Show) -> Result<Listing<RecordedEvent>, PortError> {
    let mut of_delivery = Listing::default();
    if let Some((delivery_id, index)) = delivery(&show.id) {
        let filter = EventFilter { index, ..EventFilter::of_delivery(delivery_id) };
        let received = filter.received;
        of_delivery = records.events(&narrowed(filter, show, received)).await?;
        // It is one of our own ids, so no event of another delivery has it.
        if !of_delivery.found.is_empty() {
            return Ok(of_delivery);
        }
    }
    let received = TimeRange { since: show.selection.since, until: None };
    let with_id = EventFilter { id: Some(show.id.clone()), ..EventFilter::default() };
    let mut listing = records.events(&narrowed(with_id, show, received)).await?;
    listing.unreadable.extend(of_delivery.unreadable);
    Ok(listing)
}

fn narrowed(filter: EventFilter, show: &Show, received: TimeRange) -> EventFilter {
    EventFilter {
        provider: show.selection.provider,
        outcome: show.selection.outcome,
        event_type: show.selection.event_type.clone(),
        received,
        most: Some(MAX_LISTED),
        ..filter
    }
}

/// The delivery that an id names, and the place in it, if it names one.
fn delivery(id: &str) -> Option<(DeliveryId, Option<EventIndex>)> {
    let place = DeliveryId::and_index_of(id).map(|(delivery_id, index)| (delivery_id, Some(index)));
    let whole = || id.parse().ok().map(|delivery_id| (delivery_id, None));
    // A provider's own id may be a UUID as well, but hardly of this version and of a time.
    place.or_else(whole).filter(|(delivery_id, _)| delivery_id.received_at().is_some())
}

/// Why nothing is found.
async fn unknown(records: &impl Records, show: &Show) -> Result<CommandError, CommandError> {
    if let Some((delivery_id, _)) = delivery(&show.id)
        && let Some(record) = records.delivery(delivery_id).await?
    {
        return Ok(CommandError::NoEventOfDelivery { delivery_id, outcomes: deliveries::in_words(record.counts()) });
    }
    Ok(CommandError::UnknownEvent { id: escape(&show.id).into_owned() })
}

/// Lists several events, and says how to name one of them.
fn several(found: &[RecordedEvent], show: &Show, place: &Place) -> Result<(), CommandError> {
    if show.raw {
        explain(&row::rows(found))?;
    } else if show.selection.json {
        print_json_lines(&json_lines(found))?;
    } else {
        print(&row::rows(found))?;
    }
    let number = match u32::try_from(found.len()) {
        Ok(number) if number < MAX_LISTED => number.to_string(),
        _ => format!("{MAX_LISTED} or more"),
    };
    let at_one_place = found.windows(2).all(|pair| match pair {
        [one, other] => one.made() == other.made(),
        _ => true,
    });
    let how = if at_one_place {
        "say which one with --outcome".to_owned()
    } else {
        format!("name one by its place, such as `{}`", place.call(&format!("events show {}", place_of(found))))
    };
    explain(&format!("{number} events match {}; {how}.\n", escape(&show.id)))
}

/// The place of the last of these events.
fn place_of(found: &[RecordedEvent]) -> String {
    let occurrence = found.last().and_then(RecordedEvent::made).map(|(_, occurrence)| occurrence);
    occurrence.map_or_else(|| "<ID>".to_owned(), |occurrence| occurrence.delivery_id.event_id(occurrence.index))
}

/// The event that was recorded first where this one conflicts with it.
async fn first_of(records: &impl Records, conflict: &RecordedEvent) -> Result<Option<RecordedEvent>, PortError> {
    let key = conflict.key.of_first();
    let entry = records.find(&key).await?;
    Ok(entry.filter(|entry| matches!(entry, Entry::Event(_))).map(|entry| RecordedEvent { key, entry }))
}

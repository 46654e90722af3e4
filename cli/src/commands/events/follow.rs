//! Events as they come.

use std::sync::Arc;

use intake_pipeline::clock::SystemClock;
use intake_pipeline::ledger::EntryKey;
use intake_pipeline::port_error::PortError;
use intake_pipeline::records::{EventFilter, Listing, RecordedEvent, Records as _, TimeRange};
use intake_providers::timestamp::Timestamp;

use super::{Wanted, json_lines, row};
use crate::commands::error::CommandError;
use crate::commands::follow::{Feed, Known, Looks, StandardOutput, follow, until};
use crate::commands::place::Place;
use crate::records::AnyRecords;
use crate::server::stop_signal;

/// The events that are wanted.
struct Events<'a> {
    records: &'a AnyRecords,
    wanted: &'a Wanted,
}

pub(super) async fn run(records: &AnyRecords, place: &Place, wanted: &Wanted) -> Result<(), CommandError> {
    let stop = stop_signal()?;
    let mut lines = StandardOutput { json: wanted.selection.json };
    let events = Events { records, wanted };
    until(stop, follow(&events, wanted.selection.since, Looks::at(place), &SystemClock, &mut lines)).await
}

impl Feed for Events<'_> {
    type Item = RecordedEvent;
    type Key = EntryKey;

    async fn list(&self, since: Timestamp, known: Known<EntryKey>) -> Result<Listing<RecordedEvent>, PortError> {
        let received = TimeRange { since: Some(since), until: None };
        let filter = EventFilter { except: Arc::clone(&known), ..self.wanted.filter(received) };
        self.records.events(&filter).await
    }

    fn key(event: &RecordedEvent) -> Option<(EntryKey, Timestamp)> {
        event.made().map(|(received_at, _)| (event.key.clone(), received_at))
    }

    fn line(&self, event: &RecordedEvent) -> String {
        if self.wanted.selection.json { json_lines([event]) } else { row::line(event) }
    }
}

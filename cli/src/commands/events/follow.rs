//! Events as they come. As JSON they are the envelopes that consumers receive, so that a pipe can stand for a receiver.

use std::sync::Arc;

use intake_pipeline::clock::SystemClock;
use intake_pipeline::envelope::{EnvelopeError, EnvelopeWriter, JsonForm, PayloadLocation};
use intake_pipeline::ledger::EntryKey;
use intake_pipeline::port_error::PortError;
use intake_pipeline::records::{EventFilter, Listing, RecordedEvent, Records as _, TimeRange};
use intake_providers::timestamp::Timestamp;

use super::{Wanted, row};
use crate::commands::error::CommandError;
use crate::commands::follow::{Feed, Known, Looks, StandardOutput, follow, until};
use crate::commands::place::Place;
use crate::records::AnyRecords;
use crate::server::stop_signal;

/// The events that are wanted.
struct Events<'a> {
    records: &'a AnyRecords,
    wanted: &'a Wanted,
    envelopes: EnvelopeWriter<Arc<AnyRecords>>,
}

pub(super) async fn run(records: &Arc<AnyRecords>, place: &Place, wanted: &Wanted) -> Result<(), CommandError> {
    let stop = stop_signal()?;
    let mut lines = StandardOutput { json: wanted.selection.json };
    let envelopes = EnvelopeWriter::new(Arc::clone(records), PayloadLocation::in_the_envelope());
    let events = Events { records, wanted, envelopes };
    until(stop, follow(&events, wanted.selection.since, Looks::at(place), &SystemClock, &mut lines)).await
}

impl Feed for Events<'_> {
    /// With what is printed of it, if that is JSON.
    type Item = (RecordedEvent, Option<String>);
    type Key = EntryKey;

    async fn list(&self, since: Timestamp, known: Known<EntryKey>) -> Result<Listing<Self::Item>, PortError> {
        let received = TimeRange { since: Some(since), until: None };
        let filter = EventFilter { except: Arc::clone(&known), ..self.wanted.filter(received) };
        let Listing { found, mut unreadable, looked_back_to } = self.records.events(&filter).await?;
        let mut items = Vec::new();
        for event in found {
            match self.json(&event).await {
                Ok(json) => items.push((event, json)),
                Err(EnvelopeError::Port(error)) => return Err(error),
                Err(_) => unreadable.push(event.key),
            }
        }
        Ok(Listing { found: items, unreadable, looked_back_to })
    }

    fn key((event, _): &Self::Item) -> Option<(EntryKey, Timestamp)> {
        event.made().map(|(received_at, _)| (event.key.clone(), received_at))
    }

    fn line(&self, (event, json): &Self::Item) -> String {
        if self.wanted.selection.json { json.clone().unwrap_or_default() } else { row::line(event) }
    }
}

impl Events<'_> {
    /// The line of an event as JSON; none of one that consumers don't receive.
    async fn json(&self, event: &RecordedEvent) -> Result<Option<String>, EnvelopeError> {
        if !self.wanted.selection.json {
            return Ok(None);
        }
        let envelope = self.envelopes.write(&event.entry, JsonForm::Value).await?;
        Ok(envelope.map(|envelope| on_one_line(envelope.text) + "\n"))
    }
}

/// JSON without its line breaks, which are between values only, because a string has them escaped.
fn on_one_line(json: String) -> String {
    if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ") } else { json }
}

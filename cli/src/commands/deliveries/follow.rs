//! Deliveries as they come.

use std::sync::Arc;

use intake_pipeline::clock::SystemClock;
use intake_pipeline::delivery_record::DeliveryRecord;
use intake_pipeline::port_error::PortError;
use intake_pipeline::records::{DeliveryFilter, Listing, Records as _, TimeRange};
use intake_providers::timestamp::Timestamp;

use super::{filter, json, line};
use crate::commands::error::CommandError;
use crate::commands::follow::{Feed, Known, Looks, StandardOutput, follow, until};
use crate::commands::listing::Selection;
use crate::commands::place::Place;
use crate::records::AnyRecords;
use crate::server::stop_signal;

/// The deliveries that are wanted.
struct Deliveries<'a> {
    records: &'a AnyRecords,
    selection: &'a Selection,
}

pub(super) async fn run(records: &AnyRecords, place: &Place, selection: &Selection) -> Result<(), CommandError> {
    let stop = stop_signal()?;
    let mut lines = StandardOutput { json: selection.json };
    let deliveries = Deliveries { records, selection };
    until(stop, follow(&deliveries, selection.since, Looks::at(place), &SystemClock, &mut lines)).await
}

impl Feed for Deliveries<'_> {
    type Item = DeliveryRecord;
    /// The order in the time index, in which the outcomes are, too.
    type Key = String;

    async fn list(&self, since: Timestamp, known: Known<String>) -> Result<Listing<DeliveryRecord>, PortError> {
        let received = TimeRange { since: Some(since), until: None };
        let filter = DeliveryFilter { except: Arc::clone(&known), ..filter(self.selection, received) };
        self.records.deliveries(&filter).await
    }

    fn key(record: &DeliveryRecord) -> Option<(String, Timestamp)> {
        Some((record.time_index.time_order.clone(), record.received_at))
    }

    fn line(&self, record: &DeliveryRecord) -> String {
        if self.selection.json { json(record) } else { line(record) }
    }
}

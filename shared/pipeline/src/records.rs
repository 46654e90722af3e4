//! The read port: what came in, and what became of it. It serves the operator's commands on every platform, and nothing can be
//! changed through it.

use std::future::Future;

use intake_providers::delivery::DeliveryId;

use crate::delivery_record::DeliveryRecord;
use crate::ledger::entity::EntityEntry;
use crate::ledger::{EntryKey, EventEntry, LedgerReader};
use crate::payloads::PayloadReader;
use crate::port_error::PortError;

mod delivery_filter;
mod event_data;
mod event_filter;
mod listing;
mod recorded_event;
#[cfg(test)]
pub(crate) mod testing;
mod time_range;
mod walk;

pub use delivery_filter::DeliveryFilter;
pub use event_data::ReadEventDataError;
pub(crate) use event_data::find_by_id;
pub use event_filter::EventFilter;
pub use listing::Listing;
pub use recorded_event::RecordedEvent;
pub use time_range::TimeRange;
pub use walk::{DeliveryWalk, EARLIEST_MILLISECONDS, EventWalk, Window};

/// What was recorded.
///
/// An entry that can't be read does not end a listing; the listing names its key.
pub trait Records: LedgerReader + PayloadReader {
    /// The events that match, conflicts and quarantined ones included, in the order in which they were received.
    fn events(&self, filter: &EventFilter) -> impl Future<Output = Result<Listing<RecordedEvent>, PortError>> + Send;

    /// The records of the deliveries that match, in the order in which they were received.
    fn deliveries(
        &self,
        filter: &DeliveryFilter,
    ) -> impl Future<Output = Result<Listing<DeliveryRecord>, PortError>> + Send;

    /// The record of a delivery.
    fn delivery(
        &self,
        delivery_id: DeliveryId,
    ) -> impl Future<Output = Result<Option<DeliveryRecord>, PortError>> + Send;

    /// All entities, ordered by component and id.
    fn entities(&self) -> impl Future<Output = Result<Listing<EntityEntry>, PortError>> + Send;

    /// The events of the entity at a key, in the order of arrival.
    fn entity_history(&self, entity: &EntryKey) -> impl Future<Output = Result<Listing<EventEntry>, PortError>> + Send;
}

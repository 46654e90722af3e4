//! An entry of the ledger that tells what became of an event.

use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;

use crate::ledger::{Entry, EntryKey, Occurrence, Outcome};

/// An entry with the outcome of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedEvent {
    /// The entry's key in the ledger.
    pub key: EntryKey,
    /// The entry: an event, a conflict or a quarantine.
    pub entry: Entry,
}

impl RecordedEvent {
    /// The delivery that made it.
    #[must_use]
    pub fn delivery_id(&self) -> Option<DeliveryId> {
        self.made().map(|(_, occurrence)| occurrence.delivery_id)
    }

    /// When it was received, and which event of which delivery made it.
    #[must_use]
    pub const fn made(&self) -> Option<(Timestamp, Occurrence)> {
        match &self.entry {
            Entry::Event(event) | Entry::Conflict(event) => Some((event.received_at, event.occurrence)),
            Entry::Quarantine(quarantine) => Some((quarantine.received_at, quarantine.occurrence)),
            Entry::Alias(_) | Entry::Hint(_) | Entry::Entity(_) | Entry::Progress(_) => None,
        }
    }

    /// Its provider and its outcome. What was released from quarantine has none of its own: its event has it.
    #[must_use]
    pub const fn outcome(&self) -> Option<(ProviderName, Outcome)> {
        match &self.entry {
            Entry::Event(event) | Entry::Conflict(event) => Some((event.provider, event.outcome)),
            Entry::Quarantine(quarantine) if quarantine.released.is_some() => None,
            Entry::Quarantine(quarantine) => Some((quarantine.provider, quarantine.outcome)),
            Entry::Alias(_) | Entry::Hint(_) | Entry::Entity(_) | Entry::Progress(_) => None,
        }
    }
}

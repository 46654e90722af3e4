//! Which events are listed.

use std::collections::HashMap;
use std::sync::Arc;

use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::event::EventIndex;
use intake_providers::timestamp::Timestamp;

use super::{RecordedEvent, TimeRange};
use crate::ledger::{Entry, EntryKey, EventEntry, Outcome};

/// Filter of a listing of events; unset members match every event.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only events of this provider.
    pub provider: Option<ProviderName>,
    /// Only events with this outcome.
    pub outcome: Option<Outcome>,
    /// Only events of this delivery.
    pub delivery_id: Option<DeliveryId>,
    /// Only events at this place in their delivery.
    pub index: Option<EventIndex>,
    /// Only events with this id.
    pub id: Option<String>,
    /// Only events of this type, with or without the provider's name before it.
    pub event_type: Option<String>,
    /// Only events of this subject.
    pub subject: Option<String>,
    /// Only quarantined events with this text in their reason, in any case of its letters.
    pub reason: Option<String>,
    /// Only what was in quarantine and is released, instead of events. Such an entry is a trace: its event is another one.
    pub released: bool,
    /// Only events received in this range.
    pub received: TimeRange,
    /// Only events that are not among these, by their keys; with each the time when it was received. A caller that asks again and
    /// again leaves out what it has, and a store need not read what is left out.
    pub except: Arc<HashMap<EntryKey, Timestamp>>,
    /// Maximum number of events; the latest are kept.
    pub most: Option<u32>,
}

impl EventFilter {
    /// The events of one delivery. Its id holds the time of its arrival, so no other time is searched.
    #[must_use]
    pub fn of_delivery(delivery_id: DeliveryId) -> Self {
        let received = delivery_id.received_at().map_or_else(TimeRange::default, TimeRange::at);
        Self { delivery_id: Some(delivery_id), received, ..Self::default() }
    }

    /// Whether an event matches; how many did before is not considered.
    #[must_use]
    pub fn matches(&self, event: &RecordedEvent) -> bool {
        let state = match &event.entry {
            Entry::Quarantine(entry) if self.released => entry.released.map(|_| (entry.provider, entry.outcome)),
            _ if self.released => None,
            _ => event.outcome(),
        };
        let (Some((received_at, occurrence)), Some((provider, outcome))) = (event.made(), state) else {
            return false;
        };
        self.received.contains(received_at)
            && self.provider.is_none_or(|wanted| wanted == provider)
            && self.outcome.is_none_or(|wanted| wanted == outcome)
            && self.delivery_id.is_none_or(|wanted| wanted == occurrence.delivery_id)
            && self.index.is_none_or(|wanted| wanted == occurrence.index)
            && !self.except.contains_key(&event.key)
            && match &event.entry {
                Entry::Event(event) | Entry::Conflict(event) => self.reason.is_none() && self.matches_event(event),
                Entry::Quarantine(quarantine) => {
                    self.is_for_any_event()
                        && self.reason.as_ref().is_none_or(|part| contains(&quarantine.reason, part))
                }
                Entry::Alias(_) | Entry::Hint(_) | Entry::Entity(_) | Entry::Progress(_) => false,
            }
    }

    /// Whether the event at a key may match, as far as the key tells. What it rules out need not be read.
    #[must_use]
    pub fn may_match(&self, key: &EntryKey) -> bool {
        let is_quarantined = key.is_of_quarantine();
        let has_outcome = match self.outcome {
            None => true,
            Some(Outcome::Quarantined) => is_quarantined,
            Some(Outcome::Conflict) => key.is_of_conflict(),
            Some(Outcome::Stored | Outcome::Duplicate | Outcome::Repeat) => !is_quarantined && !key.is_of_conflict(),
        };
        has_outcome
            && !self.except.contains_key(key)
            && if is_quarantined { self.is_for_any_event() } else { self.reason.is_none() }
    }

    /// Whether nothing is asked for that a quarantined event does not have.
    const fn is_for_any_event(&self) -> bool {
        self.id.is_none() && self.event_type.is_none() && self.subject.is_none()
    }

    fn matches_event(&self, event: &EventEntry) -> bool {
        let cloud_event = &event.cloud_event;
        self.id.as_ref().is_none_or(|wanted| *wanted == cloud_event.id)
            && self.event_type.as_ref().is_none_or(|wanted| is_type(&cloud_event.event_type, event.provider, wanted))
            && self.subject.as_ref().is_none_or(|wanted| cloud_event.subject.as_ref() == Some(wanted))
    }
}

pub(super) fn is_type(event_type: &str, provider: ProviderName, wanted: &str) -> bool {
    let without_provider =
        event_type.strip_prefix(provider.as_str()).and_then(|without_name| without_name.strip_prefix('.'));
    event_type == wanted || without_provider == Some(wanted)
}

fn contains(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

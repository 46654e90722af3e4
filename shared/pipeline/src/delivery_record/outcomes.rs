//! The outcomes of a delivery's events, as its record holds them.

use std::collections::{BTreeMap, BTreeSet};

use intake_providers::delivery::DeliveryId;
use intake_providers::event::EventIndex;
use serde::{Deserialize, Serialize};

use super::body::KeptBody;
use crate::ledger::{Outcome, OutcomeCounts};
use crate::recording::Recorded;

/// Maximum number of events whose outcomes a record lists one by one.
pub const MAX_LISTED_EVENTS: usize = 20;

/// Maximum number of types of events that a record lists.
pub const MAX_LISTED_TYPES: usize = 5;

/// Maximum length of a type in a record, in characters.
const MAX_TYPE_CHARACTERS: usize = 256;

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventOutcome {
    /// The event's place in the delivery.
    pub index: EventIndex,
    /// Its outcome.
    pub outcome: Outcome,
    /// Of a duplicate or a conflict, the delivery that brought the event first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_delivery: Option<DeliveryId>,
}

/// The outcomes of a delivery's events, which come in any order.
#[derive(Debug, Default)]
pub(crate) struct DeliveryOutcomes {
    events: u32,
    listed: BTreeMap<EventIndex, EventOutcome>,
    further: OutcomeCounts,
    types: BTreeSet<String>,
    has_other_types: bool,
    body: Option<KeptBody>,
}

impl DeliveryOutcomes {
    /// Begins with a delivery of this number of events.
    pub(crate) fn begin(&mut self, events: usize) {
        self.events = u32::try_from(events).unwrap_or(u32::MAX);
    }

    /// Takes over the outcomes of earlier receives.
    pub(crate) fn resume(&mut self, earlier: OutcomeCounts) {
        self.further = earlier;
        self.has_other_types = true;
    }

    /// Notes what became of an event.
    pub(crate) fn settle(&mut self, index: EventIndex, recorded: Recorded) {
        let Recorded { outcome, first_delivery, event_type, kept_body } = recorded;
        // What was erased is not kept again, wherever else it would be.
        self.body = match (self.body.take(), kept_body) {
            (_, Some(erased @ KeptBody::Erased(_))) => Some(erased),
            (earlier, kept_body) => earlier.or(kept_body),
        };
        if let Some(event_type) = event_type {
            self.note_type(&event_type);
        }
        self.listed.insert(index, EventOutcome { index, outcome, first_delivery });
        if self.listed.len() > MAX_LISTED_EVENTS
            && let Some((_, last)) = self.listed.pop_last()
        {
            self.further.add(last.outcome);
        }
    }

    fn note_type(&mut self, event_type: &str) {
        if self.types.contains(event_type) {
            return;
        }
        let shortened: String = event_type.chars().take(MAX_TYPE_CHARACTERS).collect();
        let is_listed = self.types.len() < MAX_LISTED_TYPES || self.types.contains(&shortened);
        self.has_other_types |= !is_listed || shortened.len() < event_type.len();
        if is_listed {
            self.types.insert(shortened);
        }
    }

    /// Where the ledger keeps the whole body, if it does.
    pub(crate) const fn kept_body(&self) -> Option<&KeptBody> {
        self.body.as_ref()
    }

    /// The type of every event, if they all have the same.
    pub(super) fn only_type(&self) -> Option<&str> {
        let mut types = self.types.iter().filter(|_| !self.has_other_types);
        match (types.next(), types.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        }
    }

    /// Number of events by outcome.
    pub(super) fn counts(&self) -> OutcomeCounts {
        let mut counts = self.further;
        self.listed.values().for_each(|event| counts.add(event.outcome));
        counts
    }

    /// The number of events, the outcomes of the first, those of the others, and the types.
    pub(super) fn into_parts(self) -> (u32, Vec<EventOutcome>, OutcomeCounts, Vec<String>) {
        (self.events, self.listed.into_values().collect(), self.further, self.types.into_iter().collect())
    }
}

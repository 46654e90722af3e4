//! What is checked once everything has drained, by somebody who looks at the queue, the tables and the log from outside.

use std::collections::{BTreeMap, BTreeSet};

use intake_pipeline::ledger::{Entry, EntryKey, EventData, EventEntry, Outcome};
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::event::EventIndex;

use crate::invariant::Invariant;
use crate::marks::Mark;
use crate::outcomes::Outcomes;
use crate::platform::Services;
use crate::reference::{Accepted, Expected, Fact};

/// Maximum number of events of a delivery whose outcomes are told one by one.
const LISTED: usize = 20;

/// Which event of which delivery.
type Place = (DeliveryId, u32);

/// Everything that is compared.
pub(crate) struct Checks<'a> {
    services: &'a Services,
    accepted: BTreeMap<DeliveryId, Accepted>,
    pub(crate) entries: BTreeMap<EntryKey, Entry>,
    outcomes: Outcomes,
    /// The deliveries that expired before they were processed. Some of them may be recorded, and nothing has to be.
    pub(crate) expired: BTreeSet<DeliveryId>,
}

impl<'a> Checks<'a> {
    pub(crate) fn new(services: &'a Services, log: &str) -> Self {
        let accepted = services.reference.model().accepted.clone();
        let (entries, outcomes) = (services.tables.entries(), Outcomes::read(log));
        let expired = services.sqs.expired().difference(&outcomes.processed).copied().collect();
        Self { services, accepted, entries, outcomes, expired }
    }

    fn violate(&self, invariant: Invariant, text: String) {
        self.services.world.violate(invariant, text);
    }

    /// Checks everything.
    pub(crate) fn run(&self) {
        self.intakes_know_what_is_accepted();
        self.each_event_has_one_outcome();
        self.facts_equal_the_model();
        self.no_state_is_stored_twice();
        self.quarantine_equals_the_model();
        self.records_say_the_same();
        if !self.outcomes.without_record.is_empty() {
            self.services.world.marks.see(Mark::RecordGivenUp);
        }
    }

    /// What an intake calls accepted is in the queue, and what it calls rejected never was.
    fn intakes_know_what_is_accepted(&self) {
        for (delivery_id, outcome) in &self.outcomes.of_intake {
            let is_wrong = match outcome.as_str() {
                "accepted" => !self.accepted.contains_key(delivery_id),
                "rejected" => self.accepted.contains_key(delivery_id),
                _ => false,
            };
            if is_wrong {
                let text = format!("delivery {delivery_id} is called {outcome}");
                self.violate(Invariant::IntakesKnowWhatIsAccepted, text);
            }
        }
    }

    fn each_event_has_one_outcome(&self) {
        for (delivery_id, accepted) in &self.accepted {
            if self.expired.contains(delivery_id) {
                self.services.world.marks.see(Mark::MessageExpired);
                continue;
            }
            if !self.outcomes.processed.contains(delivery_id) {
                let text = format!("delivery {delivery_id} of {} was accepted and never processed", accepted.provider);
                self.violate(Invariant::OneOutcomeForEachEvent, text);
                continue;
            }
            for index in 0..accepted.events.len().min(LISTED) {
                let place = (*delivery_id, u32::try_from(index).unwrap_or(u32::MAX));
                match self.outcomes.of_events.get(&place).map(BTreeSet::len) {
                    Some(1) => {}
                    None if accepted.events.len() > LISTED => {}
                    None => {
                        let text = format!("event {index} of delivery {delivery_id} has no outcome");
                        self.violate(Invariant::OneOutcomeForEachEvent, text);
                    }
                    // It was released, and read by another version.
                    Some(2) if self.is_released(place) => self.services.world.marks.see(Mark::ReleasedAndRead),
                    Some(_) => {
                        let text = format!(
                            "event {index} of delivery {delivery_id} was {:?}",
                            self.outcomes.of_events.get(&place)
                        );
                        self.violate(Invariant::OutcomesDoNotChange, text);
                    }
                }
            }
        }
    }

    fn is_released(&self, (delivery_id, index): Place) -> bool {
        match self.entries.get(&EntryKey::of_quarantine(delivery_id, EventIndex(index))) {
            Some(Entry::Quarantine(entry)) => entry.released.is_some(),
            _ => false,
        }
    }

    fn is_expired(&self, (delivery_id, _): Place) -> bool {
        self.expired.contains(&delivery_id)
    }

    /// The entries of events and conflicts by what made them.
    fn kept(&self) -> BTreeMap<Place, &EventEntry> {
        let entries = self.entries.values().filter_map(|entry| match entry {
            Entry::Event(event) | Entry::Conflict(event) => {
                Some(((event.occurrence.delivery_id, event.occurrence.index.0), &**event))
            }
            _ => None,
        });
        entries.collect()
    }

    fn facts(&self) -> BTreeMap<&str, Vec<(Place, &Fact)>> {
        let mut facts: BTreeMap<&str, Vec<(Place, &Fact)>> = BTreeMap::new();
        for (delivery_id, accepted) in &self.accepted {
            for (index, event) in (0..).zip(&accepted.events) {
                if let Expected::Fact(fact) = event {
                    facts.entry(&fact.identity).or_default().push(((*delivery_id, index), fact));
                }
            }
        }
        facts
    }

    /// Of each identity exactly one event is stored, each other content is kept once as a conflict, and the rest are duplicates.
    fn facts_equal_the_model(&self) {
        let kept = self.kept();
        let mut explained = BTreeSet::new();
        for events in self.facts().values() {
            let first = events.iter().filter(|(place, _)| {
                kept.get(place).is_some_and(|entry| matches!(entry.outcome, Outcome::Stored | Outcome::Repeat))
            });
            let first: Vec<_> = first.collect();
            if first.is_empty() && events.iter().all(|(place, _)| self.is_expired(*place)) {
                continue;
            }
            let [(first_place, first)] = first[..] else {
                let places: Vec<_> = events.iter().map(|(place, _)| self.told(*place)).collect();
                let text = format!("not exactly one of these is stored: {}", places.join(", "));
                self.violate(Invariant::OutcomesEqualTheModel, text);
                continue;
            };
            explained.insert(*first_place);
            let mut conflicts: BTreeMap<&str, Vec<Place>> = BTreeMap::new();
            for (place, fact) in events {
                let expected = match (kept.get(place), fact.content == first.content) {
                    _ if place == first_place => continue,
                    (_, true) => "duplicate",
                    (Some(_), false) => {
                        conflicts.entry(&fact.content).or_default().push(*place);
                        explained.insert(*place);
                        "conflict"
                    }
                    (None, false) if self.is_expired(*place) => continue,
                    (None, false) => {
                        conflicts.entry(&fact.content).or_default();
                        "duplicate"
                    }
                };
                self.expect(*place, expected);
            }
            for places in conflicts.values().filter(|places| places.len() != 1) {
                let text = format!("a conflict of {} is kept {} times", self.told(*first_place), places.len());
                self.violate(Invariant::OutcomesEqualTheModel, text);
            }
        }
        for (place, entry) in kept {
            let is_of_entity = entry.entity.is_some();
            if self.is_expired(place) {
                self.services.world.marks.see(Mark::ExpiredHalfRecorded);
            }
            if !is_of_entity && !explained.contains(&place) {
                self.violate(
                    Invariant::OutcomesEqualTheModel,
                    format!("nobody sent what is kept of {}", self.told(place)),
                );
            }
            self.content_is_what_was_sent(place, entry);
        }
    }

    fn expect(&self, place: Place, expected: &str) {
        let told = self.outcomes.of_events.get(&place);
        // Of a message that expired, the last to record something may have ended before it told, also after another had told something else.
        let may_be_untold = self.services.sqs.expired().contains(&place.0);
        if !may_be_untold && told.is_some_and(|told| !told.contains(expected)) {
            let text = format!("{} is expected to be {expected}", self.told(place));
            self.violate(Invariant::OutcomesEqualTheModel, text);
        }
    }

    fn told(&self, (delivery_id, index): Place) -> String {
        let outcomes = self.outcomes.of_events.get(&(delivery_id, index));
        format!("event {index} of delivery {delivery_id} ({outcomes:?})")
    }

    fn content_is_what_was_sent(&self, place: Place, entry: &EventEntry) {
        let data = match &entry.data {
            EventData::Inline { data } => Some(data.clone()),
            EventData::Payload { data_key, .. } => {
                let stored = self.services.bucket.get(data_key.as_str());
                stored.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            }
            EventData::Elsewhere { .. } | EventData::Erased { .. } if entry.outcome == Outcome::Duplicate => return,
            EventData::Elsewhere { .. } | EventData::Erased { .. } => None,
        };
        let accepted = self.accepted.get(&place.0);
        let event = accepted.and_then(|accepted| accepted.events.get(usize::try_from(place.1).unwrap_or(usize::MAX)));
        let canonical = |text: &str| {
            serde_json::from_str::<serde_json::Value>(text).map_or_else(|_| text.to_owned(), |value| value.to_string())
        };
        let is_same = match (event, &data, accepted) {
            (Some(Expected::Fact(fact)), Some(data), Some(accepted)) => {
                let is_whole = !matches!(accepted.provider, ProviderName::Sterling);
                if is_whole { *data == fact.own } else { canonical(data) == fact.own }
            }
            (Some(Expected::Entity(event)), Some(data), Some(_)) => canonical(data) == event.content,
            _ => false,
        };
        if !is_same {
            self.violate(
                Invariant::ContentsEqualTheModel,
                format!("the data of {} are not what was sent", self.told(place)),
            );
        }
    }

    /// Of the events with one state, one is stored and the others are repeats, as long as the state is remembered.
    fn no_state_is_stored_twice(&self) {
        let world = &self.services.world;
        let facts = self.facts();
        let mut stored: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        let mut disputed = BTreeSet::new();
        for entry in self.entries.values() {
            match entry {
                Entry::Event(event) => {
                    let Some(alias) = &event.alias else { continue };
                    let counts = stored.entry(alias).or_default();
                    counts.0 += usize::from(event.outcome == Outcome::Stored);
                    counts.1 += 1;
                }
                Entry::Conflict(event) => {
                    disputed.insert(event.cloud_event.id.clone());
                }
                _ => {}
            }
        }
        let is_any_disputed = facts.values().any(|events| {
            let mut contents = events.iter().map(|(_, fact)| &fact.content);
            let first = contents.next();
            contents.any(|content| Some(content) != first)
        });
        let is_any_expired =
            facts.values().flatten().any(|(place, fact)| fact.alias.is_some() && self.is_expired(*place));
        // A claim may be of content that turned out to be a conflict, and a repeat of it stays one. One of a delivery that expired may
        // be of an event that was never put.
        let is_certain = !is_any_disputed && disputed.is_empty() && !is_any_expired;
        let is_remembered = world.at() < world.swarm.repeat_window;
        for (alias, (stored, all)) in stored {
            let is_wrong = if is_certain && is_remembered { stored != 1 } else { is_certain && stored == 0 };
            if is_wrong {
                let text = format!("of {all} events with one state {stored} are stored: {alias}");
                self.violate(Invariant::RepeatsHaveAReason, text);
            }
        }
    }

    fn quarantine_equals_the_model(&self) {
        let mut quarantined = BTreeSet::new();
        for entry in self.entries.values() {
            if let Entry::Quarantine(entry) = entry
                && entry.released.is_none()
            {
                quarantined.insert((entry.occurrence.delivery_id, entry.occurrence.index.0));
            }
        }
        let mut expected = BTreeSet::new();
        for (delivery_id, accepted) in &self.accepted {
            for (index, event) in (0..).zip(&accepted.events) {
                if *event == Expected::Unreadable {
                    expected.insert((*delivery_id, index));
                    self.expect((*delivery_id, index), "quarantined");
                }
            }
        }
        for place in expected.symmetric_difference(&quarantined).filter(|place| !self.is_expired(**place)) {
            self.violate(
                Invariant::OutcomesEqualTheModel,
                format!("{} is in quarantine, or should be", self.told(*place)),
            );
        }
    }

    /// The record of each delivery says what the log says, unless the last receive could not write one: then one of an earlier receive
    /// may stand, from before the event could be read.
    fn records_say_the_same(&self) {
        let records = self.services.tables.records();
        for delivery_id in self.accepted.keys() {
            let Some(record) = records.get(delivery_id) else {
                if !self.outcomes.without_record.contains(delivery_id) && !self.expired.contains(delivery_id) {
                    let text = format!("delivery {delivery_id} has no record");
                    self.violate(Invariant::OneOutcomeForEachEvent, text);
                }
                continue;
            };
            if self.outcomes.without_record.contains(delivery_id) {
                continue;
            }
            for event in &record.outcomes {
                self.expect((*delivery_id, event.index.0), event.outcome.as_str());
            }
        }
    }
}

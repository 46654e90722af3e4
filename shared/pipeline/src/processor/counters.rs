//! The outcomes of a delivery's events so far.

use std::collections::{BTreeMap, VecDeque};

use intake_providers::delivery::Delivery;
use intake_providers::event::EventIndex;
use intake_providers::timestamp::Timestamp;

use super::EVENTS_BETWEEN_SAVES;
use crate::ledger::{Outcome, OutcomeCounts, ProgressEntry};

/// Maximum number of outcomes that a delivery's line lists one by one.
const MAX_LISTED_OUTCOMES: usize = 20;

/// The outcomes of a delivery's events, which come in any order.
#[derive(Default)]
pub(super) struct Counters {
    /// Number of events in the delivery.
    events: u32,
    /// Of a long delivery, how many of them were recorded when that was saved last.
    saved: Option<u32>,
    /// Every event below this index is recorded.
    recorded: u32,
    /// What became of those.
    outcomes: OutcomeCounts,
    /// What became of the events from `recorded` on, where that is known.
    ahead: VecDeque<Option<Outcome>>,
    /// The outcomes of the first events of this receive.
    listed: BTreeMap<EventIndex, Outcome>,
    /// The other outcomes, those of earlier receives included.
    further: OutcomeCounts,
}

impl Counters {
    /// Begins with a delivery of this number of events.
    pub(super) fn begin(&mut self, events: usize) {
        self.events = u32::try_from(events).unwrap_or(u32::MAX);
    }

    /// Continues a long delivery where its progress was saved.
    pub(super) fn resume(&mut self, progress: Option<ProgressEntry>) {
        // For a release that splits a body differently, an index means another event.
        let events = self.events;
        let progress = progress.filter(|progress| progress.events == events && progress.next_index.0 <= events);
        let (next, outcomes) = progress.map_or_else(Default::default, |saved| (saved.next_index.0, saved.outcomes));
        self.saved = Some(next);
        (self.recorded, self.outcomes, self.further) = (next, outcomes, outcomes);
    }

    /// Notes the outcome of an event.
    pub(super) fn settle(&mut self, index: EventIndex, outcome: Outcome) {
        self.listed.insert(index, outcome);
        if self.listed.len() > MAX_LISTED_OUTCOMES
            && let Some((_, last)) = self.listed.pop_last()
        {
            self.further.add(last);
        }
        let Some(place) = index.0.checked_sub(self.recorded).map(|place| place as usize) else { return };
        if place >= self.ahead.len() {
            self.ahead.resize(place + 1, None);
        }
        if let Some(ahead) = self.ahead.get_mut(place) {
            *ahead = Some(outcome);
        }
        while let Some(Some(outcome)) = self.ahead.front().copied() {
            self.ahead.pop_front();
            self.outcomes.add(outcome);
            self.recorded += 1;
        }
    }

    /// Number of events that are recorded, counted from the first one without a gap.
    pub(super) const fn recorded(&self) -> u32 {
        self.recorded
    }

    /// Number of events in the delivery.
    pub(super) const fn events(&self) -> u32 {
        self.events
    }

    /// The outcomes of the first events of this receive, in their order, such as `0=stored,1=duplicate`.
    pub(super) fn listed(&self) -> String {
        let listed: Vec<String> =
            self.listed.iter().map(|(index, outcome)| format!("{}={}", index.0, outcome.as_str())).collect();
        listed.join(",")
    }

    /// Number of the other events by outcome, such as `stored=80,duplicate=2`; nothing if all are listed.
    pub(super) fn further(&self) -> Option<String> {
        Some(self.further.to_string()).filter(|further| !further.is_empty())
    }

    /// The progress to save while the delivery is worked on, if it came far since the last time.
    pub(super) fn progress_if_due(&mut self, delivery: &Delivery, expires_at: Timestamp) -> Option<ProgressEntry> {
        let saved = self.saved?;
        if self.recorded - saved < EVENTS_BETWEEN_SAVES {
            return None;
        }
        self.saved = Some(self.recorded);
        Some(self.entry(delivery, expires_at))
    }

    /// The progress to save when the work on the delivery ends, if that says anything new. A delivery that is done
    /// starts over.
    pub(super) fn progress(&self, delivery: &Delivery, is_done: bool, expires_at: Timestamp) -> Option<ProgressEntry> {
        let saved = self.saved?;
        let mut entry = self.entry(delivery, expires_at);
        if is_done {
            (entry.next_index, entry.outcomes) = (EventIndex(0), OutcomeCounts::default());
            return (saved > 0).then_some(entry);
        }
        (self.recorded > saved).then_some(entry)
    }

    fn entry(&self, delivery: &Delivery, expires_at: Timestamp) -> ProgressEntry {
        ProgressEntry {
            provider: delivery.provider,
            delivery_id: delivery.id,
            events: self.events,
            next_index: EventIndex(self.recorded),
            outcomes: self.outcomes,
            expires_at: expires_at.unix_seconds(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(indices: impl IntoIterator<Item = u32>) -> Counters {
        let mut counters = Counters::default();
        for index in indices {
            let outcome = if index == 21 { Outcome::Duplicate } else { Outcome::Stored };
            counters.settle(EventIndex(index), outcome);
        }
        counters
    }

    #[test]
    fn the_first_twenty_events_are_listed_and_the_others_are_counted_in_whatever_order_they_are_recorded() {
        let counters = settled((0..30).rev());
        let listed: Vec<String> = (0..20).map(|index| format!("{index}=stored")).collect();
        assert_eq!(counters.listed(), listed.join(","));
        assert_eq!(counters.further().as_deref(), Some("stored=9,duplicate=1"));
        assert_eq!(settled([0]).further(), None);
    }

    #[test]
    fn what_is_recorded_ends_before_the_first_gap() {
        let counters = settled([0, 1, 3, 4]);
        assert_eq!(counters.recorded(), 2);
        assert_eq!(settled([3, 1, 0, 2]).recorded(), 4);
    }
}

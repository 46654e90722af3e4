//! A walk through everything that was received in a range of time, the earliest first and a little at a time.

use std::time::Duration;

use intake_providers::timestamp::Timestamp;

use super::{DeliveryFilter, EventFilter, Listing, RecordedEvent, Records, TimeRange};
use crate::delivery_record::DeliveryRecord;
use crate::port_error::PortError;

/// 2026-01-01T00:00:00Z in milliseconds since 1970. Nothing was recorded before it.
pub const EARLIEST_MILLISECONDS: i64 = 1_767_225_600_000;

/// Maximum number of entries in a window that can still be halved.
const MAX_ENTRIES: u32 = 500;

/// The first window.
const FIRST_WINDOW: Duration = Duration::from_secs(60 * 60);

/// The largest window. A store asks each hour of it.
const MAX_WINDOW: Duration = Duration::from_secs(10 * 24 * 60 * 60);

/// What was received in a part of the range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window<T> {
    /// The part. The next one begins where it ends.
    pub received: TimeRange,
    /// Where it ends.
    pub until: Timestamp,
    /// What was received in it, in the order of arrival.
    pub listing: Listing<T>,
}

/// Windows of a range, each as wide as those before it let expect that it holds not too much.
#[derive(Clone, Debug)]
struct Windows {
    /// In milliseconds since 1970, like the end.
    next: i64,
    end: i64,
    width: i64,
}

impl Windows {
    fn of(range: TimeRange, now: Timestamp) -> Self {
        let next = range.since.map_or(EARLIEST_MILLISECONDS, Timestamp::unix_milliseconds);
        let end = range.until.unwrap_or(now).unix_milliseconds();
        Self { next: next.max(EARLIEST_MILLISECONDS), end, width: milliseconds(FIRST_WINDOW) }
    }

    /// The next window and its end; `None` at the end of the range.
    fn current(&self) -> Option<(TimeRange, Timestamp)> {
        if self.next >= self.end {
            return None;
        }
        let since = Timestamp::from_unix_milliseconds(self.next).ok()?;
        let until = Timestamp::from_unix_milliseconds(self.next.saturating_add(self.width).min(self.end)).ok()?;
        Some((TimeRange { since: Some(since), until: Some(until) }, until))
    }

    /// How many entries to ask for: one more than a window may hold, or all where it cannot be halved. What arrived in one millisecond
    /// is a few deliveries, and at most as much as they are.
    fn most(&self) -> Option<u32> {
        (self.width > 1).then_some(MAX_ENTRIES + 1)
    }

    /// Halves a window that holds too much, and says whether it did.
    fn narrow(&mut self, found: usize) -> bool {
        let is_too_wide = self.width > 1 && found > MAX_ENTRIES as usize;
        if is_too_wide {
            self.width = (self.width.min(self.end - self.next) / 2).max(1);
        }
        is_too_wide
    }

    /// Goes on behind the window, with a wider one if it held little.
    fn advance(&mut self, found: usize) {
        self.next = self.next.saturating_add(self.width);
        if found < MAX_ENTRIES as usize / 4 {
            self.width = (self.width * 2).min(milliseconds(MAX_WINDOW));
        }
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A walk through events, conflicts and quarantined ones included. It holds one window of them at a time, however many there are.
#[derive(Debug)]
pub struct EventWalk<'a, R> {
    records: &'a R,
    filter: EventFilter,
    windows: Windows,
}

impl<'a, R: Records> EventWalk<'a, R> {
    /// Through the events that match. Without an end it goes on to `now`, and without a beginning it starts with the first event.
    pub fn new(records: &'a R, filter: EventFilter, now: Timestamp) -> Self {
        let windows = Windows::of(filter.received, now);
        Self { records, filter, windows }
    }

    /// The next window, which may be empty; `None` at the end.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn next(&mut self) -> Result<Option<Window<RecordedEvent>>, PortError> {
        while let Some((received, until)) = self.windows.current() {
            let filter = EventFilter { received, most: self.windows.most(), ..self.filter.clone() };
            let listing = self.records.events(&filter).await?;
            if self.windows.narrow(listing.found.len()) {
                continue;
            }
            self.windows.advance(listing.found.len());
            return Ok(Some(Window { received, until, listing }));
        }
        Ok(None)
    }
}

/// The same through the records of deliveries.
#[derive(Debug)]
pub struct DeliveryWalk<'a, R> {
    records: &'a R,
    filter: DeliveryFilter,
    windows: Windows,
}

impl<'a, R: Records> DeliveryWalk<'a, R> {
    /// Through the records that match, as [`EventWalk::new`].
    pub fn new(records: &'a R, filter: DeliveryFilter, now: Timestamp) -> Self {
        let windows = Windows::of(filter.received, now);
        Self { records, filter, windows }
    }

    /// As [`EventWalk::next`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn next(&mut self) -> Result<Option<Window<DeliveryRecord>>, PortError> {
        while let Some((received, until)) = self.windows.current() {
            let filter = DeliveryFilter { received, most: self.windows.most(), ..self.filter.clone() };
            let listing = self.records.deliveries(&filter).await?;
            if self.windows.narrow(listing.found.len()) {
                continue;
            }
            self.windows.advance(listing.found.len());
            return Ok(Some(Window { received, until, listing }));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: i64) -> Timestamp {
        Timestamp::from_unix_milliseconds(EARLIEST_MILLISECONDS + milliseconds).unwrap()
    }

    /// Walks over the times of events, and returns the number that each window held.
    fn walk(times: &[i64], range: TimeRange) -> Vec<usize> {
        let mut windows = Windows::of(range, at(100 * 24 * 60 * 60 * 1000));
        let mut held = Vec::new();
        while let Some((received, _)) = windows.current() {
            let found = times.iter().filter(|time| received.contains(at(**time))).count();
            let found = windows.most().map_or(found, |most| found.min(most as usize));
            if !windows.narrow(found) {
                windows.advance(found);
                held.push(found);
            }
        }
        held
    }

    #[test]
    fn every_event_is_in_exactly_one_window_and_no_window_that_can_be_halved_holds_too_much() {
        let day = 24 * 60 * 60 * 1000;
        let busy: Vec<i64> = (0..20_000).map(|number| 3 * day + number * 7).collect();
        let held = walk(&busy, TimeRange::default());
        assert_eq!(held.iter().sum::<usize>(), busy.len());
        assert!(held.iter().all(|found| *found <= MAX_ENTRIES as usize), "{held:?}");
        assert!(held.len() < 400, "a quiet time takes few windows, not {}", held.len());
    }

    #[test]
    fn what_arrived_in_one_millisecond_is_one_window_whatever_it_holds() {
        let held = walk(&[5; 3_000], TimeRange::default());
        assert_eq!((held.iter().sum::<usize>(), held.iter().max()), (3_000, Some(&3_000)));
    }

    #[test]
    fn a_walk_keeps_to_its_range() {
        let range = TimeRange { since: Some(at(10)), until: Some(at(20)) };
        assert_eq!(walk(&[9, 10, 19, 20], range), [2]);
        assert_eq!(walk(&[1], TimeRange { since: Some(at(20)), until: Some(at(10)) }), Vec::<usize>::new());
    }
}

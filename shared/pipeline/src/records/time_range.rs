//! The time of a listing.

use std::time::Duration;

use intake_providers::timestamp::Timestamp;

/// From when to when something was received. Without a bound the range is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeRange {
    /// At this time or later.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
}

impl TimeRange {
    /// One millisecond, which is how exactly arrivals are noted.
    #[must_use]
    pub fn at(time: Timestamp) -> Self {
        Self { since: Some(time), until: Some(time.plus(Duration::from_millis(1))) }
    }

    /// Whether a time is within the range.
    #[must_use]
    pub fn contains(&self, time: Timestamp) -> bool {
        self.since.is_none_or(|since| since <= time) && self.until.is_none_or(|until| time < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_begins_with_its_first_moment_and_ends_before_its_last() {
        let at = |seconds: i64| Timestamp::from_unix_milliseconds(seconds * 1000).unwrap();
        let range = TimeRange { since: Some(at(10)), until: Some(at(20)) };
        let within: Vec<_> = [9, 10, 19, 20].map(|seconds| range.contains(at(seconds))).into();
        assert_eq!(within, [false, true, true, false]);
        assert!(TimeRange::default().contains(at(0)));
    }
}

//! Hours of the time index, from the latest to the earliest.

use intake_providers::timestamp::Timestamp;

const HOUR_MILLISECONDS: i64 = 60 * 60 * 1000;

/// Maximum number of hours in a group.
const MAX_HOURS: u32 = 24;

/// Groups of hours from the latest to the earliest, each hour as its first moment. The first group is one hour, and each further
/// one twice as long: a listing of the latest reads little, and a quiet week takes few rounds.
#[derive(Debug)]
pub(super) struct HourGroups {
    /// The first moments of the hours that are left, in milliseconds since 1970.
    latest: i64,
    earliest: i64,
    size: u32,
}

impl HourGroups {
    /// The hours that hold these two moments, and those between them; none if the first is after the last.
    pub(super) fn between(first: Timestamp, last: Timestamp) -> Self {
        Self {
            latest: last.unix_milliseconds().div_euclid(HOUR_MILLISECONDS) * HOUR_MILLISECONDS,
            earliest: first.unix_milliseconds().div_euclid(HOUR_MILLISECONDS) * HOUR_MILLISECONDS,
            size: 1,
        }
    }
}

impl Iterator for HourGroups {
    type Item = Vec<Timestamp>;

    fn next(&mut self) -> Option<Vec<Timestamp>> {
        let mut hours = Vec::new();
        for _ in 0..self.size {
            if self.latest < self.earliest {
                break;
            }
            hours.extend(Timestamp::from_unix_milliseconds(self.latest).ok());
            self.latest -= HOUR_MILLISECONDS;
        }
        self.size = self.size.saturating_mul(2).min(MAX_HOURS);
        Some(hours).filter(|hours| !hours.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hours(first: &str, last: &str) -> Vec<Vec<String>> {
        let [first, last] = [first, last].map(|text| Timestamp::parse(text).unwrap());
        HourGroups::between(first, last).map(|group| group.iter().map(|hour| hour.hour()).collect()).collect()
    }

    #[test]
    fn the_latest_hour_comes_first_and_groups_grow() {
        assert_eq!(
            hours("2026-11-20T22:59:59.999Z", "2026-11-21T02:00:00Z"),
            [vec!["2026-11-21T02"], vec!["2026-11-21T01", "2026-11-21T00"], vec!["2026-11-20T23", "2026-11-20T22"],]
        );
        assert_eq!(hours("2026-11-21T02:10:00Z", "2026-11-21T02:20:00Z"), [["2026-11-21T02"]]);
        assert_eq!(hours("2026-11-21T03:00:00Z", "2026-11-21T02:00:00Z"), Vec::<Vec<String>>::new());
    }

    #[test]
    fn a_year_is_asked_a_day_at_a_time() {
        let groups = hours("2026-01-01T00:00:00Z", "2026-12-31T23:00:00Z");
        assert_eq!(groups.iter().map(Vec::len).max(), Some(24));
        assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), 365 * 24);
    }
}

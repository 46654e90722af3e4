//! Calendar dates without a time zone.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::timestamp::Timestamp;

const FORMAT: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// A date from 1970-01-01 on, written as `2026-11-21`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(time::Date);

/// Not a date, or one before 1970.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no date such as 2026-11-21, from 1970 on")]
pub struct InvalidDate(String);

impl Date {
    /// 1970-01-01, the earliest date.
    pub const FIRST: Self = Self(OffsetDateTime::UNIX_EPOCH.date());

    /// The date of an instant in UTC.
    #[must_use]
    pub fn of(instant: Timestamp) -> Self {
        // Every timestamp can be written as RFC 3339, so it has a date.
        let date =
            OffsetDateTime::from_unix_timestamp(instant.unix_seconds()).map_or(Self::FIRST, |at| Self(at.date()));
        date.max(Self::FIRST)
    }

    /// The date `days` earlier, or [`Self::FIRST`] if that would be before 1970.
    #[must_use]
    pub fn days_before(self, days: u16) -> Self {
        self.0.checked_sub(time::Duration::days(days.into())).map_or(Self::FIRST, Self).max(Self::FIRST)
    }
}

impl FromStr for Date {
    type Err = InvalidDate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The year of the format may have a sign.
        let date = time::Date::parse(text, FORMAT).ok().filter(|_| !text.starts_with(['+', '-'])).map(Self);
        date.filter(|date| *date >= Self::FIRST).ok_or_else(|| InvalidDate(text.to_owned()))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.0.year(), u8::from(self.0.month()), self.0.day())
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    #[test]
    fn a_date_is_written_as_it_was_read() {
        for text in ["1970-01-01", "2024-02-29", "9999-12-31"] {
            assert_eq!(date(text).to_string(), text);
        }
        for text in [
            "",
            "2026-1-1",
            "2026-02-29",
            "21-11-2026",
            "2026-11-21T00:00:00Z",
            "1969-12-31",
            "+026-01-01",
            "+2026-01-01",
            "-2026-01-01",
            "02026-01-01",
            "10000-01-01",
            " 2026-01-01",
        ] {
            assert_eq!(text.parse::<Date>(), Err(InvalidDate(text.to_owned())));
        }
    }

    #[test]
    fn an_instants_date_is_that_of_utc() {
        assert_eq!(Date::of(Timestamp::parse("2026-11-22T00:30:00+01:00").unwrap()), date("2026-11-21"));
        assert_eq!(Date::of(Timestamp::parse("1960-01-01T00:00:00Z").unwrap()), Date::FIRST);
    }

    #[test]
    fn days_are_counted_back_over_months_but_not_before_the_first() {
        assert_eq!(date("2026-03-01").days_before(1), date("2026-02-28"));
        assert_eq!(date("1970-01-03").days_before(u16::MAX), Date::FIRST);
    }
}

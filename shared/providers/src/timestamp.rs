//! Instants in milliseconds, and their text form.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// An instant in UTC, in whole milliseconds. Its text is RFC 3339 with exactly three fractional digits, so texts sort
/// chronologically.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(OffsetDateTime);

/// Not a valid timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an RFC 3339 timestamp such as 2026-11-21T09:30:00.000Z")]
pub struct InvalidTimestamp(String);

impl Timestamp {
    /// The end of the year 9999, the last instant that RFC 3339 can write.
    const LAST: Self = Self(time::macros::datetime!(9999-12-31 23:59:59.999 UTC));

    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(OffsetDateTime::UNIX_EPOCH);

    /// Converts milliseconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    /// When the instant is outside the years 0 to 9999 that RFC 3339 can write.
    pub fn from_unix_milliseconds(milliseconds: i64) -> Result<Self, InvalidTimestamp> {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
            .ok()
            .filter(|instant| (0..=9999).contains(&instant.year()))
            .map(Self)
            .ok_or_else(|| InvalidTimestamp(milliseconds.to_string()))
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix_milliseconds(self) -> i64 {
        // Years 0 to 9999 stay far inside 64 bits of milliseconds.
        i64::try_from(self.0.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
    }

    /// Whole seconds since 1970-01-01T00:00:00Z, the unit of DynamoDB's time to live.
    #[must_use]
    pub fn unix_seconds(self) -> i64 {
        self.0.unix_timestamp()
    }

    /// The instant `duration` later, saturating at the end of the year 9999.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let milliseconds = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        Self::from_unix_milliseconds(self.unix_milliseconds().saturating_add(milliseconds)).unwrap_or(Self::LAST)
    }

    /// The instant `duration` earlier, saturating at [`Self::EPOCH`], or at the instant itself if that is before it.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        let milliseconds = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        let earlier = self.unix_milliseconds().saturating_sub(milliseconds);
        Self::from_unix_milliseconds(earlier).unwrap_or(self.min(Self::EPOCH))
    }

    /// The hour as `2026-11-21T09`.
    #[must_use]
    pub fn hour(self) -> String {
        format!("{:04}-{:02}-{:02}T{:02}", self.0.year(), u8::from(self.0.month()), self.0.day(), self.0.hour())
    }

    /// The day as `2026/11/21`, for object keys.
    #[must_use]
    pub fn day_path(self) -> String {
        format!("{:04}/{:02}/{:02}", self.0.year(), u8::from(self.0.month()), self.0.day())
    }

    /// Parses RFC 3339 with any offset; digits below a millisecond are truncated. RFC 3339 also has `t` and `z`, and anything else, such
    /// as a space, between date and time "for the sake of readability" (section 5.6); receivers of CloudEvents often read neither.
    ///
    /// # Errors
    /// When the text is not RFC 3339 with an upper-case `T` and `Z`.
    pub fn parse(text: &str) -> Result<Self, InvalidTimestamp> {
        let invalid = || InvalidTimestamp(text.to_owned());
        if text.as_bytes().get(10) != Some(&b'T') || text.ends_with('z') {
            return Err(invalid());
        }
        let instant = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| invalid())?;
        let milliseconds = instant.unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(milliseconds).map_err(|_| invalid()).and_then(Self::from_unix_milliseconds)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{:02}:{:02}.{:03}Z", self.hour(), self.0.minute(), self.0.second(), self.0.millisecond())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_with_three_digits_and_read_back() {
        let instant = Timestamp::from_unix_milliseconds(1_795_257_000_050).unwrap();
        assert_eq!(instant.to_string(), "2026-11-21T10:30:00.050Z");
        assert_eq!(Timestamp::parse("2026-11-21T12:30:00.0509+02:00").unwrap(), instant);
        assert_eq!(instant.hour(), "2026-11-21T10");
    }

    #[test]
    fn times_beyond_the_year_9999_saturate() {
        let now = Timestamp::parse("2026-11-21T09:30:00Z").unwrap();
        assert_eq!(now.plus(Duration::from_millis(1_500)).to_string(), "2026-11-21T09:30:01.500Z");
        assert_eq!(now.plus(Duration::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn an_earlier_instant_is_never_later_even_where_there_is_none() {
        let first = Timestamp::parse("0000-01-01T00:00:00Z").unwrap();
        assert_eq!(first.minus(Duration::from_secs(1)), first);
        assert_eq!(first.plus(Duration::from_secs(1)).minus(Duration::from_secs(1)), first);
        assert_eq!(Timestamp::parse("2026-11-21T09:30:00Z").unwrap().minus(Duration::MAX), Timestamp::EPOCH);
    }

    #[test]
    fn a_text_without_a_zone_or_in_a_form_that_receivers_may_not_read_is_rejected() {
        assert!(Timestamp::parse("2021-09-01T09:29:38.969").is_err());
        for text in [
            "2021-09-01 09:29:38Z",
            "2021-09-01+09:29:38Z",
            "2021-09-01t09:29:38Z",
            "2021-09-01T09:29:38z",
            "2021-09-01",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
        assert!(Timestamp::parse("2017-07-02T22:88:12.120Z").is_err());
    }
}

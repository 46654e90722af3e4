//! Points in time as one types them.

use std::time::Duration;

use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_providers::timestamp::Timestamp;

/// Why a text is not a point in time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write how long ago, such as 30m, 2h or 7d, or a time such as 2026-11-21T09:30:00Z")]
pub(super) struct InvalidSince;

/// Reads a point in time: a time, or how long ago.
pub(super) fn parse(text: &str) -> Result<Timestamp, InvalidSince> {
    parse_at(text, SystemClock.now())
}

fn parse_at(text: &str, now: Timestamp) -> Result<Timestamp, InvalidSince> {
    if let Ok(instant) = Timestamp::parse(text) {
        return Ok(instant);
    }
    let ago = duration(text).map_err(|InvalidDuration| InvalidSince)?;
    let ago = i64::try_from(ago.as_millis()).map_err(|_| InvalidSince)?;
    let milliseconds = now.unix_milliseconds().saturating_sub(ago);
    Ok(Timestamp::from_unix_milliseconds(milliseconds).unwrap_or(Timestamp::EPOCH))
}

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a number and its unit, such as 30s, 2m, 1h or 7d")]
pub(super) struct InvalidDuration;

/// Reads a duration in one unit.
pub(super) fn duration(text: &str) -> Result<Duration, InvalidDuration> {
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or(InvalidDuration)?;
    let seconds_per_unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(InvalidDuration),
    };
    let number: u64 = number.parse().map_err(|_| InvalidDuration)?;
    Ok(Duration::from_secs(number.checked_mul(seconds_per_unit).ok_or(InvalidDuration)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_or_how_long_ago_is_understood() {
        let now = Timestamp::parse("2026-11-21T09:30:00Z").unwrap();
        for (text, expected) in [
            ("30m", "2026-11-21T09:00:00.000Z"),
            ("90s", "2026-11-21T09:28:30.000Z"),
            ("2h", "2026-11-21T07:30:00.000Z"),
            ("7d", "2026-11-14T09:30:00.000Z"),
            ("2026-11-20T00:00:00+01:00", "2026-11-19T23:00:00.000Z"),
            ("99999999999d", "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(parse_at(text, now).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "h", "-1h", "yesterday", "2026-11-21", "1ü", "99999999999999999999d"] {
            assert_eq!(parse_at(text, now), Err(InvalidSince), "{text}");
        }
    }
}

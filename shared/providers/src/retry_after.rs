//! The `Retry-After` header.

use std::time::{Duration, UNIX_EPOCH};

use crate::timestamp::Timestamp;

/// Reads `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date, which `now` turns into a wait. There is no upper limit.
#[must_use]
pub fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.chars().all(|character| character.is_ascii_digit()) {
        // More seconds than fit mean: never.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let now = Duration::from_millis(u64::try_from(now.unix_milliseconds()).unwrap_or(0));
    Some(at.saturating_sub(now))
}

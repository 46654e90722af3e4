//! The meaning of the Data API's answers.

use std::time::Duration;

use http::StatusCode;

use crate::retry_after;
use crate::timestamp::Timestamp;

/// Wait after a 429 without a usable `Retry-After`. Most rate limits are per minute.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(60);

/// An answer of the Data API. The body is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncAnswer {
    /// The status code.
    pub status: StatusCode,
    /// The `Retry-After` header, not parsed yet.
    pub retry_after: Option<String>,
}

/// The meaning of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// 202: the results will arrive at the webhook.
    Accepted,
    /// The credentials are wrong, so every other call would fail too.
    CredentialsWrong,
    /// Rate limited: the same call may be repeated later.
    Throttled {
        /// The wait that `Retry-After` asks for, without an upper limit.
        wait: Duration,
    },
    /// An error on their side; the same call may succeed later.
    ServerError,
    /// The call is invalid and must not be repeated.
    Refused,
    /// An undocumented answer: a redirect, or a success other than 202.
    Unexpected,
}

impl SyncAnswer {
    /// Interprets the answer; `now` resolves a `Retry-After` that is a date.
    #[must_use]
    pub fn verdict(&self, now: Timestamp) -> Verdict {
        match self.status {
            StatusCode::ACCEPTED => Verdict::Accepted,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Verdict::CredentialsWrong,
            StatusCode::TOO_MANY_REQUESTS => {
                let wait = self.retry_after.as_deref().and_then(|text| retry_after::wait(text, now));
                Verdict::Throttled { wait: wait.unwrap_or(DEFAULT_WAIT) }
            }
            status if status.is_server_error() => Verdict::ServerError,
            status if status.is_client_error() => Verdict::Refused,
            _ => Verdict::Unexpected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, retry_after: Option<&str>) -> Verdict {
        let now = Timestamp::parse("2026-11-21T09:30:00Z").unwrap();
        let status = StatusCode::from_u16(status).unwrap();
        SyncAnswer { status, retry_after: retry_after.map(str::to_owned) }.verdict(now)
    }

    #[test]
    fn every_status_has_its_meaning() {
        for (statuses, expected) in [
            (&[202][..], Verdict::Accepted),
            (&[401, 403], Verdict::CredentialsWrong),
            (&[500, 501, 502, 503, 504, 599], Verdict::ServerError),
            (&[400, 404, 405, 408, 410, 422, 499], Verdict::Refused),
            (&[200, 201, 204, 206, 301, 302, 304, 307, 308, 101], Verdict::Unexpected),
        ] {
            for status in statuses {
                assert_eq!(verdict(*status, None), expected, "{status}");
                assert_eq!(verdict(*status, Some("5")), expected, "{status}");
            }
        }
    }

    #[test]
    fn a_throttled_call_waits_for_the_seconds_or_the_date_of_retry_after() {
        for (retry_after, seconds) in [
            ("0", 0),
            (" 17 ", 17),
            ("99999999999999999999999", u64::MAX),
            ("Sat, 21 Nov 2026 09:31:30 GMT", 90),
            ("Saturday, 21-Nov-26 09:31:30 GMT", 90),
            ("Sat, 21 Nov 2026 09:29:59 GMT", 0),
        ] {
            let wait = Duration::from_secs(seconds);
            assert_eq!(verdict(429, Some(retry_after)), Verdict::Throttled { wait }, "{retry_after}");
        }
    }

    #[test]
    fn a_throttled_call_without_a_usable_retry_after_waits_a_minute() {
        for retry_after in [None, Some(""), Some("soon"), Some("-1"), Some("1.5"), Some("2026-11-21T09:31:30Z")] {
            assert_eq!(verdict(429, retry_after), Verdict::Throttled { wait: DEFAULT_WAIT }, "{retry_after:?}");
        }
    }
}

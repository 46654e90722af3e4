//! A consumer's own endpoint, to which envelopes are posted one at a time.

use std::future::Future;
use std::time::Duration;

use http::StatusCode;

use crate::envelope::WrittenEnvelope;

/// Maximum duration of a call.
pub const MAX_CALL_TIME: Duration = Duration::from_secs(15);

/// A consumer's own endpoint.
pub trait Receiver: Send + Sync + 'static {
    /// Posts an envelope once, within [`MAX_CALL_TIME`]. Whether and when it is posted again is for the caller to decide.
    fn post(&self, envelope: &WrittenEnvelope) -> impl Future<Output = Answer> + Send;
}

/// What a receiver answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has the event.
    Delivered,
    /// It does not have the event, and may take it later. So it is with an event that we could not sign yet.
    RetryLater {
        /// What went wrong, on one line, with neither content nor secrets nor the URL in it.
        reason: String,
        /// The wait that it asked for, without an upper limit.
        wait: Option<Duration>,
    },
    /// No answer came: nobody is there, or the connection broke. It may have the event all the same.
    Unreachable {
        /// What went wrong, as above.
        reason: String,
    },
    /// It will never take this event.
    Refused {
        /// Its answer, on one line.
        reason: String,
    },
}

impl Answer {
    /// The meaning of a status.
    ///
    /// Only statuses that speak of the very content that was sent, or say that nobody wants it any more, are final. A wrong path, a
    /// wrong credential or a redirect is usually a mistake that is mended while the events wait.
    #[must_use]
    pub fn of_status(status: StatusCode, wait: Option<Duration>) -> Self {
        let reason = format!("answered {}", status.as_u16());
        match status {
            status if status.is_success() => Self::Delivered,
            StatusCode::BAD_REQUEST
            | StatusCode::GONE
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY => Self::Refused { reason },
            status if status.is_redirection() => {
                Self::RetryLater { reason: format!("{reason}, and redirects are not followed"), wait }
            }
            _ => Self::RetryLater { reason, wait },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_final_is_not_tried_again() {
        for code in [200, 201, 202, 204] {
            assert_eq!(Answer::of_status(StatusCode::from_u16(code).unwrap(), None), Answer::Delivered, "{code}");
        }
        for code in [400, 410, 413, 415, 422] {
            let reason = format!("answered {code}");
            let answer = Answer::of_status(StatusCode::from_u16(code).unwrap(), Some(Duration::from_secs(1)));
            assert_eq!(answer, Answer::Refused { reason });
        }
        for code in [301, 302, 307, 401, 403, 404, 405, 408, 409, 425, 429, 500, 502, 503, 504] {
            let wait = Some(Duration::from_secs(7));
            let answer = Answer::of_status(StatusCode::from_u16(code).unwrap(), wait);
            let hint = if code < 400 { ", and redirects are not followed" } else { "" };
            assert_eq!(answer, Answer::RetryLater { reason: format!("answered {code}{hint}"), wait });
        }
    }
}

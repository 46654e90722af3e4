//! The clock of AWS, as the answers' `Date` header tells it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_cloudformation::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_cloudformation::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_cloudformation::error::BoxError;
use aws_sdk_cloudformation::primitives::{DateTime, DateTimeFormat};

/// Notes how far a service's clock is ahead of this machine's.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerClock(Arc<Mutex<Option<i64>>>);

impl ServerClock {
    /// The offset in seconds at the last answer.
    pub(super) fn offset_seconds(&self) -> Option<i64> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, date: &str, now: SystemTime) {
        let server = DateTime::from_str(date, DateTimeFormat::HttpDate).ok().map(|date| date.secs());
        let here = now.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_secs()).ok());
        if let (Some(server), Some(here)) = (server, here) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(server.saturating_sub(here));
        }
    }
}

impl Intercept for ServerClock {
    fn name(&self) -> &'static str {
        "ServerClock"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        _configuration: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if let Some(date) = context.response().headers().get("date") {
            self.note(date, SystemTime::now());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_offset_is_positive_where_the_service_is_ahead() {
        let clock = ServerClock::default();
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        for (date, offset) in [("Thu, 01 Jan 1970 00:17:40 GMT", 60), ("Thu, 01 Jan 1970 00:16:10 GMT", -30)] {
            clock.note(date, now);
            assert_eq!(clock.offset_seconds(), Some(offset));
        }
        clock.note("yesterday", now);
        assert_eq!(clock.offset_seconds(), Some(-30), "what is no date says nothing");
    }
}

//! The rate of calls.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

/// Spaces calls evenly.
///
/// The first one waits too: a run that was cut off a moment ago may have made a call that was not recorded.
#[derive(Debug)]
pub struct RateLimiter {
    distance: Duration,
    next: Instant,
    stop_at: Option<Instant>,
}

impl RateLimiter {
    /// So many calls a minute, and none after `stop_at`.
    #[must_use]
    pub fn per_minute(calls: NonZeroU32, stop_at: Option<Instant>) -> Self {
        let distance = Duration::from_secs(60) / calls.get();
        Self { distance, next: Instant::now() + distance, stop_at }
    }

    /// So many calls a second.
    #[must_use]
    pub fn per_second(calls: NonZeroU32) -> Self {
        let distance = Duration::from_secs(1) / calls.get();
        Self { distance, next: Instant::now() + distance, stop_at: None }
    }

    /// Waits until a call may be made, and says whether one may be made at all: no call starts after the end of the time.
    pub async fn turn(&mut self) -> bool {
        if self.stop_at.is_some_and(|stop_at| stop_at < self.next.max(Instant::now())) {
            return false;
        }
        tokio::time::sleep_until(self.next).await;
        self.next = Instant::now() + self.distance;
        true
    }

    /// Delays every call by at least this long from now.
    pub(crate) fn hold(&mut self, pause: Duration) {
        self.next = self.next.max(Instant::now() + pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_are_spaced_evenly_and_one_may_start_at_the_end_of_the_time_and_none_after_it() {
        let started = Instant::now();
        let mut rate_limiter = RateLimiter::per_second(NonZeroU32::new(10).unwrap());
        for _ in 0..3 {
            assert!(rate_limiter.turn().await);
        }
        assert_eq!(started.elapsed(), Duration::from_millis(300));

        let stop_at = Instant::now() + Duration::from_secs(2);
        let mut rate_limiter = RateLimiter::per_minute(NonZeroU32::new(60).unwrap(), Some(stop_at));
        assert_eq!([rate_limiter.turn().await, rate_limiter.turn().await], [true, true]);
        assert_eq!(Instant::now(), stop_at);
        assert!(!rate_limiter.turn().await);
    }
}

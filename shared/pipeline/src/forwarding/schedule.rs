//! When an event is sent again, and when it is given up.

use std::num::NonZeroU32;
use std::time::Duration;

/// Pause after the first attempt. It triples with each.
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// Maximum pause between two attempts, whatever the receiver asks for.
pub const MAX_PAUSE: Duration = Duration::from_secs(60 * 60);

/// By how much a pause may be shorter or longer, so that events that failed together are not sent again together.
const JITTER: f64 = 0.2;

/// Settings of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardingSettings {
    /// Number of attempts after which an event is given up.
    pub max_attempts: NonZeroU32,
    /// Maximum number of events that are under way at once.
    pub max_under_way: usize,
}

impl Default for ForwardingSettings {
    /// 30 attempts, which take about a day, and 8 at once.
    fn default() -> Self {
        Self { max_attempts: NonZeroU32::MIN.saturating_add(29), max_under_way: 8 }
    }
}

/// The pause after this number of attempts; `random` is at least 0 and below 1. The receiver may ask for a longer one.
pub(super) fn pause(attempts: u32, asked: Option<Duration>, random: f64) -> Duration {
    let factor = 3_u32.saturating_pow(attempts.saturating_sub(1));
    let pause = FIRST_PAUSE.saturating_mul(factor).min(MAX_PAUSE);
    let varied = pause.mul_f64(1.0 - JITTER + 2.0 * JITTER * random.clamp(0.0, 1.0));
    varied.max(asked.unwrap_or_default()).min(MAX_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pauses_grow_up_to_an_hour_and_the_attempts_take_about_a_day() {
        let seconds: Vec<u64> = (1..=8).map(|attempts| pause(attempts, None, 0.5).as_secs()).collect();
        assert_eq!(seconds, [5, 15, 45, 135, 405, 1215, 3600, 3600]);
        let attempts = ForwardingSettings::default().max_attempts.get();
        let all: Duration = (1..attempts).map(|attempts| pause(attempts, None, 0.5)).sum();
        assert_eq!(all.as_secs() / 3600, 23);
        assert_eq!(pause(u32::MAX, None, 0.5), MAX_PAUSE);
    }

    #[test]
    fn a_pause_varies_and_is_never_shorter_than_what_the_receiver_asks_for() {
        assert_eq!((pause(2, None, 0.0).as_secs(), pause(2, None, 1.0).as_secs()), (12, 18));
        assert_eq!(pause(1, Some(Duration::from_secs(60)), 0.5).as_secs(), 60);
        assert_eq!(pause(6, Some(Duration::from_secs(60)), 0.5).as_secs(), 1215);
        assert_eq!(pause(1, Some(Duration::MAX), 0.5), MAX_PAUSE);
    }
}

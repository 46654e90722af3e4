//! The deadline of an invocation.

use std::time::{Duration, SystemTime};

use lambda_runtime::Context;
use tokio::time::Instant;

/// 2000-01-01T00:00:00Z, in milliseconds since 1970. No invocation ends before that, and none may take 30 years.
const YEAR_2000_MILLISECONDS: u64 = 946_684_800_000;

/// The instant by which the work of an invocation must be done: `margin` before Lambda ends it.
pub(crate) fn end_by(context: &Context, margin: Duration) -> Instant {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Instant::now() + remaining(context.deadline, now).saturating_sub(margin)
}

/// The time left until the deadline in the header `lambda-runtime-deadline-ms`, `now` being the time since 1970.
///
/// Lambda sends a timestamp in milliseconds since 1970 (source: AWS, "Using the Lambda runtime API"). `cargo lambda watch` 1.9
/// sends the remaining time, so a deadline before the year 2000 is read as a duration.
fn remaining(deadline_milliseconds: u64, now: Duration) -> Duration {
    let deadline = Duration::from_millis(deadline_milliseconds);
    if deadline_milliseconds < YEAR_2000_MILLISECONDS { deadline } else { deadline.saturating_sub(now) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-21T09:30:00Z.
    const NOW: Duration = Duration::from_millis(1_795_253_400_000);

    fn remaining_milliseconds(deadline: u64) -> u128 {
        remaining(deadline, NOW).as_millis()
    }

    #[test]
    fn a_timestamp_leaves_the_time_until_then() {
        assert_eq!(remaining_milliseconds(1_795_253_415_000), 15_000);
        assert_eq!(remaining_milliseconds(1_795_253_400_000), 0);
    }

    #[test]
    fn a_timestamp_in_the_past_leaves_no_time() {
        assert_eq!(remaining_milliseconds(1_795_253_399_999), 0);
        assert_eq!(remaining_milliseconds(YEAR_2000_MILLISECONDS), 0);
    }

    #[test]
    fn a_value_before_the_year_2000_is_a_duration() {
        assert_eq!(remaining_milliseconds(600_000), 600_000);
        assert_eq!(remaining_milliseconds(0), 0);
        assert_eq!(remaining_milliseconds(YEAR_2000_MILLISECONDS - 1), 946_684_799_999);
    }

    #[tokio::test(start_paused = true)]
    async fn the_margin_is_subtracted_from_both_forms() {
        let margin = Duration::from_secs(1);
        let mut context = Context::default();
        context.deadline = 600_000;
        assert_eq!(end_by(&context, margin) - Instant::now(), Duration::from_secs(599));
        context.deadline = 500;
        assert_eq!(end_by(&context, margin), Instant::now());
        context.deadline = u64::MAX;
        assert!(end_by(&context, margin) > Instant::now());
    }
}

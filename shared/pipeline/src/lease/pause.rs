//! The pause after a run from which our side took nothing.
//!
//! A quorum queue counts how often a message was returned, and drops it in the end (RabbitMQ 4: after 20 returns, unless the
//! queue says otherwise). So a run that had to requeue messages because of us leaves a pause in the lease, and what refused
//! them must first accept something else before the broker is connected to again.

use std::fmt;
use std::time::Duration;

use intake_providers::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// Pause after the first run that failed. It doubles with each further one.
pub const MIN_PAUSE: Duration = Duration::from_secs(60);

/// Maximum pause.
pub const MAX_PAUSE: Duration = Duration::from_secs(60 * 60);

/// The largest refused document that is kept for the next run's proof, in bytes. A lease's item holds 400 KB on DynamoDB.
pub const MAX_REFUSED_MESSAGE_BYTES: usize = 256 * 1024;

/// No run before its end, and what the first one after it must have accepted before it takes a message. It stays in the lease
/// until a run succeeds, so that pauses grow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// When the next run may take messages; a whole second.
    pub until: Timestamp,
    /// Number of runs in a row that failed because of us.
    pub failed_runs: u32,
    /// The reason of the pause.
    pub reason: PauseReason,
    /// A document that our queue refused. The next run sends it first. Its message is still on the provider's queue.
    pub refused: Option<RefusedMessage>,
}

impl Pause {
    /// The pause after one more run that failed.
    pub(crate) fn after(
        previous: Option<&Self>,
        now: Timestamp,
        reason: PauseReason,
        refused: Option<RefusedMessage>,
    ) -> Self {
        let failed_runs = previous.map_or(0, |pause| pause.failed_runs).saturating_add(1);
        let doublings = failed_runs.saturating_sub(1).min(16);
        let length = MIN_PAUSE.saturating_mul(1 << doublings).min(MAX_PAUSE);
        let refused = refused.or_else(|| previous.and_then(|pause| pause.refused.clone()));
        // A whole second, as every store can hold it, and not earlier.
        let end = now.plus(length);
        let into_second = end.unix_milliseconds().rem_euclid(1_000).unsigned_abs();
        let until = if into_second == 0 { end } else { end.plus(Duration::from_millis(1_000 - into_second)) };
        Self { until, failed_runs, reason, refused }
    }
}

/// What failed before a pause.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum PauseReason {
    /// Our queue took none of a batch, or didn't answer.
    QueueUnavailable,
    /// The store for large bodies refused one.
    PayloadsUnavailable,
    /// Our queue refused single messages, one of which is close to being dropped.
    MessagesRefused,
    /// A defect of ours ended the run.
    Panic,
}

impl PauseReason {
    /// The reason as logs and stores name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A document that our queue refused, as the lease keeps it. It was made of a verified delivery, and only the lease's store
/// makes it of text again. `Debug` doesn't show it, because it holds a body.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RefusedMessage(String);

impl RefusedMessage {
    /// A document as the lease's store has it.
    #[must_use]
    pub const fn stored(text: String) -> Self {
        Self(text)
    }

    /// The document's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RefusedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RefusedMessage({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_doubles_with_each_failed_run_up_to_an_hour() {
        let mut previous = None;
        let mut minutes = Vec::new();
        for _ in 0..9 {
            let now = Timestamp::EPOCH;
            let pause = Pause::after(previous.as_ref(), now, PauseReason::QueueUnavailable, None);
            minutes.push(pause.until.unix_seconds() / 60);
            previous = Some(pause);
        }
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        let many = Pause { failed_runs: u32::MAX, ..previous.unwrap() };
        let pause = Pause::after(Some(&many), Timestamp::EPOCH, PauseReason::Panic, None);
        assert_eq!((pause.until.unix_seconds(), pause.failed_runs), (3_600, u32::MAX));
        let odd = Timestamp::EPOCH.plus(Duration::from_millis(1));
        let pause = Pause::after(None, odd, PauseReason::Panic, None);
        assert_eq!(pause.until.unix_milliseconds(), 61_000, "a whole second");
    }

    #[test]
    fn a_reason_is_read_as_it_is_written_and_a_body_is_not_shown() {
        for reason in PauseReason::VARIANTS {
            assert_eq!(reason.as_str().parse(), Ok(*reason));
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
        }
        assert_eq!(format!("{:?}", RefusedMessage::stored("secret".to_owned())), "RefusedMessage(6 bytes)");
    }
}

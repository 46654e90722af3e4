//! The resync's counters.

use super::report::{Reason, RunOutcome};

/// Counts a call that was accepted.
pub(super) fn count_accepted() {
    metrics::counter!("resync_accepted").increment(1);
}

/// Counts a call that was not accepted.
pub(super) fn count_not_accepted(reason: Reason) {
    metrics::counter!("resync_refused", "reason" => reason.as_str()).increment(1);
}

/// Counts a run that is complete, if it was about everything, or that failed. A run that ran out of time or was throttled
/// is neither: the next one continues it.
pub(super) fn count_run(outcome: &RunOutcome, is_about_everything: bool) {
    match outcome {
        RunOutcome::Complete if is_about_everything => metrics::counter!("resync_completed").increment(1),
        RunOutcome::Incomplete | RunOutcome::CredentialsWrong | RunOutcome::ResumePoint(_) => {
            metrics::counter!("resync_failed").increment(1);
        }
        RunOutcome::Complete | RunOutcome::OutOfTime | RunOutcome::ToldToWait { .. } | RunOutcome::TakenOver => {}
    }
}

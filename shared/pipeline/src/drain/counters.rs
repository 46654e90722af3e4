//! The drain's counters.

use intake_providers::ProviderName;

/// Counts a message that the broker sent.
pub(super) fn count_received(provider: ProviderName) {
    metrics::counter!("received", "provider" => provider.as_str()).increment(1);
}

/// Counts a message that is durable on our queue.
pub(super) fn count_accepted(provider: ProviderName) {
    metrics::counter!("accepted", "provider" => provider.as_str()).increment(1);
}

/// Counts a message that was requeued.
pub(super) fn count_returned(provider: ProviderName) {
    metrics::counter!("returned", "provider" => provider.as_str()).increment(1);
}

/// Counts a run that ended as it should.
pub(super) fn count_drained(provider: ProviderName) {
    metrics::counter!("drained", "provider" => provider.as_str()).increment(1);
}

/// Counts a run that found another one at work.
pub(super) fn count_busy(provider: ProviderName) {
    metrics::counter!("drain_busy", "provider" => provider.as_str()).increment(1);
}

/// Counts a run that did not begin because of a pause.
pub(super) fn count_paused(provider: ProviderName) {
    metrics::counter!("drain_paused", "provider" => provider.as_str()).increment(1);
}

/// Counts a run that failed: once by its reason, and once without one, which is what the alarm watches.
pub(super) fn count_failed(provider: ProviderName, reason: &'static str) {
    metrics::counter!("drain_failed", "provider" => provider.as_str()).increment(1);
    metrics::counter!("drain_failed", "provider" => provider.as_str(), "reason" => reason).increment(1);
}

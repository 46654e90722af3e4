//! The intake's counters.

use intake_providers::ProviderName;
use intake_providers::answer::{Fault, Rejection};

/// Counts a request.
pub(super) fn count_received(provider: ProviderName) {
    metrics::counter!("received", "provider" => provider.as_str()).increment(1);
}

/// Counts a delivery that is durable.
pub(super) fn count_accepted(provider: ProviderName) {
    metrics::counter!("accepted", "provider" => provider.as_str()).increment(1);
}

/// Counts a request that was at fault.
pub(super) fn count_rejection(provider: ProviderName, rejection: &Rejection) {
    metrics::counter!("rejected", "provider" => provider.as_str(), "reason" => rejection.reason()).increment(1);
}

/// Counts a request that failed through a fault of ours.
pub(super) fn count_fault(provider: ProviderName, fault: Fault) {
    metrics::counter!("rejected", "provider" => provider.as_str(), "reason" => fault.reason()).increment(1);
}

/// Counts a delivery that may or may not be on the queue.
pub(super) fn count_unknown(provider: ProviderName) {
    metrics::counter!("unknown", "provider" => provider.as_str()).increment(1);
}

//! The counters: the only list of them.
//!
//! There is a type for each set of dimensions, so no flow can count with dimensions that no alarm watches. Each combination of
//! a name and values of its dimensions is a metric that CloudWatch charges for; what an alarm or a dashboard doesn't need is in
//! the log lines only.

use intake_providers::ProviderName;
use intake_providers::answer::Rejection;
use strum::{IntoStaticStr, VariantArray};

/// A counter without a dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum Counter {
    /// Events that were recorded as a conflict.
    Conflict,
    /// Events that were quarantined.
    Quarantined,
    /// Records that failed and stay on the queue.
    Failed,
    /// Tokens given to clients.
    TokensIssued,
    /// Token requests of an unknown client, or with a wrong secret.
    TokensUnverified,
    /// Token requests that got no token because of us.
    TokensFaults,
    /// Calls to NurtureCloud that it accepted.
    ResyncAccepted,
    /// Calls that it did not accept.
    ResyncRefused,
    /// Runs that requested everything that was due.
    ResyncCompleted,
    /// Runs that failed.
    ResyncFailed,
}

/// A counter with the dimension `provider`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum ProviderCounter {
    /// Deliveries that are durable.
    Accepted,
    /// Requests that were answered "send it again".
    Faults,
    /// Requests whose proof was missing, malformed or did not hold.
    Unverified,
    /// Deliveries that may or may not be on the queue. They are among the faults.
    Unknown,
    /// Events that were stored.
    Stored,
    /// Events that were duplicates.
    Duplicate,
    /// Events that were repeats.
    Repeat,
    /// Messages that were requeued.
    Returned,
    /// Runs of the drain that ended as they should.
    Drained,
    /// Runs that failed.
    DrainFailed,
    /// Runs that did not begin because of a pause.
    DrainPaused,
}

impl Counter {
    pub(crate) fn count(self) {
        let name: &'static str = self.into();
        metrics::counter!(name).increment(1);
    }
}

impl ProviderCounter {
    pub(crate) fn count(self, provider: ProviderName) {
        let name: &'static str = self.into();
        metrics::counter!(name, "provider" => provider.as_str()).increment(1);
    }
}

/// Counts a rejected request by its reason, which is the counter's only dimension.
pub(crate) fn count_rejected(rejection: &Rejection) {
    metrics::counter!("rejected", "reason" => rejection.reason()).increment(1);
}

/// Writes whether a run of the drain found another consumer, as 1 or 0: the minimum over a period is 1 if every run did, however
/// often one is scheduled. A histogram writes both, while a counter that stays 0 writes nothing.
pub(crate) fn record_drain_busy(provider: ProviderName, is_busy: bool) {
    metrics::histogram!("drain_busy", "provider" => provider.as_str()).record(if is_busy { 1.0 } else { 0.0 });
}

#[cfg(test)]
mod tests {
    use intake_providers::registry::webhook_route;

    use super::*;

    /// CloudWatch charges for each metric.
    const MAX_SERIES: usize = 70;

    /// What the stack's metric filters on the access log of its API count.
    const FROM_THE_ACCESS_LOG: [&str; 2] = ["unrouted", "unanswered"];

    fn can_count(counter: ProviderCounter, provider: ProviderName) -> bool {
        let is_webhook = webhook_route(provider).is_some();
        match counter {
            ProviderCounter::Accepted
            | ProviderCounter::Stored
            | ProviderCounter::Duplicate
            | ProviderCounter::Repeat => true,
            ProviderCounter::Faults | ProviderCounter::Unverified | ProviderCounter::Unknown => is_webhook,
            ProviderCounter::Returned
            | ProviderCounter::Drained
            | ProviderCounter::DrainFailed
            | ProviderCounter::DrainPaused => !is_webhook,
        }
    }

    fn series() -> usize {
        let providers = ProviderName::ALL;
        let of_providers: usize = ProviderCounter::VARIANTS
            .iter()
            .map(|counter| providers.iter().filter(|provider| can_count(*counter, **provider)).count())
            .sum();
        let of_drains = providers.iter().filter(|provider| webhook_route(**provider).is_none()).count();
        Counter::VARIANTS.len() + of_providers + Rejection::REASONS.len() + of_drains + FROM_THE_ACCESS_LOG.len()
    }

    #[test]
    fn all_series_together_are_few_enough_to_pay_for() {
        assert!(series() <= MAX_SERIES, "{}", series());
    }

    #[test]
    fn the_page_for_operators_names_each_counter_and_the_number_of_series() {
        let page = include_str!("../../../docs/operations.md");
        let plain = Counter::VARIANTS.iter().map(<&str>::from);
        let of_providers = ProviderCounter::VARIANTS.iter().map(<&str>::from);
        for name in plain.chain(of_providers).chain(["rejected", "drain_busy"]).chain(FROM_THE_ACCESS_LOG) {
            assert!(page.contains(&format!("`{name}`")), "docs/operations.md does not name {name}");
        }
        assert!(page.contains(&format!("these are {} metrics", series())), "there are {} series", series());
    }
}

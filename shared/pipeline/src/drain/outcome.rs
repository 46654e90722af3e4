//! How a run of the drain ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use providers::provider::Provider;

use super::ports::BrokerFailure;
use crate::telemetry;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainOutcome {
    /// There was nothing on the queues.
    Idle,
    /// The queues were emptied.
    Drained,
    /// The budget of messages is used up; the next run goes on.
    BudgetReached,
    /// The time is used up; the next run goes on.
    TimeUp,
    /// Somebody else is at work: the lease is taken, or the queue has a consumer.
    HeldByAnother(Holder),
    /// The run could not begin, or had to end.
    Failed(DrainFailure),
}

/// Who else is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Another run has the lease.
    Lease,
    /// The broker refuses an exclusive consumer.
    Queue,
}

/// Why a run failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainFailure {
    /// The settings are incomplete or wrong.
    ConfigurationInvalid,
    /// The lease could not be asked for.
    LeaseUnavailable,
    /// Another run took the lease over. This one ended in an orderly way.
    LeaseLost,
    /// The secret could not be read.
    SecretsUnavailable,
    /// The secret holds no usable account.
    AccountUnusable,
    /// Our queue does not answer, or took none of a whole batch.
    QueueUnavailable,
    /// Our queue refused single messages; they are back on theirs.
    MessagesRefused,
    /// The broker could not be connected to, or the queue not consumed.
    CannotConsume(BrokerFailure),
    /// What was begun broke off. What was not acknowledged comes again.
    BrokenOff(BrokerFailure),
    /// A defect of ours, caught.
    Panic,
}

impl DrainFailure {
    /// The reason as logs and metrics name it.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::ConfigurationInvalid => "configuration-invalid",
            Self::LeaseUnavailable => "lease-unavailable",
            Self::LeaseLost => "lease-lost",
            Self::SecretsUnavailable => "secrets-unavailable",
            Self::AccountUnusable => "account-unusable",
            Self::QueueUnavailable => "queue-unavailable",
            Self::MessagesRefused => "messages-refused",
            Self::CannotConsume(failure) | Self::BrokenOff(failure) => failure.reason(),
            Self::Panic => "panic",
        }
    }
}

impl DrainOutcome {
    /// The outcome as logs name it, and its reason where there is one.
    #[must_use]
    pub const fn in_words(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Idle => ("idle", None),
            Self::Drained => ("drained", None),
            Self::BudgetReached => ("budget-reached", None),
            Self::TimeUp => ("time-up", None),
            Self::HeldByAnother(Holder::Lease) => ("held-by-another", Some("lease-taken")),
            Self::HeldByAnother(Holder::Queue) => ("held-by-another", Some("queue-in-use")),
            Self::Failed(DrainFailure::CannotConsume(failure)) => ("cannot-consume", Some(failure.reason())),
            Self::Failed(DrainFailure::BrokenOff(failure)) => ("broken-off", Some(failure.reason())),
            Self::Failed(failure) => ("failed", Some(failure.reason())),
        }
    }
}

/// What a run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// How it ended.
    pub outcome: DrainOutcome,
    /// Messages that the broker sent.
    pub received: u64,
    /// Messages that our queue took.
    pub accepted: u64,
    /// Messages that were acknowledged after that. Fewer than `accepted` when the connection broke: those come again.
    pub acknowledged: u64,
    /// Messages that were put back on their queue.
    pub returned: u64,
    /// Messages that the broker had handed over before.
    pub redelivered: u64,
    /// How long it took.
    pub duration: Duration,
}

/// The counts of a run, as it goes along.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) received: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    pub(super) returned: AtomicU64,
    pub(super) redelivered: AtomicU64,
    /// Messages that could not be stored, or that our queue refused one by one.
    pub(super) refused: AtomicU64,
}

impl Tally {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn of(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    pub(super) fn report(&self, outcome: DrainOutcome, duration: Duration) -> DrainReport {
        DrainReport {
            outcome,
            received: Self::of(&self.received),
            accepted: Self::of(&self.accepted),
            acknowledged: Self::of(&self.acknowledged),
            returned: Self::of(&self.returned),
            redelivered: Self::of(&self.redelivered),
            duration,
        }
    }
}

impl DrainReport {
    /// The report of a run that could not even begin.
    #[must_use]
    pub fn not_begun(failure: DrainFailure) -> Self {
        Tally::default().report(DrainOutcome::Failed(failure), Duration::ZERO)
    }

    /// Writes the run's line and counters.
    pub fn write(&self, provider: Provider) {
        let (outcome, reason) = self.outcome.in_words();
        match self.outcome {
            DrainOutcome::Failed(failure) => telemetry::count_drain_failed(provider, failure.reason()),
            DrainOutcome::HeldByAnother(_) => telemetry::count_drain_busy(provider),
            DrainOutcome::Idle | DrainOutcome::Drained | DrainOutcome::BudgetReached | DrainOutcome::TimeUp => {
                telemetry::count_drained(provider);
            }
        }
        tracing::info!(
            provider = provider.as_str(),
            outcome,
            reason,
            received = self.received,
            accepted = self.accepted,
            acknowledged = self.acknowledged,
            returned = self.returned,
            redelivered = self.redelivered,
            duration_microseconds = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX),
            "drain"
        );
    }
}

//! How a run of the drain ends.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use intake_providers::ProviderName;
use intake_providers::timestamp::Timestamp;
use strum::IntoStaticStr;

use super::broker::BrokerFailure;
use super::window::Proven;
use crate::counters::{ProviderCounter, record_drain_busy};
use crate::lease::pause::{MAX_REFUSED_MESSAGE_BYTES, Pause, PauseReason, RefusedMessage};

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
    /// Earlier runs failed because of us, and their pause is not over.
    Paused(PauseReason),
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
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
    /// The store for large bodies refused one.
    PayloadsUnavailable,
    /// Our queue refused single messages; they are back on theirs.
    MessagesRefused,
    /// The broker could not be connected to, or the queue not consumed.
    CannotConsume(BrokerFailure),
    /// The connection broke. Unacknowledged messages will be redelivered.
    BrokenOff(BrokerFailure),
    /// A defect of ours, caught.
    Panic,
}

impl DrainFailure {
    /// The reason as logs name it.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::CannotConsume(failure) | Self::BrokenOff(failure) => failure.reason(),
            _ => self.into(),
        }
    }

    /// What a pause is for after this failure; none if our side is not to blame.
    pub(super) const fn pause_reason(self) -> Option<PauseReason> {
        match self {
            Self::QueueUnavailable => Some(PauseReason::QueueUnavailable),
            Self::PayloadsUnavailable => Some(PauseReason::PayloadsUnavailable),
            Self::MessagesRefused => Some(PauseReason::MessagesRefused),
            Self::Panic => Some(PauseReason::Panic),
            Self::ConfigurationInvalid
            | Self::LeaseUnavailable
            | Self::LeaseLost
            | Self::SecretsUnavailable
            | Self::AccountUnusable
            | Self::CannotConsume(_)
            | Self::BrokenOff(_) => None,
        }
    }
}

impl DrainOutcome {
    /// The outcome as logs name it, and its reason where there is one.
    #[must_use]
    pub fn names(self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Idle => ("idle", None),
            Self::Drained => ("drained", None),
            Self::BudgetReached => ("budget-reached", None),
            Self::TimeUp => ("time-up", None),
            Self::HeldByAnother(Holder::Lease) => ("held-by-another", Some("lease-taken")),
            Self::HeldByAnother(Holder::Queue) => ("held-by-another", Some("queue-in-use")),
            Self::Paused(reason) => ("paused", Some(reason.as_str())),
            Self::Failed(DrainFailure::CannotConsume(failure)) => ("cannot-consume", Some(failure.reason())),
            Self::Failed(DrainFailure::BrokenOff(failure)) => ("broken-off", Some(failure.reason())),
            Self::Failed(failure) => ("failed", Some(failure.reason())),
        }
    }

    /// Whether the run found another consumer; `None` if it did not get as far as the lease.
    const fn is_busy(self) -> Option<bool> {
        match self {
            Self::HeldByAnother(Holder::Lease | Holder::Queue) => Some(true),
            Self::Failed(DrainFailure::ConfigurationInvalid | DrainFailure::LeaseUnavailable) => None,
            Self::Idle | Self::Drained | Self::BudgetReached | Self::TimeUp | Self::Paused(_) | Self::Failed(_) => {
                Some(false)
            }
        }
    }

    /// The counter of runs that end like this; `drain_busy` has those that found another consumer.
    const fn counter(self) -> Option<ProviderCounter> {
        match self {
            Self::Idle | Self::Drained | Self::BudgetReached | Self::TimeUp => Some(ProviderCounter::Drained),
            Self::HeldByAnother(_) => None,
            Self::Paused(_) => Some(ProviderCounter::DrainPaused),
            Self::Failed(_) => Some(ProviderCounter::DrainFailed),
        }
    }
}

/// Maximum number of returns of a message before a run that returned it leaves a pause although our queue took others. By default a
/// quorum queue of RabbitMQ 4 drops or dead-letters a message after 20 returns.
const MAX_RETURNS_UNPAUSED: u64 = 10;

/// What a run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainReport {
    /// How it ended.
    pub outcome: DrainOutcome,
    /// Messages that the broker sent.
    pub received: u64,
    /// Messages that our queue took.
    pub accepted: u64,
    /// Messages that were acknowledged after that. Fewer than `accepted` if the connection broke: the rest will be redelivered.
    pub acknowledged: u64,
    /// Messages that were requeued.
    pub returned: u64,
    /// Messages that had been delivered before.
    pub redelivered: u64,
    /// Maximum size of the bodies in memory, in bytes.
    pub peak_body_bytes: u64,
    /// Until when no run may begin, where this one failed because of us or met a pause.
    pub paused_until: Option<Timestamp>,
    /// How long it took.
    pub duration: Duration,
}

/// The counts of a run, as it goes along.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) received: AtomicU64,
    pub(super) accepted: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    pub(super) returned: AtomicU64,
    pub(super) redelivered: AtomicU64,
    /// Messages that could not be stored, or that our queue refused one by one.
    pub(super) refused: AtomicU64,
    /// Greatest number of returns among the requeued messages, as counted by their queue.
    pub(super) most_returns: AtomicU64,
    pub(super) peak_body_bytes: AtomicU64,
    pub(super) queue_proven: AtomicBool,
    pub(super) payloads_proven: AtomicBool,
    /// A document for the next run's proof.
    pub(super) refused_document: Mutex<Option<RefusedMessage>>,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn of(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    pub(super) fn proven(&self) -> Proven {
        Proven {
            queue: self.queue_proven.load(Ordering::Relaxed),
            payloads: self.payloads_proven.load(Ordering::Relaxed),
        }
    }

    /// Keeps a document that our queue refused, if it is the smallest so far and small enough for the lease.
    pub(super) fn keep_refused(&self, document: &str) {
        let mut kept = self.refused_document.lock().unwrap_or_else(PoisonError::into_inner);
        let size_bytes = kept.as_ref().map_or(MAX_REFUSED_MESSAGE_BYTES + 1, |kept| kept.as_str().len());
        if document.len() < size_bytes {
            *kept = Some(RefusedMessage::stored(document.to_owned()));
        }
    }

    /// Our queue accepted a document, so it does not refuse them all: what it refused before says nothing of the next run.
    pub(super) fn queue_accepted(&self) {
        self.queue_proven.store(true, Ordering::Relaxed);
        self.refused_document.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The pause that a run leaves: a longer one after messages had to be requeued because of us, or after nothing but a proof
    /// was refused; none after a run that our side took something from, or that found nothing; else the one that it met.
    pub(super) fn pause_after(&self, outcome: DrainOutcome, met: Option<Pause>, now: Timestamp) -> Option<Pause> {
        let DrainOutcome::Failed(failure) = outcome else {
            let is_over = outcome != DrainOutcome::TimeUp || Self::of(&self.accepted) > 0;
            return if is_over { None } else { met };
        };
        let requeued = Self::of(&self.received) > Self::of(&self.acknowledged);
        let counts = match failure {
            // What other messages got through is not to be held up, until one is close to being dropped.
            DrainFailure::MessagesRefused => Self::of(&self.most_returns) >= MAX_RETURNS_UNPAUSED,
            _ => requeued || met.is_some(),
        };
        match failure.pause_reason() {
            Some(reason) if counts => {
                let refused = self.refused_document.lock().unwrap_or_else(PoisonError::into_inner).take();
                let refused = refused.filter(|_| reason == PauseReason::QueueUnavailable);
                Some(Pause::after(met.as_ref(), now, reason, refused))
            }
            _ if Self::of(&self.accepted) > 0 => None,
            _ => met,
        }
    }

    pub(super) fn report(&self, outcome: DrainOutcome, duration: Duration) -> DrainReport {
        DrainReport {
            outcome,
            received: Self::of(&self.received),
            accepted: Self::of(&self.accepted),
            acknowledged: Self::of(&self.acknowledged),
            returned: Self::of(&self.returned),
            redelivered: Self::of(&self.redelivered),
            peak_body_bytes: Self::of(&self.peak_body_bytes),
            paused_until: None,
            duration,
        }
    }
}

impl DrainReport {
    /// The report of a run that could not even begin.
    #[must_use]
    pub fn not_begun(failure: DrainFailure) -> Self {
        Counters::default().report(DrainOutcome::Failed(failure), Duration::ZERO)
    }

    /// Writes the run's line and counters.
    pub fn write(&self, provider: ProviderName) {
        let (outcome, reason) = self.outcome.names();
        if let Some(counter) = self.outcome.counter() {
            counter.count(provider);
        }
        if let Some(is_busy) = self.outcome.is_busy() {
            record_drain_busy(provider, is_busy);
        }
        tracing::info!(
            provider = provider.as_str(),
            outcome,
            reason,
            paused_until = self.paused_until.map(tracing::field::display),
            received = self.received,
            accepted = self.accepted,
            acknowledged = self.acknowledged,
            returned = self.returned,
            redelivered = self.redelivered,
            peak_body_bytes = self.peak_body_bytes,
            duration_microseconds = u64::try_from(self.duration.as_micros()).unwrap_or(u64::MAX),
            "drain"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_refused_message_is_kept_if_it_has_at_most_256_kib() {
        let counters = Counters::default();
        let kept = || counters.refused_document.lock().unwrap().as_ref().map(|kept| kept.as_str().len());
        for (size_bytes, expected) in
            [(262_145, None), (262_144, Some(262_144)), (300, Some(300)), (262_144, Some(300)), (299, Some(299))]
        {
            counters.keep_refused(&"x".repeat(size_bytes));
            assert_eq!(kept(), expected, "after {size_bytes} bytes");
        }
        counters.queue_accepted();
        assert_eq!(kept(), None);
    }
}

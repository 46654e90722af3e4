//! From a provider's own message queue to ours.
//!
//! A run takes the lease, asks our queue whether it answers, and only then consumes: what is taken must have somewhere to go.
//! Messages become deliveries, go to our queue in batches, and each is acknowledged once our queue has it, and not before. A
//! run takes one message at a time until our queue accepted one, and then as many as their sizes allow (`window`).
//!
//! What our side refuses is requeued, once, when the run ends. The first whole batch or large body that is refused ends the
//! run and leaves a growing pause in the lease, and the run after it must see our side accept something before it connects
//! ([`pause`](crate::lease::pause), `proof`): a quorum queue drops a message that is returned again and again.
//!
//! A run ends when the queue is empty, at its message budget, or shortly before its deadline; then the consumer is cancelled, and
//! messages already delivered are still processed. A run that is cut off at any point loses nothing: what was not
//! acknowledged is redelivered.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use intake_providers::ProviderName;
use intake_providers::amqp::{Account, AccountProblems, QueueName};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use self::broker::{Broker, BrokerError, BrokerFailure, Session};
use self::consumer_run::{ConsumerRun, StopReason};
use self::outcome::Counters;
use self::proof::SentProof;
use crate::clock::Clock;
use crate::lease::pause::{Pause, PauseReason};
use crate::lease::{Lease, LeaseOwner, Taken};
use crate::platform::Platform;
use crate::queue::BatchQueue;
use crate::secrets::Secrets;

pub mod broker;
mod consumer_run;
pub mod outcome;
mod proof;
mod window;

pub use outcome::{DrainFailure, DrainOutcome, DrainReport, Holder};

/// How long before a run's deadline the connection is closed and the lease released, whatever is still in flight.
const CLOSING: Duration = Duration::from_secs(2);

/// Settings of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrainSettings {
    /// Maximum number of unacknowledged messages in flight. Multiplied by the largest body, it must fit into the function's
    /// memory, because that much arrives at once when large bodies follow small ones.
    pub prefetch: u16,
    /// Maximum size of the bodies in memory, in bytes, before the run takes no more. The prefetch follows the sizes of the bodies,
    /// so this is seldom exceeded; when large bodies follow small ones, by those that are in flight already.
    pub in_flight_bytes: usize,
    /// Maximum number of batches in flight to our queue.
    pub batches_in_flight: usize,
    /// How long a partial batch waits for more messages.
    pub linger: Duration,
    /// How long no message may arrive before the queue counts as empty.
    pub idle: Duration,
    /// Maximum number of messages that a run takes.
    pub message_budget: u64,
    /// How long before its deadline a run stops taking messages. Those in flight must be finished in this time.
    pub margin: Duration,
    /// Duration of the lease. It is renewed before it ends; after a run that was killed, the next one waits for its end.
    pub lease: Duration,
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self {
            prefetch: 100,
            in_flight_bytes: 32 * 1024 * 1024,
            batches_in_flight: 16,
            linger: Duration::from_millis(50),
            idle: Duration::from_secs(2),
            message_budget: 1_000_000,
            margin: Duration::from_secs(12),
            lease: Duration::from_secs(30),
        }
    }
}

/// The drain of one provider's queues.
pub struct Drain<P: Platform, B> {
    /// The provider of the queues.
    pub provider: ProviderName,
    /// The provider's broker.
    pub broker: B,
    /// Our queue.
    pub queue: P::Queue,
    /// The store for large bodies.
    pub payloads: P::Payloads,
    /// The secret with the account.
    pub secrets: P::Secrets,
    /// Reads the account from the secret's text.
    pub read_account: fn(&str) -> Result<Account, AccountProblems>,
    /// Keeps other runs out.
    pub lease: P::Lease,
    /// Time and ids.
    pub clock: P::Clock,
    /// The flow's own settings.
    pub settings: DrainSettings,
}

impl<P: Platform, B: Broker> Drain<P, B> {
    /// Consumes the queues until they are empty or `end_by` is near, and writes the run's log line and counters.
    pub async fn run(&self, end_by: Instant) -> DrainReport {
        let started = Instant::now();
        let counters = Counters::default();
        let work = AssertUnwindSafe(self.work_under_lease(end_by, &counters)).catch_unwind();
        let (outcome, pause) = work.await.unwrap_or((DrainOutcome::Failed(DrainFailure::Panic), None));
        let report =
            DrainReport { paused_until: pause.map(|pause| pause.until), ..counters.report(outcome, started.elapsed()) };
        report.write(self.provider);
        report
    }

    async fn work_under_lease(&self, end_by: Instant, counters: &Counters) -> (DrainOutcome, Option<Pause>) {
        let owner = LeaseOwner(self.clock.new_delivery_id(self.clock.now()).to_string());
        let now = self.clock.now();
        let mut met = match self.lease.take(&owner, now, now.plus(self.settings.lease)).await {
            Ok(Taken::Ours(met)) => met,
            Ok(Taken::HeldByAnother) => return (DrainOutcome::HeldByAnother(Holder::Lease), None),
            Ok(Taken::Paused(pause)) => {
                tracing::info!(
                    provider = %self.provider, until = %pause.until, reason = %pause.reason, failed_runs = pause.failed_runs,
                    "runs are paused after our side refused messages; nothing is taken until the pause is over or lifted"
                );
                return (DrainOutcome::Paused(pause.reason), Some(pause));
            }
            Err(error) => {
                tracing::error!(provider = %self.provider, %error, "the lease cannot be asked for");
                return (DrainOutcome::Failed(DrainFailure::LeaseUnavailable), None);
            }
        };
        let outcome = self.work_while_held(&owner, end_by, &mut met, counters).await;
        let pause = counters.pause_after(outcome, met, self.clock.now());
        if let Err(error) = self.lease.release(&owner, pause.as_ref()).await {
            tracing::warn!(provider = %self.provider, %error, "the lease cannot be released; it ends by itself");
        }
        let pause = pause.filter(|pause| pause.until > self.clock.now());
        if let Some(Pause { until, reason, failed_runs, .. }) = &pause {
            tracing::warn!(
                provider = %self.provider, %until, %reason, failed_runs,
                "our side refused messages; no run takes any until the pause is over or lifted"
            );
        }
        (outcome, pause)
    }

    /// A panic is caught here, so that it leaves a pause as well: closing the connection requeues messages.
    async fn work_while_held(
        &self,
        owner: &LeaseOwner,
        end_by: Instant,
        met: &mut Option<Pause>,
        counters: &Counters,
    ) -> DrainOutcome {
        let (tell_lost, told_lost) = watch::channel(false);
        let work = AssertUnwindSafe(self.work(owner, end_by, met, &told_lost, counters)).catch_unwind();
        let mut work = std::pin::pin!(work);
        let outcome = tokio::select! {
            // Work that is done has nothing to learn of a lease that is lost in the same moment.
            biased;
            outcome = &mut work => outcome,
            () = self.keep_lease(owner) => {
                let _ = tell_lost.send(true);
                work.await
            }
        };
        outcome.unwrap_or(DrainOutcome::Failed(DrainFailure::Panic))
    }

    /// Renews the lease until it is lost.
    async fn keep_lease(&self, owner: &LeaseOwner) {
        let mut held_until = Instant::now() + self.settings.lease;
        loop {
            tokio::time::sleep(self.settings.lease / 3).await;
            let renewed_at = Instant::now();
            match self.lease.renew(owner, self.clock.now().plus(self.settings.lease)).await {
                Ok(true) => held_until = renewed_at + self.settings.lease,
                Ok(false) => break,
                Err(error) => {
                    tracing::warn!(provider = %self.provider, %error, "the lease cannot be renewed just now");
                    if Instant::now() >= held_until {
                        break;
                    }
                }
            }
        }
        tracing::error!(provider = %self.provider, "the lease is lost; this run ends");
    }

    async fn work(
        &self,
        owner: &LeaseOwner,
        end_by: Instant,
        met: &mut Option<Pause>,
        lease_lost: &watch::Receiver<bool>,
        counters: &Counters,
    ) -> DrainOutcome {
        let finish_by = end_by.checked_sub(CLOSING).unwrap_or(end_by);
        let failed = |failure| DrainOutcome::Failed(failure);
        if let Err(error) = self.queue.check().await {
            tracing::error!(provider = %self.provider, %error, "our queue does not answer, so nothing is taken");
            return failed(DrainFailure::QueueUnavailable);
        }
        let account = match self.account().await {
            Ok(account) => account,
            Err(failure) => return failed(failure),
        };
        let proof = match self.prove(owner, met, counters).await {
            Ok(proof) => proof,
            Err(failure) => return failed(failure),
        };
        let connecting = timeout_at(finish_by, self.broker.connect(&account.connection)).await;
        let session = match connecting.unwrap_or_else(|_elapsed| Err(too_late())) {
            Ok(session) => session,
            Err(error) => {
                tracing::error!(provider = %self.provider, %error, "the broker cannot be connected to");
                return failed(DrainFailure::CannotConsume(error.failure));
            }
        };
        let outcome = self.empty_queues(&session, &account, &proof, end_by, finish_by, lease_lost, counters).await;
        match timeout_at(end_by, session.close()).await {
            Ok(Ok(())) => {}
            // Where the connection broke there is nothing to close.
            Ok(Err(error)) => tracing::debug!(provider = %self.provider, %error, "the connection was not closed"),
            Err(_elapsed) => tracing::warn!(provider = %self.provider, "the connection did not close in time"),
        }
        outcome
    }

    /// What our side refused before a pause, it must accept before anything is taken.
    async fn prove(
        &self,
        owner: &LeaseOwner,
        met: &mut Option<Pause>,
        counters: &Counters,
    ) -> Result<SentProof, DrainFailure> {
        let Some(pause) = met else { return Ok(SentProof::default()) };
        let proving = proof::prove(self.provider, pause, &self.queue, &self.payloads, counters).await;
        let sent = proving.map_err(|error| {
            tracing::error!(provider = %self.provider, %error, "our side still refuses, so nothing is taken");
            match pause.reason {
                PauseReason::PayloadsUnavailable if !counters.proven().payloads => DrainFailure::PayloadsUnavailable,
                _ => DrainFailure::QueueUnavailable,
            }
        })?;
        if pause.refused.take().is_none() {
            return Ok(sent);
        }
        // Before its message is acknowledged without being sent again, the document must be gone from the lease. A run that
        // found it there once more would mistake another, equal message for this one.
        match self.lease.replace_pause(owner, pause).await {
            Ok(true) => Ok(sent),
            Ok(false) => Ok(SentProof::default()),
            Err(error) => {
                tracing::warn!(provider = %self.provider, %error, "a document that was sent stays in the lease");
                Ok(SentProof::default())
            }
        }
    }

    async fn account(&self) -> Result<Account, DrainFailure> {
        let secret = self.secrets.fetch().await.map_err(|error| {
            tracing::error!(provider = %self.provider, %error, "the secret cannot be read");
            DrainFailure::SecretsUnavailable
        })?;
        let account = (self.read_account)(secret.reveal()).map_err(|problems| {
            tracing::error!(provider = %self.provider, %problems, "the account cannot be used");
            DrainFailure::AccountUnusable
        })?;
        if !account.connection.tls {
            tracing::warn!(
                provider = %self.provider,
                "the connection is not encrypted: login and events can be read and changed on the way"
            );
        }
        Ok(account)
    }

    /// Empties the main queue, then the replay queue in the time that is left.
    #[expect(clippy::too_many_arguments, reason = "a run's own state, passed on once")]
    async fn empty_queues(
        &self,
        session: &B::Session,
        account: &Account,
        proof: &SentProof,
        end_by: Instant,
        finish_by: Instant,
        lease_lost: &watch::Receiver<bool>,
        counters: &Counters,
    ) -> DrainOutcome {
        let mut stop_reason = StopReason::Empty;
        let queues: Vec<&QueueName> = std::iter::once(&account.queue).chain(&account.replay_queue).collect();
        for queue in queues {
            let consumer_run = ConsumerRun::<P> {
                provider: self.provider,
                queue: &self.queue,
                payloads: &self.payloads,
                clock: &self.clock,
                settings: &self.settings,
                account,
                from: queue,
                counters,
                proof,
            };
            let prefetch = consumer_run.window().prefetch(counters.proven()).unwrap_or(1);
            let consuming = timeout_at(finish_by, session.consume(queue, prefetch)).await;
            let messages = match consuming.unwrap_or_else(|_elapsed| Err(too_late())) {
                Ok(messages) => messages,
                Err(error) if error.failure == BrokerFailure::InUse => {
                    tracing::info!(provider = %self.provider, %queue, %error, "another consumer is at work");
                    return DrainOutcome::HeldByAnother(Holder::Queue);
                }
                Err(error) => {
                    tracing::error!(provider = %self.provider, %queue, %error, "the queue cannot be consumed");
                    return DrainOutcome::Failed(DrainFailure::CannotConsume(error.failure));
                }
            };
            let stop_at = end_by.checked_sub(self.settings.margin).unwrap_or(end_by);
            stop_reason = consumer_run.run(messages, prefetch, stop_at, finish_by, lease_lost.clone()).await;
            if stop_reason != StopReason::Empty {
                break;
            }
        }
        match stop_reason {
            StopReason::Failed(failure) => DrainOutcome::Failed(failure),
            _ if Counters::of(&counters.refused) > 0 => DrainOutcome::Failed(DrainFailure::MessagesRefused),
            StopReason::BudgetReached => DrainOutcome::BudgetReached,
            StopReason::TimeUp => DrainOutcome::TimeUp,
            StopReason::Empty if Counters::of(&counters.received) == 0 => DrainOutcome::Idle,
            StopReason::Empty => DrainOutcome::Drained,
        }
    }
}

fn too_late() -> BrokerError {
    BrokerError { failure: BrokerFailure::Unreachable, message: "the run's time was up before it answered".to_owned() }
}

#[cfg(test)]
mod outages;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

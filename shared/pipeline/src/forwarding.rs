//! From the ledger to a consumer's own endpoint, on one machine.
//!
//! Events are sent in the order in which they were recorded, several at once; of one entity one after the other, so that an entity's
//! later event waits until the earlier one is delivered or given up. Each is sent until the receiver takes it, at least once: a crash
//! between the receiver's answer and our note of it sends the event again. What the receiver refuses for good, and what was attempted
//! too often, becomes a dead letter, which can be put back.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use intake_providers::ProviderName;
use intake_providers::timestamp::Timestamp;
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub use self::outbox::{Due, FailedAttempt, LastAttempt, Outbox, Outgoing, Position};
pub use self::schedule::{ForwardingSettings, MAX_PAUSE};
pub use self::undelivered::{UndeliveredEvent, UndeliveredEvents};
use crate::clock::Clock;
use crate::envelope::{EnvelopeError, EnvelopeWriter, JsonForm, PayloadLocation};
use crate::ledger::{Entry, Occurrence};
use crate::payloads::PayloadReader;
use crate::port_error::PortError;
use crate::receiver::{Answer, Receiver};

mod outbox;
mod schedule;
mod undelivered;

/// The message of the log line for an event that the receiver has taken.
pub const FORWARDED: &str = "event forwarded";

/// The message of the log line for an attempt that failed and is repeated.
pub const FORWARDING_FAILED: &str = "event not forwarded yet";

/// The message of the log line for an event that is a dead letter.
pub const GIVEN_UP: &str = "event not forwarded, and given up";

/// Maximum time between two looks for events. What is recorded wakes the flow; what is put back by another process does not.
const POLL: Duration = Duration::from_millis(500);

/// Pause when the outbox doesn't answer.
const OUTBOX_PAUSE: Duration = Duration::from_secs(1);

/// How long attempts that are under way may take to end after the flow was asked to stop. Those that don't are made again.
const GRACE: Duration = Duration::from_secs(4);

/// Forwards events.
pub struct Forwarder<O, S, R, C> {
    outbox: O,
    envelopes: EnvelopeWriter<S>,
    receiver: R,
    clock: C,
    random: fn() -> f64,
    settings: ForwardingSettings,
    is_receiver_away: AtomicBool,
}

/// An attempt that was made, and how long the receiver wants no other one.
struct Attempted {
    position: Position,
    hold: Option<Duration>,
}

/// The name of an event in a log line. Its id may be content.
#[derive(Clone, Copy, Debug)]
struct EventName {
    provider: ProviderName,
    occurrence: Occurrence,
    received_at: Timestamp,
}

impl<O: Outbox, S: PayloadReader, R: Receiver, C: Clock> Forwarder<O, S, R, C> {
    /// A forwarder on these ports. `random` returns numbers from 0 to 1, for the length of pauses. The receiver gets all data in
    /// the envelopes, because it cannot reach the payload store.
    pub const fn new(
        outbox: O,
        payloads: S,
        receiver: R,
        clock: C,
        random: fn() -> f64,
        settings: ForwardingSettings,
    ) -> Self {
        let envelopes = EnvelopeWriter::new(payloads, PayloadLocation::in_the_envelope());
        Self { outbox, envelopes, receiver, clock, random, settings, is_receiver_away: AtomicBool::new(false) }
    }

    /// Forwards until `stop` is done. There must be no other forwarder on the same outbox.
    pub async fn run(&self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut attempts = FuturesUnordered::new();
        let mut under_way = BTreeSet::new();
        let mut held_until = Instant::now();
        loop {
            let now = Instant::now();
            let room = self.settings.max_under_way.saturating_sub(attempts.len());
            let mut look_at = now + POLL;
            if held_until > now {
                look_at = held_until;
            } else {
                // There is room: without it, nothing but the end of an attempt goes on.
                match self.outbox.due(self.clock.now(), room, &under_way).await {
                    Ok(Due { events, next_at }) => {
                        for event in events {
                            under_way.insert(event.position);
                            // On the heap: the compiler would have to nest the futures of an HTTP client too deeply.
                            attempts.push(Box::pin(self.attempt(event)));
                        }
                        if let Some(next_at) = next_at {
                            look_at = look_at.min(now + self.time_until(next_at));
                        }
                    }
                    Err(error) => {
                        tracing::error!(%error, "the events to forward cannot be read; trying again");
                        look_at = now + OUTBOX_PAUSE;
                    }
                }
            }
            let is_free = held_until <= now && attempts.len() < self.settings.max_under_way;
            tokio::select! {
                () = &mut stop => break,
                Some(Attempted { position, hold }) = attempts.next(), if !attempts.is_empty() => {
                    under_way.remove(&position);
                    if let Some(hold) = hold {
                        held_until = held_until.max(Instant::now() + hold);
                    }
                }
                () = self.outbox.recorded(), if is_free => {}
                () = sleep_until(look_at), if is_free || held_until > now => {}
            }
        }
        let _ = timeout(GRACE, async { while attempts.next().await.is_some() {} }).await;
    }

    /// Sends an event once, and notes what came of it. A line of the log says it only then, because an attempt that isn't noted is
    /// made again.
    async fn attempt(&self, event: Outgoing) -> Attempted {
        let Outgoing { position, entry, failed_attempts } = event;
        let name = entry.as_ref().ok().and_then(|entry| EventName::of(entry));
        let attempts = failed_attempts.saturating_add(1);
        let started = Instant::now();
        let answer = match entry {
            Ok(entry) => self.post(&entry).await,
            Err(reason) => Some(Answer::Refused { reason }),
        };
        let asked = match &answer {
            Some(Answer::RetryLater { wait, .. }) => *wait,
            _ => None,
        };
        let noted = match answer {
            // Nobody expects it, so it is done.
            None => self.outbox.delivered(position).await,
            Some(Answer::Delivered) => self.delivered(position, name, attempts, started.elapsed()).await,
            Some(Answer::RetryLater { reason, wait }) => {
                self.failed(position, name, FailedTry { attempts, reason, wait, is_unanswered: false }).await
            }
            Some(Answer::Unreachable { reason }) => {
                self.is_receiver_away.store(true, Ordering::Relaxed);
                self.failed(position, name, FailedTry { attempts, reason, wait: None, is_unanswered: true }).await
            }
            Some(Answer::Refused { reason }) => self.give_up(position, name, attempts, reason).await,
        };
        if let Err(error) = noted {
            tracing::error!(%error, "what the receiver answered cannot be noted; the event will be sent again");
            sleep(OUTBOX_PAUSE).await;
        }
        Attempted { position, hold: asked.map(|wait| wait.min(MAX_PAUSE)) }
    }

    /// Posts the envelope of an entry; `None` if consumers don't receive it.
    async fn post(&self, entry: &Entry) -> Option<Answer> {
        match self.envelopes.write(entry, JsonForm::Value).await {
            Ok(Some(envelope)) => Some(self.receiver.post(&envelope).await),
            Ok(None) => None,
            Err(EnvelopeError::Port(error)) => Some(Answer::RetryLater { reason: error.to_string(), wait: None }),
            Err(error) => Some(Answer::Refused { reason: error.to_string() }),
        }
    }

    async fn delivered(
        &self,
        position: Position,
        name: Option<EventName>,
        attempts: u32,
        took: Duration,
    ) -> Result<(), PortError> {
        self.outbox.delivered(position).await?;
        let after = name.map(|name| self.clock.now().unix_milliseconds() - name.received_at.unix_milliseconds());
        tracing::info!(
            provider = name.map(|name| name.provider.as_str()),
            delivery_id = name.map(|name| name.occurrence.delivery_id.to_string()),
            index = name.map(|name| name.occurrence.index.0),
            attempts,
            milliseconds_after_arrival = after,
            duration_microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "{FORWARDED}"
        );
        if self.is_receiver_away.swap(false, Ordering::Relaxed) {
            self.outbox.retry_unanswered().await?;
        }
        Ok(())
    }

    async fn failed(&self, position: Position, name: Option<EventName>, failed: FailedTry) -> Result<(), PortError> {
        let FailedTry { attempts, reason, wait, is_unanswered } = failed;
        if attempts >= self.settings.max_attempts.get() {
            return self.give_up(position, name, attempts, reason).await;
        }
        let pause = schedule::pause(attempts, wait, (self.random)());
        let next_at = self.clock.now().plus(pause);
        let attempt = FailedAttempt { attempts, reason: reason.clone(), is_unanswered, next_at };
        self.outbox.retry(position, attempt).await?;
        tracing::warn!(
            provider = name.map(|name| name.provider.as_str()),
            delivery_id = name.map(|name| name.occurrence.delivery_id.to_string()),
            index = name.map(|name| name.occurrence.index.0),
            attempts,
            next_in_seconds = pause.as_secs(),
            error = reason,
            "{FORWARDING_FAILED}"
        );
        Ok(())
    }

    async fn give_up(
        &self,
        position: Position,
        name: Option<EventName>,
        attempts: u32,
        reason: String,
    ) -> Result<(), PortError> {
        let attempt = LastAttempt { attempts, reason: reason.clone(), at: self.clock.now() };
        self.outbox.give_up(position, attempt).await?;
        tracing::error!(
            provider = name.map(|name| name.provider.as_str()),
            delivery_id = name.map(|name| name.occurrence.delivery_id.to_string()),
            index = name.map(|name| name.occurrence.index.0),
            attempts,
            error = reason,
            "{GIVEN_UP}"
        );
        Ok(())
    }

    fn time_until(&self, at: Timestamp) -> Duration {
        let milliseconds = at.unix_milliseconds().saturating_sub(self.clock.now().unix_milliseconds());
        Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
    }
}

/// An attempt that failed and may be repeated.
struct FailedTry {
    attempts: u32,
    reason: String,
    wait: Option<Duration>,
    is_unanswered: bool,
}

impl EventName {
    fn of(entry: &Entry) -> Option<Self> {
        match entry {
            Entry::Event(event) | Entry::Conflict(event) => {
                Some(Self { provider: event.provider, occurrence: event.occurrence, received_at: event.received_at })
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;

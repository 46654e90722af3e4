//! One queue of a run.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use intake_providers::ProviderName;
use intake_providers::amqp::{Account, QueueName};
use intake_providers::delivery::{DeliveryId, VerifiedDelivery};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::DrainSettings;
use super::broker::{BrokerError, BrokerFailure, Messages, Receipt, Received};
use super::outcome::{Counters, DrainFailure};
use super::proof::SentProof;
use super::window::Window;
use crate::clock::Clock;
use crate::counters::ProviderCounter;
use crate::platform::Platform;
use crate::port_error::PortError;
use crate::queue::BatchQueue;
use crate::queue_message::{MAX_BATCH_MESSAGES, MAX_MESSAGE_BYTES, QueueMessage};

/// Number of returns to its queue above which a message is warned of. By default a quorum queue of RabbitMQ 4 drops or
/// dead-letters one after 20.
const MANY_RETURNS: u64 = 5;

/// Maximum number of messages that our queue may refuse one by one before it has accepted any. At this number it counts as
/// refusing all.
const MAX_UNPROVEN_REJECTIONS: u64 = 2;

/// How long requeueing may take after the deadline for everything else.
const MAX_REQUEUE_TIME: Duration = Duration::from_secs(1);

/// Why a queue is no longer consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    Empty,
    BudgetReached,
    TimeUp,
    Failed(DrainFailure),
}

/// Consumes one queue.
pub(super) struct ConsumerRun<'a, P: Platform> {
    pub(super) provider: ProviderName,
    pub(super) queue: &'a P::Queue,
    pub(super) payloads: &'a P::Payloads,
    pub(super) clock: &'a P::Clock,
    pub(super) settings: &'a DrainSettings,
    pub(super) account: &'a Account,
    /// The queue to consume.
    pub(super) from: &'a QueueName,
    pub(super) counters: &'a Counters,
    /// What our queue accepted before the run took a message.
    pub(super) proof: &'a SentProof,
}

/// An unacknowledged message in flight.
struct Outstanding<R> {
    receipt: R,
    delivery_id: DeliveryId,
    body_bytes: usize,
    /// Whether the body is still in memory, and counts as such.
    holds_body: bool,
    offloaded: bool,
    redelivered: bool,
    /// How often it was returned before, as a quorum queue counts.
    delivery_count: u64,
}

/// State of the queue's consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consumer {
    Open {
        prefetch: u16,
        /// Share of the prefetch that is taken up by messages that stay in flight until the run ends.
        stuck: u16,
    },
    /// Cancelled; messages already delivered still arrive.
    Closing,
    Closed,
}

/// Messages in the order of their arrival.
type Number = u64;

/// Result of sending a batch.
struct Sent {
    numbers: Vec<Number>,
    documents: Vec<QueueMessage>,
    result: Result<Vec<Result<(), PortError>>, PortError>,
}

/// A batch that is being filled.
#[derive(Default)]
struct Batch {
    numbers: Vec<Number>,
    documents: Vec<QueueMessage>,
    size_bytes: usize,
    begun: Option<Instant>,
}

impl Batch {
    fn takes(&self, document: &QueueMessage) -> bool {
        self.documents.len() < MAX_BATCH_MESSAGES && self.size_bytes + document.text().len() <= MAX_MESSAGE_BYTES
    }

    fn add(&mut self, number: Number, document: QueueMessage) {
        self.size_bytes += document.text().len();
        self.numbers.push(number);
        self.documents.push(document);
        self.begun.get_or_insert_with(Instant::now);
    }
}

/// State of a queue's messages.
struct Progress<'a, R> {
    /// Every message in flight. What our side refused stays here until the end.
    outstanding: BTreeMap<Number, Outstanding<R>>,
    /// Arrived, and not yet in a batch.
    waiting: VecDeque<(Number, VerifiedDelivery)>,
    filling: Batch,
    in_flight: FuturesUnordered<BoxFuture<'a, Sent>>,
    next: Number,
    consumer: Consumer,
    /// Number of outstanding messages that stay until the end.
    stuck: usize,
    window: Window,
    /// Whether messages can still be acknowledged and requeued.
    connected: bool,
    /// Whether our queue took none of a batch; nothing more is sent to it then.
    queue_failed: bool,
    /// Whether the store refused a large body; no other one is stored then. Small messages can still be sent.
    payloads_failed: bool,
}

impl<R> Progress<'_, R> {
    const fn failed(&self) -> bool {
        self.queue_failed || self.payloads_failed
    }

    fn nothing_is_under_way(&self) -> bool {
        self.waiting.is_empty() && self.filling.begun.is_none() && self.in_flight.is_empty()
    }

    /// Nothing more arrives until what is being filled is sent.
    fn is_starved(&self) -> bool {
        let all_out = match self.consumer {
            Consumer::Open { prefetch, .. } => self.outstanding.len() >= usize::from(prefetch),
            Consumer::Closing | Consumer::Closed => true,
        };
        all_out && self.in_flight.is_empty() && self.waiting.is_empty()
    }

    /// A message's body is not in memory any more.
    fn release_body(&mut self, number: Number) {
        if let Some(message) = self.outstanding.get_mut(&number)
            && std::mem::take(&mut message.holds_body)
        {
            self.window.released(message.body_bytes);
        }
    }

    /// Nothing more is sent, so no body is needed.
    fn drop_waiting(&mut self) {
        let filling = std::mem::take(&mut self.filling).numbers;
        let waiting = std::mem::take(&mut self.waiting).into_iter().map(|(number, _)| number);
        for number in filling.into_iter().chain(waiting) {
            self.release_body(number);
        }
    }

    fn settled(&mut self, number: Number) -> Option<Outstanding<R>> {
        self.release_body(number);
        self.outstanding.remove(&number)
    }

    /// A message stays in flight until the run ends, and takes up a part of the consumer's prefetch for as long.
    fn stays(&mut self, number: Number) {
        self.release_body(number);
        self.stuck += 1;
        if let Consumer::Open { stuck, .. } = &mut self.consumer {
            *stuck = stuck.saturating_add(1);
        }
    }
}

impl<'a, P: Platform> ConsumerRun<'a, P> {
    /// Takes messages until the queue is empty, the budget is used up, or the run has to end; then finishes what is in flight.
    /// `messages` are consumed with `prefetch`.
    pub(super) async fn run<M: Messages>(
        &self,
        mut messages: M,
        prefetch: u16,
        stop_at: Instant,
        finish_by: Instant,
        lease_lost: watch::Receiver<bool>,
    ) -> StopReason {
        let mut progress = Progress {
            outstanding: BTreeMap::new(),
            waiting: VecDeque::new(),
            filling: Batch::default(),
            in_flight: FuturesUnordered::new(),
            next: 0,
            consumer: Consumer::Open { prefetch, stuck: 0 },
            stuck: 0,
            window: self.window(),
            connected: true,
            queue_failed: false,
            payloads_failed: false,
        };
        let taking = timeout_at(finish_by, self.take(&mut messages, &mut progress, stop_at, lease_lost)).await;
        let mut stop_reason = taking.unwrap_or(StopReason::TimeUp);
        let winding_down = self.wind_down(&mut messages, &mut progress, &mut stop_reason);
        if timeout_at(finish_by, winding_down).await.is_err() {
            tracing::warn!(
                provider = %self.provider, queue = %self.from,
                "deadline reached; unfinished messages will be redelivered"
            );
        }
        if progress.connected {
            // Delivered, and not yet received when the deadline was reached.
            while let Some(Ok(Some(received))) = messages.next().now_or_never() {
                self.keep(received, &mut progress);
            }
            let requeueing = timeout_at(finish_by + MAX_REQUEUE_TIME, self.requeue(&progress.outstanding)).await;
            if let Ok(Err(error)) = requeueing {
                self.broken(&mut stop_reason, &error);
            }
        }
        if stop_reason == StopReason::TimeUp
            && !progress.outstanding.is_empty()
            && Counters::of(&self.counters.accepted) == 0
        {
            tracing::error!(provider = %self.provider, "our queue answered for no message in time");
            stop_reason = StopReason::Failed(DrainFailure::QueueUnavailable);
        }
        stop_reason
    }

    /// The window of a queue of which nothing has arrived.
    pub(super) fn window(&self) -> Window {
        Window::new(self.settings.prefetch, self.settings.in_flight_bytes)
    }

    async fn take<M: Messages>(
        &self,
        messages: &mut M,
        progress: &mut Progress<'a, M::Receipt>,
        stop_at: Instant,
        mut lease_lost: watch::Receiver<bool>,
    ) -> StopReason {
        let mut quiet_since = Instant::now();
        let mut stop_reason = StopReason::Empty;
        while progress.connected && !progress.failed() {
            if let Err(error) = self.adjust(messages, progress).await {
                progress.connected = false;
                self.broken(&mut stop_reason, &error);
                break;
            }
            let room = progress.in_flight.len() < self.settings.batches_in_flight;
            let is_filling = progress.filling.begun.is_some();
            let is_quiet = progress.nothing_is_under_way() && matches!(progress.consumer, Consumer::Open { .. });
            let send_at = match progress.filling.begun {
                Some(begun) if !progress.is_starved() => begun + self.settings.linger,
                _ => Instant::now(),
            };
            tokio::select! {
                biased;
                () = until_lost(&mut lease_lost) => return StopReason::Failed(DrainFailure::LeaseLost),
                () = sleep_until(stop_at) => return StopReason::TimeUp,
                Some(sent) = progress.in_flight.next() => {
                    self.settle(sent, progress, &mut stop_reason).await;
                    // While it was in flight, the broker may have held back the next messages.
                    quiet_since = Instant::now();
                }
                received = messages.next(), if progress.consumer != Consumer::Closed => match received {
                    Ok(Some(received)) => {
                        quiet_since = Instant::now();
                        self.receive(received, progress, &mut stop_reason).await;
                        if Counters::of(&self.counters.received) >= self.settings.message_budget {
                            return StopReason::BudgetReached;
                        }
                    }
                    Ok(None) if progress.consumer == Consumer::Closing => progress.consumer = Consumer::Closed,
                    Ok(None) => {
                        progress.consumer = Consumer::Closed;
                        tracing::error!(provider = %self.provider, queue = %self.from, "the broker ended the consumer");
                        return StopReason::Failed(DrainFailure::BrokenOff(BrokerFailure::ConsumerCancelled));
                    }
                    Err(error) => {
                        progress.connected = false;
                        self.broken(&mut stop_reason, &error);
                    }
                },
                () = std::future::ready(()), if room && !progress.waiting.is_empty() => {
                    self.fill(progress, &mut stop_reason).await;
                }
                () = sleep_until(send_at), if room && is_filling => self.send(progress),
                () = sleep_until(quiet_since + self.settings.idle), if is_quiet => return StopReason::Empty,
            }
        }
        stop_reason
    }

    /// Brings the consumer's prefetch to what the window allows.
    async fn adjust<M: Messages>(
        &self,
        messages: &mut M,
        progress: &mut Progress<'a, M::Receipt>,
    ) -> Result<(), BrokerError> {
        let wanted = progress.window.prefetch(self.counters.proven());
        match (progress.consumer, wanted) {
            (Consumer::Open { prefetch, stuck }, wanted) => {
                let is_right = wanted.is_some_and(|wanted| {
                    // Another consumer costs three round trips to the broker, which pay off if it may take twice as many messages.
                    let is_close = wanted >= prefetch && wanted / 2 < prefetch;
                    is_close && stuck.saturating_mul(2) < prefetch
                });
                if !is_right {
                    messages.cancel().await?;
                    progress.consumer = Consumer::Closing;
                }
            }
            (Consumer::Closed, Some(prefetch)) => {
                let in_flight = progress.outstanding.len() - progress.stuck;
                if let Some(prefetch) = progress.window.beside(prefetch, in_flight) {
                    messages.consume_again(prefetch).await?;
                    progress.consumer = Consumer::Open { prefetch, stuck: 0 };
                }
            }
            (Consumer::Closing, _) | (Consumer::Closed, None) => {}
        }
        Ok(())
    }

    /// Cancels the consumer, takes the messages already delivered, and waits for what is in flight to our queue.
    async fn wind_down<M: Messages>(
        &self,
        messages: &mut M,
        progress: &mut Progress<'a, M::Receipt>,
        stop_reason: &mut StopReason,
    ) {
        if progress.connected
            && matches!(progress.consumer, Consumer::Open { .. })
            && let Err(error) = messages.cancel().await
        {
            progress.connected = false;
            self.broken(stop_reason, &error);
        }
        while progress.connected && progress.consumer != Consumer::Closed {
            match messages.next().await {
                Ok(Some(received)) => self.receive(received, progress, stop_reason).await,
                Ok(None) => progress.consumer = Consumer::Closed,
                Err(error) => {
                    progress.connected = false;
                    self.broken(stop_reason, &error);
                }
            }
        }
        while progress.connected && !progress.queue_failed && !progress.waiting.is_empty() {
            if progress.in_flight.len() >= self.settings.batches_in_flight {
                self.settle_next(progress, stop_reason).await;
            } else {
                self.fill(progress, stop_reason).await;
            }
        }
        if progress.connected && !progress.queue_failed && progress.filling.begun.is_some() {
            self.send(progress);
        }
        while !progress.in_flight.is_empty() {
            self.settle_next(progress, stop_reason).await;
        }
    }

    async fn settle_next<R: Receipt>(&self, progress: &mut Progress<'a, R>, stop_reason: &mut StopReason) {
        if let Some(sent) = progress.in_flight.next().await {
            self.settle(sent, progress, stop_reason).await;
        }
    }

    /// Notes a message as in flight. If nothing more is done about it, it is requeued at the end.
    fn keep<R>(&self, received: Received<R>, progress: &mut Progress<'a, R>) -> (Number, VerifiedDelivery) {
        let Received { message, receipt } = received;
        let redelivered = message.properties.redelivered;
        let body_bytes = message.body.len();
        let delivery_count = message.properties.delivery_count.unwrap_or(0);
        let received_at = self.clock.now();
        let delivery_id = self.clock.new_delivery_id(received_at);
        Counters::add(&self.counters.received);
        if redelivered {
            Counters::add(&self.counters.redelivered);
        }
        if delivery_count > MANY_RETURNS {
            tracing::warn!(
                provider = %self.provider, queue = %self.from, %delivery_id, delivery_count,
                "a message comes back again and again; its queue may drop it after 20 returns"
            );
        }
        let delivery = VerifiedDelivery::new(self.account.consumed(self.from, message), delivery_id, received_at);
        let number = progress.next;
        progress.next += 1;
        progress.window.arrived(body_bytes);
        self.counters.peak_body_bytes.fetch_max(progress.window.held_bytes() as u64, Ordering::Relaxed);
        let outstanding = Outstanding {
            receipt,
            delivery_id,
            body_bytes,
            holds_body: true,
            offloaded: false,
            redelivered,
            delivery_count,
        };
        progress.outstanding.insert(number, outstanding);
        (number, delivery)
    }

    /// Takes a message in. One that our queue accepted as this run's proof is acknowledged, and not sent a second time.
    async fn receive<R: Receipt>(
        &self,
        received: Received<R>,
        progress: &mut Progress<'a, R>,
        stop_reason: &mut StopReason,
    ) {
        let redelivered = received.message.properties.redelivered;
        let (number, delivery) = self.keep(received, progress);
        let sent_as = if redelivered { self.proof.sent_as(&delivery) } else { None };
        if let Some(delivery_id) = sent_as {
            let accepted = progress.settled(number).map(|message| Outstanding { delivery_id, ..message });
            self.acknowledge(accepted.into_iter().collect(), progress, stop_reason).await;
        } else if progress.queue_failed {
            progress.release_body(number);
        } else {
            progress.waiting.push_back((number, delivery));
        }
    }

    /// Puts the next message into the batch that is being filled, and sends that when it is full.
    async fn fill<R>(&self, progress: &mut Progress<'a, R>, stop_reason: &mut StopReason) {
        let Some((number, delivery)) = progress.waiting.pop_front() else { return };
        let prepared = match QueueMessage::inline(&delivery) {
            Ok(Some(document)) => Ok(document),
            Ok(None) if progress.payloads_failed => return progress.stays(number),
            Ok(None) => QueueMessage::offload(&delivery, self.payloads).await,
            Err(unwritable) => Err(unwritable.into()),
        };
        let document = match prepared {
            Ok(document) => document,
            Err(error) => {
                self.refused(&delivery.as_delivery().id, &error);
                tracing::error!(provider = %self.provider, %error, "the store refused a large body; the run ends");
                progress.stays(number);
                progress.payloads_failed = true;
                return fail(stop_reason, DrainFailure::PayloadsUnavailable);
            }
        };
        if document.offloaded() {
            self.counters.payloads_proven.store(true, Ordering::Relaxed);
            // It is in the store, and only its document is left.
            progress.release_body(number);
        }
        if let Some(outstanding) = progress.outstanding.get_mut(&number) {
            outstanding.offloaded = document.offloaded();
        }
        if !progress.filling.takes(&document) {
            self.send(progress);
        }
        progress.filling.add(number, document);
        if progress.filling.documents.len() == MAX_BATCH_MESSAGES {
            self.send(progress);
        }
    }

    fn send<R>(&self, progress: &mut Progress<'a, R>) {
        let Batch { numbers, documents, .. } = std::mem::take(&mut progress.filling);
        let queue = self.queue;
        let sending = async move {
            let result = queue.send_batch(&documents).await;
            Sent { numbers, documents, result }
        };
        progress.in_flight.push(sending.boxed());
    }

    /// Acknowledges what our queue took of a batch. What it refused stays in flight.
    async fn settle<R: Receipt>(&self, sent: Sent, progress: &mut Progress<'a, R>, stop_reason: &mut StopReason) {
        let Sent { numbers, documents, result } = sent;
        let several = numbers.len() > 1;
        let results = match result {
            Ok(results) => results,
            Err(error) => {
                tracing::error!(provider = %self.provider, %error, "our queue took none of a batch; the run ends");
                progress.queue_failed = true;
                documents.iter().for_each(|document| self.counters.keep_refused(document.text()));
                numbers.into_iter().for_each(|number| progress.stays(number));
                progress.drop_waiting();
                return fail(stop_reason, DrainFailure::QueueUnavailable);
            }
        };
        let mut accepted = Vec::with_capacity(numbers.len());
        for ((number, document), result) in numbers.into_iter().zip(documents).zip(results) {
            match result {
                Ok(()) => accepted.extend(progress.settled(number)),
                Err(error) => {
                    progress.stays(number);
                    self.counters.keep_refused(document.text());
                    if let Some(message) = progress.outstanding.get(&number) {
                        self.refused(&message.delivery_id, &error);
                    }
                }
            }
        }
        if accepted.is_empty() {
            // One message alone may be one that our queue never takes, and must not hold up what comes after it.
            let is_alone =
                Counters::of(&self.counters.refused) < MAX_UNPROVEN_REJECTIONS || self.counters.proven().queue;
            if several || !is_alone {
                progress.queue_failed = true;
                progress.drop_waiting();
                fail(stop_reason, DrainFailure::QueueUnavailable);
            }
            return;
        }
        self.counters.queue_accepted();
        self.acknowledge(accepted, progress, stop_reason).await;
    }

    /// Acknowledges messages that our queue has.
    async fn acknowledge<R: Receipt>(
        &self,
        accepted: Vec<Outstanding<R>>,
        progress: &mut Progress<'a, R>,
        stop_reason: &mut StopReason,
    ) {
        for message in &accepted {
            Counters::add(&self.counters.accepted);
            ProviderCounter::Accepted.count(self.provider);
            self.report(message, "accepted");
        }
        if !progress.connected {
            return;
        }
        for acknowledged in join_all(accepted.iter().map(|message| message.receipt.acknowledge())).await {
            match acknowledged {
                Ok(()) => Counters::add(&self.counters.acknowledged),
                Err(error) => {
                    progress.connected = false;
                    self.broken(stop_reason, &error);
                }
            }
        }
    }

    /// Requeues what is still in flight.
    async fn requeue<R: Receipt>(&self, outstanding: &BTreeMap<Number, Outstanding<R>>) -> Result<(), BrokerError> {
        for message in outstanding.values() {
            message.receipt.requeue().await?;
            Counters::add(&self.counters.returned);
            self.counters.most_returns.fetch_max(message.delivery_count + 1, Ordering::Relaxed);
            ProviderCounter::Returned.count(self.provider);
            self.report(message, "returned");
        }
        Ok(())
    }

    fn refused(&self, delivery_id: &DeliveryId, error: &PortError) {
        Counters::add(&self.counters.refused);
        tracing::error!(provider = %self.provider, %delivery_id, %error, "the delivery cannot be queued");
    }

    fn report<R>(&self, message: &Outstanding<R>, outcome: &str) {
        let key = &self.account.authenticated_by;
        tracing::info!(
            provider = self.provider.as_str(),
            delivery_id = %message.delivery_id,
            outcome,
            queue = self.from.as_str(),
            redelivered = message.redelivered.then_some(true),
            account = key.account.as_str(),
            key_fingerprint = key.fingerprint.as_str(),
            body_bytes = message.body_bytes,
            offloaded = message.offloaded.then_some(true),
            "delivery"
        );
    }

    fn broken(&self, stop_reason: &mut StopReason, error: &BrokerError) {
        tracing::error!(provider = %self.provider, queue = %self.from, %error, "the run broke off");
        fail(stop_reason, DrainFailure::BrokenOff(error.failure));
    }
}

/// Waits until the lease is lost. What the channel lends is not held, so that a run can be sent to another thread.
async fn until_lost(lease_lost: &mut watch::Receiver<bool>) {
    let _ = lease_lost.wait_for(|lost| *lost).await;
}

/// Keeps the first failure as the run's.
fn fail(stop_reason: &mut StopReason, failure: DrainFailure) {
    if !matches!(stop_reason, StopReason::Failed(_)) {
        *stop_reason = StopReason::Failed(failure);
    }
}

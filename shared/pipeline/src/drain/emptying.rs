//! One queue of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use providers::amqp::{Account, QueueName};
use providers::delivery::{DeliveryId, VerifiedDelivery};
use providers::provider::Provider;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::DrainSettings;
use super::outcome::{DrainFailure, Tally};
use super::ports::{BrokerError, BrokerFailure, Messages, Receipt, Received};
use crate::document::{LARGEST_DOCUMENT_BYTES, MOST_BATCH_DOCUMENTS, OutboundDocument};
use crate::ports::{BatchQueue, Payloads, PortError, Surroundings};
use crate::telemetry;

/// From how many returns to its queue on a message is warned of. By default a quorum queue of RabbitMQ 4 drops or
/// dead-letters one after 20.
const MANY_RETURNS: u64 = 5;

/// How long giving back may take once the time for everything else is up.
const GIVING_BACK: Duration = Duration::from_secs(1);

/// Why a queue is not emptied any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Empty,
    BudgetReached,
    TimeUp,
    Failed(DrainFailure),
}

/// What it takes to empty a queue.
pub(super) struct Emptying<'a, Q, P, E> {
    pub(super) provider: Provider,
    pub(super) queue: &'a Q,
    pub(super) payloads: &'a P,
    pub(super) surroundings: &'a E,
    pub(super) settings: &'a DrainSettings,
    pub(super) account: &'a Account,
    /// The queue that is emptied.
    pub(super) from: &'a QueueName,
    pub(super) tally: &'a Tally,
}

/// A message that is out: neither acknowledged nor given back.
struct Outstanding<R> {
    receipt: R,
    delivery_id: DeliveryId,
    body_bytes: usize,
    offloaded: bool,
    redelivered: bool,
}

/// Messages in the order of their arrival.
type Number = u64;

/// What became of a batch.
struct Sent {
    numbers: Vec<Number>,
    result: Result<Vec<Result<(), PortError>>, PortError>,
}

/// A batch that is being filled.
#[derive(Default)]
struct Batch {
    numbers: Vec<Number>,
    documents: Vec<OutboundDocument>,
    size_bytes: usize,
    begun: Option<Instant>,
}

impl Batch {
    fn takes(&self, document: &OutboundDocument) -> bool {
        self.documents.len() < MOST_BATCH_DOCUMENTS && self.size_bytes + document.text().len() <= LARGEST_DOCUMENT_BYTES
    }

    fn add(&mut self, number: Number, document: OutboundDocument) {
        self.size_bytes += document.text().len();
        self.numbers.push(number);
        self.documents.push(document);
        self.begun.get_or_insert_with(Instant::now);
    }
}

/// Where a queue's messages stand.
struct Progress<'a, R> {
    /// Every message that is out. What our queue refused stays here until the end.
    outstanding: BTreeMap<Number, Outstanding<R>>,
    filling: Batch,
    in_flight: FuturesUnordered<BoxFuture<'a, Sent>>,
    next: Number,
    /// The broker can still be told what became of a message.
    connected: bool,
    /// Our queue took none of a batch; nothing more is sent to it.
    queue_failed: bool,
}

impl<'a, Q: BatchQueue, P: Payloads, E: Surroundings> Emptying<'a, Q, P, E> {
    /// Takes messages until the queue is empty, the budget is used up, or something ends it; then works off what is out.
    pub(super) async fn run<M: Messages>(
        &self,
        mut messages: M,
        stop_at: Instant,
        finish_by: Instant,
        lease_lost: watch::Receiver<bool>,
    ) -> Ending {
        let mut progress = Progress {
            outstanding: BTreeMap::new(),
            filling: Batch::default(),
            in_flight: FuturesUnordered::new(),
            next: 0,
            connected: true,
            queue_failed: false,
        };
        let taking = timeout_at(finish_by, self.take(&mut messages, &mut progress, stop_at, lease_lost)).await;
        let mut ending = taking.unwrap_or(Ending::TimeUp);
        let winding_down = self.wind_down(&mut messages, &mut progress, &mut ending);
        if timeout_at(finish_by, winding_down).await.is_err() {
            tracing::warn!(provider = %self.provider, queue = %self.from, "the time is up; what is not done comes again");
        }
        if progress.connected {
            // What was sent and not even looked at when the time was up.
            while let Some(Ok(Some(received))) = messages.next().now_or_never() {
                self.keep(received, &mut progress);
            }
            let giving_back = timeout_at(finish_by + GIVING_BACK, self.give_back(&progress.outstanding)).await;
            if let Ok(Err(error)) = giving_back {
                self.broken(&mut ending, &error);
            }
        }
        ending
    }

    async fn take<M: Messages>(
        &self,
        messages: &mut M,
        progress: &mut Progress<'a, M::Receipt>,
        stop_at: Instant,
        mut lease_lost: watch::Receiver<bool>,
    ) -> Ending {
        let mut quiet_since = Instant::now();
        let mut ending = Ending::Empty;
        while progress.connected && !progress.queue_failed {
            let room = progress.in_flight.len() < self.settings.batches_in_flight;
            let filling_since = progress.filling.begun;
            let all_sent = filling_since.is_none() && progress.in_flight.is_empty();
            let send_at = filling_since.unwrap_or(stop_at) + self.settings.linger;
            tokio::select! {
                biased;
                _ = lease_lost.wait_for(|lost| *lost) => return Ending::Failed(DrainFailure::LeaseLost),
                () = sleep_until(stop_at) => return Ending::TimeUp,
                Some(sent) = progress.in_flight.next() => {
                    self.settle(sent, progress, &mut ending).await;
                    // While it was out, the broker may have held back what comes next.
                    quiet_since = Instant::now();
                }
                received = messages.next(), if room => match received {
                    Ok(Some(received)) => {
                        quiet_since = Instant::now();
                        self.receive(received, progress).await;
                        if Tally::of(&self.tally.received) >= self.settings.message_budget {
                            return Ending::BudgetReached;
                        }
                    }
                    Ok(None) => {
                        tracing::error!(provider = %self.provider, queue = %self.from, "the broker ended the consumer");
                        return Ending::Failed(DrainFailure::BrokenOff(BrokerFailure::ConsumerCancelled));
                    }
                    Err(error) => {
                        progress.connected = false;
                        self.broken(&mut ending, &error);
                    }
                },
                () = sleep_until(send_at), if room && filling_since.is_some() => self.send(progress),
                () = sleep_until(quiet_since + self.settings.idle), if all_sent => return Ending::Empty,
            }
        }
        ending
    }

    /// Cancels the consumer, takes what the broker had already sent, and waits for what is on its way to our queue.
    async fn wind_down<M: Messages>(
        &self,
        messages: &mut M,
        progress: &mut Progress<'a, M::Receipt>,
        ending: &mut Ending,
    ) {
        if progress.connected
            && let Err(error) = messages.cancel().await
        {
            progress.connected = false;
            self.broken(ending, &error);
        }
        while progress.connected {
            if progress.in_flight.len() >= self.settings.batches_in_flight {
                self.settle_next(progress, ending).await;
            }
            match messages.next().await {
                Ok(Some(received)) if progress.queue_failed => {
                    self.keep(received, progress);
                }
                Ok(Some(received)) => self.receive(received, progress).await,
                Ok(None) => break,
                Err(error) => {
                    progress.connected = false;
                    self.broken(ending, &error);
                }
            }
        }
        if progress.connected && !progress.queue_failed && progress.filling.begun.is_some() {
            self.send(progress);
        }
        while !progress.in_flight.is_empty() {
            self.settle_next(progress, ending).await;
        }
    }

    async fn settle_next<R: Receipt>(&self, progress: &mut Progress<'a, R>, ending: &mut Ending) {
        if let Some(sent) = progress.in_flight.next().await {
            self.settle(sent, progress, ending).await;
        }
    }

    /// Notes a message as out. If nothing more is done about it, it is given back at the end.
    fn keep<R>(&self, received: Received<R>, progress: &mut Progress<'a, R>) -> (Number, VerifiedDelivery) {
        let Received { message, receipt } = received;
        let redelivered = message.properties.redelivered;
        let body_bytes = message.body.len();
        let delivery_count = message.properties.delivery_count.unwrap_or(0);
        let received_at = self.surroundings.now();
        let delivery_id = self.surroundings.new_delivery_id(received_at);
        telemetry::count_received(self.provider);
        Tally::add(&self.tally.received);
        if redelivered {
            Tally::add(&self.tally.redelivered);
        }
        if delivery_count > MANY_RETURNS {
            tracing::warn!(
                provider = %self.provider, queue = %self.from, %delivery_id, delivery_count,
                "a message comes back again and again; its queue may drop it after 20 returns"
            );
        }
        let delivery = VerifiedDelivery::consumed(self.account.consumed(self.from, message), delivery_id, received_at);
        let number = progress.next;
        progress.next += 1;
        let outstanding = Outstanding { receipt, delivery_id, body_bytes, offloaded: false, redelivered };
        progress.outstanding.insert(number, outstanding);
        (number, delivery)
    }

    /// Puts a message into the batch that is being filled, and sends that when it is full.
    async fn receive<R>(&self, received: Received<R>, progress: &mut Progress<'a, R>) {
        let (number, delivery) = self.keep(received, progress);
        let document = match OutboundDocument::prepare(&delivery, self.payloads).await {
            Ok(document) => document,
            Err(error) => return self.refused(&delivery.as_delivery().id, &error),
        };
        if let Some(outstanding) = progress.outstanding.get_mut(&number) {
            outstanding.offloaded = document.offloaded();
        }
        if !progress.filling.takes(&document) {
            self.send(progress);
        }
        progress.filling.add(number, document);
        if progress.filling.documents.len() == MOST_BATCH_DOCUMENTS {
            self.send(progress);
        }
    }

    fn send<R>(&self, progress: &mut Progress<'a, R>) {
        let Batch { numbers, documents, .. } = std::mem::take(&mut progress.filling);
        let queue = self.queue;
        let sending = async move { Sent { numbers, result: queue.send_batch(&documents).await } };
        progress.in_flight.push(sending.boxed());
    }

    /// Acknowledges what our queue took of a batch. What it refused stays out.
    async fn settle<R: Receipt>(&self, sent: Sent, progress: &mut Progress<'a, R>, ending: &mut Ending) {
        let mut accepted = Vec::with_capacity(sent.numbers.len());
        let several = sent.numbers.len() > 1;
        match sent.result {
            Err(error) => {
                tracing::error!(provider = %self.provider, %error, "our queue took none of a batch; the run ends");
                progress.queue_failed = true;
            }
            Ok(results) => {
                for (number, result) in sent.numbers.into_iter().zip(results) {
                    match result {
                        Ok(()) => accepted.extend(progress.outstanding.remove(&number)),
                        Err(error) => {
                            if let Some(message) = progress.outstanding.get(&number) {
                                self.refused(&message.delivery_id, &error);
                            }
                        }
                    }
                }
                // One message alone may be one that our queue never takes, and must not hold up what comes after it.
                progress.queue_failed |= accepted.is_empty() && several;
            }
        }
        if progress.queue_failed {
            fail(ending, DrainFailure::QueueUnavailable);
        }
        for message in &accepted {
            Tally::add(&self.tally.accepted);
            telemetry::count_accepted(self.provider);
            self.report(message, "accepted");
        }
        if !progress.connected {
            return;
        }
        for acknowledged in join_all(accepted.iter().map(|message| message.receipt.acknowledge())).await {
            match acknowledged {
                Ok(()) => Tally::add(&self.tally.acknowledged),
                Err(error) => {
                    progress.connected = false;
                    self.broken(ending, &error);
                }
            }
        }
    }

    /// Puts what is still out back on its queue.
    async fn give_back<R: Receipt>(&self, outstanding: &BTreeMap<Number, Outstanding<R>>) -> Result<(), BrokerError> {
        for message in outstanding.values() {
            message.receipt.give_back().await?;
            Tally::add(&self.tally.returned);
            telemetry::count_returned(self.provider);
            self.report(message, "returned");
        }
        Ok(())
    }

    fn refused(&self, delivery_id: &DeliveryId, error: &PortError) {
        Tally::add(&self.tally.refused);
        tracing::error!(provider = %self.provider, %delivery_id, %error, "the delivery cannot be queued");
    }

    fn report<R>(&self, message: &Outstanding<R>, outcome: &str) {
        let key = &self.account.authenticated_by;
        tracing::info!(
            provider = self.provider.as_str(),
            delivery_id = %message.delivery_id,
            outcome,
            queue = self.from.as_str(),
            redelivered = message.redelivered,
            account = key.account.as_str(),
            key_fingerprint = key.fingerprint.as_str(),
            body_bytes = message.body_bytes,
            offloaded = message.offloaded,
            "delivery"
        );
    }

    fn broken(&self, ending: &mut Ending, error: &BrokerError) {
        tracing::error!(provider = %self.provider, queue = %self.from, %error, "the run broke off");
        fail(ending, DrainFailure::BrokenOff(error.failure));
    }
}

/// What failed first is what the run failed of.
fn fail(ending: &mut Ending, failure: DrainFailure) {
    if !matches!(ending, Ending::Failed(_)) {
        *ending = Ending::Failed(failure);
    }
}

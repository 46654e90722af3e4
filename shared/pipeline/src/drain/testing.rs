//! A broker, a batch queue and a lease in memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use intake_providers::amqp::{Connection, Message, Properties, QueueName};
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::Instant;

use super::broker::{Broker, BrokerError, BrokerFailure, Messages, Receipt, Received, Session};
use crate::clock::Clock;
use crate::payloads::{PayloadKey, PayloadReader, Payloads};
use crate::platform::Platform;
use crate::port_error::PortError;
use crate::queue::{BatchQueue, Queue};
use crate::queue_message::{MAX_BATCH_MESSAGES, MAX_MESSAGE_BYTES, QueueMessage};
use crate::testing::{MemoryDeliveryRecords, MemoryLease, MemoryLedger, MemoryPayloads, MemorySecrets};

pub(super) const MAIN: &str = "events";
pub(super) const REPLAY: &str = "replay";

/// A broker with two queues. What a session did not acknowledge returns when the session ends.
#[derive(Clone, Default)]
pub(super) struct MemoryBroker(Arc<Mutex<BrokerState>>, Arc<Notify>);

/// How a queue treats messages that are returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// They go back to the head, and nobody counts.
    #[default]
    Classic,
    /// They are handed over before all others, in the order of their return. Each return is counted, and one more than the
    /// limit drops the message. As RabbitMQ 3.10 does, and 4 with a limit of 20 unless a policy says otherwise.
    Quorum { delivery_limit: u64 },
}

#[derive(Default)]
struct BrokerState {
    kind: Kind,
    queues: BTreeMap<String, VecDeque<Message>>,
    /// What was returned to a quorum queue.
    returns: BTreeMap<String, VecDeque<Message>>,
    /// How often each message was handed over.
    deliveries: BTreeMap<String, u64>,
    dropped: Vec<String>,
    /// What every call was, in order.
    calls: Vec<String>,
    acknowledged: Vec<String>,
    sessions: u64,
    /// The session that lives, and the consumers that it has.
    live: Option<u64>,
    consumers: BTreeMap<String, Consumer>,
    refuse_connection: Option<BrokerFailure>,
    refuse_queue: BTreeMap<String, BrokerFailure>,
    break_after_acknowledging: Option<usize>,
    /// How long a message is on its way.
    latency: Duration,
}

#[derive(Default)]
struct Consumer {
    prefetch: usize,
    /// Sent, and not yet taken by the client.
    sent: VecDeque<(u64, Message)>,
    unsettled: BTreeMap<u64, Message>,
    next_tag: u64,
    /// The last message of the consumer before this one; its messages don't count into the prefetch.
    last_of_former: u64,
    is_cancelled: bool,
}

impl Consumer {
    fn has_room(&self) -> bool {
        !self.is_cancelled && self.unsettled.range(self.last_of_former + 1..).count() < self.prefetch
    }
}

fn error(failure: BrokerFailure) -> BrokerError {
    BrokerError { failure, message: "as the test says".to_owned() }
}

fn text(message: &Message) -> String {
    // Large bodies differ in how they begin.
    String::from_utf8(message.body[..message.body.len().min(40)].to_vec()).unwrap()
}

impl BrokerState {
    fn pump(&mut self) {
        for (name, consumer) in &mut self.consumers {
            let Some(queue) = self.queues.get_mut(name) else { continue };
            let returns = self.returns.entry(name.clone()).or_default();
            while consumer.has_room() {
                let Some(message) = returns.pop_front().or_else(|| queue.pop_front()) else { break };
                consumer.next_tag += 1;
                *self.deliveries.entry(text(&message)).or_default() += 1;
                consumer.sent.push_back((consumer.next_tag, message.clone()));
                consumer.unsettled.insert(consumer.next_tag, message);
            }
        }
    }

    fn take_back(&mut self, queue: &str, mut message: Message) {
        message.properties.redelivered = true;
        let Kind::Quorum { delivery_limit } = self.kind else {
            return self.queues.get_mut(queue).unwrap().push_front(message);
        };
        let count = message.properties.delivery_count.unwrap_or(0) + 1;
        message.properties.delivery_count = Some(count);
        if count > delivery_limit {
            self.dropped.push(text(&message));
        } else {
            self.returns.entry(queue.to_owned()).or_default().push_back(message);
        }
    }

    fn disconnect(&mut self) {
        self.live = None;
        for (name, consumer) in std::mem::take(&mut self.consumers) {
            for (_, message) in consumer.unsettled.into_iter().rev() {
                self.take_back(&name, message);
            }
        }
    }
}

impl MemoryBroker {
    fn state(&self) -> MutexGuard<'_, BrokerState> {
        self.0.lock().unwrap()
    }

    pub(super) fn publish(&self, queue: &str, bodies: impl IntoIterator<Item = impl Into<String>>) {
        let message = |body: String| Message { body: body.into(), properties: Properties::default() };
        self.publish_messages(queue, bodies.into_iter().map(|body| message(body.into())));
    }

    /// All queues are of this kind.
    pub(super) fn of_kind(kind: Kind) -> Self {
        let broker = Self::default();
        broker.state().kind = kind;
        broker
    }

    /// Greatest number of deliveries of one message.
    pub(super) fn most_deliveries(&self) -> u64 {
        self.state().deliveries.values().copied().max().unwrap_or(0)
    }

    /// The messages that a quorum queue dropped.
    pub(super) fn dropped(&self) -> Vec<String> {
        self.state().dropped.clone()
    }

    /// Publishes a message that was requeued `delivery_count` times.
    pub(super) fn publish_returned(&self, queue: &str, body: &str, delivery_count: u64) {
        let properties =
            Properties { delivery_count: Some(delivery_count), redelivered: true, ..Properties::default() };
        self.publish_messages(queue, [Message { body: body.to_owned().into(), properties }]);
    }

    fn publish_messages(&self, queue: &str, messages: impl IntoIterator<Item = Message>) {
        let mut state = self.state();
        state.queues.entry(queue.to_owned()).or_default().extend(messages);
        state.pump();
        self.1.notify_waiters();
    }

    /// The messages of a queue, those in flight included.
    pub(super) fn left(&self, queue: &str) -> Vec<String> {
        let state = self.state();
        let unsettled = state.consumers.get(queue).into_iter().flat_map(|consumer| consumer.unsettled.values());
        let returns = state.returns.get(queue).into_iter().flatten();
        unsettled.chain(returns).chain(state.queues.get(queue).into_iter().flatten()).map(text).collect()
    }

    pub(super) fn redelivered(&self, queue: &str) -> usize {
        self.state().queues[queue].iter().filter(|message| message.properties.redelivered).count()
    }

    pub(super) fn calls(&self) -> Vec<String> {
        self.state().calls.clone()
    }

    pub(super) fn acknowledged(&self) -> Vec<String> {
        self.state().acknowledged.clone()
    }

    pub(super) fn refuse_connections(&self, failure: BrokerFailure) {
        self.state().refuse_connection = Some(failure);
    }

    pub(super) fn refuse(&self, queue: &str, failure: BrokerFailure) {
        self.state().refuse_queue.insert(queue.to_owned(), failure);
    }

    pub(super) fn break_after_acknowledging(&self, count: usize) {
        self.state().break_after_acknowledging = Some(count);
    }

    pub(super) fn be_slow(&self, latency: Duration) {
        self.state().latency = latency;
    }

    /// As when a queue is deleted.
    pub(super) fn end_consumer(&self, queue: &str) {
        self.state().consumers.get_mut(queue).unwrap().is_cancelled = true;
        self.1.notify_waiters();
    }
}

impl Broker for MemoryBroker {
    type Session = MemorySession;

    async fn connect(&self, _: &Connection) -> Result<Self::Session, BrokerError> {
        yield_now().await;
        let mut state = self.state();
        state.calls.push("connect".to_owned());
        if let Some(failure) = state.refuse_connection {
            return Err(error(failure));
        }
        state.sessions += 1;
        state.live = Some(state.sessions);
        Ok(MemorySession { broker: self.clone(), number: state.sessions })
    }
}

/// Ends with its connection, and so returns what was out.
pub(super) struct MemorySession {
    broker: MemoryBroker,
    number: u64,
}

impl Drop for MemorySession {
    fn drop(&mut self) {
        let mut state = self.broker.state();
        if state.live == Some(self.number) {
            state.disconnect();
        }
    }
}

impl Session for MemorySession {
    type Messages = MemoryMessages;

    async fn consume(&self, queue: &QueueName, prefetch: u16) -> Result<Self::Messages, BrokerError> {
        yield_now().await;
        let mut state = self.broker.state();
        state.calls.push(format!("consume {queue} with {prefetch}"));
        if let Some(failure) = state.refuse_queue.get(queue.as_str()) {
            return Err(error(*failure));
        }
        let consumer = Consumer { prefetch: prefetch.into(), ..Consumer::default() };
        state.consumers.insert(queue.to_string(), consumer);
        state.pump();
        Ok(MemoryMessages { broker: self.broker.clone(), queue: queue.to_string(), session: self.number })
    }

    async fn close(&self) -> Result<(), BrokerError> {
        yield_now().await;
        let mut state = self.broker.state();
        state.calls.push("close".to_owned());
        if state.live != Some(self.number) {
            return Err(error(BrokerFailure::ConnectionLost));
        }
        state.disconnect();
        Ok(())
    }
}

pub(super) struct MemoryMessages {
    broker: MemoryBroker,
    queue: String,
    session: u64,
}

impl MemoryMessages {
    fn poll(&self) -> Option<Result<Option<Received<MemoryReceipt>>, BrokerError>> {
        let mut state = self.broker.state();
        if state.live != Some(self.session) {
            return Some(Err(error(BrokerFailure::ConnectionLost)));
        }
        let consumer = state.consumers.get_mut(&self.queue)?;
        match consumer.sent.pop_front() {
            Some((tag, message)) => {
                let receipt = MemoryReceipt {
                    broker: self.broker.clone(),
                    queue: self.queue.clone(),
                    session: self.session,
                    tag,
                };
                Some(Ok(Some(Received { message, receipt })))
            }
            None => consumer.is_cancelled.then_some(Ok(None)),
        }
    }
}

impl Messages for MemoryMessages {
    type Receipt = MemoryReceipt;

    async fn next(&mut self) -> Result<Option<Received<MemoryReceipt>>, BrokerError> {
        let changed = Arc::clone(&self.broker.1);
        let latency = self.broker.state().latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        loop {
            let notified = changed.notified();
            if let Some(found) = self.poll() {
                return found;
            }
            notified.await;
        }
    }

    async fn cancel(&mut self) -> Result<(), BrokerError> {
        yield_now().await;
        let mut state = self.broker.state();
        state.calls.push(format!("cancel {}", self.queue));
        match state.consumers.get_mut(&self.queue) {
            Some(consumer) => consumer.is_cancelled = true,
            None => return Err(error(BrokerFailure::ConnectionLost)),
        }
        self.broker.1.notify_waiters();
        Ok(())
    }

    async fn consume_again(&mut self, prefetch: u16) -> Result<(), BrokerError> {
        yield_now().await;
        let mut state = self.broker.state();
        state.calls.push(format!("consume {} with {prefetch}", self.queue));
        let Some(consumer) = state.consumers.get_mut(&self.queue) else {
            return Err(error(BrokerFailure::ConnectionLost));
        };
        assert!(consumer.is_cancelled && consumer.sent.is_empty(), "the former consumer's messages were all taken");
        consumer.prefetch = prefetch.into();
        consumer.last_of_former = consumer.next_tag;
        consumer.is_cancelled = false;
        state.pump();
        self.broker.1.notify_waiters();
        Ok(())
    }
}

pub(super) struct MemoryReceipt {
    broker: MemoryBroker,
    queue: String,
    session: u64,
    tag: u64,
}

impl MemoryReceipt {
    fn settle(&self, state: &mut BrokerState) -> Result<Message, BrokerError> {
        if state.live != Some(self.session) {
            return Err(error(BrokerFailure::ConnectionLost));
        }
        let consumer = state.consumers.get_mut(&self.queue).unwrap();
        Ok(consumer.unsettled.remove(&self.tag).expect("a message is settled once"))
    }
}

impl Receipt for MemoryReceipt {
    async fn acknowledge(&self) -> Result<(), BrokerError> {
        yield_now().await;
        let mut state = self.broker.state();
        if state.break_after_acknowledging.is_some_and(|count| state.acknowledged.len() >= count) {
            state.break_after_acknowledging = None;
            state.disconnect();
        }
        let message = self.settle(&mut state)?;
        state.acknowledged.push(text(&message));
        state.pump();
        self.broker.1.notify_waiters();
        Ok(())
    }

    async fn requeue(&self) -> Result<(), BrokerError> {
        yield_now().await;
        let mut state = self.broker.state();
        let message = self.settle(&mut state)?;
        state.calls.push(format!("nack {}", text(&message)));
        state.take_back(&self.queue, message);
        state.pump();
        Ok(())
    }
}

/// What the queue makes of a batch.
#[derive(Clone, Debug)]
pub(super) enum Batching {
    Work,
    /// Takes all but the documents with these bodies.
    Refuse(BTreeSet<String>),
    RefuseAll,
    Fail,
    Hang,
    /// Takes its time.
    Slow(Duration),
    Panic,
}

#[derive(Clone)]
pub(super) struct MemoryBatchQueue {
    pub(super) documents: Arc<Mutex<Vec<String>>>,
    /// How large each batch was: documents and bytes.
    pub(super) batches: Arc<Mutex<Vec<(usize, usize)>>>,
    /// What it makes of the next batches; the last one is repeated.
    pub(super) next: Arc<Mutex<VecDeque<Batching>>>,
    pub(super) is_down: Arc<Mutex<bool>>,
    pub(super) most_at_once: Arc<Mutex<(usize, usize)>>,
}

impl Default for MemoryBatchQueue {
    fn default() -> Self {
        Self {
            documents: Arc::default(),
            batches: Arc::default(),
            next: Arc::new(Mutex::new([Batching::Work].into())),
            is_down: Arc::default(),
            most_at_once: Arc::default(),
        }
    }
}

impl MemoryBatchQueue {
    pub(super) fn behave(&self, next: impl Into<VecDeque<Batching>>) {
        *self.next.lock().unwrap() = next.into();
    }

    /// The bodies of the documents, in the order in which they were taken.
    pub(super) fn bodies(&self) -> Vec<String> {
        self.documents.lock().unwrap().iter().map(|document| body(document)).collect()
    }
}

/// The body of a queue message, or its key in the payload store.
fn body(document: &str) -> String {
    let document: serde_json::Value = serde_json::from_str(document).unwrap();
    document["body"]["text"].as_str().or(document["body"]["payload"]["key"].as_str()).unwrap().to_owned()
}

impl Queue for MemoryBatchQueue {
    async fn send(&self, document: &QueueMessage) -> Result<(), PortError> {
        self.send_batch(std::slice::from_ref(document)).await?.into_iter().collect()
    }
}

impl BatchQueue for MemoryBatchQueue {
    async fn check(&self) -> Result<(), PortError> {
        yield_now().await;
        let is_down = *self.is_down.lock().unwrap();
        if is_down { Err(PortError::of("queue check", "out of order")) } else { Ok(()) }
    }

    async fn send_batch(&self, documents: &[QueueMessage]) -> Result<Vec<Result<(), PortError>>, PortError> {
        let size_bytes = documents.iter().map(|document| document.text().len()).sum();
        assert!(!documents.is_empty() && documents.len() <= MAX_BATCH_MESSAGES, "{}", documents.len());
        assert!(size_bytes <= MAX_MESSAGE_BYTES, "{size_bytes}");
        self.batches.lock().unwrap().push((documents.len(), size_bytes));
        let batching = {
            let mut next = self.next.lock().unwrap();
            if next.len() > 1 { next.pop_front().unwrap() } else { next.front().unwrap().clone() }
        };
        {
            let mut at_once = self.most_at_once.lock().unwrap();
            at_once.0 += 1;
            at_once.1 = at_once.1.max(at_once.0);
        }
        yield_now().await;
        match &batching {
            Batching::Hang => std::future::pending::<()>().await,
            Batching::Slow(time) => tokio::time::sleep(*time).await,
            Batching::Panic => panic!("the queue panics"),
            _ => {}
        }
        self.most_at_once.lock().unwrap().0 -= 1;
        let rejected = || PortError::of("queue send", "refused");
        if matches!(batching, Batching::Fail) {
            return Err(rejected());
        }
        let results = documents.iter().map(|document| {
            let is_refused = match &batching {
                Batching::Refuse(bodies) => bodies.contains(&body(document.text())),
                Batching::RefuseAll => true,
                _ => false,
            };
            if is_refused {
                return Err(rejected());
            }
            self.documents.lock().unwrap().push(document.text().to_owned());
            Ok(())
        });
        let results = results.collect();
        yield_now().await;
        Ok(results)
    }
}

/// A store for large bodies that can be out of order.
#[derive(Clone, Default)]
pub(super) struct TestPayloads {
    pub(super) stored: MemoryPayloads,
    pub(super) is_down: Arc<Mutex<bool>>,
    /// How many it stores before it is out of order.
    pub(super) fails_after: Arc<Mutex<Option<usize>>>,
}

impl PayloadReader for TestPayloads {
    async fn get(&self, key: &PayloadKey) -> Result<Bytes, PortError> {
        self.stored.get(key).await
    }
}

impl Payloads for TestPayloads {
    async fn put(&self, key: &PayloadKey, bytes: Bytes) -> Result<(), PortError> {
        yield_now().await;
        if let Some(left) = self.fails_after.lock().unwrap().as_mut() {
            match left.checked_sub(1) {
                Some(rest) => *left = rest,
                None => *self.is_down.lock().unwrap() = true,
            }
        }
        if *self.is_down.lock().unwrap() {
            return Err(PortError::of("payload put", "out of order"));
        }
        self.stored.put(key, bytes).await
    }
}

/// The ports of a drain in memory.
pub(super) enum DrainMemory {}

impl Platform for DrainMemory {
    type Queue = MemoryBatchQueue;
    type Payloads = TestPayloads;
    type Secrets = MemorySecrets;
    type Ledger = MemoryLedger;
    type DeliveryRecords = MemoryDeliveryRecords;
    type Lease = MemoryLease;
    type Clock = PassingTime;
}

/// Time that passes with tokio's clock, and ids that count.
#[derive(Clone)]
pub(super) struct PassingTime {
    started: Instant,
    ids: Arc<AtomicU64>,
}

impl Default for PassingTime {
    fn default() -> Self {
        Self { started: Instant::now(), ids: Arc::default() }
    }
}

impl Clock for PassingTime {
    fn now(&self) -> Timestamp {
        Timestamp::parse("2026-11-21T09:30:00Z").unwrap().plus(self.started.elapsed())
    }

    fn new_delivery_id(&self, received_at: Timestamp) -> DeliveryId {
        let [a, b, c, d, e, f, g, h] = self.ids.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        DeliveryId::new(received_at, [0, 0, a, b, c, d, e, f, g, h])
    }
}

//! RabbitMQ: quorum queues with one consumer each, which drop a message that was returned too often, and connections that break.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::pending;
use std::sync::Arc;

use bytes::Bytes;
use intake_pipeline::drain::broker::{Broker, BrokerError, BrokerFailure, Messages, Receipt, Received, Session};
use intake_providers::ProviderName;
use intake_providers::amqp::{Connection, Message, QueueName};
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::guarded::Guarded;
use crate::instance::Instance;
use crate::invariant::Invariant;
use crate::marks::Mark;
use crate::planted::Plant;
use crate::reference::Reference;
use crate::swarm::FaultClass;
use crate::world::World;

/// How often a quorum queue takes a message back before it drops it.
const DELIVERY_LIMIT: u64 = 20;

/// From how many of our own returns on a message that is dropped is our fault. What else counts are connections that broke.
const OUR_RETURNS: u64 = 12;

/// From how many returns of any message on connections no longer break.
const SPARED: u64 = 9;

#[derive(Clone, Debug)]
struct Held {
    message: Message,
    /// How often we returned it.
    returns: u64,
}

#[derive(Debug, Default)]
struct Consumer {
    session: u64,
    prefetch: usize,
    /// Sent, and not taken yet by the client.
    sent: VecDeque<(u64, Message)>,
    unsettled: BTreeMap<u64, Held>,
    next_tag: u64,
    /// The last message of the consumer before this one; its messages don't count into the prefetch.
    last_of_former: u64,
    is_cancelled: bool,
}

#[derive(Debug, Default)]
struct State {
    queues: BTreeMap<String, VecDeque<Held>>,
    consumers: BTreeMap<String, Consumer>,
    live: BTreeSet<u64>,
    next_session: u64,
    /// Before RabbitMQ 4.3 every return counts, and since then only lost connections.
    counts_returns: bool,
    dropped: Vec<Message>,
    /// Number of acknowledged messages by body: messages without an id may be alike.
    acknowledged: BTreeMap<Bytes, usize>,
}

/// The broker.
#[derive(Clone, Debug)]
pub(crate) struct RabbitMq {
    world: World,
    reference: Reference,
    state: Arc<Guarded<State>>,
    changed: Arc<Notify>,
}

fn failed(failure: BrokerFailure) -> BrokerError {
    BrokerError { failure, message: "as the simulation has it".to_owned() }
}

impl RabbitMq {
    pub(crate) fn new(world: &World, reference: &Reference) -> Self {
        let state = State { counts_returns: world.random.permille(500), ..State::default() };
        Self {
            world: world.clone(),
            reference: reference.clone(),
            state: Arc::new(Guarded::new(state)),
            changed: Arc::default(),
        }
    }

    /// A publisher's message.
    pub(crate) fn publish(&self, queue: &str, message: Message) {
        self.world.line("rabbitmq", || format!("has a message on {queue}"));
        let mut state = self.state.get();
        state.queues.entry(queue.to_owned()).or_default().push_back(Held { message, returns: 0 });
        drop(state);
        self.pump();
    }

    /// Whether no message is left, in flight or not.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.state.get();
        state.queues.values().all(VecDeque::is_empty)
            && state.consumers.values().all(|consumer| consumer.unsettled.is_empty())
    }

    /// The messages that were dropped because connections broke too often, for the publisher to send again.
    pub(crate) fn take_dropped(&self) -> Vec<Message> {
        std::mem::take(&mut self.state.get().dropped)
    }

    /// Sends messages to the consumers that have room.
    fn pump(&self) {
        let mut state = self.state.get();
        let State { queues, consumers, .. } = &mut *state;
        for (name, consumer) in consumers {
            let Some(queue) = queues.get_mut(name) else { continue };
            while !consumer.is_cancelled
                && consumer.unsettled.range(consumer.last_of_former + 1..).count() < consumer.prefetch
            {
                let Some(held) = queue.pop_front() else { break };
                consumer.next_tag += 1;
                consumer.sent.push_back((consumer.next_tag, held.message.clone()));
                consumer.unsettled.insert(consumer.next_tag, held);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Takes a message back into its queue, or drops it.
    fn take_back(&self, state: &mut State, queue: &str, mut held: Held, is_by_us: bool) {
        held.message.properties.redelivered = true;
        held.returns += u64::from(is_by_us);
        let is_counted = !is_by_us || state.counts_returns;
        let count = held.message.properties.delivery_count.unwrap_or(0) + u64::from(is_counted);
        held.message.properties.delivery_count = Some(count);
        if count <= DELIVERY_LIMIT {
            return state.queues.entry(queue.to_owned()).or_default().push_front(held);
        }
        if held.returns > OUR_RETURNS {
            let text = format!("a message was returned {} times by us, and dropped", held.returns);
            self.world.violate(Invariant::NoMessageDroppedByTheBroker, text);
        }
        state.dropped.push(held.message);
    }

    /// A connection breaks or is closed.
    fn disconnect(&self, session: u64) {
        let mut state = self.state.get();
        if !state.live.remove(&session) {
            return;
        }
        let of_session: Vec<String> = state
            .consumers
            .iter()
            .filter(|(_, consumer)| consumer.session == session)
            .map(|(name, _)| name.clone())
            .collect();
        for name in of_session {
            let Some(consumer) = state.consumers.remove(&name) else { continue };
            for held in consumer.unsettled.into_values().rev() {
                self.take_back(&mut state, &name, held, false);
            }
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Whether the connection breaks now.
    fn breaks(&self) -> bool {
        let state = self.state.get();
        let waiting =
            state.queues.values().flatten().chain(state.consumers.values().flat_map(|one| one.unsettled.values()));
        let most = waiting.filter_map(|held| held.message.properties.delivery_count).max().unwrap_or(0);
        drop(state);
        most < SPARED && self.world.happens_rarely(FaultClass::BrokerDrops, 4)
    }
}

/// The broker as one process reaches it.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    broker: RabbitMq,
    instance: Arc<Instance>,
}

impl Client {
    pub(crate) fn new(broker: &RabbitMq, instance: &Arc<Instance>) -> Self {
        Self { broker: broker.clone(), instance: Arc::clone(instance) }
    }

    /// A round trip, in which the connection may break or the process be killed.
    async fn round_trip(&self, session: u64, what: impl Fn() -> String + Send) -> Result<(), BrokerError> {
        let world = &self.broker.world;
        world.line(&self.instance.name, || format!("rabbitmq {}", what()));
        let longest = if world.is_healed() { 2 } else { 12 };
        sleep(world.random.milliseconds(1..=longest)).await;
        if world.happens_rarely(FaultClass::KillsAtCalls, 2) {
            self.instance.kill();
            pending::<()>().await;
        }
        if self.broker.breaks() {
            world.line("rabbitmq", || format!("connection {session} breaks"));
            self.broker.disconnect(session);
        }
        if self.broker.state.get().live.contains(&session) {
            Ok(())
        } else {
            Err(failed(BrokerFailure::ConnectionLost))
        }
    }
}

impl Broker for Client {
    type Session = OpenSession;

    async fn connect(&self, _: &Connection) -> Result<OpenSession, BrokerError> {
        let session = {
            let mut state = self.broker.state.get();
            state.next_session += 1;
            let session = state.next_session;
            state.live.insert(session);
            session
        };
        let open = OpenSession { client: self.clone(), session };
        self.round_trip(session, || format!("connects as {session}")).await?;
        Ok(open)
    }
}

/// A connection. One that is dropped is noticed by the broker after a while, as with a process that was killed.
#[derive(Debug)]
pub(crate) struct OpenSession {
    client: Client,
    session: u64,
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        let (broker, session) = (self.client.broker.clone(), self.session);
        if !broker.state.get().live.contains(&session) {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let noticed = broker.world.random.seconds(0..=120);
            runtime.spawn(async move {
                sleep(noticed).await;
                broker.disconnect(session);
                broker.pump();
            });
        }
    }
}

impl Session for OpenSession {
    type Messages = Consumed;

    async fn consume(&self, queue: &QueueName, prefetch: u16) -> Result<Consumed, BrokerError> {
        self.client.round_trip(self.session, || format!("consumes {queue} with {prefetch}")).await?;
        let broker = &self.client.broker;
        let mut state = broker.state.get();
        if state.consumers.contains_key(queue.as_str()) {
            broker.world.marks.see(Mark::ExclusiveConsumerRefused);
            return Err(failed(BrokerFailure::InUse));
        }
        let consumer = Consumer { session: self.session, prefetch: prefetch.into(), ..Consumer::default() };
        state.consumers.insert(queue.to_string(), consumer);
        drop(state);
        broker.pump();
        Ok(Consumed { client: self.client.clone(), session: self.session, queue: queue.to_string() })
    }

    async fn close(&self) -> Result<(), BrokerError> {
        self.client.round_trip(self.session, || "closes".to_owned()).await?;
        self.client.broker.disconnect(self.session);
        self.client.broker.pump();
        Ok(())
    }
}

/// The messages of one queue.
#[derive(Debug)]
pub(crate) struct Consumed {
    client: Client,
    session: u64,
    queue: String,
}

impl Consumed {
    /// What there is to take; nothing if it has to be waited for.
    fn take(&self) -> Option<Result<Option<Received<Delivered>>, BrokerError>> {
        let broker = &self.client.broker;
        let mut state = broker.state.get();
        let is_live = state.live.contains(&self.session);
        let consumer =
            state.consumers.get_mut(&self.queue).filter(|consumer| is_live && consumer.session == self.session);
        let Some(consumer) = consumer else { return Some(Err(failed(BrokerFailure::ConnectionLost))) };
        let Some((tag, message)) = consumer.sent.pop_front() else {
            return consumer.is_cancelled.then_some(Ok(None));
        };
        let receipt = Delivered {
            client: self.client.clone(),
            session: self.session,
            queue: self.queue.clone(),
            tag,
            body: message.body.clone(),
        };
        Some(Ok(Some(Received { message, receipt })))
    }
}

impl Messages for Consumed {
    type Receipt = Delivered;

    async fn next(&mut self) -> Result<Option<Received<Delivered>>, BrokerError> {
        let broker = self.client.broker.clone();
        loop {
            let changed = broker.changed.notified();
            if let Some(taken) = self.take() {
                if broker.world.is_planted(Plant::AckOnReceipt)
                    && let Ok(Some(received)) = &taken
                {
                    received.receipt.settle_acknowledged();
                }
                return taken;
            }
            changed.await;
        }
    }

    async fn cancel(&mut self) -> Result<(), BrokerError> {
        self.client.round_trip(self.session, || format!("cancels {}", self.queue)).await?;
        if let Some(consumer) = self.client.broker.state.get().consumers.get_mut(&self.queue) {
            consumer.is_cancelled = true;
        }
        self.client.broker.changed.notify_waiters();
        Ok(())
    }

    async fn consume_again(&mut self, prefetch: u16) -> Result<(), BrokerError> {
        self.client.round_trip(self.session, || format!("consumes {} again with {prefetch}", self.queue)).await?;
        if let Some(consumer) = self.client.broker.state.get().consumers.get_mut(&self.queue) {
            consumer.prefetch = prefetch.into();
            consumer.last_of_former = consumer.next_tag;
            consumer.is_cancelled = false;
        }
        self.client.broker.pump();
        Ok(())
    }
}

/// A message that was delivered.
#[derive(Debug)]
pub(crate) struct Delivered {
    client: Client,
    session: u64,
    queue: String,
    tag: u64,
    body: Bytes,
}

impl Delivered {
    /// What is settled, if the broker still waits for it on this connection.
    fn settle(&self) -> Option<Held> {
        let mut state = self.client.broker.state.get();
        let consumer = state.consumers.get_mut(&self.queue).filter(|consumer| consumer.session == self.session)?;
        consumer.unsettled.remove(&self.tag)
    }

    /// The acknowledgement reaches the broker. The message is gone for ever.
    fn settle_acknowledged(&self) {
        let broker = &self.client.broker;
        if self.settle().is_some() {
            let acknowledged = {
                let mut state = broker.state.get();
                let count = state.acknowledged.entry(self.body.clone()).or_default();
                *count += 1;
                *count
            };
            let accepted = broker.reference.count_of_body(ProviderName::NowCerts, &self.body);
            if acknowledged > accepted {
                let text =
                    format!("{acknowledged} equal messages are acknowledged to the broker, our queue has {accepted}");
                broker.world.violate(Invariant::NoBrokerAcknowledgementBeforeQueue, text);
            }
        }
        broker.pump();
    }
}

impl Receipt for Delivered {
    /// Nothing is answered to an acknowledgement: one that is lost with its connection looks like one that arrived.
    async fn acknowledge(&self) -> Result<(), BrokerError> {
        let broker = &self.client.broker;
        self.client.round_trip(self.session, || format!("acknowledges message {}", self.tag)).await?;
        if broker.breaks() {
            let is_before = broker.world.random.permille(500);
            if is_before {
                broker.world.marks.see(Mark::BrokerDroppedBeforeAck);
            } else {
                self.settle_acknowledged();
                broker.world.marks.see(Mark::BrokerDroppedAfterAck);
            }
            broker.world.line("rabbitmq", || format!("connection {} breaks", self.session));
            broker.disconnect(self.session);
            return Ok(());
        }
        self.settle_acknowledged();
        Ok(())
    }

    async fn requeue(&self) -> Result<(), BrokerError> {
        self.client.round_trip(self.session, || format!("returns message {}", self.tag)).await?;
        if let Some(held) = self.settle() {
            let broker = &self.client.broker;
            broker.take_back(&mut broker.state.get(), &self.queue, held, true);
            broker.pump();
        }
        Ok(())
    }
}

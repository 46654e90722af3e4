//! SQS: a standard queue with a dead-letter queue. At least once, in any order, also after a message was deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use intake_pipeline::port_error::PortError;
use intake_pipeline::queue::{BatchQueue, Queue, QueueRecord};
use intake_pipeline::queue_message::QueueMessage;
use intake_providers::delivery::DeliveryId;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::guarded::Guarded;
use crate::instance::{Instance, Release};
use crate::invariant::Invariant;
use crate::marks::Mark;
use crate::planted::Plant;
use crate::reference::{Reference, delivery_id_in};
use crate::s3::Bucket;
use crate::swarm::FaultClass;
use crate::world::{Call, Service, World};

const SEND_MESSAGE: &str = "sqs SendMessage";
const SEND_MESSAGE_BATCH: &str = "sqs SendMessageBatch";

/// The queue's `VisibilityTimeout`.
const VISIBILITY: Duration = Duration::from_secs(180);

/// How many times as long as the queue its dead-letter queue keeps a message, in halves: 14 days to 4.
const HALVES_OF_DEAD: u32 = 7;

/// What a message of this version begins with, and of the one that a release to come writes.
const THIS_VERSION: &str = "{\"version\":1,";
const NEXT_VERSION: &str = "{\"version\":2,";

#[derive(Clone, Debug)]
struct Message {
    text: String,
    is_release: bool,
    sent_at: Instant,
    visible_at: Instant,
    receive_count: u32,
    /// Number of processors that work on it.
    in_work: u32,
    was_deleted: bool,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    source: BTreeMap<u64, Message>,
    dead: BTreeMap<u64, Message>,
    /// Every message that was ever accepted, to be sent again.
    sent: Vec<(String, bool)>,
    /// The deliveries of which a message expired.
    expired: BTreeSet<DeliveryId>,
}

/// The queue and its dead-letter queue.
#[derive(Clone, Debug)]
pub(crate) struct Sqs {
    world: World,
    reference: Reference,
    bucket: Bucket,
    state: Arc<Guarded<State>>,
    changed: Arc<Notify>,
}

impl Sqs {
    pub(crate) fn new(world: &World, reference: &Reference, bucket: &Bucket) -> Self {
        Self {
            world: world.clone(),
            reference: reference.clone(),
            bucket: bucket.clone(),
            state: Arc::default(),
            changed: Arc::default(),
        }
    }

    /// Takes a message. From now on it is durable.
    pub(crate) fn accept(&self, text: &str, is_release: bool) {
        let delivery = self.reference.accept(text, |key| self.bucket.get(key));
        self.world.line("sqs", || match delivery {
            Some(delivery) => format!("has delivery {delivery}"),
            None => "has a message that is not readable".to_owned(),
        });
        let text = if self.world.is_planted(Plant::TrimmedBody) { text.replace("\\n", "") } else { text.to_owned() };
        let mut state = self.state.get();
        state.next += 1;
        let number = state.next;
        state.sent.push((text.clone(), is_release));
        let now = Instant::now();
        let message = Message {
            text,
            is_release,
            sent_at: now,
            visible_at: now,
            receive_count: 0,
            in_work: 0,
            was_deleted: false,
        };
        state.source.insert(number, message);
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits for messages, and hands over some of those that are visible, at most ten, in any order. Nothing once the run is over.
    pub(crate) async fn receive(&self) -> Vec<QueueRecord> {
        loop {
            let changed = self.changed.notified();
            if self.world.is_over() {
                return Vec::new();
            }
            let received = self.take();
            if !received.is_empty() {
                return received;
            }
            let next = self.state.get().source.values().map(|message| message.visible_at).min();
            match next {
                Some(next) => {
                    let _either = timeout_at(next, changed).await;
                }
                None => changed.await,
            }
        }
    }

    /// Removes the messages that are older than the queue keeps them.
    fn expire(&self, state: &mut State) {
        let of_source = self.world.swarm.retention();
        let of_dead = of_source * HALVES_OF_DEAD / 2;
        let is_old = |message: &Message, retention| message.sent_at.elapsed() > retention;
        let old: Vec<_> = state.source.extract_if(.., |_, message| is_old(message, of_source)).collect();
        let dead = state.dead.extract_if(.., |_, message| is_old(message, of_dead)).collect::<Vec<_>>();
        for (number, message) in old.into_iter().chain(dead) {
            self.world.line("sqs", || format!("message {number} expired"));
            if !self.world.swarm.has(FaultClass::ExpiringMessages) {
                self.world.violate(Invariant::EverythingDrains, format!("message {number} expired in the queue"));
            }
            state.expired.extend(delivery_id_in(&message.text));
        }
    }

    /// The deliveries of which a message expired.
    pub(crate) fn expired(&self) -> BTreeSet<DeliveryId> {
        self.state.get().expired.clone()
    }

    fn take(&self) -> Vec<QueueRecord> {
        let now = Instant::now();
        let mut state = self.state.get();
        self.expire(&mut state);
        let mut visible: Vec<u64> =
            state.source.iter().filter(|(_, message)| message.visible_at <= now).map(|(number, _)| *number).collect();
        self.world.random.shuffle(&mut visible);
        visible.truncate(usize::try_from(self.world.random.between(1..=10)).unwrap_or(10));
        let mut received = Vec::new();
        for number in visible {
            let Some(message) = state.source.get_mut(&number) else { continue };
            if message.receive_count >= self.world.swarm.max_receives {
                if let Some(mut dead) = state.source.remove(&number) {
                    dead.receive_count = 0;
                    state.dead.insert(number, dead);
                    self.world.marks.see(Mark::DeadLettered);
                    self.world.line("sqs", || format!("message {number} is a dead letter"));
                }
                continue;
            }
            if self.world.is_planted(Plant::MessageLost) && self.world.random.permille(20) {
                state.source.remove(&number);
                continue;
            }
            message.receive_count += 1;
            let is_early = self.world.happens(FaultClass::EarlyVisibility);
            let hidden = if is_early {
                {
                    let most = self.world.random.between(20..=20_000);
                    self.world.random.milliseconds(1..=most)
                }
            } else {
                VISIBILITY
            };
            message.visible_at = now + hidden;
            message.in_work += 1;
            if message.in_work > 1 {
                self.world.marks.see(Mark::VisibilityOverlap);
            }
            if std::mem::take(&mut message.was_deleted) {
                self.world.marks.see(Mark::DuplicateAfterDelete);
            }
            received.push(QueueRecord {
                message_id: number.to_string(),
                body: message.text.clone(),
                receive_count: message.receive_count,
                is_release: message.is_release,
            });
        }
        received
    }

    /// A processor is through with a message, and deletes it if it is done.
    pub(crate) fn finish(&self, message_id: &str, is_done: bool) {
        let Ok(number) = message_id.parse::<u64>() else { return };
        let mut state = self.state.get();
        let Some(message) = state.source.get_mut(&number) else { return };
        message.in_work = message.in_work.saturating_sub(1);
        if !is_done {
            return;
        }
        if self.world.happens(FaultClass::DuplicateMessages) {
            message.was_deleted = true;
            message.visible_at = Instant::now() + self.world.random.milliseconds(10..=400_000);
        } else {
            state.source.remove(&number);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Puts every dead letter back, as an operator does. Returns how many.
    pub(crate) fn redrive(&self) -> usize {
        let mut state = self.state.get();
        self.expire(&mut state);
        let dead = std::mem::take(&mut state.dead);
        let count = dead.len();
        for (number, message) in dead {
            // Moving it back counts as sending it.
            let now = Instant::now();
            state.source.insert(number, Message { visible_at: now, sent_at: now, ..message });
            self.world.marks.see(Mark::Redriven);
        }
        drop(state);
        if count > 0 {
            self.world.line("operator", || format!("redrives {count} dead letters"));
            self.changed.notify_waiters();
        }
        count
    }

    /// Sends a third of the messages again that were ever accepted, except those of deliveries that were lost.
    pub(crate) fn replay(&self, lost: &BTreeSet<DeliveryId>) {
        let sent = self.state.get().sent.clone();
        for (text, is_release) in sent {
            // Releasing something again is noted in its quarantine, and so is no replay.
            let is_lost = delivery_id_in(&text).is_some_and(|delivery_id| lost.contains(&delivery_id));
            if !is_release && self.world.random.permille(333) && !is_lost {
                self.accept(&text, is_release);
            }
        }
    }

    /// The texts of all messages that were ever accepted.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.state.get().sent.iter().map(|(text, _)| text.clone()).collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        let state = self.state.get();
        state.source.is_empty() && state.dead.is_empty()
    }

    /// Number of messages that wait, and of dead letters.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let state = self.state.get();
        (state.source.len(), state.dead.len())
    }

    /// Wakes those who wait for messages, because the run is over.
    pub(crate) fn wake(&self) {
        self.changed.notify_waiters();
    }
}

/// A message as a processor of this release reads it: the release to come knows both versions.
pub(crate) fn readable_by(release: Release, text: String) -> String {
    match (release, text.strip_prefix(NEXT_VERSION)) {
        (Release::New, Some(rest)) => format!("{THIS_VERSION}{rest}"),
        _ => text,
    }
}

/// Whether a processor of this release meets a version that it does not know.
pub(crate) fn is_newer_than(release: Release, text: &str) -> bool {
    release == Release::Old && text.starts_with(NEXT_VERSION)
}

/// The queue as one process reaches it.
#[derive(Clone, Debug)]
pub(crate) struct SqsQueue {
    sqs: Sqs,
    instance: Arc<Instance>,
    killed_after: Mark,
}

impl SqsQueue {
    /// `killed_after` is the mark of a process that is killed after the queue has a message of it.
    pub(crate) fn new(sqs: &Sqs, instance: &Arc<Instance>, killed_after: Mark) -> Self {
        Self { sqs: sqs.clone(), instance: Arc::clone(instance), killed_after }
    }

    const fn call(&self, operation: &'static str) -> Call {
        Call { service: Service::Sqs, operation, killed_after: Some(self.killed_after) }
    }

    /// The text as this process writes it.
    fn written(&self, message: &QueueMessage) -> String {
        let world = &self.sqs.world;
        match message.text().strip_prefix(THIS_VERSION) {
            Some(rest) if world.swarm.has(FaultClass::MixedVersions) && self.instance.release == Release::New => {
                format!("{NEXT_VERSION}{rest}")
            }
            _ => message.text().to_owned(),
        }
    }
}

impl Queue for SqsQueue {
    async fn send(&self, message: &QueueMessage) -> Result<(), PortError> {
        if self.sqs.world.plant_shows(Plant::AckBeforeSend) {
            return Ok(());
        }
        if message.offloaded() {
            self.sqs.world.marks.see(Mark::Offloaded);
        }
        let (sqs, text, is_release) = (self.sqs.clone(), self.written(message), message.is_release());
        let effect = move || {
            sqs.accept(&text, is_release);
            Ok(())
        };
        let about = || format!("a message of {}", message.group());
        self.sqs.world.call(&self.instance, self.call(SEND_MESSAGE), about, effect).await
    }

    async fn connect(&self) -> Result<(), PortError> {
        let call = Call { killed_after: None, ..self.call("sqs connect") };
        self.sqs.world.call(&self.instance, call, String::new, || Ok(())).await
    }
}

impl BatchQueue for SqsQueue {
    async fn check(&self) -> Result<(), PortError> {
        let call = Call { killed_after: None, ..self.call("sqs GetQueueAttributes") };
        self.sqs.world.call(&self.instance, call, String::new, || Ok(())).await
    }

    async fn send_batch(&self, messages: &[QueueMessage]) -> Result<Vec<Result<(), PortError>>, PortError> {
        let world = &self.sqs.world;
        if world.plant_shows(Plant::AckBeforeSend) {
            return Ok(messages.iter().map(|_| Ok(())).collect());
        }
        let is_partial = world.happens(FaultClass::PartialBatches);
        let entries: Vec<(String, bool, bool)> = messages
            .iter()
            .map(|message| {
                let is_refused = is_partial && world.random.permille(400);
                (self.written(message), message.is_release(), is_refused)
            })
            .collect();
        let refused = entries.iter().filter(|(.., is_refused)| *is_refused).count();
        if refused > 0 && refused < entries.len() {
            world.marks.see(Mark::PartialBatch);
        }
        let sqs = self.sqs.clone();
        let effect = move || {
            let results = entries.iter().map(|(text, is_release, is_refused)| {
                if *is_refused {
                    return Err(PortError::of(SEND_MESSAGE_BATCH, "the entry was refused"));
                }
                sqs.accept(text, *is_release);
                Ok(())
            });
            Ok(results.collect())
        };
        let about = || format!("{} messages", messages.len());
        let sent = world.call(&self.instance, self.call(SEND_MESSAGE_BATCH), about, effect).await;
        if sent.as_ref().is_err_and(|error: &PortError| error.may_have_taken_effect()) {
            world.marks.see(Mark::BatchAnswerLost);
        }
        sent
    }
}

//! Twins of the ports in memory, and deliveries to try them with.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use intake_providers::delivery::{Delivery, DeliveryId, VerifiedDelivery};
use intake_providers::machnet::Machnet;
use intake_providers::request::UnverifiedRequest;
use intake_providers::timestamp::Timestamp;
use intake_providers::webhook::Webhook;
use intake_simulator::machnet::{Key, secret_text};
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key as MetricKey, KeyName, LocalRecorderGuard, Metadata,
    Recorder, SharedString, Unit,
};
use tracing::level_filters::LevelFilter;

use crate::clock::Clock;
use crate::delivery_record::{DeliveryRecord, DeliveryRecords};
use crate::lease::pause::Pause;
use crate::lease::{Lease, LeaseOwner, Taken};
use crate::ledger::entity::EntityEntry;
use crate::ledger::{Condition, ConditionalPut, Entry, EntryKey, Ledger, LedgerReader, PutOutcome};
use crate::payloads::{PayloadKey, PayloadReader, Payloads};
use crate::platform::Platform;
use crate::port_error::PortError;
use crate::queue::{BatchQueue, Queue};
use crate::queue_message::QueueMessage;
use crate::secrets::{SecretText, Secrets};
use crate::telemetry::json_lines;

pub(crate) const SECRET: &str = "a test secret of thirty-two bytes";
pub(crate) const OTHER_SECRET: &str = "another test secret, just as long";

/// What a port does when it is called next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Work,
    Fail,
    /// Takes effect, and then says that it failed.
    FailAfterwards,
    /// Finds nothing, as an eventually consistent read may. Whatever else is asked works.
    Overlook,
    Hang,
    Panic,
}

impl Behaviour {
    pub(crate) async fn before(self, operation: &'static str) -> Result<(), PortError> {
        match self {
            Self::Work | Self::FailAfterwards | Self::Overlook => Ok(()),
            Self::Fail => Err(PortError::of(operation, "out of order")),
            Self::Hang => std::future::pending().await,
            Self::Panic => panic!("{operation} panics"),
        }
    }

    fn after(self, operation: &'static str) -> Result<(), PortError> {
        if self == Self::FailAfterwards {
            Err(PortError::of(operation, "the answer was lost").undecided())
        } else {
            Ok(())
        }
    }
}

#[derive(Clone)]
pub(crate) struct MemoryQueue {
    pub(crate) documents: Arc<Mutex<Vec<String>>>,
    pub(crate) behaviour: Arc<Mutex<Behaviour>>,
    pub(crate) connects: Arc<AtomicUsize>,
}

impl Default for MemoryQueue {
    fn default() -> Self {
        Self { documents: Arc::default(), behaviour: Arc::new(Mutex::new(Behaviour::Work)), connects: Arc::default() }
    }
}

impl MemoryQueue {
    pub(crate) fn documents(&self) -> Vec<String> {
        self.documents.lock().unwrap().clone()
    }

    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }
}

impl Queue for MemoryQueue {
    async fn send(&self, document: &QueueMessage) -> Result<(), PortError> {
        let behaviour = *self.behaviour.lock().unwrap();
        behaviour.before("queue send").await?;
        self.documents.lock().unwrap().push(document.text().to_owned());
        behaviour.after("queue send")
    }

    async fn connect(&self) -> Result<(), PortError> {
        self.connects.fetch_add(1, Ordering::Relaxed);
        let behaviour = *self.behaviour.lock().unwrap();
        behaviour.before("queue connect").await
    }
}

impl BatchQueue for MemoryQueue {
    async fn check(&self) -> Result<(), PortError> {
        let behaviour = *self.behaviour.lock().unwrap();
        behaviour.before("queue check").await
    }

    async fn send_batch(&self, documents: &[QueueMessage]) -> Result<Vec<Result<(), PortError>>, PortError> {
        let mut results = Vec::new();
        for document in documents {
            results.push(self.send(document).await);
        }
        Ok(results)
    }
}

#[derive(Clone, Default)]
pub(crate) struct MemoryPayloads(pub(crate) Arc<Mutex<BTreeMap<String, Bytes>>>, Arc<AtomicUsize>);

/// A store that takes nothing under a prefix.
#[derive(Clone)]
pub(crate) struct RefusingPayloads(pub(crate) MemoryPayloads, pub(crate) &'static str);

impl PayloadReader for RefusingPayloads {
    async fn get(&self, key: &PayloadKey) -> Result<Bytes, PortError> {
        self.0.get(key).await
    }
}

impl Payloads for RefusingPayloads {
    async fn put(&self, key: &PayloadKey, bytes: Bytes) -> Result<(), PortError> {
        if key.as_str().starts_with(self.1) {
            return Err(PortError::of("payload put", "access denied"));
        }
        self.0.put(key, bytes).await
    }
}

impl MemoryPayloads {
    /// Number of calls that stored something.
    pub(crate) fn puts(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

impl PayloadReader for MemoryPayloads {
    async fn get(&self, key: &PayloadKey) -> Result<Bytes, PortError> {
        let missing = || PortError::of("payload get", "the payload is missing").missing();
        self.0.lock().unwrap().get(key.as_str()).cloned().ok_or_else(missing)
    }
}

impl Payloads for MemoryPayloads {
    async fn put(&self, key: &PayloadKey, bytes: Bytes) -> Result<(), PortError> {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0.lock().unwrap().insert(key.as_str().to_owned(), bytes);
        Ok(())
    }
}

/// Secrets that answer what the test says next, and count how often they are asked.
#[derive(Clone, Default)]
pub(crate) struct MemorySecrets {
    pub(crate) text: Arc<Mutex<Option<String>>>,
    pub(crate) fetches: Arc<Mutex<usize>>,
    pub(crate) behaviour: Arc<Mutex<Option<Behaviour>>>,
}

impl MemorySecrets {
    pub(crate) fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = Some(behaviour);
    }

    pub(crate) fn with(text: &str) -> Self {
        let secrets = Self::default();
        secrets.set(Some(text));
        secrets
    }

    pub(crate) fn set(&self, text: Option<&str>) {
        *self.text.lock().unwrap() = text.map(str::to_owned);
    }

    pub(crate) fn fetches(&self) -> usize {
        *self.fetches.lock().unwrap()
    }
}

impl Secrets for MemorySecrets {
    async fn fetch(&self) -> Result<SecretText, PortError> {
        *self.fetches.lock().unwrap() += 1;
        let behaviour = self.behaviour.lock().unwrap().unwrap_or(Behaviour::Work);
        behaviour.before("secrets fetch").await?;
        let text = self.text.lock().unwrap().clone();
        text.map(SecretText::new).ok_or(PortError::of("secrets fetch", "out of order"))
    }
}

/// Whether an entry makes room for one that is put on this condition.
pub(crate) fn gives_way(existing: &Entry, condition: &Condition, now: Timestamp) -> bool {
    match (condition, existing) {
        (Condition::Claimable(owner), Entry::Alias(alias) | Entry::Hint(alias)) => {
            alias.expires_at <= now.unix_seconds() || alias.owner == *owner
        }
        (Condition::Version(version), Entry::Entity(entity)) => entity.version == *version,
        (Condition::NotReleased, Entry::Quarantine(entry)) => entry.released.is_none() && entry.erased_at().is_none(),
        (Condition::Always, _) => true,
        _ => false,
    }
}

/// A ledger whose puts are atomic, and whose caller can be stopped around each of them.
#[derive(Clone, Default)]
pub(crate) struct MemoryLedger {
    pub(crate) entries: Arc<Mutex<BTreeMap<EntryKey, Entry>>>,
    pub(crate) next: Arc<Mutex<VecDeque<Behaviour>>>,
    /// What was put, in order, and when.
    pub(crate) log: Arc<Mutex<Vec<(Timestamp, EntryKey, Entry)>>>,
}

impl MemoryLedger {
    pub(crate) fn entries(&self) -> BTreeMap<EntryKey, Entry> {
        self.entries.lock().unwrap().clone()
    }
}

impl LedgerReader for MemoryLedger {
    async fn entity(&self, key: &EntryKey) -> Result<Option<EntityEntry>, PortError> {
        let behaviour = self.next.lock().unwrap().pop_front().unwrap_or(Behaviour::Work);
        tokio::task::yield_now().await;
        behaviour.before("ledger entity").await?;
        let entity = match self.entries.lock().unwrap().get(key) {
            Some(Entry::Entity(entity)) => Some((**entity).clone()),
            _ => None,
        };
        tokio::task::yield_now().await;
        behaviour.after("ledger entity")?;
        Ok(entity)
    }

    async fn find(&self, key: &EntryKey) -> Result<Option<Entry>, PortError> {
        let behaviour = self.next.lock().unwrap().pop_front().unwrap_or(Behaviour::Work);
        tokio::task::yield_now().await;
        behaviour.before("ledger find").await?;
        let entry = self.entries.lock().unwrap().get(key).filter(|_| behaviour != Behaviour::Overlook).cloned();
        tokio::task::yield_now().await;
        behaviour.after("ledger find")?;
        Ok(entry)
    }
}

impl Ledger for MemoryLedger {
    async fn put(&self, now: Timestamp, puts: &[ConditionalPut]) -> Result<PutOutcome, PortError> {
        let behaviour = self.next.lock().unwrap().pop_front().unwrap_or(Behaviour::Work);
        tokio::task::yield_now().await;
        behaviour.before("ledger put").await?;
        let written = {
            let mut entries = self.entries.lock().unwrap();
            let existing: Vec<Option<Entry>> = puts
                .iter()
                .map(|put| entries.get(&put.key).filter(|entry| !gives_way(entry, &put.condition, now)).cloned())
                .collect();
            if existing.iter().all(Option::is_none) {
                entries.extend(puts.iter().map(|put| (put.key.clone(), put.entry.clone())));
                self.log.lock().unwrap().extend(puts.iter().map(|put| (now, put.key.clone(), put.entry.clone())));
                PutOutcome::Done
            } else {
                PutOutcome::ConditionFailed(existing)
            }
        };
        tokio::task::yield_now().await;
        behaviour.after("ledger put")?;
        Ok(written)
    }
}

/// Delivery records. A test says what the next puts do; nothing more said, they work.
#[derive(Clone, Default)]
pub(crate) struct MemoryDeliveryRecords {
    pub(crate) records: Arc<Mutex<BTreeMap<DeliveryId, DeliveryRecord>>>,
    pub(crate) next: Arc<Mutex<VecDeque<Behaviour>>>,
    pub(crate) always: Arc<Mutex<Option<Behaviour>>>,
    pub(crate) puts: Arc<AtomicUsize>,
}

impl MemoryDeliveryRecords {
    pub(crate) fn all(&self) -> Vec<DeliveryRecord> {
        self.records.lock().unwrap().values().cloned().collect()
    }

    pub(crate) fn of(&self, delivery_id: DeliveryId) -> Option<DeliveryRecord> {
        self.records.lock().unwrap().get(&delivery_id).cloned()
    }
}

impl DeliveryRecords for MemoryDeliveryRecords {
    async fn put(&self, record: &DeliveryRecord) -> Result<(), PortError> {
        let next = self.next.lock().unwrap().pop_front().or(*self.always.lock().unwrap());
        let behaviour = next.unwrap_or(Behaviour::Work);
        self.puts.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        behaviour.before("delivery record put").await?;
        if self.of(record.delivery_id).is_none_or(|standing| record.replaces(&standing)) {
            self.records.lock().unwrap().insert(record.delivery_id, record.clone());
        }
        tokio::task::yield_now().await;
        behaviour.after("delivery record put")
    }
}

/// A lease whose time passes with tokio's clock.
#[derive(Clone, Default)]
pub(crate) struct MemoryLease {
    pub(crate) holder: Arc<Mutex<Option<(LeaseOwner, Timestamp)>>>,
    pub(crate) pause: Arc<Mutex<Option<Pause>>>,
    pub(crate) is_down: Arc<Mutex<bool>>,
}

impl MemoryLease {
    fn answer(&self) -> Result<(), PortError> {
        if *self.is_down.lock().unwrap() { Err(PortError::of("lease", "out of order")) } else { Ok(()) }
    }

    pub(crate) fn pause(&self) -> Option<Pause> {
        self.pause.lock().unwrap().clone()
    }

    /// As an operator does.
    pub(crate) fn lift_pause(&self) {
        if let Some(pause) = self.pause.lock().unwrap().as_mut() {
            pause.until = Timestamp::EPOCH;
        }
    }
}

impl Lease for MemoryLease {
    async fn take(&self, owner: &LeaseOwner, now: Timestamp, expires_at: Timestamp) -> Result<Taken, PortError> {
        tokio::task::yield_now().await;
        self.answer()?;
        let mut holder = self.holder.lock().unwrap();
        if holder.as_ref().is_some_and(|(_, expires_at)| *expires_at > now) {
            return Ok(Taken::HeldByAnother);
        }
        let pause = self.pause();
        Ok(match pause {
            Some(pause) if pause.until > now => Taken::Paused(pause),
            pause => {
                *holder = Some((owner.clone(), expires_at));
                Taken::Ours(pause)
            }
        })
    }

    async fn renew(&self, owner: &LeaseOwner, expires_at: Timestamp) -> Result<bool, PortError> {
        tokio::task::yield_now().await;
        self.answer()?;
        let mut holder = self.holder.lock().unwrap();
        let is_ours = holder.as_ref().is_some_and(|(holder, _)| holder == owner);
        if is_ours {
            *holder = Some((owner.clone(), expires_at));
        }
        Ok(is_ours)
    }

    async fn replace_pause(&self, owner: &LeaseOwner, pause: &Pause) -> Result<bool, PortError> {
        tokio::task::yield_now().await;
        self.answer()?;
        let is_ours = self.holder.lock().unwrap().as_ref().is_some_and(|(holder, _)| holder == owner);
        if is_ours {
            *self.pause.lock().unwrap() = Some(pause.clone());
        }
        Ok(is_ours)
    }

    async fn release(&self, owner: &LeaseOwner, pause: Option<&Pause>) -> Result<(), PortError> {
        tokio::task::yield_now().await;
        self.answer()?;
        let mut holder = self.holder.lock().unwrap();
        if holder.as_ref().is_some_and(|(holder, _)| holder == owner) {
            *holder = None;
            *self.pause.lock().unwrap() = pause.cloned();
        }
        Ok(())
    }
}

/// A platform in memory. A test may have a ledger or a payload store of its own.
pub(crate) struct Memory<L = MemoryLedger, S = MemoryPayloads>(PhantomData<(L, S)>);

impl<L: Ledger, S: Payloads> Platform for Memory<L, S> {
    type Queue = MemoryQueue;
    type Payloads = S;
    type Secrets = MemorySecrets;
    type Ledger = L;
    type DeliveryRecords = MemoryDeliveryRecords;
    type Lease = MemoryLease;
    type Clock = TestClock;
}

/// Time that stands still until it is moved, and ids that count.
#[derive(Clone)]
pub(crate) struct TestClock(Arc<Mutex<(Timestamp, u8)>>);

impl Default for TestClock {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((Timestamp::parse("2026-11-21T09:30:00Z").unwrap(), 0))))
    }
}

impl TestClock {
    pub(crate) fn pass(&self, time: Duration) {
        let mut state = self.0.lock().unwrap();
        state.0 = state.0.plus(time);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap().0
    }

    fn new_delivery_id(&self, received_at: Timestamp) -> DeliveryId {
        let mut state = self.0.lock().unwrap();
        state.1 = state.1.wrapping_add(1);
        DeliveryId::new(received_at, [state.1; 10])
    }
}

pub(crate) fn secret_document(secrets: &[(&str, &str)]) -> String {
    secret_text(secrets).unwrap()
}

pub(crate) fn signature(secret: &str, body: &[u8]) -> String {
    let signed = Key::new(secret).unwrap().sign(Bytes::copy_from_slice(body), None);
    signed.header_map()["x-raas-webhook-signature"].to_str().unwrap().to_owned()
}

/// A Machnet delivery that was verified for real.
pub(crate) fn verified(id: DeliveryId, received_at: Timestamp, headers: HeaderMap, body: Bytes) -> VerifiedDelivery {
    let keys = Machnet::read_keys(&secret_document(&[("main", SECRET)])).unwrap().keys;
    let signed = Key::new(SECRET).unwrap().sign(body.clone(), None).header_map();
    let credential = Machnet::credential("/", &signed).unwrap();
    let request = Machnet::verify(UnverifiedRequest::new(headers, body), &credential, &keys, received_at).unwrap();
    VerifiedDelivery::new(request, id, received_at)
}

pub(crate) fn delivery(number: u8, body: impl Into<Bytes>) -> Delivery {
    let received_at = Timestamp::parse("2026-11-21T09:30:00Z").unwrap();
    let id = DeliveryId::new(received_at, [number; 10]);
    verified(id, received_at, HeaderMap::new(), body.into()).as_delivery().clone()
}

/// The lines that this thread's test has logged, as they are written.
///
/// One subscriber serves all tests. With one for each, a test that ends while another begins could switch a line off.
pub(crate) struct Lines;

thread_local! {
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct ThreadLines;

impl std::io::Write for ThreadLines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    pub(crate) fn record() -> Self {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            tracing::subscriber::set_global_default(json_lines(LevelFilter::TRACE, || ThreadLines)).unwrap();
        });
        LINES.with_borrow_mut(Vec::clear);
        Self
    }

    /// The lines with this message, as JSON.
    pub(crate) fn of(&self, message: &str) -> Vec<serde_json::Value> {
        let text = self.text();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.filter(|line: &serde_json::Value| line["message"] == message).collect()
    }

    pub(crate) fn text(&self) -> String {
        LINES.with_borrow(|lines| String::from_utf8(lines.clone()).unwrap())
    }
}

/// What this thread's test has counted, as `name` or `name value-of-its-label`. A histogram is there with the sum of its values,
/// which may be 0.
#[derive(Clone, Default)]
pub(crate) struct Counted(Arc<Mutex<BTreeMap<String, u64>>>);

struct Series(Counted, String);

impl Counted {
    /// Counts until the guard is dropped.
    pub(crate) fn record(&self) -> LocalRecorderGuard<'_> {
        metrics::set_default_local_recorder(self)
    }

    /// The counts so far, such as `accepted machnet=1`, and forgets them.
    pub(crate) fn take(&self) -> Vec<String> {
        let counted = std::mem::take(&mut *self.0.lock().unwrap());
        counted.into_iter().map(|(name, count)| format!("{name}={count}")).collect()
    }

    fn series(&self, key: &MetricKey) -> Arc<Series> {
        let labels: String = key.labels().map(|label| format!(" {}", label.value())).collect();
        Arc::new(Series(self.clone(), format!("{}{labels}", key.name())))
    }
}

impl CounterFn for Series {
    fn increment(&self, value: u64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += value;
    }

    fn absolute(&self, value: u64) {
        panic!("{} is set to {value}", self.1);
    }
}

impl HistogramFn for Series {
    /// Ours are yes or no.
    fn record(&self, value: f64) {
        self.increment(u64::from(value > 0.0));
    }
}

impl Recorder for Counted {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &MetricKey, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.series(key))
    }

    fn register_gauge(&self, _: &MetricKey, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &MetricKey, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.series(key))
    }
}

/// Polls a future `polls` times and then drops it, as if the process had been killed at that point.
pub(crate) async fn killed_after<F: std::future::Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = Box::pin(future);
    let mut left = polls;
    std::future::poll_fn(|context| match left.checked_sub(1) {
        None => std::task::Poll::Ready(None),
        Some(rest) => {
            left = rest;
            future.as_mut().poll(context).map(Some)
        }
    })
    .await
}

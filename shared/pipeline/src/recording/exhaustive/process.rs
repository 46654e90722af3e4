//! The real recorder as a process that can be copied: it is run again from its start on the answers that it has got so far, up to the
//! call that none of them answers.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use futures_util::FutureExt as _;
use intake_providers::delivery::{Delivery, DeliveryId};
use intake_providers::event::{Event, EventIndex};
use intake_providers::timestamp::Timestamp;

use super::known::Known;
use crate::clock::Clock;
use crate::ledger::entity::EntityEntry;
use crate::ledger::{Condition, ConditionalPut, Entry, EntryKey, Ledger, LedgerReader, Outcome, PutOutcome};
use crate::platform::Platform;
use crate::port_error::PortError;
use crate::recording::{Occasion, Recorder, Recording};
use crate::testing::{MemoryDeliveryRecords, MemoryLease, MemoryPayloads, MemoryQueue, MemorySecrets};

/// A put of one entry.
#[derive(Clone, Debug)]
pub(super) struct Put {
    pub(super) key: Known<EntryKey>,
    pub(super) entry: Known<Entry>,
    pub(super) condition: Condition,
}

/// A call of the recorder to the ledger.
#[derive(Clone, Debug)]
pub(super) enum Call {
    /// To a reader that may be behind.
    Find(Known<EntryKey>),
    /// To a reader that is not.
    Entity(Known<EntryKey>),
    Put(Timestamp, Vec<Put>),
}

/// The ledger's answer to a call.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Answer {
    Found(Option<Known<Entry>>),
    Done,
    ConditionFailed(Vec<Option<Known<Entry>>>),
    Lost,
}

/// What a process does after the answers that it has got.
#[derive(Clone, Debug)]
pub(super) enum Next {
    Calls(Call),
    Ends(Result<Outcome, String>),
}

/// A delivery that holds one event.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) delivery: Delivery,
    pub(super) event: Event,
    /// The partition key of the event's identity.
    pub(super) partition: String,
    /// That of its alias.
    pub(super) alias: Option<String>,
}

impl Message {
    pub(super) fn of(delivery: Delivery, event: Event) -> Self {
        let (alias, _) = event.kind.aliases();
        let (partition, alias) = (event.identity.partition_key(), alias.map(|alias| alias.name.partition_key()));
        Self { delivery, event, partition, alias }
    }
}

/// A processor's work on a message, as far as it has come.
pub(super) struct Process {
    /// The place of the message among all of the world.
    pub(super) message: usize,
    pub(super) next: Next,
    occasion: Occasion,
    started: Timestamp,
    /// The answers so far, and when they came.
    answers: Vec<(Timestamp, Answer)>,
    digest: u64,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message {} after {} answers", self.message, self.answers.len())
    }
}

impl Hash for Process {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

impl PartialEq for Process {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for Process {}

impl PartialOrd for Process {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Process {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.message, self.digest).cmp(&(other.message, other.digest))
    }
}

/// All processes that were ever met: each is run once, in however many states of the world it is.
pub(super) struct Processes {
    messages: Vec<Message>,
    met: Mutex<HashMap<u64, Arc<Process>>>,
}

impl Processes {
    pub(super) fn new(messages: Vec<Message>) -> Self {
        Self { messages, met: Mutex::default() }
    }

    pub(super) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Number of runs of the recorder.
    pub(super) fn runs(&self) -> usize {
        self.met.lock().unwrap().len()
    }

    /// A processor that has just received a message.
    pub(super) fn start(&self, message: usize, occasion: Occasion, now: Timestamp) -> Arc<Process> {
        self.process(message, occasion, now, Vec::new())
    }

    /// The process once its call was answered.
    pub(super) fn answer(&self, process: &Process, now: Timestamp, answer: Answer) -> Arc<Process> {
        let mut answers = process.answers.clone();
        answers.push((now, answer));
        self.process(process.message, process.occasion, process.started, answers)
    }

    fn process(
        &self,
        message: usize,
        occasion: Occasion,
        started: Timestamp,
        answers: Vec<(Timestamp, Answer)>,
    ) -> Arc<Process> {
        let mut hasher = DefaultHasher::new();
        (message, occasion == Occasion::First, started.unix_milliseconds()).hash(&mut hasher);
        for (now, answer) in &answers {
            (now.unix_milliseconds(), answer).hash(&mut hasher);
        }
        let digest = hasher.finish();
        let mut met = self.met.lock().unwrap();
        let process = met.entry(digest).or_insert_with(|| {
            let next = run(&self.messages[message], occasion, started, &answers);
            Arc::new(Process { message, next, occasion, started, answers, digest })
        });
        Arc::clone(process)
    }
}

/// Runs the recorder on these answers.
fn run(message: &Message, occasion: Occasion, started: Timestamp, answers: &[(Timestamp, Answer)]) -> Next {
    let script =
        Script(Arc::new(Mutex::new(Scripted { now: started, answers: answers.iter().cloned().collect(), call: None })));
    let recorder = Recorder::<InScript>::new(script.clone(), MemoryPayloads::default(), script.clone());
    let recording = Recording::of(&message.delivery).on(occasion);
    match recorder.record(&recording, EventIndex(0), message.event.clone()).now_or_never() {
        Some(Ok(recorded)) => Next::Ends(Ok(recorded.outcome)),
        Some(Err(error)) => Next::Ends(Err(error.to_string())),
        None => Next::Calls(script.0.lock().unwrap().call.take().unwrap()),
    }
}

/// A ledger and a clock that answer from a script, and keep the call that it has no answer for.
#[derive(Clone)]
struct Script(Arc<Mutex<Scripted>>);

struct Scripted {
    now: Timestamp,
    answers: VecDeque<(Timestamp, Answer)>,
    call: Option<Call>,
}

struct InScript;

impl Platform for InScript {
    type Queue = MemoryQueue;
    type Payloads = MemoryPayloads;
    type Secrets = MemorySecrets;
    type Ledger = Script;
    type DeliveryRecords = MemoryDeliveryRecords;
    type Lease = MemoryLease;
    type Clock = Script;
}

impl Script {
    async fn call(&self, call: impl FnOnce() -> Call) -> Result<Answer, PortError> {
        let next = {
            let mut scripted = self.0.lock().unwrap();
            let next = scripted.answers.pop_front();
            match &next {
                Some((now, _)) => scripted.now = *now,
                None => scripted.call = Some(call()),
            }
            next
        };
        match next {
            None => std::future::pending().await,
            Some((_, Answer::Lost)) => Err(PortError::of("ledger", "the answer was lost").undecided()),
            Some((_, answer)) => Ok(answer),
        }
    }
}

impl Clock for Script {
    fn now(&self) -> Timestamp {
        self.0.lock().unwrap().now
    }

    fn new_delivery_id(&self, _: Timestamp) -> DeliveryId {
        unreachable!("the recorder makes no deliveries")
    }
}

impl LedgerReader for Script {
    async fn entity(&self, key: &EntryKey) -> Result<Option<EntityEntry>, PortError> {
        match self.call(|| Call::Entity(Known::of(key.clone()))).await? {
            Answer::Found(None) => Ok(None),
            Answer::Found(Some(entry)) => match &*entry {
                Entry::Entity(entity) => Ok(Some((**entity).clone())),
                other => unreachable!("{other:?}"),
            },
            other => unreachable!("{other:?}"),
        }
    }

    async fn find(&self, key: &EntryKey) -> Result<Option<Entry>, PortError> {
        match self.call(|| Call::Find(Known::of(key.clone()))).await? {
            Answer::Found(entry) => Ok(entry.map(|entry| (*entry).clone())),
            other => unreachable!("{other:?}"),
        }
    }
}

impl Ledger for Script {
    async fn put(&self, now: Timestamp, puts: &[ConditionalPut]) -> Result<PutOutcome, PortError> {
        let call = || {
            let put = |put: &ConditionalPut| Put {
                key: Known::of(put.key.clone()),
                entry: Known::of(put.entry.clone()),
                condition: put.condition.clone(),
            };
            Call::Put(now, puts.iter().map(put).collect())
        };
        match self.call(call).await? {
            Answer::Done => Ok(PutOutcome::Done),
            Answer::ConditionFailed(existing) => {
                let existing = existing.into_iter().map(|entry| entry.map(|entry| (*entry).clone()));
                Ok(PutOutcome::ConditionFailed(existing.collect()))
            }
            other => unreachable!("{other:?}"),
        }
    }
}

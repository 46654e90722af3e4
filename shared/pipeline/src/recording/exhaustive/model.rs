//! The world around the recorder: a queue that delivers at least once, processors that are killed, a ledger whose answers get lost and
//! whose reads are behind, and time that passes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use intake_providers::timestamp::Timestamp;
use stateright::{Model, Property};

use super::process::{Answer, Call, Message, Next, Process, Processes, Put};
use super::rules::{self, Broken};
use super::store::{self, Entries};
use crate::ledger::{Condition, Entry, Outcome};
use crate::recording::Occasion;

/// How long a claim lasts, and how far the clock moves at once.
const WINDOW: Duration = Duration::from_secs(12 * 60 * 60);

/// A defect that is planted, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Planted {
    /// Events are put without a condition.
    UnconditionalPut,
    /// Aliases are claimed without a condition.
    UnconditionalClaim,
    /// Entities are put whatever their version.
    IgnoredVersion,
    /// The put of an event and its entity is not atomic: where one condition fails, the other entry is put.
    TornTransaction,
    /// Conflicts are not put.
    DroppedConflict,
    /// A message is deleted from the queue before it is worked on.
    EarlyAcknowledgement,
    /// A lost answer counts as one that says the put was done.
    LostAnswerBelieved,
}

/// How much may happen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Number of processors.
    pub(super) processors: usize,
    /// Number of kills, lost answers and reads that are behind, all in all.
    pub(super) faults: u8,
    /// Number of times that the queue delivers a message that was deleted.
    pub(super) redeliveries: u8,
    /// Number of times that the window of a claim passes.
    pub(super) waits: u8,
}

/// What may happen to messages.
pub(super) struct World {
    processes: Processes,
    limits: Limits,
    planted: Option<Planted>,
    /// How often each noteworthy thing happened.
    marks: Mutex<BTreeMap<&'static str, usize>>,
    /// Set at the first state that breaks a promise. Only that one is reported, so that its path is the shortest.
    is_broken: OnceLock<()>,
}

/// What the queue knows of a message, and what was reported of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Receipt {
    was_received: bool,
    is_deleted: bool,
    outcome: Option<Outcome>,
    /// Whether its event has claimed its alias.
    has_claimed: bool,
}

/// A state of the world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    entries: Entries,
    /// In an order of their own: which processor it is makes no difference.
    running: Vec<Arc<Process>>,
    receipts: Vec<Receipt>,
    now_milliseconds: i64,
    faults: u8,
    redeliveries: u8,
    waits: u8,
    broken: Option<Broken>,
}

/// How a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    Answered,
    /// Done, and the answer is lost.
    AnswerLost,
    /// Done, and the answer is lost; the client asks again and gets the answer to that.
    AskedTwice,
    /// A read that is behind finds nothing.
    Behind,
}

/// What happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// A processor receives a message.
    Receive { message: usize },
    /// The processor that works on the message gets the answer to its call.
    Call { processor: usize, message: usize, call: &'static str, how: How },
    /// The processor that works on the message is killed.
    Kill { processor: usize, message: usize },
    /// The window of a claim passes.
    Wait,
}

impl World {
    pub(super) fn new(messages: Vec<Message>, limits: Limits, planted: Option<Planted>) -> Self {
        let processes = Processes::new(messages);
        Self { processes, limits, planted, marks: Mutex::default(), is_broken: OnceLock::new() }
    }

    /// How often each noteworthy thing happened.
    pub(super) fn marks(&self) -> BTreeMap<&'static str, usize> {
        self.marks.lock().unwrap().clone()
    }

    /// Number of runs of the recorder.
    pub(super) fn runs(&self) -> usize {
        self.processes.runs()
    }

    fn mark(&self, what: &'static str) {
        *self.marks.lock().unwrap().entry(what).or_default() += 1;
    }

    fn messages(&self) -> &[Message] {
        self.processes.messages()
    }

    /// Whether a state keeps a promise.
    fn keeps(&self, state: &State, broken: Broken) -> bool {
        state.broken != Some(broken) || self.is_broken.set(()).is_err()
    }

    /// What the recorder puts, with the planted defect.
    fn planted(&self, put: &Put) -> Put {
        let is_defective = match self.planted {
            Some(Planted::UnconditionalPut) => matches!(&*put.entry, Entry::Event(_)),
            Some(Planted::UnconditionalClaim) => matches!(&*put.entry, Entry::Alias(_)),
            Some(Planted::IgnoredVersion) => matches!(&*put.entry, Entry::Entity(_)),
            _ => false,
        };
        let condition = if is_defective { Condition::Always } else { put.condition.clone() };
        Put { condition, ..put.clone() }
    }

    fn put(&self, state: &mut State, now: Timestamp, puts: &[Put]) -> Answer {
        let puts: Vec<Put> = puts.iter().map(|put| self.planted(put)).collect();
        if self.planted == Some(Planted::DroppedConflict) && matches!(&*puts[0].entry, Entry::Conflict(_)) {
            return Answer::Done;
        }
        let before = state.entries.clone();
        let mut answer = store::put(&mut state.entries, now, &puts);
        let mut done = puts;
        if answer != Answer::Done {
            if self.planted != Some(Planted::TornTransaction) || done.len() < 2 {
                return answer;
            }
            done.retain(|put| store::put(&mut state.entries, now, std::slice::from_ref(put)) == Answer::Done);
            answer = Answer::Done;
        }
        let claimed: Vec<bool> = state.receipts.iter().map(|receipt| receipt.has_claimed).collect();
        for put in &done {
            if let Err(broken) = rules::check_put(self.messages(), &before, now, put, &claimed) {
                state.broken = Some(broken);
            }
            if let Some(claimant) = rules::claimant(self.messages(), &put.key, &put.entry) {
                state.receipts[claimant].has_claimed = true;
            }
            if before.contains_key(&put.key) && matches!(&*put.entry, Entry::Alias(_)) {
                let is_same = owner(&before[&put.key]) == owner(&put.entry);
                self.mark(if is_same { "a claim was renewed" } else { "a claim passed to another event" });
            }
        }
        if let Err(broken) = rules::check_entries(&state.entries, state.waits < self.limits.waits) {
            state.broken = Some(broken);
        }
        answer
    }

    fn call(&self, state: &mut State, call: &Call, how: How) -> Answer {
        let answer = match (call, how) {
            (Call::Find(_), How::Behind) => Answer::Found(None),
            (Call::Find(key) | Call::Entity(key), _) => Answer::Found(state.entries.get(key).cloned()),
            (Call::Put(now, puts), How::AskedTwice) => {
                self.put(state, *now, puts);
                let again = self.put(state, *now, puts);
                self.mark(if again == Answer::Done { "a put was done twice" } else { "a put met itself" });
                again
            }
            (Call::Put(now, puts), _) => self.put(state, *now, puts),
        };
        match how {
            How::AnswerLost if self.planted == Some(Planted::LostAnswerBelieved) => Answer::Done,
            How::AnswerLost => Answer::Lost,
            How::Answered | How::AskedTwice | How::Behind => answer,
        }
    }

    /// The processor's work on a message has ended.
    fn end(&self, state: &mut State, message: usize, result: &Result<Outcome, String>, how: How) {
        let Ok(outcome) = result else {
            if how != How::AnswerLost {
                state.broken = Some(Broken::FailsOnlyByAFault);
            }
            return;
        };
        let kept = rules::outcome_of(&state.entries, &self.messages()[message]);
        let receipt = &mut state.receipts[message];
        if kept != Some(*outcome) {
            state.broken = Some(Broken::OutcomeIsKept);
        }
        if receipt.outcome.is_some_and(|before| before != *outcome) {
            state.broken = Some(Broken::OutcomeNeverChanges);
        }
        receipt.outcome = Some(*outcome);
        receipt.is_deleted = true;
        self.mark(outcome.as_str());
    }
}

/// The event that has claimed an alias.
fn owner(entry: &Entry) -> Option<&str> {
    match entry {
        Entry::Alias(claim) | Entry::Hint(claim) => Some(&claim.owner),
        _ => None,
    }
}

fn name(call: &Call) -> &'static str {
    match call {
        Call::Find(_) => "find",
        Call::Entity(_) => "read the entity",
        Call::Put(_, puts) => match puts.first().map(|put| &*put.entry) {
            Some(Entry::Event(_)) => "put the event",
            Some(Entry::Conflict(_)) => "put the conflict",
            Some(Entry::Alias(_)) => "claim the alias",
            Some(Entry::Hint(_)) => "claim the hint",
            Some(Entry::Quarantine(_) | Entry::Entity(_) | Entry::Progress(_)) | None => "put",
        },
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let start = self.messages().iter().map(|message| message.delivery.received_at).max().unwrap();
        vec![State {
            entries: Entries::new(),
            running: Vec::new(),
            receipts: vec![Receipt::default(); self.messages().len()],
            now_milliseconds: start.unix_milliseconds(),
            faults: self.limits.faults,
            redeliveries: self.limits.redeliveries,
            waits: self.limits.waits,
            broken: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        if state.running.len() < self.limits.processors {
            let receipts = state.receipts.iter().enumerate();
            let due = receipts.filter(|(_, receipt)| !receipt.is_deleted || state.redeliveries > 0);
            actions.extend(due.map(|(message, _)| Action::Receive { message }));
        }
        for (processor, process) in state.running.iter().enumerate() {
            let Next::Calls(call) = &process.next else { continue };
            let message = process.message;
            let how: &[How] = match call {
                Call::Find(key) if state.entries.contains_key(key) => &[How::Answered, How::Behind],
                Call::Find(_) | Call::Entity(_) => &[How::Answered],
                Call::Put(..) => &[How::Answered, How::AnswerLost, How::AskedTwice],
            };
            let possible = how.iter().filter(|how| **how == How::Answered || state.faults > 0);
            let call = name(call);
            actions.extend(possible.map(|how| Action::Call { processor, message, call, how: *how }));
            if state.faults > 0 {
                actions.push(Action::Kill { processor, message });
            }
        }
        if state.waits > 0 {
            actions.push(Action::Wait);
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        let now = Timestamp::from_unix_milliseconds(state.now_milliseconds).unwrap();
        match action {
            Action::Receive { message } => {
                let receipt = &mut state.receipts[message];
                if receipt.is_deleted {
                    state.redeliveries -= 1;
                }
                let occasion = if receipt.was_received { Occasion::Redelivery } else { Occasion::First };
                receipt.was_received = true;
                receipt.is_deleted |= self.planted == Some(Planted::EarlyAcknowledgement);
                if state.running.iter().any(|process| process.message == message) {
                    self.mark("two processors on one message");
                }
                state.running.push(self.processes.start(message, occasion, now));
            }
            Action::Call { processor, how, .. } => {
                if how != How::Answered {
                    state.faults -= 1;
                }
                let process = state.running.remove(processor);
                let Next::Calls(call) = &process.next else { return None };
                let answer = self.call(&mut state, call, how);
                let process = self.processes.answer(&process, now, answer);
                match &process.next {
                    Next::Calls(_) => state.running.push(process),
                    Next::Ends(result) => self.end(&mut state, process.message, result, how),
                }
            }
            Action::Kill { processor, .. } => {
                state.faults -= 1;
                state.running.remove(processor);
            }
            Action::Wait => {
                state.waits -= 1;
                state.now_milliseconds = now.plus(WINDOW).unix_milliseconds();
            }
        }
        state.running.sort();
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("an identity has one event, which is never replaced", |world, state| {
                world.keeps(state, Broken::OneEventOfAnIdentity)
            }),
            Property::always("an entry holds what was delivered", |world, state| {
                world.keeps(state, Broken::ContentAsDelivered)
            }),
            Property::always("an outcome is that of the ledger, and a conflict has other content", |world, state| {
                world.keeps(state, Broken::OutcomeIsKept)
            }),
            Property::always("an outcome never changes", |world, state| {
                world.keeps(state, Broken::OutcomeNeverChanges)
            }),
            Property::always("a claim passes to another event only when it has expired or is void", |world, state| {
                world.keeps(state, Broken::ClaimHolds)
            }),
            Property::always(
                "an event claims its alias before it is stored, and repeats one that has",
                |world, state| world.keeps(state, Broken::RepeatNamesAClaimant),
            ),
            Property::always("one event of a state is stored, and the others repeat it", |world, state| {
                world.keeps(state, Broken::OneStoredOfAState)
            }),
            Property::always("an entity is what its last arrivals say", |world, state| {
                world.keeps(state, Broken::EntityIsTheLastArrivals)
            }),
            Property::always("only a fault lets a run fail", |world, state| {
                world.keeps(state, Broken::FailsOnlyByAFault)
            }),
            Property::eventually("every event is recorded", |_, state: &State| {
                state.broken.is_some() || state.receipts.iter().all(|receipt| receipt.outcome.is_some())
            }),
        ]
    }
}

//! Every way in which small worlds can go: the real recorder, two processors, kills at any await, lost answers, reads that are behind,
//! redeliveries, and claims that expire. Nothing of the recorder is written again here; see [`process`] for how it is copied.
//!
//! `make exhaustive` explores larger worlds and prints the number of their states.

use std::collections::BTreeMap;

use intake_providers::ProviderName;
use intake_providers::delivery::Delivery;
use intake_providers::event::EventKind;
use intake_providers::identity::{Alias, Identity};
use intake_providers::registry::Settings;
use intake_providers::split::Split as _;
use intake_providers::timestamp::Timestamp;
use stateright::{Checker as _, HasDiscoveries, Model as _};

use self::model::{Action, Limits, Planted, World};
use self::process::Message;
use crate::testing::delivery;

mod known;
mod model;
mod process;
mod rules;
mod store;

/// A fact: its id, the resource whose state it reports, and what else it says.
type Fact = (&'static str, &'static str, &'static str);

fn message(delivery: Delivery) -> Message {
    let event = Settings::default().split(&delivery).unwrap().next().unwrap().unwrap();
    Message::of(delivery, event)
}

fn facts(facts: &[Fact]) -> Vec<Message> {
    let deliveries = facts.iter().zip(1..).map(|((id, resource, extra), number)| {
        let body = format!(
            r#"{{"id":"{id}","event_name":"done","resource_id":"{resource}","extra":"{extra}","timestamp":"{number}"}}"#
        );
        message(delivery(number, body))
    });
    deliveries.collect()
}

/// The same, with the resource as a job id too.
fn jobs(facts: &[Fact]) -> Vec<Message> {
    let mut messages = self::facts(facts);
    for Message { delivery, event, .. } in &mut messages {
        let job = event.cloud_event.subject.clone().unwrap();
        let name = Identity::new(event.provider, delivery.account(), [b"job".as_slice(), job.as_bytes()]);
        let EventKind::Fact { job_hint, repeat_alias } = &mut event.kind else { unreachable!("{event:?}") };
        *job_hint = Some(Alias { name, lifetime: repeat_alias.as_ref().unwrap().lifetime });
    }
    messages
}

/// What is said of one entity: its state, and its content. Each arrives a millisecond after the one before.
fn entities(updates: &[(&str, &str)]) -> Vec<Message> {
    let deliveries = updates.iter().zip(1..).map(|((state, name), number): (_, u8)| {
        let entity = serde_json::json!({"organisationName": "o", "businessId": "b", "id": "x", "name": name});
        let body = serde_json::json!({"domainComponentName": "agent", "state": state, "payload": [entity]});
        let delivery = delivery(number, body.to_string());
        let received_at = delivery.received_at.unix_milliseconds() + i64::from(number);
        let received_at = Timestamp::from_unix_milliseconds(received_at).unwrap();
        message(Delivery { provider: ProviderName::NurtureCloud, received_at, ..delivery })
    });
    deliveries.collect()
}

struct Explored {
    states: usize,
    depth: usize,
    marks: BTreeMap<&'static str, usize>,
    /// The promise that is broken, and a short way to it.
    broken: Option<(&'static str, Vec<Action>)>,
}

fn explore(name: &str, messages: Vec<Message>, limits: Limits, planted: Option<Planted>) -> Explored {
    let started = std::time::Instant::now();
    let checker = World::new(messages, limits, planted).checker().finish_when(HasDiscoveries::AnyFailures);
    let checker = checker.spawn_bfs().join();
    let broken = checker.discoveries().into_iter().next().map(|(rule, path)| (rule, path.into_actions()));
    let (states, depth, marks) = (checker.unique_state_count(), checker.max_depth(), checker.model().marks());
    let (steps, runs) = (checker.state_count(), checker.model().runs());
    println!(
        "{name}: {states} states, {steps} steps, {runs} runs of the recorder, depth {depth}, {:.1?}",
        started.elapsed()
    );
    println!("  {marks:?}");
    Explored { states, depth, marks, broken }
}

/// Explores a world, in which no promise may be broken.
fn holds(name: &str, messages: Vec<Message>, limits: Limits, must_happen: &[&str]) {
    let explored = explore(name, messages, limits, None);
    assert!(explored.broken.is_none(), "{name}: {:#?}", explored.broken);
    for what in must_happen {
        assert!(explored.marks.contains_key(what), "{name}: never happened: {what}, in {} states", explored.states);
    }
    assert!(explored.depth > 10);
}

/// One fault of any kind, for each build.
const FEW: Limits = Limits { processors: 2, faults: 1, redeliveries: 0, waits: 0 };

/// What `make exhaustive` explores.
const MANY: Limits = Limits { processors: 2, faults: 2, redeliveries: 1, waits: 1 };

/// A retry of an event, and the same state under another id.
const RETRY: [Fact; 3] = [("a", "r", "u"), ("a", "r", "u"), ("b", "r", "u")];

/// Another content under the same id, about another resource that a third event is about too. The claim of whichever of the first
/// two becomes a conflict is void.
const CONFLICT: [Fact; 3] = [("a", "r", "u"), ("a", "s", "v"), ("b", "s", "v")];

/// Another content under the same id, twice.
const RETRIED_CONFLICT: [Fact; 3] = [("a", "r", "u"), ("a", "r", "v"), ("a", "r", "v")];

/// Three ids of one state.
const REPEATS: [Fact; 3] = [("a", "r", "u"), ("b", "r", "u"), ("c", "r", "u")];

/// An entity is created, changed, and deleted.
const STORY: [(&str, &str); 3] = [("Created", "A"), ("Updated", "B"), ("Deleted", "")];

/// An entity is said to be as it is known to be, before and after it is deleted.
const SAME: [(&str, &str); 3] = [("Current", "A"), ("Deleted", ""), ("Current", "A")];

#[test]
fn a_retry_and_the_same_state_under_another_id() {
    holds(
        "retry",
        facts(&RETRY),
        Limits { redeliveries: 1, ..FEW },
        &["stored", "duplicate", "repeat", "a put met itself"],
    );
}

#[test]
fn other_content_under_an_id_and_a_claim_that_is_void() {
    let must_happen = ["conflict", "repeat", "a claim passed to another event"];
    holds("conflict", facts(&CONFLICT), FEW, &must_happen);
}

#[test]
fn a_conflict_that_is_redelivered() {
    holds("retried conflict", facts(&RETRIED_CONFLICT), FEW, &["conflict", "duplicate"]);
}

#[test]
fn three_ids_of_one_state_and_a_claim_that_expires() {
    let must_happen = ["a claim passed to another event", "two processors on one message"];
    holds("repeats", facts(&REPEATS), Limits { faults: 0, waits: 1, ..FEW }, &must_happen);
}

#[test]
fn a_job_id_beside_an_alias() {
    holds("jobs", jobs(&RETRY), Limits { faults: 0, ..FEW }, &["stored", "duplicate", "repeat"]);
}

#[test]
fn an_entity_in_any_order() {
    holds("story", entities(&STORY), Limits { redeliveries: 1, ..FEW }, &["stored", "a put met itself"]);
    holds("same", entities(&SAME), FEW, &["stored", "duplicate"]);
}

/// Some minutes.
#[test]
#[ignore = "explores millions of states; see make exhaustive"]
fn larger_worlds() {
    holds("retry", facts(&RETRY), MANY, &[]);
    holds("conflict", facts(&CONFLICT), MANY, &[]);
    holds("retried conflict", facts(&RETRIED_CONFLICT), MANY, &[]);
    holds("repeats", facts(&REPEATS), MANY, &[]);
    holds("jobs", jobs(&RETRY), Limits { faults: 1, ..MANY }, &[]);
    holds("story", entities(&STORY), Limits { redeliveries: 2, ..MANY }, &[]);
    holds("same", entities(&SAME), Limits { redeliveries: 2, ..MANY }, &[]);
}

/// The promise that a planted defect breaks, and a short way to it.
fn found(planted: Planted, messages: Vec<Message>, limits: Limits) -> (&'static str, Vec<Action>) {
    let explored = explore(&format!("{planted:?}"), messages, limits, Some(planted));
    let (broken, actions) = explored.broken.unwrap_or_else(|| panic!("{planted:?} is not found"));
    println!("  {broken}: {} actions", actions.len());
    for action in &actions {
        println!("    {action:?}");
    }
    (broken, actions)
}

#[test]
fn planted_defects_are_found() {
    let one_event = "an identity has one event, which is never replaced";
    let outcome = "an outcome is that of the ledger, and a conflict has other content";
    let repeat = "an event claims its alias before it is stored, and repeats one that has";
    let claim = "a claim passes to another event only when it has expired or is void";
    let entity = "an entity is what its last arrivals say";
    let recorded = "every event is recorded";
    for (planted, messages, expected) in [
        (Planted::UnconditionalPut, facts(&RETRY), one_event),
        (Planted::UnconditionalClaim, facts(&RETRY), claim),
        (Planted::DroppedConflict, facts(&CONFLICT), outcome),
        (Planted::LostAnswerBelieved, facts(&RETRY), repeat),
        (Planted::IgnoredVersion, entities(&STORY), entity),
        (Planted::TornTransaction, entities(&STORY), outcome),
        (Planted::EarlyAcknowledgement, facts(&RETRY), recorded),
    ] {
        let (broken, actions) = found(planted, messages, FEW);
        assert_eq!(broken, expected, "{planted:?}: {actions:#?}");
    }
}

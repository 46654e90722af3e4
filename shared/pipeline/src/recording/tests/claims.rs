//! Aliases are claimed before their events are put. That changes no outcome of what is not interrupted; of what is, a repeat may name
//! an event that is still on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use intake_providers::timestamp::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::*;
use crate::ledger::AliasEntry;

fn alias_of(event: &Event) -> String {
    let (alias, _) = event.kind.aliases();
    alias.unwrap().name.partition_key()
}

/// Checks what the ledger put, in its order: an alias passes to another event only once it has expired, or was claimed for content that
/// became a conflict; a stored event has claimed its alias before; and a repeat names an event that has.
pub(super) fn check(log: &[(Timestamp, EntryKey, Entry)], deliveries: &[Delivery]) -> Result<(), TestCaseError> {
    let events: BTreeSet<(String, String)> =
        deliveries.iter().map(event).map(|event| (event.cloud_event.id.clone(), alias_of(&event))).collect();
    let mut holders: BTreeMap<&str, &AliasEntry> = BTreeMap::new();
    let mut claims = BTreeSet::new();
    let mut aliases: BTreeMap<&str, &str> = BTreeMap::new();
    for (now, key, entry) in log {
        match entry {
            Entry::Alias(claim) => {
                if let Some(holder) = holders.insert(&key.partition, claim) {
                    let is_void = aliases.get(holder.owner.as_str()).is_some_and(|alias| *alias != key.partition);
                    let has_expired = holder.expires_at <= now.unix_seconds();
                    prop_assert!(holder.owner == claim.owner || has_expired || is_void, "{holder:?} lost to {claim:?}");
                }
                claims.insert((&claim.owner_id, &key.partition));
            }
            Entry::Event(event) => {
                let alias = event.alias.as_ref().unwrap();
                let owner = event.repeat_of.as_ref().unwrap_or(&event.cloud_event.id);
                prop_assert!(claims.contains(&(owner, alias)), "{event:?}");
                // Content of this id reported this very state, though another content of the id may have been put first.
                prop_assert!(events.contains(&(owner.clone(), alias.clone())), "{event:?}");
                prop_assert_eq!(aliases.insert(&key.partition, alias), None);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The ledger as it would be if an event and its aliases were put by one transaction.
#[derive(Default)]
struct Atomic {
    /// The first content of an id, and the others.
    contents: BTreeMap<String, Vec<(Sha256Digest, DeliveryId, Recorded)>>,
    /// The id of each alias' owner, and when it expires.
    aliases: BTreeMap<String, (String, i64)>,
}

/// An outcome, and the events that the entry names.
type Recorded = (Outcome, Option<String>, Option<String>);

impl Atomic {
    fn record(&mut self, now: Timestamp, delivery: &Delivery) -> Recorded {
        let event = event(delivery);
        let id = event.cloud_event.id.clone();
        let contents = self.contents.entry(id.clone()).or_default();
        if let Some((_, first, recorded)) = contents.iter().find(|(digest, ..)| *digest == event.digest) {
            return if *first == delivery.id { recorded.clone() } else { (Outcome::Duplicate, None, None) };
        }
        let recorded = if contents.is_empty() {
            let (alias, hint) = event.kind.aliases();
            let [repeat_of, same_job_as] = [alias, hint].map(|alias| {
                let alias = alias.unwrap();
                let expires_at = now.plus(alias.lifetime).unix_seconds();
                let owner = self.aliases.entry(alias.name.partition_key()).or_insert_with(|| (id.clone(), expires_at));
                if owner.1 <= now.unix_seconds() {
                    *owner = (id.clone(), expires_at);
                }
                Some(owner.0.clone()).filter(|owner| *owner != id)
            });
            (if repeat_of.is_some() { Outcome::Repeat } else { Outcome::Stored }, repeat_of, same_job_as)
        } else {
            (Outcome::Conflict, None, None)
        };
        contents.push((event.digest, delivery.id, recorded.clone()));
        recorded
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Deliveries one after the other, in any order and again and again; each is killed at any await and loses answers before it is
    /// done. Each has the outcome, and names the events, that it would have if the event and its aliases were put at once.
    #[test]
    fn what_is_redelivered_before_others_come_ends_as_in_one_transaction(
        bodies in prop::collection::vec(any_body(), 1..7),
        steps in prop::collection::vec((
            any::<prop::sample::Index>(),
            0..8_u64,
            prop::collection::vec(1..14_usize, 0..3),
            prop::collection::vec(prop_oneof![
                3 => Just(Behaviour::Work), 1 => Just(Behaviour::Fail), 1 => Just(Behaviour::FailAfterwards),
            ], 0..6),
        ), 1..20),
    ) {
        let world = world();
        let deliveries: Vec<Delivery> = bodies.iter().zip(1..).map(|(body, number)| delivery(number, body.clone())).collect();
        let mut atomic = Atomic::default();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for (which, hours, kills, faults) in steps {
            let delivery = &deliveries[which.index(deliveries.len())];
            world.clock.pass(Duration::from_secs(hours * 60 * 60));
            let expected = atomic.record(world.clock.now(), delivery);
            *world.ledger.next.lock().unwrap() = faults.into();
            let recorder = world.recorder();
            let recording = Recording::of(delivery);
            let mut kills = kills.into_iter();
            let outcome = loop {
                let work = recorder.record(&recording, EventIndex(0), event(delivery));
                let ended = match kills.next() {
                    Some(polls) => runtime.block_on(killed_after(polls, work)),
                    None => Some(runtime.block_on(work)),
                };
                if let Some(Ok(recorded)) = ended {
                    break recorded.outcome;
                }
            };
            let entry = world.events().into_iter().find(|event| event.occurrence.delivery_id == delivery.id);
            let (repeat_of, same_job_as) = entry.map_or((None, None), |entry| (entry.repeat_of, entry.same_job_as));
            prop_assert_eq!((outcome, repeat_of, same_job_as), expected);
        }
    }
}

impl World {
    /// A processor that is killed once it has claimed the names of an event, and before it puts the event.
    async fn claim_only(&self, delivery: &Delivery) {
        let claimed = self.ledger.log.lock().unwrap().len();
        let recorder = self.recorder();
        let recording = Recording::of(delivery);
        let mut work = Box::pin(recorder.record(&recording, EventIndex(0), event(delivery)));
        while self.ledger.log.lock().unwrap().len() < claimed + 2 {
            assert!(killed_after(1, work.as_mut()).await.is_none());
        }
        assert!(matches!(
            self.ledger.log.lock().unwrap()[claimed..],
            [(_, _, Entry::Alias(_)), (_, _, Entry::Hint(_))]
        ));
    }

    fn named_by(&self, id: &str) -> Option<String> {
        self.events().into_iter().find(|event| event.cloud_event.id == id).unwrap().repeat_of
    }
}

const HOUR: Duration = Duration::from_secs(60 * 60);

#[tokio::test]
async fn what_was_interrupted_after_its_claim_is_stored_and_its_window_begins_again() {
    let world = world();
    let first = delivery(1, body("a", "r", "u", 1));
    world.claim_only(&first).await;
    world.clock.pass(11 * HOUR);
    assert_eq!(world.record(&first).await, Outcome::Stored);
    world.clock.pass(11 * HOUR);
    assert_eq!(world.record(&delivery(2, body("b", "r", "u", 2))).await, Outcome::Repeat);
}

#[tokio::test]
async fn a_repeat_may_name_an_event_that_is_still_on_its_way() {
    let world = world();
    let first = delivery(1, body("a", "r", "u", 1));
    world.claim_only(&first).await;
    assert_eq!(world.record(&delivery(2, body("b", "r", "u", 2))).await, Outcome::Repeat);
    assert_eq!(world.named_by("b").as_deref(), Some("a"));
    assert_eq!(world.record(&first).await, Outcome::Stored);
}

#[tokio::test]
async fn what_comes_after_its_claim_has_expired_and_passed_to_another_is_a_repeat_of_that_one() {
    let world = world();
    let first = delivery(1, body("a", "r", "u", 1));
    world.claim_only(&first).await;
    world.clock.pass(12 * HOUR);
    assert_eq!(world.record(&delivery(2, body("b", "r", "u", 2))).await, Outcome::Stored);
    assert_eq!(world.record(&first).await, Outcome::Repeat);
    assert_eq!(world.named_by("a").as_deref(), Some("b"));
}

#[tokio::test]
async fn what_a_conflict_has_claimed_passes_to_the_next_event_with_that_state() {
    let world = world();
    let conflict = delivery(1, body("a", "other state", "u", 1));
    world.claim_only(&conflict).await;
    assert_eq!(world.record(&delivery(2, body("a", "r", "u", 1))).await, Outcome::Stored);
    assert_eq!(world.record(&conflict).await, Outcome::Conflict);
    assert_eq!(world.record(&delivery(3, body("b", "other state", "u", 2))).await, Outcome::Stored);
    assert_eq!(world.record(&delivery(4, body("c", "other state", "u", 3))).await, Outcome::Repeat);
    assert_eq!(world.named_by("c").as_deref(), Some("b"));
    assert_eq!(world.record(&delivery(5, body("d", "r", "u", 3))).await, Outcome::Repeat, "its own is still its own");
    assert_eq!(world.named_by("d").as_deref(), Some("a"));
}

#[tokio::test]
async fn what_takes_a_void_claim_twice_at_once_does_not_repeat_itself() {
    for polls in 1.. {
        let world = world();
        let conflict = delivery(1, body("a", "other state", "u", 1));
        world.claim_only(&conflict).await;
        assert_eq!(world.record(&delivery(2, body("a", "r", "u", 1))).await, Outcome::Stored);

        let next = delivery(3, body("b", "other state", "u", 2));
        let (recorder, recording) = (world.recorder(), Recording::of(&next));
        let attempt = || Box::pin(recorder.record(&recording, EventIndex(0), event(&next)));
        let (mut first, mut second) = (attempt(), attempt());
        assert!(killed_after(polls, first.as_mut()).await.is_none());
        if world.events().iter().any(|event| event.cloud_event.id == "b") {
            assert!(polls > 6, "two finds and two puts come before it");
            break;
        }
        let puts = world.ledger.log.lock().unwrap().len();
        while world.ledger.log.lock().unwrap().len() == puts {
            assert!(killed_after(1, second.as_mut()).await.is_none());
        }
        assert_eq!(first.await.unwrap().outcome, Outcome::Stored, "after {polls} polls");
        assert_eq!(world.named_by("b"), None);
    }
}

/// Before, an event and its alias were put by one transaction, and the event did not say what its alias is.
#[tokio::test]
async fn an_alias_of_an_entry_that_does_not_name_it_holds() {
    let world = world();
    world.record(&delivery(1, body("a", "r", "u", 1))).await;
    for entry in world.ledger.entries.lock().unwrap().values_mut() {
        if let Entry::Event(event) = entry {
            assert!(event.alias.take().is_some());
        }
    }
    assert_eq!(world.record(&delivery(2, body("b", "r", "u", 2))).await, Outcome::Repeat);
    assert_eq!(world.named_by("b").as_deref(), Some("a"));
}

use std::collections::{BTreeMap, BTreeSet};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::delivery::{Delivery, DeliveryId, VerifiedDelivery};
use intake_providers::digest::Sha256Digest;
use intake_providers::entity::{EntityReference, EntityState};
use intake_providers::event::EventIndex;
use intake_providers::nurturecloud::NurtureCloud;
use intake_providers::path_secret::PathSecret;
use intake_providers::registry::Settings;
use intake_providers::request::UnverifiedRequest;
use intake_providers::split::Split as _;
use intake_providers::timestamp::Timestamp;
use intake_providers::webhook::Webhook as _;
use proptest::prelude::*;

use super::*;
use crate::ledger::EventEntry;
use crate::ledger::entity::{Visibility, entity_key};
use crate::testing::{Behaviour, Memory, MemoryLedger, MemoryPayloads, TestClock};

const DAY: &str = "2026-11-21T09:30:00Z";

/// The `number`th delivery, actually verified, that arrived `milliseconds` after the start of the test's clock.
fn delivery(number: u8, milliseconds: u64, body: &str) -> Delivery {
    let secret = PathSecret::of_randomness([9; 32]);
    let document = serde_json::json!({"keys": [{"account": "main", "secret_sha256": secret.hash().digest()}]});
    let keys = NurtureCloud::read_keys(&document.to_string()).unwrap().keys;
    let path = format!("/webhooks/nurturecloud/{}", secret.reveal());
    let received_at = Timestamp::parse(DAY).unwrap().plus(Duration::from_millis(milliseconds));
    let proof = NurtureCloud::credential(&path, &HeaderMap::new()).unwrap();
    let request = UnverifiedRequest::new(HeaderMap::new(), Bytes::from(body.to_owned()));
    let request = NurtureCloud::verify(request, &proof, &keys, received_at).unwrap();
    let id = DeliveryId::new(received_at, [number; 10]);
    VerifiedDelivery::new(request, id, received_at).as_delivery().clone()
}

fn notification(state: &str, entities: &[serde_json::Value]) -> String {
    serde_json::json!({"domainComponentName": "agent", "state": state, "payload": entities}).to_string()
}

fn entity_of(id: &str, name: Option<&str>) -> serde_json::Value {
    let mut value = serde_json::json!({"organisationName": "o", "businessId": "b", "id": id});
    if let Some(name) = name {
        value["name"] = name.into();
    }
    value
}

fn reference(id: &str) -> EntityReference {
    EntityReference {
        account: AccountName::new("main").unwrap(),
        component: "agent".to_owned(),
        organisation: "o".to_owned(),
        business_id: "b".to_owned(),
        id: id.to_owned(),
    }
}

#[derive(Default)]
struct World {
    ledger: MemoryLedger,
    payloads: MemoryPayloads,
    clock: TestClock,
}

impl World {
    fn recorder(&self) -> Recorder<Memory> {
        Recorder::new(self.ledger.clone(), self.payloads.clone(), self.clock.clone())
    }

    /// Records every event of a delivery, as the processor does.
    async fn process(&self, delivery: &Delivery) -> Result<Vec<Outcome>, RecordingError> {
        let recorder = self.recorder();
        let recording = Recording::of(delivery);
        let mut outcomes = Vec::new();
        let providers = Settings::default();
        for (event, index) in providers.split(delivery).unwrap().zip(0..) {
            outcomes.push(recorder.record(&recording, EventIndex(index), event.unwrap()).await?.outcome);
        }
        Ok(outcomes)
    }

    fn entity(&self, id: &str) -> Option<EntityEntry> {
        match self.ledger.entries().remove(&entity_key(ProviderName::NurtureCloud, &reference(id))) {
            Some(Entry::Entity(entity)) => Some(*entity),
            _ => None,
        }
    }

    /// The entity's events in the order of their arrival.
    fn history(&self, id: &str) -> Vec<EventEntry> {
        let partition = entity_key(ProviderName::NurtureCloud, &reference(id)).partition;
        let entries = self.ledger.entries().into_iter().filter(|(key, _)| key.partition == partition);
        entries
            .filter_map(|(_, entry)| match entry {
                Entry::Event(event) => Some(*event),
                _ => None,
            })
            .collect()
    }

    /// What became of the entity's only event of a delivery.
    fn became(&self, delivery: &Delivery) -> (Outcome, &'static str) {
        let history = self.history("x");
        let event = history.iter().find(|event| event.occurrence.delivery_id == delivery.id).unwrap();
        (event.outcome, event.entity.as_ref().unwrap().change.as_str())
    }
}

/// The story of the contract: A, B, A, a retry of A, a deletion, an update that was on its way meanwhile, and a sync.
fn story() -> Vec<(&'static str, Delivery)> {
    let named = |name| [entity_of("x", name)];
    [
        ("Created A", notification("Created", &named(Some("A")))),
        ("Updated B", notification("Updated", &named(Some("B")))),
        ("Updated A", notification("Updated", &named(Some("A")))),
        ("Updated A, a retry", notification("Updated", &named(Some("A")))),
        ("Deleted", notification("Deleted", &named(None))),
        ("Updated C, late", notification("Updated", &named(Some("C")))),
        ("Current A", notification("Current", &named(Some("A")))),
    ]
    .into_iter()
    .zip(1..)
    .map(|((name, body), number)| (name, delivery(number, u64::from(number) * 1_000, &body)))
    .collect()
}

async fn play(order: &[usize]) -> (World, Vec<String>) {
    let (world, story) = (World::default(), story());
    let mut lines = Vec::new();
    for place in order {
        let (name, delivery) = &story[*place];
        world.process(delivery).await.unwrap();
        let (outcome, change) = world.became(delivery);
        lines.push(format!("{}. {name:<19} {:<10} {change}", place + 1, outcome.as_str()));
    }
    (world, lines)
}

#[tokio::test]
async fn the_story_in_order() {
    let (world, lines) = play(&[0, 1, 2, 3, 4, 5, 6]).await;
    assert_eq!(
        lines,
        [
            "1. Created A           stored     created",
            "2. Updated B           stored     changed",
            "3. Updated A           stored     changed",
            "4. Updated A, a retry  duplicate  unchanged",
            "5. Deleted             stored     deleted",
            "6. Updated C, late     stored     late",
            "7. Current A           stored     revived",
        ]
    );
    let entity = world.entity("x").unwrap();
    assert_eq!((entity.version, entity.deleted), (7, false));
    assert_eq!(entity.content.unwrap().state, EntityState::Current);
}

#[tokio::test]
async fn the_story_shuffled_ends_in_the_same_entity() {
    let (_, lines) = play(&[2, 5, 4, 0, 6, 3, 1]).await;
    assert_eq!(
        lines,
        [
            "3. Updated A           stored     created",
            "6. Updated C, late     stored     changed",
            "5. Deleted             stored     deleted",
            "1. Created A           stored     late",
            "7. Current A           stored     revived",
            "4. Updated A, a retry  duplicate  unchanged",
            "2. Updated B           stored     late",
        ]
    );
    let entity = |world: &World| {
        let entity = world.entity("x").unwrap();
        let content = entity.content.unwrap();
        (entity.version, entity.deleted, content.arrival, content.digest, entity.existence.unwrap().arrival)
    };
    let in_order = entity(&play(&[0, 1, 2, 3, 4, 5, 6]).await.0);
    for order in [[2, 5, 4, 0, 6, 3, 1], [6, 5, 4, 3, 2, 1, 0], [4, 6, 1, 3, 0, 2, 5]] {
        assert_eq!(entity(&play(&order).await.0), in_order, "{order:?}");
    }
}

#[tokio::test]
async fn an_update_never_brings_a_deleted_entity_back() {
    let world = World::default();
    world.process(&delivery(1, 1, &notification("Deleted", &[entity_of("x", None)]))).await.unwrap();
    let update = delivery(2, 2, &notification("Updated", &[entity_of("x", Some("A"))]));
    world.process(&update).await.unwrap();
    assert_eq!(world.became(&update), (Outcome::Stored, "late"));
    assert!(world.entity("x").unwrap().deleted);
}

#[tokio::test]
async fn an_entity_that_is_revived_with_newer_content_than_the_event_s_own_carries_it_along() {
    let world = World::default();
    let newer = "B".repeat(MAX_INLINE_CONTENT_BYTES / 2);
    let own = "A".repeat(MAX_INLINE_CONTENT_BYTES);
    world.process(&delivery(1, 1, &notification("Deleted", &[entity_of("x", None)]))).await.unwrap();
    world.process(&delivery(3, 3, &notification("Updated", &[entity_of("x", Some(&newer))]))).await.unwrap();
    let revival = delivery(2, 2, &notification("Current", &[entity_of("x", Some(&own))]));
    world.process(&revival).await.unwrap();
    assert_eq!(world.became(&revival), (Outcome::Stored, "revived"));
    let event = world.history("x").into_iter().find(|event| event.occurrence.delivery_id == revival.id).unwrap();
    let EventData::Payload { data_key, .. } = &event.data else { panic!("a large content is stored apart") };
    assert!(world.payloads.0.lock().unwrap()[data_key.as_str()].starts_with(b"{\"businessId\""));
    let Some(EventData::Inline { data }) = event.entity.unwrap().content else { panic!("no content") };
    assert!(data.contains(&newer));
    let small = entity_of("x", Some("C"));
    world.process(&delivery(5, 5, &notification("Deleted", &[entity_of("x", None)]))).await.unwrap();
    world.process(&delivery(7, 7, &notification("Updated", &[small]))).await.unwrap();
    let revival = delivery(6, 6, &notification("Current", &[entity_of("x", Some("D"))]));
    world.process(&revival).await.unwrap();
    let event = world.history("x").into_iter().find(|event| event.occurrence.delivery_id == revival.id).unwrap();
    assert!(matches!(event.data, EventData::Inline { .. }));
}

#[tokio::test]
async fn a_duplicate_keeps_no_second_copy_and_names_the_event_that_has_one() {
    let world = World::default();
    let first = delivery(1, 1, &notification("Created", &[entity_of("x", Some("A"))]));
    world.process(&first).await.unwrap();
    for number in 2..5 {
        let again = delivery(number, number.into(), &notification("Current", &[entity_of("x", Some("A"))]));
        world.process(&again).await.unwrap();
        assert_eq!(world.became(&again), (Outcome::Duplicate, "unchanged"));
    }
    for duplicate in &world.history("x")[1..] {
        let same_data_as = format!("{}.0", first.id);
        assert_eq!(duplicate.data, EventData::Elsewhere { same_data_as });
    }
    let content = world.entity("x").unwrap().content.unwrap();
    assert!(
        matches!(&content.data, EventData::Inline { data } if data.contains("\"A\"")),
        "the entity has its content"
    );
}

#[tokio::test]
async fn the_same_deletion_again_is_a_duplicate_until_the_entity_exists_again() {
    let world = World::default();
    let deleted = |number: u8| delivery(number, number.into(), &notification("Deleted", &[entity_of("x", None)]));
    let (first, second, after_revival) = (deleted(1), deleted(2), deleted(4));
    world.process(&first).await.unwrap();
    world.process(&second).await.unwrap();
    assert_eq!(world.became(&first), (Outcome::Stored, "deleted"));
    assert_eq!(world.became(&second), (Outcome::Duplicate, "unchanged"));
    let first_id = format!("{}.0", first.id);
    assert_eq!(world.history("x")[1].data, EventData::Elsewhere { same_data_as: first_id.clone() });
    let existence = world.entity("x").unwrap().existence.unwrap();
    assert_eq!((existence.arrival.delivery_id, existence.told_by), (second.id, first_id));

    let revival = delivery(3, 3, &notification("Current", &[entity_of("x", None)]));
    world.process(&revival).await.unwrap();
    assert_eq!(world.became(&revival), (Outcome::Stored, "revived"));
    let existence = world.entity("x").unwrap().existence.unwrap();
    assert_eq!(existence.told_by, format!("{}.0", revival.id), "the same content, and another state");
    world.process(&after_revival).await.unwrap();
    assert_eq!(world.became(&after_revival), (Outcome::Stored, "deleted"));
}

#[tokio::test]
async fn content_of_an_entity_is_kept_in_its_entry_up_to_four_kib() {
    let room = 4_096 - entity_of("x", Some("")).to_string().len();
    for (length, is_inline) in [(room, true), (room + 1, false)] {
        let world = World::default();
        let created = notification("Created", &[entity_of("x", Some(&"A".repeat(length)))]);
        world.process(&delivery(1, 1, &created)).await.unwrap();
        let data = world.entity("x").unwrap().content.unwrap().data;
        assert_eq!(matches!(data, EventData::Inline { .. }), is_inline, "{length}");
    }
}

#[tokio::test]
async fn a_delivery_that_comes_again_changes_nothing_and_reports_what_was_recorded() {
    let world = World::default();
    let (first, second) = (
        delivery(1, 1, &notification("Created", &[entity_of("x", Some("A"))])),
        delivery(2, 2, &notification("Updated", &[entity_of("x", Some("A"))])),
    );
    assert_eq!(world.process(&first).await.unwrap(), [Outcome::Stored]);
    assert_eq!(world.process(&second).await.unwrap(), [Outcome::Duplicate]);
    let (entity, entries) = (world.entity("x"), world.ledger.entries());
    for _ in 0..2 {
        assert_eq!(world.process(&first).await.unwrap(), [Outcome::Stored]);
        assert_eq!(world.process(&second).await.unwrap(), [Outcome::Duplicate]);
    }
    assert_eq!((world.entity("x"), world.ledger.entries()), (entity, entries));
}

#[tokio::test]
async fn the_same_entity_twice_in_one_delivery_is_two_events_in_their_order() {
    let world = World::default();
    let both = delivery(1, 1, &notification("Updated", &[entity_of("x", Some("A")), entity_of("x", Some("B"))]));
    world.process(&both).await.unwrap();
    let changes: Vec<_> = world.history("x").iter().map(|event| event.entity.as_ref().unwrap().change).collect();
    assert_eq!(changes, [Change::Created, Change::Changed]);
    assert_eq!(world.entity("x").unwrap().content.unwrap().arrival.index, EventIndex(1));
}

#[tokio::test]
async fn processors_at_once_on_one_entity_all_succeed_each_from_where_the_others_left_it() {
    let world = World::default();
    let deliveries: Vec<Delivery> = (1..=20)
        .map(|number| {
            delivery(number, number.into(), &notification("Updated", &[entity_of("x", Some(&number.to_string()))]))
        })
        .collect();
    let recorded = futures_util::future::join_all(deliveries.iter().map(|delivery| world.process(delivery))).await;
    assert!(recorded.iter().all(|outcomes| outcomes.as_ref().is_ok_and(|outcomes| *outcomes == [Outcome::Stored])));
    let entity = world.entity("x").unwrap();
    assert_eq!((entity.version, entity.content.unwrap().arrival.delivery_id), (20, deliveries[19].id));
}

/// One delivery of a property run.
#[derive(Clone, Debug)]
struct Sent {
    milliseconds: u64,
    body: String,
}

fn any_sent() -> impl Strategy<Value = Sent> {
    let state = prop_oneof!["Created", "Updated", "Current", "Deleted"];
    let one = ("[xy]", prop_oneof![Just("A"), Just("B")], prop_oneof![2 => Just(None), 1 => Just(Some("z"))]);
    (0..4_u64, state, prop::collection::vec(one, 1..3)).prop_map(|(milliseconds, state, entities)| {
        let entities: Vec<_> = entities
            .into_iter()
            .map(|(id, name, merged_into)| {
                let mut entity = entity_of(&id, (state != "Deleted").then_some(name));
                if let (Some(target), true) = (merged_into, state == "Deleted") {
                    entity["mergedInto"] = entity_of(target, None);
                }
                entity
            })
            .collect();
        Sent { milliseconds, body: notification(&state, &entities) }
    })
}

/// What a follower sees who goes by the entries of an entity's events alone.
fn follow<'a>(seen: Visibility<'a>, event: &'a EventEntry) -> Visibility<'a> {
    let entity = event.entity.as_ref().unwrap();
    let content = || {
        let EventData::Inline { data } = entity.content.as_ref().unwrap_or(&event.data) else {
            panic!("a change without content: {event:?}")
        };
        let value: &serde_json::value::RawValue = serde_json::from_str(data).unwrap();
        Sha256Digest::of(intake_providers::canonical_json::canonical(value.into()).unwrap().as_bytes())
    };
    match entity.change {
        Change::Created | Change::Changed | Change::Revived => Visibility::Present(Some(content())),
        Change::Deleted => Visibility::Absent(None),
        Change::Merged => Visibility::Absent(Some(entity.merged_into.as_ref().unwrap())),
        Change::Late | Change::Unchanged => seen,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// Any order, processors at once on the same entity, kills at any await, lost answers, redeliveries: each event is there
    /// exactly once, the entity is the one that the order of arrival says, and who follows the changes sees that entity.
    #[test]
    fn an_entity_is_what_the_order_of_arrival_says_whatever_the_order_of_processing(
        sent in prop::collection::vec(any_sent(), 1..8),
        attempts in prop::collection::vec((any::<prop::sample::Index>(), 1..24_usize), 0..10),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..120),
        faults in prop::collection::vec(prop_oneof![
            6 => Just(Behaviour::Work), 1 => Just(Behaviour::Fail), 1 => Just(Behaviour::FailAfterwards),
        ], 0..30),
        at_last in prop::collection::vec(any::<prop::sample::Index>(), 8),
    ) {
        let world = World::default();
        let deliveries: Vec<Delivery> =
            sent.iter().zip(1..).map(|(sent, number)| delivery(number, sent.milliseconds, &sent.body)).collect();
        *world.ledger.next.lock().unwrap() = faults.into();
        let mut seen: BTreeMap<usize, BTreeSet<Vec<Outcome>>> = BTreeMap::new();

        // Chaos: processors are polled in any order, and each is killed after a given number of polls.
        let attempts: Vec<(usize, usize)> =
            attempts.into_iter().map(|(delivery, lives)| (delivery.index(deliveries.len()), lives)).collect();
        let mut running: Vec<_> = attempts
            .iter()
            .map(|(number, lives)| Some((*number, *lives, Box::pin(world.process(&deliveries[*number])))))
            .collect();
        let mut context = Context::from_waker(Waker::noop());
        for which in order {
            if running.is_empty() {
                break;
            }
            let slot = which.index(running.len());
            let Some((number, lives, mut work)) = running[slot].take() else { continue };
            match work.as_mut().poll(&mut context) {
                Poll::Ready(Ok(outcomes)) => drop(seen.entry(number).or_default().insert(outcomes)),
                Poll::Ready(Err(_)) => {}
                Poll::Pending if lives <= 1 => {}
                Poll::Pending => running[slot] = Some((number, lives - 1, work)),
            }
        }
        drop(running);
        world.ledger.next.lock().unwrap().clear();

        // The queue hands every delivery over until it is done, in another order; then twice more.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut numbers: Vec<usize> = (0..deliveries.len()).collect();
        for (place, other) in at_last.iter().enumerate().take(numbers.len()) {
            let other = other.index(numbers.len());
            numbers.swap(place, other);
        }
        for _ in 0..3 {
            for number in &numbers {
                let outcomes = runtime.block_on(world.process(&deliveries[*number])).unwrap();
                seen.entry(*number).or_default().insert(outcomes);
            }
        }
        prop_assert!(seen.values().all(|outcomes| outcomes.len() == 1), "{seen:?}");

        // The model: all events by entity, in the order of arrival.
        let mut model: BTreeMap<String, Vec<(Arrival, intake_providers::event::Event)>> = BTreeMap::new();
        for delivery in &deliveries {
            for (event, index) in Settings::default().split(delivery).unwrap().zip(0..) {
                let event = event.unwrap();
                let id = event.kind.entity().as_ref().unwrap().entity.id.clone();
                let arrival =
                    Arrival { received_at: delivery.received_at, delivery_id: delivery.id, index: EventIndex(index) };
                model.entry(id).or_default().push((arrival, event));
            }
        }
        for (id, events) in &mut model {
            events.sort_by_key(|(arrival, _)| *arrival);
            let last = |writes: fn(EntityState) -> bool| {
                events.iter().rev().find(|(_, event)| writes(event.kind.entity().as_ref().unwrap().state))
            };
            let entity = world.entity(id).unwrap();
            let content = last(EntityState::carries_content).map(|(arrival, event)| (*arrival, event.digest));
            prop_assert_eq!(entity.content.as_ref().map(|content| (content.arrival, content.digest)), content);
            let existence = last(EntityState::affects_existence);
            prop_assert_eq!(
                entity.existence.as_ref().map(|register| (register.arrival, register.merged_into.clone())),
                existence.map(|(arrival, event)| (*arrival, event.kind.entity().as_ref().unwrap().merged_into.clone()))
            );
            let is_deleted = existence
                .is_some_and(|(_, event)| event.kind.entity().as_ref().unwrap().state == EntityState::Deleted);
            prop_assert_eq!(entity.deleted, is_deleted);
            prop_assert_eq!(entity.version, events.len() as u64);

            // Each event exactly once, in the order of arrival.
            let mut history = world.history(id);
            let occurrences: Vec<_> = history.iter().map(|event| (event.occurrence.delivery_id, event.occurrence.index)).collect();
            let expected: Vec<_> = events.iter().map(|(arrival, _)| (arrival.delivery_id, arrival.index)).collect();
            prop_assert_eq!(occurrences, expected);

            // What says that it is a duplicate names an event that has the data.
            for event in &history {
                match &event.data {
                    EventData::Elsewhere { same_data_as } => {
                        prop_assert_eq!(event.outcome, Outcome::Duplicate);
                        let other = history.iter().find(|other| other.cloud_event.id == *same_data_as).unwrap();
                        prop_assert_eq!((other.outcome, other.digest), (Outcome::Stored, event.digest));
                    }
                    _ => prop_assert_eq!(event.outcome, Outcome::Stored),
                }
            }

            // A follower of all changes, and one who got only the last of them, see the entity.
            history.sort_by_key(|event| event.entity.as_ref().unwrap().version);
            let versions: Vec<u64> = history.iter().map(|event| event.entity.as_ref().unwrap().version).collect();
            prop_assert_eq!(versions, (1..=events.len() as u64).collect::<Vec<_>>());
            prop_assert_eq!(history.iter().fold(Visibility::Unknown, follow), entity.visibility());
            let visible = history.iter().rev().find(|event| {
                !matches!(event.entity.as_ref().unwrap().change, Change::Late | Change::Unchanged)
            });
            prop_assert_eq!(visible.map(|event| follow(Visibility::Unknown, event)), Some(entity.visibility()));
        }
    }
}

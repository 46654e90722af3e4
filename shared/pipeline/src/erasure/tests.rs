use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use intake_providers::entity::EntityReference;

use super::*;
use crate::delivery_record::DeliveryRecords as _;
use crate::envelope::tests::stories::World;
use crate::ledger::{Ledger as _, OutcomeCounts, Release};
use crate::records::testing::MemoryRecords;
use crate::testing::killed_after;

const SECRET: &str = "Ada Lovelace";

/// Erases in the stores of a test, and notes how many payloads it deletes at once. A caller can be killed around each call.
#[derive(Default)]
struct MemoryEraser {
    records: MemoryRecords,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl MemoryEraser {
    fn of(world: &World) -> Self {
        Self { records: records(world), ..Self::default() }
    }
}

impl Eraser for MemoryEraser {
    async fn erase_entry(&self, now: Timestamp, tombstone: &Tombstone) -> Result<PutOutcome, PortError> {
        self.records.ledger.put(now, std::slice::from_ref(tombstone.put())).await
    }

    async fn erase_record(&self, tombstone: &RecordTombstone) -> Result<(), PortError> {
        self.records.delivery_records.put(tombstone.record()).await
    }

    async fn delete_payload(&self, key: &PayloadKey) -> Result<(), PortError> {
        let at_once = self.at_once.fetch_add(1, Ordering::Relaxed) + 1;
        self.most_at_once.fetch_max(at_once, Ordering::Relaxed);
        tokio::task::yield_now().await;
        self.records.payloads.0.lock().unwrap().remove(key.as_str());
        tokio::task::yield_now().await;
        self.at_once.fetch_sub(1, Ordering::Relaxed);
        Ok(())
    }

    async fn finish(&self) -> Result<(), PortError> {
        Err(PortError::of("store vacuum", "the disk is full"))
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Progress for Heard {
    fn erased(&self, event: &RecordedEvent) {
        self.0.lock().unwrap().push(event.key.partition.clone());
    }

    fn reached(&self, _until: Timestamp, _so_far: &ErasureReport) {}
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

fn records(world: &World) -> MemoryRecords {
    MemoryRecords {
        ledger: world.ledger.clone(),
        payloads: world.payloads.clone(),
        delivery_records: world.delivery_records.clone(),
    }
}

/// What to erase.
#[derive(Clone, Copy)]
enum What<'a> {
    Id(&'a str),
    /// All duplicates, which only refer to their data.
    Duplicates,
    Entity,
    Everything,
    /// Everything of a provider.
    Of(ProviderName),
    /// Everything of these days, which is found in fewer calls.
    Since(&'a str),
}

async fn erase_with<E: Eraser>(
    world: &World,
    eraser: &E,
    what: What<'_>,
    erase_quarantine: bool,
) -> Result<ErasureReport, ErasureError> {
    let records = records(world);
    let heard = Heard::default();
    let now = at("2026-11-22T00:00:00Z");
    let erasure = Erasure { records: &records, eraser, progress: &heard, now, erase_quarantine };
    match what {
        What::Id(id) => {
            let filter = EventFilter { id: Some(id.to_owned()), ..EventFilter::default() };
            let mut events = records.events(&filter).await?.found;
            if let Some((delivery_id, index)) = DeliveryId::and_index_of(id).filter(|_| events.is_empty()) {
                let filter = EventFilter { index: Some(index), ..EventFilter::of_delivery(delivery_id) };
                events = records.events(&filter).await?.found;
            }
            erasure.events(events).await
        }
        What::Duplicates => {
            let filter = EventFilter { outcome: Some(Outcome::Duplicate), ..EventFilter::default() };
            erasure.events(records.events(&filter).await?.found).await
        }
        What::Entity => {
            let [entity] = &records.entities().await?.found[..] else { panic!("one entity was expected") };
            erasure.entity(entity).await
        }
        What::Everything => erasure.range(None, TimeRange { since: None, until: Some(now) }).await,
        What::Of(provider) => erasure.range(Some(provider), TimeRange { since: None, until: Some(now) }).await,
        What::Since(day) => erasure.range(None, TimeRange { since: Some(at(day)), until: Some(now) }).await,
    }
}

async fn erase(world: &World, what: What<'_>) -> ErasureReport {
    erase_with(world, &MemoryEraser::of(world), what, false).await.unwrap()
}

/// Everything that is kept, as text, but for what is on its way through the queue: a test's deliveries all are.
fn kept(world: &World) -> String {
    let mut text = String::new();
    for entry in world.ledger.entries().values() {
        text += &serde_json::to_string(entry).unwrap();
    }
    for record in world.delivery_records.all() {
        text += &serde_json::to_string(&record).unwrap();
    }
    for (key, bytes) in world.payloads.0.lock().unwrap().iter().filter(|(key, _)| !key.starts_with("deliveries/")) {
        text += &format!("{key} {}\n", String::from_utf8_lossy(bytes));
    }
    text
}

async fn machnet(world: &mut World, id: &str, name: &str) -> Vec<Entry> {
    let person: String = name.chars().take(12).collect();
    let body = format!(
        r#"{{"id":"{id}","event_name":"done","resource_id":"{id}-{person}","user_id":"{person}","timestamp":"2026-01-01T00:00:00Z","name":"{name}"}}"#
    );
    world.deliver(ProviderName::Machnet, &[("x-customer", name)], body).await
}

async fn notify(world: &mut World, body: &str) -> Vec<Entry> {
    world.deliver(ProviderName::NurtureCloud, &[("content-type", "application/json")], body.to_owned()).await
}

/// A notification of an entity with this text in its content.
fn notification(text: &str) -> String {
    let recorded = include_str!("../../../providers/tests/payloads/nurturecloud-agent-current.json");
    let mut value: serde_json::Value = serde_json::from_str(recorded).unwrap();
    value["payload"]["firstName"] = text.into();
    value.to_string()
}

fn outcomes(world: &World) -> Vec<Outcome> {
    world.delivery_records.all().into_iter().flat_map(|record| record.outcomes).map(|event| event.outcome).collect()
}

#[tokio::test]
async fn an_erased_event_leaves_key_digest_and_outcome_and_its_redelivery_is_a_duplicate_that_brings_nothing_back() {
    let mut world = World::default();
    machnet(&mut world, "evt_1", SECRET).await;
    machnet(&mut world, "evt_2", "Grace Hopper").await;
    machnet(&mut world, "evt_1", SECRET).await;
    let before = world.ledger.entries();
    let report = erase(&world, What::Id("evt_1")).await;
    assert_eq!((report.events, report.deliveries, report.erased_before), (1, 2, 0));
    assert!(!kept(&world).contains(SECRET), "{}", kept(&world));
    assert!(kept(&world).contains("Grace Hopper"));
    for (key, entry) in world.ledger.entries() {
        let (Entry::Event(after), Entry::Event(before)) = (entry, &before[&key]) else { continue };
        let same = (after.digest, after.outcome, &after.cloud_event.id, after.occurrence, &after.time_index);
        assert_eq!(
            same,
            (before.digest, before.outcome, &before.cloud_event.id, before.occurrence, &before.time_index)
        );
        assert_eq!(after.data.erased_at().is_some(), after.cloud_event.id == "evt_1");
    }
    // The captured request once more, and the same event in a delivery that nobody has seen.
    machnet(&mut world, "evt_1", SECRET).await;
    assert_eq!(outcomes(&world).last(), Some(&Outcome::Duplicate));
    assert!(!kept(&world).contains(SECRET), "{}", kept(&world));
}

#[tokio::test]
async fn an_erased_event_has_no_envelope_and_nothing_is_read_of_it() {
    let mut world = World::default();
    machnet(&mut world, "evt_1", SECRET).await;
    erase(&world, What::Id("evt_1")).await;
    let records = records(&world);
    let event = records.events(&EventFilter::default()).await.unwrap().found.remove(0);
    assert_eq!(world.envelopes(std::slice::from_ref(&event.entry)).await, Vec::<String>::new());
    let error = event.read_data(&records).await.unwrap_err().to_string();
    assert!(error.starts_with("the data were erased at 2026-11-22T00:00:00.000Z"), "{error}");
    let record = world.delivery_records.all().remove(0);
    assert_eq!(record.headers, []);
    let error = record.read_body(&records, &records).await.unwrap_err().to_string();
    assert!(error.contains("was erased at 2026-11-22T00:00:00.000Z"), "{error}");
}

#[tokio::test]
async fn a_conflict_with_an_erased_event_is_still_one_and_both_can_be_erased() {
    let mut world = World::default();
    machnet(&mut world, "evt_1", SECRET).await;
    erase(&world, What::Id("evt_1")).await;
    machnet(&mut world, "evt_1", "Ada Byron").await;
    assert_eq!(outcomes(&world).last(), Some(&Outcome::Conflict));
    let report = erase(&world, What::Id("evt_1")).await;
    assert_eq!((report.events, report.erased_before), (1, 1));
    assert!(!kept(&world).contains("Ada Byron"));
    machnet(&mut world, "evt_1", "Ada Byron").await;
    assert_eq!(outcomes(&world).last(), Some(&Outcome::Duplicate));
    assert!(!kept(&world).contains("Ada Byron"));
}

#[tokio::test]
async fn large_data_are_deleted_with_their_payload() {
    let mut world = World::default();
    let large = format!("{SECRET}{}", "x".repeat(40_000));
    machnet(&mut world, "evt_1", &large).await;
    assert!(kept(&world).contains("events/machnet/"));
    let report = erase(&world, What::Id("evt_1")).await;
    assert_eq!((report.events, report.deliveries, report.payloads), (1, 1, 1));
    assert!(!kept(&world).contains(SECRET) && !kept(&world).contains("events/machnet/"));
}

#[tokio::test]
async fn an_entity_is_erased_with_its_events_and_known_again_by_what_is_new_only() {
    for size in [10, 10_000] {
        let mut world = World::default();
        let filler = "x".repeat(size);
        let (first, second) =
            (notification(&format!("{SECRET} 1{filler}")), notification(&format!("{SECRET} 2{filler}")));
        notify(&mut world, &first).await;
        notify(&mut world, &second).await;
        notify(&mut world, &second).await;
        assert_eq!(outcomes(&world), [Outcome::Stored, Outcome::Stored, Outcome::Duplicate], "{}", kept(&world));
        let report = erase(&world, What::Entity).await;
        assert_eq!((report.entities, report.events, report.deliveries), (1, 3, 3));
        assert!(!kept(&world).contains(SECRET) && !kept(&world).contains("events/nurturecloud"), "{}", kept(&world));
        // What was erased is known still, and a processor that read the content before can't put it back.
        notify(&mut world, &second).await;
        assert_eq!(outcomes(&world).last(), Some(&Outcome::Duplicate));
        assert!(!kept(&world).contains(SECRET));
        notify(&mut world, &notification("new")).await;
        assert_eq!(outcomes(&world).last(), Some(&Outcome::Stored));
        assert_eq!(records(&world).entities().await.unwrap().found[0].version, 6);
    }
}

#[tokio::test]
async fn a_time_s_erasure_leaves_the_present_content_of_an_entity() {
    for size in [10, 10_000] {
        let mut world = World::default();
        let filler = "x".repeat(size);
        notify(&mut world, &notification(&format!("past{filler}"))).await;
        notify(&mut world, &notification(&format!("present{filler}"))).await;
        let report = erase(&world, What::Everything).await;
        assert_eq!((report.events, report.deliveries, report.entities), (2, 2, 0));
        assert!(!kept(&world).contains("past"));
        assert_eq!(kept(&world).matches("present").count(), 1, "{}", kept(&world));
        assert_eq!(report.payloads_in_use, u64::from(size > 5_000));
        erase(&world, What::Entity).await;
        assert!(!kept(&world).contains("present"), "{}", kept(&world));
    }
}

#[tokio::test]
async fn one_event_of_an_entity_is_erased_with_the_content_that_it_told() {
    let mut world = World::default();
    notify(&mut world, &notification("first")).await;
    let told = notify(&mut world, &notification(SECRET)).await;
    let Some(Entry::Event(event)) =
        told.iter().find(|entry| matches!(entry, Entry::Event(event) if event.received_at.unix_seconds() > 0))
    else {
        panic!("an event was expected")
    };
    let report = erase(&world, What::Id(&event.cloud_event.id)).await;
    assert_eq!((report.events, report.entities), (1, 1));
    assert!(!kept(&world).contains(SECRET) && kept(&world).contains("first"), "{}", kept(&world));
}

#[tokio::test]
async fn with_a_duplicate_that_only_refers_to_them_the_data_are_erased_where_they_are_held() {
    for size in [10, 10_000] {
        let mut world = World::default();
        let shared = notification(&format!("{SECRET}{}", "x".repeat(size)));
        notify(&mut world, &shared).await;
        let again = notify(&mut world, &shared).await;
        // A later content, so that the shared data are not the entity's as well.
        notify(&mut world, &notification("present")).await;
        let [Entry::Event(duplicate)] = &again[..] else { panic!("{again:?}") };
        assert!(matches!(duplicate.data, EventData::Elsewhere { .. }), "{duplicate:?}");

        let report = erase(&world, What::Id(&duplicate.cloud_event.id)).await;

        assert_eq!(
            (report.events, report.entities, report.deliveries),
            (2, 0, 2),
            "the holder, and the one that refers to it"
        );
        assert_eq!(report.payloads, u64::from(size > 5_000));
        assert!(!kept(&world).contains(SECRET) && kept(&world).contains("present"), "{}", kept(&world));
    }
}

#[tokio::test]
async fn duplicates_are_erased_with_the_holders_of_all_of_them() {
    let mut world = World::default();
    for text in ["Ada Lovelace", "Ada Lovelace", "Ada Byron", "Ada Byron", "present"] {
        notify(&mut world, &notification(text)).await;
    }
    let report = erase(&world, What::Duplicates).await;
    assert_eq!((report.events, report.deliveries), (4, 4));
    assert!(!kept(&world).contains("Ada") && kept(&world).contains("present"), "{}", kept(&world));
}

/// A batch of events, whose context is too large for their entries.
async fn batch(world: &mut World, ids: &[&str]) -> Vec<Entry> {
    let event = |id: &&str| format!(r#"{{"code":"{id}"}}"#);
    let events = ids.iter().map(event).collect::<Vec<_>>().join(",");
    let body = format!(r#"{{"channel":"{SECRET}{}","events":[{events}]}}"#, "x".repeat(2_000));
    world.deliver(ProviderName::Sterling, &[], body).await
}

fn id_of(entry: &Entry) -> &str {
    let Entry::Event(event) = entry else { panic!("{entry:?}") };
    assert!(matches!(event.envelope, Some(EnvelopeData::Payload { .. })), "{event:?}");
    &event.cloud_event.id
}

#[tokio::test]
async fn the_context_of_a_batch_stays_while_another_event_of_it_has_it_and_goes_with_the_last_one() {
    let mut world = World::default();
    let events = batch(&mut world, &["a", "b"]).await;
    let [first, second] = &events[..] else { panic!("{events:?}") };
    let contexts = |world: &World| kept(world).matches("events/sterling/envelopes/").count();
    let report = erase(&world, What::Id(id_of(first))).await;
    assert_eq!((report.events, report.payloads), (1, 0));
    assert_eq!(contexts(&world), 2, "the object, and the entry that names it: {}", kept(&world));
    let report = erase(&world, What::Id(id_of(second))).await;
    assert_eq!((report.events, report.payloads), (1, 1));
    assert_eq!(contexts(&world), 0, "{}", kept(&world));
    assert!(!kept(&world).contains(SECRET));
    // The same batch once more.
    assert_eq!(batch(&mut world, &["a", "b"]).await, []);
    assert!(!kept(&world).contains(SECRET), "{}", kept(&world));
}

#[tokio::test]
async fn a_time_s_erasure_deletes_the_context_of_a_batch_once() {
    let mut world = World::default();
    let ids: Vec<String> = (0..200).map(|number| number.to_string()).collect();
    batch(&mut world, &ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let report = erase(&world, What::Everything).await;
    assert_eq!((report.events, report.deliveries, report.payloads), (200, 1, 1));
    assert!(!kept(&world).contains(SECRET), "{}", kept(&world));
}

#[tokio::test]
async fn the_same_context_in_another_delivery_is_erased_with_the_events_of_that_one_only() {
    let mut world = World::default();
    let first = batch(&mut world, &["a"]).await;
    let second = batch(&mut world, &["b"]).await;
    let [first, second] = [&first[0], &second[0]];
    erase(&world, What::Id(id_of(first))).await;
    let Entry::Event(event) = second else { panic!("{second:?}") };
    let Some(EnvelopeData::Payload { envelope_key, .. }) = &event.envelope else { panic!("{event:?}") };
    let context = world.payloads.0.lock().unwrap().get(envelope_key.as_str()).cloned();
    assert!(context.is_some_and(|context| context.starts_with(b"{\"delivery\"") || context.starts_with(b"{\"batch\"")));
    erase(&world, What::Id(id_of(second))).await;
    assert!(!kept(&world).contains(SECRET), "{}", kept(&world));
}

#[tokio::test]
async fn what_was_never_read_is_left_in_quarantine_unless_it_is_meant() {
    for size in [10, 10_000] {
        let mut world = World::default();
        let body = format!(r#"{{"name":"{SECRET}{}"}}"#, "x".repeat(size));
        world.deliver(ProviderName::Machnet, &[], body).await;
        let Some(Entry::Quarantine(entry)) = world.ledger.entries().into_values().next() else { panic!("quarantined") };
        let place = entry.occurrence.delivery_id.event_id(entry.occurrence.index);
        let report = erase(&world, What::Id(&place)).await;
        assert_eq!((report.quarantined, report.deliveries, report.left_in_quarantine.len()), (0, 1, 1));
        assert!(!report.is_complete() && kept(&world).contains(SECRET));
        let report = erase_with(&world, &MemoryEraser::of(&world), What::Id(&place), true).await.unwrap();
        assert_eq!((report.quarantined, report.deliveries), (1, 0), "the record is erased already");
        assert!(report.is_complete() && !kept(&world).contains(SECRET), "{}", kept(&world));
        let events = records(&world).events(&EventFilter::default()).await.unwrap().found;
        assert_eq!(events[0].outcome(), Some((ProviderName::Machnet, Outcome::Quarantined)));
        let [delivery] = &crate::quarantine::QuarantinedDelivery::group(events)[..] else { panic!("one delivery") };
        assert!(delivery.release().is_none(), "there is nothing to release");
    }
}

#[tokio::test]
async fn what_was_released_from_quarantine_is_erased_once_however_long_the_time_is() {
    let mut world = World::default();
    world.deliver(ProviderName::Machnet, &[], format!(r#"{{"name":"{SECRET}"}}"#)).await;
    for entry in world.ledger.entries.lock().unwrap().values_mut() {
        let Entry::Quarantine(entry) = entry else { panic!("quarantined") };
        entry.released = Some(Release { at: entry.received_at, outcome: Outcome::Stored });
    }
    let report = erase(&world, What::Everything).await;
    assert_eq!((report.quarantined, report.deliveries, report.erased_before), (1, 1, 0));
    assert!(!kept(&world).contains(SECRET), "{}", kept(&world));
}

#[tokio::test]
async fn the_erasure_of_one_provider_leaves_what_others_sent() {
    let mut world = World::default();
    machnet(&mut world, "evt_1", SECRET).await;
    world.deliver(ProviderName::Sterling, &[], r#"{"code":"a","name":"Grace Hopper"}"#).await;
    let report = erase(&world, What::Of(ProviderName::Machnet)).await;
    assert_eq!((report.events, report.deliveries), (1, 1));
    assert!(!kept(&world).contains(SECRET) && kept(&world).contains("Grace Hopper"), "{}", kept(&world));
}

#[tokio::test]
async fn a_later_record_that_may_hold_the_event_is_erased_with_it_and_no_other_record() {
    let (its_own, other) = (ProviderName::Machnet, ProviderName::Sterling);
    let none = OutcomeCounts::default();
    let (then, before) = (at("2026-11-21T09:30:00Z"), at("2026-11-20T09:30:00Z"));
    for (provider, received_at, further, is_erased) in [
        (its_own, then, OutcomeCounts { duplicate: 1, ..none }, true),
        (its_own, then, OutcomeCounts { conflict: 1, ..none }, true),
        (its_own, then, OutcomeCounts { stored: 1, ..none }, false),
        (its_own, before, OutcomeCounts { duplicate: 1, ..none }, false),
        (other, then, OutcomeCounts { duplicate: 1, ..none }, false),
    ] {
        let mut world = World::default();
        machnet(&mut world, "evt_1", SECRET).await;
        machnet(&mut world, "evt_2", "Grace Hopper").await;
        if let Some(mut later) = world.delivery_records.records.lock().unwrap().last_entry() {
            let later = later.get_mut();
            (later.provider, later.received_at, later.further_outcomes) = (provider, received_at, further);
        }
        let report = erase(&world, What::Id("evt_1")).await;
        assert_eq!(report.deliveries, 1 + u64::from(is_erased), "{provider} {received_at} {further}");
    }
}

#[tokio::test]
async fn content_that_an_entity_had_twice_is_deleted_with_the_last_of_its_events_that_has_it() {
    let mut world = World::default();
    let of = |text: &str| notification(&format!("{text}{}", "x".repeat(10_000)));
    for text in [SECRET, "Ada Byron", SECRET, "present"] {
        notify(&mut world, &of(text)).await;
    }
    let report = erase(&world, What::Everything).await;
    assert_eq!((report.events, report.payloads, report.payloads_in_use), (4, 2, 2));
    assert!(!kept(&world).contains("Ada"), "{}", kept(&world));
}

#[tokio::test]
async fn events_that_share_nothing_are_erased_side_by_side() {
    let mut world = World::default();
    for id in ["evt_1", "evt_2", "evt_3"] {
        machnet(&mut world, id, &"x".repeat(40_000)).await;
    }
    let eraser = MemoryEraser::of(&world);
    assert_eq!(erase_with(&world, &eraser, What::Everything, false).await.unwrap().payloads, 3);
    assert_eq!(eraser.most_at_once.into_inner(), 3);
}

#[tokio::test]
async fn a_store_that_cannot_remove_what_it_still_holds_fails_the_end_of_the_run() {
    let world = World::default();
    let (records, eraser, progress) = (records(&world), MemoryEraser::of(&world), Heard::default());
    let now = at("2026-11-22T00:00:00Z");
    let erasure = Erasure { records: &records, eraser: &eraser, progress: &progress, now, erase_quarantine: false };
    assert!(erasure.finish().await.is_err_and(|error| error.to_string().contains("the disk is full")));
}

#[tokio::test]
async fn a_dry_run_counts_and_changes_nothing() {
    let mut world = World::default();
    machnet(&mut world, "evt_1", SECRET).await;
    machnet(&mut world, "evt_1", SECRET).await;
    let before = kept(&world);
    let report = erase_with(&world, &DryRun, What::Everything, false).await.unwrap();
    assert_eq!((report.events, report.deliveries), (1, 2));
    assert_eq!(kept(&world), before);
}

#[tokio::test]
async fn a_run_that_is_killed_at_any_point_is_finished_by_the_next_one() {
    let (day, mut polls) = (What::Since("2026-11-21T00:00:00Z"), 0);
    loop {
        let mut world = World::default();
        let large = format!("{SECRET}{}", "x".repeat(40_000));
        machnet(&mut world, "evt_1", &large).await;
        machnet(&mut world, "evt_1", &large).await;
        notify(&mut world, &notification(&format!("{SECRET}{}", "y".repeat(10_000)))).await;
        let eraser = MemoryEraser::of(&world);
        let killed = killed_after(polls, Box::pin(erase_with(&world, &eraser, day, false))).await;
        let is_done = killed.is_some();
        erase(&world, What::Entity).await;
        erase(&world, day).await;
        assert!(!kept(&world).contains(SECRET), "after {polls} polls: {}", kept(&world));
        let again = erase(&world, day).await;
        assert_eq!(
            (again.events, again.deliveries, again.payloads, again.erased_before),
            (0, 0, 0, 2),
            "after {polls} polls"
        );
        if is_done {
            break;
        }
        polls += 1;
    }
    assert!(polls > 10, "{polls}");
}

#[tokio::test]
async fn an_entity_reference_is_what_is_left_of_an_entity() {
    let mut world = World::default();
    notify(&mut world, &notification(&format!("{SECRET}{}", "x".repeat(10_000)))).await;
    let report = erase(&world, What::Entity).await;
    assert_eq!(report.payloads, 1, "the entity's content is that of its event");
    let entity = records(&world).entities().await.unwrap().found.remove(0);
    let EntityReference { component, .. } = &entity.entity;
    assert!(!component.is_empty() && entity.content.is_some_and(|content| content.data.erased_at().is_some()));
}

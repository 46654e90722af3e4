use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::active_keys::MatchedKey;
use intake_providers::delivery::{Delivery, DeliveryId};
use intake_providers::identity::{Alias, Identity};
use intake_providers::registry::Settings;
use intake_providers::signature::KeyFingerprint;
use intake_providers::split::Split as _;
use proptest::prelude::*;

use super::*;
use crate::ledger::Entry;
use crate::payloads::PayloadReader;
use crate::records::{EventFilter, RecordedEvent};
use crate::testing::{Behaviour, Memory, MemoryLedger, MemoryPayloads, TestClock, delivery, killed_after};

mod claims;

type TestRecorder = Recorder<Memory>;

struct World {
    ledger: MemoryLedger,
    payloads: MemoryPayloads,
    clock: TestClock,
}

fn world() -> World {
    World { ledger: MemoryLedger::default(), payloads: MemoryPayloads::default(), clock: TestClock::default() }
}

impl World {
    fn recorder(&self) -> TestRecorder {
        Recorder::new(self.ledger.clone(), self.payloads.clone(), self.clock.clone())
    }

    async fn record(&self, delivery: &Delivery) -> Outcome {
        self.recorder().record(&Recording::of(delivery), EventIndex(0), event(delivery)).await.unwrap().outcome
    }

    fn events(&self) -> Vec<EventEntry> {
        let entries = self.ledger.entries().into_values();
        entries
            .filter_map(|entry| match entry {
                Entry::Event(event) | Entry::Conflict(event) => Some(*event),
                _ => None,
            })
            .collect()
    }
}

/// The delivery's event, with the resource in the place of an unsigned job id, so that both kinds of second names are about.
fn event(delivery: &Delivery) -> Event {
    let mut event = Settings::default().split(delivery).unwrap().next().unwrap().unwrap();
    let job = event.cloud_event.subject.clone().unwrap();
    let name = Identity::new(event.provider, delivery.account(), [b"job".as_slice(), job.as_bytes()]);
    let EventKind::Fact { job_hint, .. } = &mut event.kind else { panic!("{event:?}") };
    *job_hint = Some(Alias { name, lifetime: Duration::from_secs(24 * 60 * 60) });
    event
}

fn body(id: &str, resource: &str, user: &str, timestamp: u32) -> String {
    format!(
        r#"{{"id":"{id}","event_name":"done","resource_id":"{resource}","extra":"{user}","timestamp":"{timestamp}"}}"#
    )
}

#[tokio::test]
async fn the_first_is_stored_and_the_same_again_is_a_duplicate_whatever_its_timestamp() {
    let world = world();
    assert_eq!(world.record(&delivery(1, body("a", "r", "u", 1))).await, Outcome::Stored);
    assert_eq!(world.record(&delivery(2, body("a", "r", "u", 2))).await, Outcome::Duplicate);
    assert_eq!(world.events().len(), 1);
}

#[tokio::test]
async fn other_content_under_the_same_id_is_kept_beside_the_first_once() {
    let world = world();
    world.record(&delivery(1, body("a", "r", "u", 1))).await;
    assert_eq!(world.record(&delivery(2, body("a", "r", "other", 1))).await, Outcome::Conflict);
    assert_eq!(world.record(&delivery(3, body("a", "r", "other", 1))).await, Outcome::Duplicate);
    assert_eq!(world.record(&delivery(2, body("a", "r", "other", 1))).await, Outcome::Conflict, "redelivered");
    assert_eq!(world.events().len(), 2);
}

#[tokio::test]
async fn the_same_state_under_a_new_id_is_a_repeat_within_the_window_and_new_after_it() {
    let world = world();
    world.record(&delivery(1, body("a", "r", "u", 1))).await;
    assert_eq!(world.record(&delivery(2, body("b", "r", "u", 2))).await, Outcome::Repeat);
    assert_eq!(world.record(&delivery(2, body("b", "r", "u", 2))).await, Outcome::Repeat, "redelivered");
    let repeat = world.events().into_iter().find(|event| event.cloud_event.id == "b").unwrap();
    assert_eq!(repeat.repeat_of.as_deref(), Some("a"));

    world.clock.pass(Duration::from_secs(12 * 60 * 60));
    assert_eq!(world.record(&delivery(3, body("c", "r", "u", 3))).await, Outcome::Stored);
    assert_eq!(world.record(&delivery(4, body("d", "r", "u", 4))).await, Outcome::Repeat);
    let repeat = world.events().into_iter().find(|event| event.cloud_event.id == "d").unwrap();
    assert_eq!(repeat.repeat_of.as_deref(), Some("c"));
}

#[tokio::test]
async fn a_job_id_that_was_seen_is_a_hint_and_never_an_outcome() {
    let world = world();
    world.record(&delivery(1, body("a", "job", "u", 1))).await;
    world.clock.pass(Duration::from_secs(12 * 60 * 60));
    assert_eq!(
        world.record(&delivery(2, body("b", "job", "u", 2))).await,
        Outcome::Stored,
        "the state's window is over"
    );
    let second = world.events().into_iter().find(|event| event.cloud_event.id == "b").unwrap();
    assert_eq!((second.same_job_as.as_deref(), second.repeat_of), (Some("a"), None));
}

#[tokio::test]
async fn an_answer_that_was_lost_does_not_change_the_outcome() {
    let world = world();
    world.ledger.next.lock().unwrap().push_back(Behaviour::FailAfterwards);
    let first = delivery(1, body("a", "r", "u", 1));
    assert!(world.recorder().record(&Recording::of(&first), EventIndex(0), event(&first)).await.is_err());
    assert_eq!(world.record(&first).await, Outcome::Stored);
}

#[tokio::test]
async fn large_data_goes_to_the_payload_store_and_small_data_stays() {
    let world = world();
    let room = 16_384 - body("a", "r", "", 1).len();
    world.record(&delivery(1, body("a", "r", &"x".repeat(room), 1))).await;
    assert!(matches!(&world.events()[0].data, EventData::Inline { data } if data.len() == 16_384));

    let large = body("b", "r", &"x".repeat(room + 1), 1);
    world.record(&delivery(2, large.clone())).await;
    let event = world.events().into_iter().find(|event| event.cloud_event.id == "b").unwrap();
    let EventData::Payload { data_key, data_size_bytes } = event.data else { panic!("stored apart") };
    assert_eq!(data_size_bytes, large.len() as u64);
    assert_eq!(world.payloads.0.lock().unwrap()[data_key.as_str()], large);
    assert!(data_key.as_str().starts_with("events/machnet/"));
}

#[tokio::test]
async fn quarantined_content_is_kept_whole_with_its_reason_and_counted_once() {
    let world = world();
    for bytes in [vec![0xff, 0xfe], vec![b'x'; MAX_INLINE_DOCUMENT_BYTES + 1]] {
        let delivery = delivery(bytes[0], bytes.clone());
        for _ in 0..2 {
            let outcome = world
                .recorder()
                .quarantine(&Recording::of(&delivery), EventIndex(0), &Malformed::NotUtf8, None)
                .await
                .unwrap()
                .outcome;
            assert_eq!(outcome, Outcome::Quarantined);
        }
        let key = EntryKey { partition: format!("quarantine#{}", delivery.id), sort: "00000".to_owned() };
        let Entry::Quarantine(entry) = world.ledger.entries().remove(&key).unwrap() else { panic!("quarantined") };
        assert_eq!(entry.reason, "the content is not UTF-8 text");
        assert!(entry.document().unwrap().len() <= MAX_INLINE_DOCUMENT_BYTES);
        let kept = queue_message::read(entry.document().unwrap(), &world.payloads).await.unwrap();
        assert_eq!(kept, delivery);
    }
    assert_eq!(world.ledger.entries().len(), 2);
}

#[tokio::test]
async fn a_quarantined_delivery_of_three_kib_is_kept_in_its_entry() {
    let world = world();
    let delivery = delivery(1, vec![b'x'; 3 * 1024]);
    let recording = Recording::of(&delivery);
    world.recorder().quarantine(&recording, EventIndex(0), &Malformed::NotAnObject, None).await.unwrap();
    assert_eq!(world.payloads.puts(), 0);
}

#[tokio::test]
async fn what_could_not_be_read_is_kept_apart_if_it_is_small_and_listings_ask_for_every_shard_of_it() {
    let (world, mut buckets) = (world(), BTreeSet::new());
    for number in 1..=40 {
        let delivery = delivery(number, number.to_string());
        let data = Bytes::from(vec![b'x'; MAX_INLINE_DOCUMENT_BYTES + usize::from(number % 2)]);
        let recording = Recording::of(&delivery);
        world.recorder().quarantine(&recording, EventIndex(0), &Malformed::NotUtf8, Some(&data)).await.unwrap();
        let key = EntryKey::of_quarantine(delivery.id, EventIndex(0));
        let Some(Entry::Quarantine(entry)) = world.ledger.entries().remove(&key) else { panic!("quarantined") };
        let QuarantinedContent::Kept { data, .. } = entry.content else { panic!("{entry:?}") };
        assert_eq!(data.is_some(), number % 2 == 0);
        buckets.insert(entry.time_index.time_bucket);
    }
    let Delivery { provider, received_at, .. } = delivery(1, "");
    let known = (0..TIME_SHARDS).map(|shard| TimeIndex::events_bucket(provider, received_at, shard));
    assert_eq!(buckets, known.collect());
}

#[tokio::test]
async fn code_that_cannot_read_what_was_released_meanwhile_finds_its_outcome_and_that_it_was_erased() {
    let (world, delivery) = (world(), delivery(1, body("a", "r", "u", 1)));
    let recorder = world.recorder();
    let recording = Recording::of(&delivery).on(Occasion::Release);
    let quarantine = async || {
        let recorded = recorder.quarantine(&recording, EventIndex(0), &Malformed::NotUtf8, None).await.unwrap();
        (recorded.outcome, recorded.kept_body)
    };
    let key = EntryKey::of_quarantine(delivery.id, EventIndex(0));
    assert_eq!(quarantine().await, (Outcome::Quarantined, Some(KeptBody::Quarantine(key.clone()))));
    recorder.record(&recording, EventIndex(0), event(&delivery)).await.unwrap();
    assert_eq!(quarantine().await, (Outcome::Stored, Some(KeptBody::Quarantine(key.clone()))));
    let erased_at = delivery.received_at;
    if let Some(Entry::Quarantine(entry)) = world.ledger.entries.lock().unwrap().get_mut(&key) {
        entry.content = QuarantinedContent::Erased { erased_at };
    }
    assert_eq!(quarantine().await, (Outcome::Stored, Some(KeptBody::Erased(erased_at))));
}

#[test]
fn an_event_is_costly_to_refuse_from_the_byte_on_that_takes_a_third_write_unit() {
    let text = |length: usize| "x".repeat(length);
    let cloud_event = CloudEvent {
        id: text(10),
        source: text(20),
        event_type: text(30),
        subject: Some(text(40)),
        time: None,
        datacontenttype: text(50),
    };
    let named = 10 + 20 + 30 + 40 + 5 + 6 + 7 + 8;
    let largest = Event {
        cloud_event,
        attributes: [(text(5), text(6)), (text(7), text(8))].into(),
        data: Bytes::from(vec![b'x'; MAX_BLIND_PUT_BYTES - ENTRY_OVERHEAD_BYTES - named]),
        envelope: None,
        kind: EventKind::FACT,
        ..event(&delivery(1, body("a", "r", "u", 1)))
    };
    assert!(!is_costly_to_refuse(&largest));
    let one_byte_more: [fn(&mut Event); 7] = [
        |event| event.cloud_event.id.push('x'),
        |event| event.cloud_event.source.push('x'),
        |event| event.cloud_event.event_type.push('x'),
        |event| event.cloud_event.subject.as_mut().unwrap().push('x'),
        |event| event.attributes.values_mut().next().unwrap().push('x'),
        |event| drop(event.attributes.insert("y".to_owned(), String::new())),
        |event| event.data = [&event.data[..], b"x"].concat().into(),
    ];
    for (number, grow) in one_byte_more.into_iter().enumerate() {
        let mut event = largest.clone();
        grow(&mut event);
        assert!(is_costly_to_refuse(&event), "{number}");
    }
}

/// What one processor does in a property run: it works on a delivery, and at its puts the ledger behaves so.
#[derive(Clone, Debug)]
struct Attempt {
    delivery: usize,
    /// Polls after which the processor is killed.
    lives: usize,
}

fn any_body() -> impl Strategy<Value = String> {
    ("[ab]", "[rs]", "[uv]", 0..3_u32)
        .prop_map(|(id, resource, extra, timestamp)| body(&id, &resource, &extra, timestamp))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Deliveries, redeliveries, two and more processors at once, kills at any await, answers that get lost: in the end every
    /// accepted event has exactly one outcome, the same for every reader, and nothing is kept twice or missing.
    #[test]
    fn every_accepted_event_ends_in_exactly_one_outcome(
        bodies in prop::collection::vec(any_body(), 1..7),
        attempts in prop::collection::vec((any::<prop::sample::Index>(), 1..12_usize), 0..12),
        order in prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8), 0..80),
        faults in prop::collection::vec(prop_oneof![
            4 => Just(Behaviour::Work), 1 => Just(Behaviour::Fail), 1 => Just(Behaviour::FailAfterwards),
            1 => Just(Behaviour::Overlook),
        ], 0..20),
    ) {
        let world = world();
        let deliveries: Vec<Delivery> = bodies.iter().zip(1..).map(|(body, number)| delivery(number, body.clone())).collect();
        *world.ledger.next.lock().unwrap() = faults.into();
        let recorder = world.recorder();
        let mut seen: BTreeMap<usize, BTreeSet<Outcome>> = BTreeMap::new();

        // Chaos: attempts are polled in any order, time jumps, and each is killed after a given number of polls.
        let attempts: Vec<Attempt> = attempts
            .into_iter()
            .map(|(delivery, lives)| Attempt { delivery: delivery.index(deliveries.len()), lives })
            .collect();
        let mut running: Vec<_> = attempts
            .iter()
            .map(|attempt| {
                let delivery = &deliveries[attempt.delivery];
                let recorder = &recorder;
                let work = async move { recorder.record(&Recording::of(delivery), EventIndex(0), event(delivery)).await };
                Some((attempt.delivery, attempt.lives, Box::pin(work)))
            })
            .collect();
        let mut context = Context::from_waker(Waker::noop());
        for (which, hours) in order {
            if running.is_empty() {
                break;
            }
            world.clock.pass(Duration::from_secs(u64::from(hours) * 3 * 60 * 60));
            let slot = which.index(running.len());
            let Some((delivery, lives, mut future)) = running[slot].take() else { continue };
            match future.as_mut().poll(&mut context) {
                std::task::Poll::Ready(Ok(recorded)) => {
                    seen.entry(delivery).or_default().insert(recorded.outcome);
                }
                std::task::Poll::Ready(Err(_)) => {}
                std::task::Poll::Pending if lives <= 1 => {}
                std::task::Poll::Pending => running[slot] = Some((delivery, lives - 1, future)),
            }
        }
        drop(running);
        world.ledger.next.lock().unwrap().clear();

        // The queue hands every delivery over until it is done; then twice more.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for _ in 0..3 {
            for (number, delivery) in deliveries.iter().enumerate() {
                seen.entry(number).or_default().insert(runtime.block_on(world.record(delivery)));
            }
        }
        prop_assert!(seen.values().all(|outcomes| outcomes.len() == 1), "{seen:?}");

        // The ledger agrees: one item per kept outcome, and each different content of each id kept exactly once.
        let kept = world.events();
        let occurrences: BTreeMap<Occurrence, Outcome> = kept.iter().map(|event| (event.occurrence, event.outcome)).collect();
        prop_assert_eq!(occurrences.len(), kept.len());
        for (number, delivery) in deliveries.iter().enumerate() {
            let outcome = *seen[&number].first().unwrap();
            let recorded = occurrences.get(&Occurrence { delivery_id: delivery.id, index: EventIndex(0) });
            prop_assert_eq!(recorded.copied(), (outcome != Outcome::Duplicate).then_some(outcome));
        }
        let events = deliveries.iter().map(event);
        let different: BTreeSet<(String, Sha256Digest)> = events.map(|event| (event.cloud_event.id, event.digest)).collect();
        let stored: Vec<(String, Sha256Digest)> = kept.iter().map(|event| (event.cloud_event.id.clone(), event.digest)).collect();
        prop_assert_eq!(stored.len(), different.len());
        prop_assert_eq!(stored.into_iter().collect::<BTreeSet<_>>(), different);
        for event in &kept {
            prop_assert_eq!(event.outcome == Outcome::Repeat, event.repeat_of.is_some());
            prop_assert_ne!(event.repeat_of.as_ref(), Some(&event.cloud_event.id));
            prop_assert_ne!(event.same_job_as.as_ref(), Some(&event.cloud_event.id));
        }
        claims::check(&world.ledger.log.lock().unwrap(), &deliveries)?;
    }
}

/// How a delivery is recorded in a property run: by code that can read it, or by code that cannot.
#[derive(Clone, Copy, Debug)]
struct Pass {
    reads: bool,
    occasion: Occasion,
}

impl Pass {
    async fn run(self, recorder: &TestRecorder, delivery: &Delivery) -> Result<Outcome, RecordingError> {
        let recording = Recording::of(delivery).on(self.occasion);
        let recorded = if self.reads {
            recorder.record(&recording, EventIndex(0), event(delivery)).await
        } else {
            recorder.quarantine(&recording, EventIndex(0), &Malformed::NotAnObject, None).await
        };
        recorded.map(|recorded| recorded.outcome)
    }
}

/// Code that cannot read a delivery may meet its message on any occasion; code that can is deployed after it was quarantined.
fn any_pass() -> impl Strategy<Value = Pass> {
    let occasion = prop_oneof![Just(Occasion::Redelivery), Just(Occasion::Release)];
    prop_oneof![
        prop_oneof![Just(Occasion::First), Just(Occasion::Redelivery), Just(Occasion::Release)]
            .prop_map(|occasion| Pass { reads: false, occasion }),
        occasion.prop_map(|occasion| Pass { reads: true, occasion }),
    ]
}

impl World {
    /// What a listing shows, by delivery.
    fn listed(&self, filter: &EventFilter) -> Vec<(DeliveryId, Entry)> {
        let recorded = self.ledger.entries().into_iter().map(|(key, entry)| RecordedEvent { key, entry });
        let matching = recorded.filter(|event| filter.matches(event));
        matching.map(|event| (event.delivery_id().unwrap(), event.entry)).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Quarantined deliveries are released, while processors of the old and the new release work on them side by side, are killed at
    /// any await, and lose answers. Whoever reads a delivery at last, each of its events is then in exactly one place.
    #[test]
    fn what_is_released_ends_in_exactly_one_place(
        bodies in prop::collection::vec(any_body(), 1..6),
        attempts in prop::collection::vec((any::<prop::sample::Index>(), any_pass(), 1..14_usize), 0..12),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..120),
        faults in prop::collection::vec(prop_oneof![
            4 => Just(Behaviour::Work), 1 => Just(Behaviour::Fail), 1 => Just(Behaviour::FailAfterwards),
        ], 0..20),
    ) {
        let world = world();
        let deliveries: Vec<Delivery> = bodies.iter().zip(1..).map(|(body, number)| delivery(number, body.clone())).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let recorder = world.recorder();
        for delivery in &deliveries {
            let first = Pass { reads: false, occasion: Occasion::First };
            prop_assert_eq!(runtime.block_on(first.run(&recorder, delivery)).unwrap(), Outcome::Quarantined);
        }
        prop_assert_eq!(world.listed(&EventFilter::default()).len(), deliveries.len());

        *world.ledger.next.lock().unwrap() = faults.into();
        let mut seen: BTreeMap<usize, BTreeSet<Outcome>> = BTreeMap::new();
        let mut running: Vec<_> = attempts
            .iter()
            .map(|(delivery, pass, lives)| {
                let number = delivery.index(deliveries.len());
                Some((number, *lives, Box::pin(pass.run(&recorder, &deliveries[number]))))
            })
            .collect();
        let mut context = Context::from_waker(Waker::noop());
        for which in order {
            if running.is_empty() {
                break;
            }
            let slot = which.index(running.len());
            let Some((number, lives, mut future)) = running[slot].take() else { continue };
            match future.as_mut().poll(&mut context) {
                std::task::Poll::Ready(Ok(outcome)) => {
                    seen.entry(number).or_default().insert(outcome);
                }
                std::task::Poll::Ready(Err(_)) => {}
                std::task::Poll::Pending if lives <= 1 => {}
                std::task::Poll::Pending => running[slot] = Some((number, lives - 1, future)),
            }
        }
        drop(running);
        world.ledger.next.lock().unwrap().clear();

        // The release is redelivered until it is done, and then once more; a late copy of the first message meets the old release.
        for pass in [
            Pass { reads: true, occasion: Occasion::Release },
            Pass { reads: true, occasion: Occasion::Release },
            Pass { reads: false, occasion: Occasion::First },
            Pass { reads: false, occasion: Occasion::Release },
        ] {
            for (number, delivery) in deliveries.iter().enumerate() {
                seen.entry(number).or_default().insert(runtime.block_on(pass.run(&recorder, delivery)).unwrap());
            }
        }
        let shown = world.listed(&EventFilter::default());
        let traces = world.listed(&EventFilter { released: true, ..EventFilter::default() });
        prop_assert_eq!(traces.len(), deliveries.len());
        for (number, delivery) in deliveries.iter().enumerate() {
            seen.get_mut(&number).unwrap().remove(&Outcome::Quarantined);
            prop_assert_eq!(seen[&number].len(), 1, "{:?}", seen[&number]);
            let outcome = *seen[&number].first().unwrap();
            let here: Vec<&Entry> = shown.iter().filter(|(id, _)| *id == delivery.id).map(|(_, entry)| entry).collect();
            let is_event = |entry: &&&Entry| matches!(entry, Entry::Event(event) | Entry::Conflict(event) if event.outcome == outcome);
            prop_assert_eq!(here.len(), usize::from(outcome != Outcome::Duplicate));
            prop_assert_eq!(here.iter().filter(is_event).count(), here.len());
            let trace = traces.iter().find(|(id, _)| *id == delivery.id).map(|(_, entry)| entry);
            let Some(Entry::Quarantine(trace)) = trace else { panic!("a trace of the quarantine") };
            prop_assert_eq!(trace.released.map(|release| release.outcome), Some(outcome));
        }
    }
}

/// The same delivery, proved by a key of another account.
fn of(account: &str, mut delivery: Delivery) -> Delivery {
    delivery.authenticated_by.account = AccountName::new(account).unwrap();
    delivery
}

#[tokio::test]
async fn an_account_neither_drops_nor_contradicts_nor_marks_what_another_one_sent() {
    let world = world();
    assert_eq!(world.record(&delivery(1, body("a", "r", "u", 1))).await, Outcome::Stored);
    assert_eq!(world.record(&of("other", delivery(2, body("a", "r", "u", 1)))).await, Outcome::Stored);
    assert_eq!(world.record(&of("third", delivery(3, body("a", "r", "else", 1)))).await, Outcome::Stored);
    assert_eq!(world.record(&of("fourth", delivery(4, body("b", "r", "u", 1)))).await, Outcome::Stored);
    let events = world.events();
    assert!(events.iter().all(|event| event.repeat_of.is_none() && event.same_job_as.is_none()), "{events:?}");
    let accounts: BTreeSet<String> = events.iter().map(|event| event.account.to_string()).collect();
    assert_eq!(accounts.into_iter().collect::<Vec<_>>(), ["fourth", "main", "other", "third"]);

    assert_eq!(world.record(&of("other", delivery(5, body("a", "r", "u", 1)))).await, Outcome::Duplicate);
    assert_eq!(world.record(&of("other", delivery(6, body("a", "r", "else", 1)))).await, Outcome::Conflict);
    let renewed = MatchedKey {
        fingerprint: KeyFingerprint::from_recorded("another".to_owned()),
        ..delivery(7, "").authenticated_by
    };
    let mut by_new_key = delivery(7, body("a", "r", "u", 1));
    by_new_key.authenticated_by = renewed;
    assert_eq!(world.record(&by_new_key).await, Outcome::Duplicate, "a rotation");
}

fn sterling_batch(identifiers: &str) -> Delivery {
    let event = |number| format!(r#"{{"code":"supplyChange","n":{number}}}"#);
    let events: Vec<String> = (0..3).map(event).collect();
    let body = format!(r#"{{"channel":"c","identifiers":["{identifiers}"],"events":[{}]}}"#, events.join(","));
    Delivery { provider: ProviderName::Sterling, ..delivery(1, body) }
}

async fn record_all(world: &World, delivery: &Delivery) {
    let (recorder, recording, providers) = (world.recorder(), Recording::of(delivery), Settings::default());
    for (event, index) in providers.split(delivery).unwrap().zip(0..) {
        recorder.record(&recording, EventIndex(index), event.unwrap()).await.unwrap();
    }
}

#[tokio::test]
async fn a_small_envelope_is_kept_in_each_entry_and_a_large_one_once_for_all() {
    let world = world();
    record_all(&world, &sterling_batch("small")).await;
    let events = world.events();
    assert_eq!(events.len(), 3);
    for event in events {
        let Some(EnvelopeData::Inline { envelope }) = event.envelope else { panic!("kept in the entry") };
        assert_eq!(envelope, r#"{"batch":{"channel":"c","identifiers":["small"]}}"#);
    }
    assert!(world.payloads.0.lock().unwrap().is_empty());

    let world = self::world();
    let large = "i".repeat(MAX_INLINE_ENVELOPE_BYTES);
    record_all(&world, &sterling_batch(&large)).await;
    let keys: BTreeSet<String> = world
        .events()
        .into_iter()
        .map(|event| match event.envelope {
            Some(EnvelopeData::Payload { envelope_key, .. }) => envelope_key.as_str().to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(world.payloads.puts(), 1);
    let payloads = world.payloads.0.lock().unwrap();
    assert_eq!(payloads.keys().cloned().collect::<BTreeSet<_>>(), keys);
    assert!(payloads.values().all(|envelope| envelope.starts_with(br#"{"batch":{"channel":"c","identifiers":["iii"#)));
}

/// A payload store that takes its time.
#[derive(Default)]
struct SlowPayloads {
    keys: Arc<Mutex<Vec<String>>>,
}

impl PayloadReader for SlowPayloads {
    async fn get(&self, _: &PayloadKey) -> Result<Bytes, PortError> {
        Err(PortError::of("payload get", "nothing is read here"))
    }
}

impl Payloads for SlowPayloads {
    async fn put(&self, key: &PayloadKey, _: Bytes) -> Result<(), PortError> {
        self.keys.lock().unwrap().push(key.as_str().to_owned());
        tokio::time::sleep(Duration::from_millis(40)).await;
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn large_envelopes_of_different_batches_are_stored_side_by_side_and_each_of_them_once() {
    let identifiers = "i".repeat(MAX_INLINE_ENVELOPE_BYTES);
    let batch = |number| {
        format!(r#"{{"channel":"{number}","identifiers":"{identifiers}","events":[{{"code":"a"}},{{"code":"b"}}]}}"#)
    };
    let batches: Vec<String> = (0..10).map(batch).collect();
    let body = format!(r#"{{"eventbatch":[{}]}}"#, batches.join(","));
    let delivery = Delivery { provider: ProviderName::Sterling, ..delivery(1, body) };
    let payloads = SlowPayloads::default();
    let keys = Arc::clone(&payloads.keys);
    let recorder =
        Recorder::<Memory<MemoryLedger, SlowPayloads>>::new(MemoryLedger::default(), payloads, TestClock::default());
    let recording = Recording::of(&delivery);

    let started = tokio::time::Instant::now();
    let providers = Settings::default();
    let events = (0..).map(EventIndex).zip(providers.split(&delivery).unwrap().map(Result::unwrap));
    let work: FuturesUnordered<_> = events.map(|(index, event)| recorder.record(&recording, index, event)).collect();
    let outcomes: Vec<_> = work.collect().await;

    assert_eq!(outcomes.len(), 20);
    assert!(outcomes.iter().all(|recorded| recorded.as_ref().unwrap().outcome == Outcome::Stored), "{outcomes:?}");
    assert_eq!(started.elapsed(), Duration::from_millis(40), "one after the other takes ten times as long");
    let keys = keys.lock().unwrap();
    assert_eq!((keys.len(), keys.iter().collect::<BTreeSet<_>>().len()), (10, 10), "{keys:?}");
}

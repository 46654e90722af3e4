use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::envelope::MAX_ENVELOPE_BYTES;
use crate::envelope::tests::stories::World;
use crate::payloads::PayloadKey;
use crate::testing::{Lines, MemoryPayloads, killed_after};

const MACHNET: ProviderName = ProviderName::Machnet;

/// What the bus does with a call.
#[derive(Clone, Debug)]
enum Call {
    Takes,
    /// Throttles the entries at these places.
    Throttles(BTreeSet<usize>),
    Fails,
    /// Is not there for this caller.
    IsMissing,
    /// Takes everything, and its answer is lost.
    FailsAfterwards,
    Hangs,
    /// Answers for the first entry only.
    AnswersForOne,
}

/// A bus in memory. Once nothing more is said, it takes everything but what holds a marker.
#[derive(Clone, Default)]
struct MemoryBus {
    taken: Arc<Mutex<Vec<BusEntry>>>,
    next: Arc<Mutex<VecDeque<Call>>>,
    always: Arc<Mutex<Option<Call>>>,
    calls: Arc<Mutex<Vec<usize>>>,
}

/// What no bus takes.
const POISON: &str = "poison";
/// What a bus takes as bytes only.
const HUGE_NUMBER: &str = "98765432109876543210";

impl MemoryBus {
    fn that(calls: impl IntoIterator<Item = Call>) -> Self {
        let bus = Self::default();
        bus.next.lock().unwrap().extend(calls);
        bus
    }

    /// The ids of what was taken.
    fn ids(&self) -> Vec<String> {
        self.taken.lock().unwrap().iter().map(|entry| parsed(entry)["id"].as_str().unwrap().to_owned()).collect()
    }

    fn calls(&self) -> Vec<usize> {
        self.calls.lock().unwrap().clone()
    }
}

fn parsed(entry: &BusEntry) -> serde_json::Value {
    serde_json::from_str(&entry.detail).unwrap()
}

impl Bus for MemoryBus {
    async fn put(&self, entries: &[BusEntry]) -> Result<Vec<Result<(), Refusal>>, PortError> {
        assert!((1..=MAX_BATCH_ENTRIES).contains(&entries.len()));
        assert!(entries.iter().map(BusEntry::size_bytes).sum::<usize>() <= MAX_BATCH_BYTES);
        self.calls.lock().unwrap().push(entries.len());
        tokio::task::yield_now().await;
        let call = self.next.lock().unwrap().pop_front().or(self.always.lock().unwrap().clone()).unwrap_or(Call::Takes);
        let error = |message: &str| PortError::of("bus put", message);
        let mut throttled = BTreeSet::new();
        match &call {
            Call::Fails => return Err(error("out of order")),
            Call::IsMissing => return Err(error("AccessDeniedException").missing()),
            Call::Hangs => std::future::pending().await,
            Call::Throttles(places) => throttled.clone_from(places),
            Call::Takes | Call::FailsAfterwards | Call::AnswersForOne => {}
        }
        let mut results = Vec::new();
        for (place, entry) in entries.iter().enumerate() {
            let is_invalid = entry.detail_type.contains(POISON) || entry.detail.contains(HUGE_NUMBER);
            results.push(if throttled.contains(&place) {
                Err(Refusal::Busy(error("ThrottlingException")))
            } else if is_invalid {
                Err(Refusal::Invalid(error("MalformedDetail")))
            } else {
                self.taken.lock().unwrap().push(entry.clone());
                Ok(())
            });
        }
        tokio::task::yield_now().await;
        match call {
            Call::FailsAfterwards => return Err(error("the answer was lost").undecided()),
            Call::AnswersForOne => results.truncate(1),
            _ => {}
        }
        Ok(results)
    }
}

/// The events of these bodies as the stream has them, between other items. The number of a body is that of its record.
async fn stream(world: &mut World, bodies: &[String]) -> Vec<StreamRecord> {
    let mut records = Vec::new();
    for (number, body) in bodies.iter().enumerate() {
        for entry in world.deliver(MACHNET, &[], body.clone()).await {
            let sequence_number = match &entry {
                Entry::Event(_) => number.to_string(),
                _ => format!("other-{number}"),
            };
            records.push(StreamRecord { sequence_number, item: StreamItem::Entry(Box::new(entry)) });
        }
        records.push(StreamRecord { sequence_number: format!("lease-{number}"), item: StreamItem::Other });
    }
    records
}

fn body(id: &str, kind: &str, rest: &str) -> String {
    format!(r#"{{"id":"{id}","event_name":"{kind}","resource_id":"{id}"{rest}}}"#)
}

fn bodies(count: usize) -> Vec<String> {
    (0..count).map(|number| body(&number.to_string(), "done", "")).collect()
}

fn publisher(world: &World, bus: &MemoryBus) -> Publisher<MemoryPayloads, MemoryBus> {
    Publisher::new(world.payloads.clone(), PayloadLocation::below("s3://payloads/"), bus.clone())
}

fn later() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

#[tokio::test(start_paused = true)]
async fn events_are_put_ten_at_a_time_in_their_order_and_nothing_else_is() {
    let (mut world, bus, lines) = (World::default(), MemoryBus::default(), Lines::record());
    let records = stream(&mut world, &bodies(23)).await;
    assert!(records.len() > 2 * 23);
    assert_eq!(publisher(&world, &bus).publish(records, later()).await, None);
    assert_eq!(bus.ids(), (0..23).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(bus.calls(), [10, 10, 3]);
    let line = lines.of("events published").remove(0);
    assert_eq!((&line["published"], &line["passed_over"]), (&23.into(), &46.into()));
}

#[tokio::test(start_paused = true)]
async fn a_rule_can_match_the_provider_the_type_and_the_outcome() {
    let (mut world, bus) = (World::default(), MemoryBus::default());
    let long = "x".repeat(200);
    let bodies = [body("1", "done", ""), body("1", "done", ",\"n\":1"), body("2", &long, "")];
    let records = stream(&mut world, &bodies).await;
    publisher(&world, &bus).publish(records, later()).await;
    let taken = bus.taken.lock().unwrap().clone();
    let matched: Vec<_> = taken
        .iter()
        .map(|entry| (entry.source.as_str(), entry.detail_type.clone(), parsed(entry)["outcome"].clone()))
        .collect();
    let done = "machnet.done".to_owned();
    let cut_off = format!("machnet.{}", "x".repeat(120));
    let source = "webhook-intake.machnet";
    let expected = [(source, done.clone(), "stored"), (source, done, "conflict"), (source, cut_off, "stored")];
    assert_eq!(matched, expected.map(|(source, kind, outcome)| (source, kind, outcome.into())));
    assert_eq!(parsed(&taken[2])["type"], format!("machnet.{long}"), "whole in the envelope");
}

#[tokio::test(start_paused = true)]
async fn only_the_one_of_ten_that_is_throttled_is_put_again() {
    let mut world = World::default();
    let records = stream(&mut world, &bodies(10)).await;
    let bus = MemoryBus::that([Call::Throttles([4].into()), Call::Throttles([0].into())]);
    assert_eq!(publisher(&world, &bus).publish(records, later()).await, None);
    assert_eq!(bus.calls(), [10, 1, 1]);
    assert_eq!(bus.ids(), ["0", "1", "2", "3", "5", "6", "7", "8", "9", "4"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_throttled_until_the_time_is_up_is_where_the_stream_goes_on() {
    let mut world = World::default();
    let records = stream(&mut world, &bodies(12)).await;
    let bus = MemoryBus::default();
    *bus.always.lock().unwrap() = Some(Call::Throttles([0].into()));
    *bus.next.lock().unwrap() = [Call::Throttles([4, 7].into()), Call::Throttles([0, 1].into())].into();
    let lines = Lines::record();
    let stop_at = later();
    assert_eq!(publisher(&world, &bus).publish(records.clone(), stop_at).await.as_deref(), Some("4"));
    assert!(Instant::now() < stop_at && bus.calls().len() < 20, "{:?}", bus.calls());
    let error = lines.of("an event is not published").remove(0);
    assert_eq!((&error["sequence_number"], &error["provider"]), (&"4".into(), &"machnet".into()));
    assert_eq!(error["error"], "bus put failed: ThrottlingException");

    // The next invocation begins there, and the others behind it come again.
    *bus.always.lock().unwrap() = None;
    let rest = records.into_iter().skip_while(|record| record.sequence_number != "4").collect();
    assert_eq!(publisher(&world, &bus).publish(rest, later()).await, None);
    assert_eq!(BTreeSet::from_iter(bus.ids()).len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_repeated_with_all_of_its_entries() {
    for call in [Call::Fails, Call::FailsAfterwards] {
        let mut world = World::default();
        let records = stream(&mut world, &bodies(12)).await;
        let bus = MemoryBus::that([Call::Takes, call.clone(), call]);
        assert_eq!(publisher(&world, &bus).publish(records, later()).await, None);
        assert_eq!(bus.calls(), [10, 2, 2, 2]);
        assert_eq!(BTreeSet::from_iter(bus.ids()).len(), 12);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_fails_or_hangs_until_the_time_is_up_leaves_the_first_of_its_entries_as_the_place_to_go_on() {
    for call in [Call::Fails, Call::FailsAfterwards, Call::Hangs] {
        let mut world = World::default();
        let records = stream(&mut world, &bodies(12)).await;
        let bus = MemoryBus::that([Call::Takes]);
        *bus.always.lock().unwrap() = Some(call.clone());
        let (began, lines) = (Instant::now(), Lines::record());
        let stop_at = began + Duration::from_secs(59);
        assert_eq!(publisher(&world, &bus).publish(records, stop_at).await.as_deref(), Some("10"));
        // A minute is used up, less a pause that would not have fitted in, so that an outage costs the stream a try a minute.
        let took = Instant::now() - began;
        assert!(took > Duration::from_secs(50) && took <= Duration::from_secs(59), "{call:?}: {took:?}");
        assert!(bus.calls().len() < 20, "{:?}", bus.calls());
        assert_eq!(lines.of("an event is not published").len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_hears_at_once_of_a_bus_that_is_not_there_and_a_stream_waits_for_it() {
    let mut world = World::default();
    let records = stream(&mut world, &bodies(3)).await;
    let missing = || MemoryBus::that([Call::Takes, Call::IsMissing]);

    let bus = missing();
    let envelopes = EnvelopeWriter::new(world.payloads.clone(), PayloadLocation::below("s3://payloads/"));
    let attended = Publisher::attended(envelopes, bus.clone());
    let began = Instant::now();
    assert_eq!(attended.publish_quietly(records.clone(), later()).await.unwrap(), 3);
    let failed = attended.publish_quietly(records.clone(), later()).await.unwrap_err();
    assert_eq!((failed.published, failed.sequence_number.as_str()), (0, "0"));
    assert_eq!(failed.reason, "bus put failed: AccessDeniedException");
    assert_eq!(began.elapsed(), Duration::ZERO);

    let bus = missing();
    for _ in 0..2 {
        assert_eq!(publisher(&world, &bus).publish(records.clone(), later()).await, None);
    }
    assert_eq!(bus.calls(), [3, 3, 3]);
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_the_answer_does_not_mention_is_not_published() {
    let mut world = World::default();
    let records = stream(&mut world, &bodies(2)).await;
    let bus = MemoryBus::that([Call::AnswersForOne]);
    assert_eq!(publisher(&world, &bus).publish(records, later()).await, None);
    assert_eq!(bus.calls(), [2, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_poison_event_stops_the_stream_at_itself_after_all_before_it() {
    let mut world = World::default();
    let mut bodies = bodies(25);
    bodies[12] = body("12", POISON, "");
    let records = stream(&mut world, &bodies).await;
    let bus = MemoryBus::default();
    assert_eq!(publisher(&world, &bus).publish(records, later()).await.as_deref(), Some("12"));
    let taken: BTreeSet<String> = bus.ids().into_iter().collect();
    assert!((0..12).all(|number| taken.contains(&number.to_string())), "{taken:?}");
    assert!(!taken.contains("20"), "a stream that goes on at 12 brings these again");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_read_stops_the_stream_at_itself_after_all_before_it() {
    let mut world = World::default();
    let mut records = stream(&mut world, &bodies(5)).await;
    let item = StreamItem::Unreadable { key: "machnet#1 event".to_owned(), reason: "no id".to_owned() };
    let place = records.iter().position(|record| record.sequence_number == "3").unwrap();
    records.insert(place, StreamRecord { sequence_number: "unreadable".to_owned(), item });
    let (bus, lines) = (MemoryBus::default(), Lines::record());
    assert_eq!(publisher(&world, &bus).publish(records.clone(), later()).await.as_deref(), Some("unreadable"));
    assert_eq!(bus.ids(), ["0", "1", "2"]);
    let error = lines.of("an event is not published").remove(0);
    let expected = "the item at machnet#1 event cannot be read as an event: no id; deploy the version that wrote it";
    assert_eq!(error["error"], expected);

    // An earlier one that fails comes first.
    let bus = MemoryBus::default();
    *bus.always.lock().unwrap() = Some(Call::Fails);
    assert_eq!(publisher(&world, &bus).publish(records, later()).await.as_deref(), Some("0"));
}

#[tokio::test(start_paused = true)]
async fn data_that_the_bus_does_not_take_as_json_are_put_as_bytes() {
    let mut world = World::default();
    let mut bodies = bodies(3);
    bodies[1] = body("1", "done", &format!(",\"n\":{HUGE_NUMBER}"));
    let records = stream(&mut world, &bodies).await;
    let bus = MemoryBus::default();
    assert_eq!(publisher(&world, &bus).publish(records, later()).await, None);
    assert_eq!((bus.calls(), bus.ids()), (vec![3, 1], vec!["0".to_owned(), "2".to_owned(), "1".to_owned()]));
    let envelope = parsed(&bus.taken.lock().unwrap()[2]);
    assert!(envelope["data_base64"].is_string() && envelope.get("data").is_none(), "{envelope}");
}

#[tokio::test(start_paused = true)]
async fn large_entries_do_not_exceed_a_call_and_the_largest_go_as_references() {
    let mut world = World::default();
    let large = |id: &str, bytes| body(id, "done", &format!(",\"a\":\"{}\"", "x".repeat(bytes)));
    let bodies: Vec<String> = (0..5).map(|number| large(&number.to_string(), 100_000)).collect();
    let records = stream(&mut world, &[&bodies[..], &[large("5", MAX_ENVELOPE_BYTES)]].concat()).await;
    let bus = MemoryBus::default();
    assert_eq!(publisher(&world, &bus).publish(records.clone(), later()).await, None);
    assert_eq!(bus.calls(), [2, 2, 2]);
    assert!(parsed(&bus.taken.lock().unwrap()[5])["dataref"].is_string());

    // An object that is missing is not waited for.
    world.payloads.0.lock().unwrap().clear();
    let (bus, began) = (MemoryBus::default(), Instant::now());
    assert_eq!(publisher(&world, &bus).publish(records, later()).await.as_deref(), Some("0"));
    assert_eq!((bus.calls(), Instant::now()), (Vec::new(), began));
}

/// A store that fails a number of times before it answers.
#[derive(Clone)]
struct FailingPayloads(MemoryPayloads, Arc<Mutex<usize>>);

impl PayloadReader for FailingPayloads {
    async fn get(&self, key: &PayloadKey) -> Result<Bytes, PortError> {
        {
            let mut left = self.1.lock().unwrap();
            if *left > 0 {
                *left -= 1;
                return Err(PortError::of("payload get", "SlowDown"));
            }
        }
        self.0.get(key).await
    }
}

/// Four events with a large one behind the second, and a publisher whose store fails this number of times.
async fn with_failing_store(
    bus: &MemoryBus,
    failures: usize,
) -> (Vec<StreamRecord>, Publisher<FailingPayloads, MemoryBus>) {
    let mut world = World::default();
    let mut bodies = bodies(4);
    bodies[2] = body("2", "done", &format!(",\"a\":\"{}\"", "x".repeat(100_000)));
    let records = stream(&mut world, &bodies).await;
    let payloads = FailingPayloads(world.payloads.clone(), Arc::new(Mutex::new(failures)));
    (records, Publisher::new(payloads, PayloadLocation::below("s3://payloads/"), bus.clone()))
}

#[tokio::test(start_paused = true)]
async fn data_that_cannot_be_fetched_are_waited_for_and_those_before_do_not_wait_with_them() {
    let bus = MemoryBus::default();
    let (records, publisher) = with_failing_store(&bus, 3).await;
    assert_eq!(publisher.publish(records, later()).await, None);
    assert_eq!((bus.calls(), bus.ids()), (vec![2, 2], ["0", "1", "2", "3"].map(str::to_owned).to_vec()));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_until_the_time_is_up_leaves_its_event_as_the_place_to_go_on() {
    let (bus, lines) = (MemoryBus::default(), Lines::record());
    let (records, publisher) = with_failing_store(&bus, usize::MAX).await;
    let began = Instant::now();
    let stop_at = began + Duration::from_secs(59);
    assert_eq!(publisher.publish(records, stop_at).await.as_deref(), Some("2"));
    // An outage costs the stream a try a minute.
    let took = Instant::now() - began;
    assert!(took > Duration::from_secs(50) && took <= Duration::from_secs(59), "{took:?}");
    assert_eq!(bus.ids(), ["0", "1"]);
    assert_eq!(lines.of("an event is not published").remove(0)["error"], "payload get failed: SlowDown");
}

#[tokio::test(start_paused = true)]
async fn data_that_cannot_be_fetched_again_for_the_form_as_bytes_are_waited_for_too() {
    let mut world = World::default();
    let huge = format!(",\"n\":{HUGE_NUMBER},\"a\":\"{}\"", "x".repeat(100_000));
    let records = stream(&mut world, &[body("0", "done", &huge)]).await;
    let failures = Arc::new(Mutex::new(0));
    let payloads = FailingPayloads(world.payloads.clone(), failures.clone());
    let bus = MemoryBus::default();
    let publisher = Publisher::new(payloads, PayloadLocation::below("s3://payloads/"), bus.clone());
    let publish = publisher.publish(records, later());
    let fail_after_the_first_call = async {
        while bus.calls().is_empty() {
            tokio::task::yield_now().await;
        }
        *failures.lock().unwrap() = 2;
    };
    let (result, ()) = tokio::join!(publish, fail_after_the_first_call);
    assert_eq!((result, bus.ids()), (None, vec!["0".to_owned()]));
}

/// A stream of forty events, some large, some poison, some that no JSON parser of a bus takes.
fn long_stream() -> &'static (World, Vec<StreamRecord>) {
    static STREAM: OnceLock<(World, Vec<StreamRecord>)> = OnceLock::new();
    STREAM.get_or_init(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let bodies: Vec<String> = (0..40_usize)
            .map(|number| match number {
                7 | 23 | 24 => body(&number.to_string(), POISON, ""),
                11 | 30 => body(&number.to_string(), "done", &format!(",\"n\":{HUGE_NUMBER}")),
                3 | 12 | 13 => body(&number.to_string(), "done", &format!(",\"a\":\"{}\"", "x".repeat(90_000))),
                _ => body(&number.to_string(), "done", ""),
            })
            .collect();
        let mut world = World::default();
        let records = runtime.block_on(stream(&mut world, &bodies));
        (world, records)
    })
}

/// What Lambda does with a stream: it invokes with a batch from where the stream is, goes on where it is told to, and tries a batch
/// that fails again in halves, until a record that fails alone is set aside.
async fn drive(bus: &MemoryBus, kills: &mut VecDeque<usize>, batch_size: usize) -> BTreeSet<String> {
    let (world, records) = long_stream();
    let (mut place, mut size, mut failures) = (0, batch_size, 0);
    let mut set_aside = BTreeSet::new();
    while place < records.len() {
        let batch: Vec<StreamRecord> = records[place..].iter().take(size).cloned().collect();
        let count = batch.len();
        let publisher = publisher(world, bus);
        let run = publisher.publish(batch, later());
        let result = match kills.pop_front() {
            Some(polls) => killed_after(polls, run).await,
            None => Some(run.await),
        };
        let goes_on_at = match result {
            Some(None) => place + count,
            Some(Some(number)) => records.iter().position(|record| record.sequence_number == number).unwrap(),
            None => place,
        };
        assert!(goes_on_at >= place, "the stream never goes back");
        if goes_on_at > place {
            (place, size, failures) = (goes_on_at, batch_size, 0);
        } else if size > 1 {
            size = (size / 2).max(1);
        } else {
            failures += 1;
            if failures > 10 {
                set_aside.insert(records[place].sequence_number.clone());
                (place, size, failures) = (place + 1, batch_size, 0);
            }
        }
    }
    set_aside
}

fn any_call() -> impl Strategy<Value = Call> {
    prop_oneof![
        4 => Just(Call::Takes),
        2 => prop::collection::btree_set(0..10_usize, 1..4).prop_map(Call::Throttles),
        1 => Just(Call::Fails),
        1 => Just(Call::FailsAfterwards),
        1 => Just(Call::Hangs),
        1 => Just(Call::AnswersForOne),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Publishers that are killed at any await, a bus that throttles, fails, hangs and loses answers: in the end each event is
    /// on the bus or was set aside, only the poison was, and what is on the bus twice is twice the same.
    #[test]
    fn no_event_is_skipped_whatever_is_killed_or_refused(
        calls in prop::collection::vec(any_call(), 0..8),
        kills in prop::collection::vec(1..40_usize, 0..8),
        batch_size in 1..60_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        // Made before the runtime of this case is entered.
        let _ = long_stream();
        runtime.block_on(async {
            let bus = MemoryBus::that(calls);
            let set_aside = drive(&bus, &mut kills.into(), batch_size).await;
            assert_eq!(set_aside, ["23", "24", "7"].map(str::to_owned).into());
            let mut by_id: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
            for (id, entry) in bus.ids().into_iter().zip(bus.taken.lock().unwrap().iter()) {
                by_id.entry(id).or_default().insert(entry.detail.clone());
            }
            assert_eq!(by_id.len(), 37);
            assert!(by_id.values().all(|details| details.len() == 1));
        });
    }
}

//! Deliveries that are released from quarantine, as the processor and an operator's listing see them.

use intake_providers::ProviderName;
use intake_providers::digest::Sha256Digest;
use intake_providers::settings::Reader;

use super::*;
use crate::clock::Clock as _;
use crate::ledger::{Outcome, Release};
use crate::quarantine::{QuarantinedDelivery, Verdict};
use crate::queue_message::write_inline;
use crate::records::{EventFilter, RecordedEvent};

const REASON: &str =
    r#"the member "businessId" is none that is configured; look at NURTURECLOUD_BUSINESSES if it should be"#;

#[derive(Default)]
struct World {
    ledger: MemoryLedger,
    payloads: MemoryPayloads,
    records: MemoryDeliveryRecords,
}

/// Settings that accept these businesses.
fn accepting(businesses: &str) -> Settings {
    let variable = |name: &str| (name == "NURTURECLOUD_BUSINESSES").then(|| businesses.to_owned());
    Settings::read(&mut Reader::new(&variable))
}

/// An array of entities of these businesses.
fn array(businesses: &[&str]) -> Delivery {
    let entity =
        |(id, business): (usize, &&str)| format!(r#"{{"organisationName":"o","businessId":"{business}","id":"{id}"}}"#);
    let entities: Vec<String> = businesses.iter().enumerate().map(entity).collect();
    let body = format!(r#"{{"domainComponentName":"agent","state":"Updated","payload":[{}]}}"#, entities.join(","));
    let sample = delivery(1, body);
    Delivery { provider: ProviderName::NurtureCloud, sha256: Sha256Digest::of(&sample.body), ..sample }
}

impl World {
    async fn process(&self, settings: Settings, body: String, receive_count: u32, is_release: bool) {
        let (ledger, payloads, records) = (self.ledger.clone(), self.payloads.clone(), self.records.clone());
        let processor: Processor<Memory, _> =
            Processor::new(ledger, payloads, records, settings, TestClock::default(), ProcessorSettings::default());
        let record = QueueRecord { message_id: "m".to_owned(), body, receive_count, is_release };
        assert_eq!(processor.process(vec![record], later()).await, []);
    }

    fn listed(&self, filter: &EventFilter) -> Vec<RecordedEvent> {
        let recorded = self.ledger.entries().into_iter().map(|(key, entry)| RecordedEvent { key, entry });
        recorded.filter(|event| filter.matches(event)).collect()
    }

    fn waiting(&self) -> Vec<QuarantinedDelivery> {
        QuarantinedDelivery::group(self.listed(&EventFilter::default()))
    }

    /// The outcome of each event that is listed, by its index.
    fn outcomes(&self) -> Vec<(u32, Outcome)> {
        let events = self.listed(&EventFilter::default());
        let mut outcomes: Vec<_> =
            events.iter().map(|event| (event.made().unwrap().1.index.0, event.outcome().unwrap().1)).collect();
        outcomes.sort_unstable();
        outcomes
    }
}

const STORED: Outcome = Outcome::Stored;
const QUARANTINED: Outcome = Outcome::Quarantined;

#[tokio::test(start_paused = true)]
async fn a_release_moves_what_can_be_read_now_and_leaves_what_was_recorded() {
    let world = World::default();
    let delivery = array(&["a", "b", "a", "c"]);
    world.process(accepting("a"), write_inline(&delivery).unwrap(), 1, false).await;
    assert_eq!(world.outcomes(), [(0, STORED), (1, QUARANTINED), (2, STORED), (3, QUARANTINED)]);

    let [quarantined] = &world.waiting()[..] else { panic!("one delivery") };
    assert_eq!((quarantined.id(), quarantined.entries().count()), (delivery.id, 2));
    let read = quarantined.read(&world.payloads).await.unwrap();
    assert_eq!(read, delivery);
    let again = Verdict::QuarantinedAgain(REASON.to_owned());
    assert_eq!(quarantined.check(&read, &accepting("a")), [again.clone(), again.clone()]);
    assert_eq!(quarantined.check(&read, &accepting("a,c")), [again, Verdict::Readable]);

    let message = quarantined.release().unwrap();
    assert_eq!((message.is_release(), message.group()), (true, "released"), "it delays nothing that just arrived");
    world.process(accepting("a,c"), message.text().to_owned(), 1, true).await;
    assert_eq!(world.outcomes(), [(0, STORED), (1, QUARANTINED), (2, STORED), (3, STORED)]);
    let [waiting] = &world.waiting()[..] else { panic!("one delivery") };
    let [entry] = waiting.entries().collect::<Vec<_>>()[..] else { panic!("one event") };
    assert_eq!((entry.occurrence.index.0, entry.quarantined_again_at), (1, Some(TestClock::default().now())));
    let traces = world.listed(&EventFilter { released: true, ..EventFilter::default() });
    let [RecordedEvent { entry: Entry::Quarantine(trace), .. }] = &traces[..] else { panic!("{traces:?}") };
    assert_eq!(trace.released, Some(Release { at: TestClock::default().now(), outcome: STORED }));
    assert_eq!(trace.occurrence.index.0, 3);
    let record = world.records.of(delivery.id).unwrap();
    assert_eq!((record.counts().stored, record.counts().quarantined), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_could_not_be_split_at_all_gives_way_to_its_events() {
    let world = World::default();
    let whole = delivery(1, "[]");
    world.process(Settings::default(), write_inline(&whole).unwrap(), 1, false).await;
    assert_eq!(world.outcomes(), [(0, QUARANTINED)]);
    // What a later release makes of it: two events where there was one quarantine.
    let recorder: Recorder<Memory> = Recorder::new(world.ledger.clone(), world.payloads.clone(), TestClock::default());
    let recording = Recording::of(&whole).on(Occasion::Release);
    for (event, index) in Settings::default().split(&array(&["a", "b"])).unwrap().zip(0..) {
        recorder.record(&recording, EventIndex(index), event.unwrap()).await.unwrap();
    }
    assert_eq!(world.outcomes(), [(0, STORED), (1, STORED)]);
}

#[tokio::test(start_paused = true)]
async fn a_redelivery_that_a_newer_release_can_read_is_in_one_place_too() {
    let world = World::default();
    let message = write_inline(&array(&["a", "b"])).unwrap();
    world.process(accepting("a"), message.clone(), 1, false).await;
    world.process(accepting("a,b"), message, 2, false).await;
    assert_eq!(world.outcomes(), [(0, STORED), (1, STORED)]);
}

#[tokio::test(start_paused = true)]
async fn a_release_of_an_older_processor_changes_no_outcome() {
    let world = World::default();
    let message = write_inline(&array(&["b"])).unwrap();
    world.process(accepting("a"), message.clone(), 1, false).await;
    world.process(accepting("b"), message.clone(), 1, true).await;
    let entries = world.ledger.entries();
    world.process(accepting("a"), message, 1, true).await;
    assert_eq!(world.ledger.entries(), entries);
    assert_eq!(world.outcomes(), [(0, STORED)]);
}

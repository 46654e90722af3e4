use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;
use tokio::sync::Notify;

use super::*;
use crate::envelope::WrittenEnvelope;
use crate::envelope::tests::stories::World;
use crate::testing::{Lines, MemoryPayloads, delivery, killed_after};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Time that goes with the runtime's.
#[derive(Clone, Copy)]
struct RunningClock(Instant);

impl Clock for RunningClock {
    fn now(&self) -> Timestamp {
        Timestamp::parse("2026-11-21T09:30:00Z").unwrap().plus(self.0.elapsed())
    }

    fn new_delivery_id(&self, received_at: Timestamp) -> DeliveryId {
        DeliveryId::random(received_at)
    }
}

/// A row of the outbox.
#[derive(Clone, Debug)]
struct Waiting {
    partition: String,
    entry: Entry,
    attempts: u32,
    next_at: Timestamp,
    is_unanswered: bool,
    given_up: Option<LastAttempt>,
}

#[derive(Clone, Default)]
struct MemoryOutbox {
    rows: Arc<Mutex<BTreeMap<Position, Waiting>>>,
    is_down: Arc<Mutex<bool>>,
    recorded: Arc<Notify>,
}

impl MemoryOutbox {
    /// Records events, each in the partition that the ledger has it in.
    fn record(&self, partition: &str, entries: Vec<Entry>) {
        let mut rows = self.rows.lock().unwrap();
        for entry in entries.into_iter().filter(|entry| matches!(entry, Entry::Event(_) | Entry::Conflict(_))) {
            let position = Position(rows.len() as i64 + 1);
            let partition = partition.to_owned();
            let waiting = Waiting {
                partition,
                entry,
                attempts: 0,
                next_at: Timestamp::EPOCH,
                is_unanswered: false,
                given_up: None,
            };
            rows.insert(position, waiting);
        }
        self.recorded.notify_one();
    }

    fn waiting(&self) -> usize {
        self.rows.lock().unwrap().values().filter(|row| row.given_up.is_none()).count()
    }

    fn given_up(&self) -> Vec<LastAttempt> {
        self.rows.lock().unwrap().values().filter_map(|row| row.given_up.clone()).collect()
    }

    fn ask(&self) -> Result<(), PortError> {
        if *self.is_down.lock().unwrap() { Err(PortError::of("outbox", "out of order")) } else { Ok(()) }
    }
}

impl Outbox for MemoryOutbox {
    async fn due(&self, now: Timestamp, most: usize, under_way: &BTreeSet<Position>) -> Result<Due, PortError> {
        assert!(most > 0, "nothing is asked for while there is no room for it");
        tokio::task::yield_now().await;
        self.ask()?;
        let rows = self.rows.lock().unwrap();
        let mut seen = BTreeSet::new();
        let mut due = Due::default();
        for (position, row) in rows.iter().filter(|(_, row)| row.given_up.is_none()) {
            if seen.insert(&row.partition)
                && row.next_at <= now
                && !under_way.contains(position)
                && due.events.len() < most
            {
                let entry = Ok(Box::new(row.entry.clone()));
                due.events.push(Outgoing { position: *position, entry, failed_attempts: row.attempts });
            }
        }
        due.next_at =
            rows.values().filter(|row| row.given_up.is_none()).map(|row| row.next_at).filter(|at| *at > now).min();
        Ok(due)
    }

    async fn delivered(&self, position: Position) -> Result<(), PortError> {
        tokio::task::yield_now().await;
        self.ask()?;
        self.rows.lock().unwrap().remove(&position);
        Ok(())
    }

    async fn retry(&self, position: Position, failed: FailedAttempt) -> Result<(), PortError> {
        tokio::task::yield_now().await;
        self.ask()?;
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get_mut(&position).unwrap();
        (row.attempts, row.next_at, row.is_unanswered) = (failed.attempts, failed.next_at, failed.is_unanswered);
        Ok(())
    }

    async fn give_up(&self, position: Position, failed: LastAttempt) -> Result<(), PortError> {
        self.ask()?;
        self.rows.lock().unwrap().get_mut(&position).unwrap().given_up = Some(failed);
        Ok(())
    }

    async fn retry_unanswered(&self) -> Result<(), PortError> {
        self.ask()?;
        let mut rows = self.rows.lock().unwrap();
        rows.values_mut().filter(|row| row.is_unanswered).for_each(|row| row.next_at = Timestamp::EPOCH);
        Ok(())
    }

    async fn recorded(&self) {
        self.recorded.notified().await;
    }
}

type Reaction = dyn Fn(&WrittenEnvelope, usize) -> Answer + Send + Sync;

/// A receiver that notes what it gets and when, and answers as it is told for an event and the number of its post.
#[derive(Clone)]
struct TestReceiver {
    posts: Arc<Mutex<Vec<(String, u64)>>>,
    at_once: Arc<Mutex<(usize, usize)>>,
    started: Instant,
    takes: Duration,
    reaction: Arc<Reaction>,
}

impl TestReceiver {
    fn answering(reaction: impl Fn(&WrittenEnvelope, usize) -> Answer + Send + Sync + 'static) -> Self {
        Self {
            posts: Arc::default(),
            at_once: Arc::default(),
            started: Instant::now(),
            takes: Duration::from_millis(20),
            reaction: Arc::new(reaction),
        }
    }

    /// The events in the order in which they came.
    fn ids(&self) -> Vec<String> {
        self.posts.lock().unwrap().iter().map(|(id, _)| id.clone()).collect()
    }

    /// When an event came, in seconds.
    fn seconds(&self, id: &str) -> Vec<u64> {
        self.posts.lock().unwrap().iter().filter(|(found, _)| found == id).map(|(_, at)| *at).collect()
    }
}

impl Receiver for TestReceiver {
    async fn post(&self, envelope: &WrittenEnvelope) -> Answer {
        let number = {
            let mut posts = self.posts.lock().unwrap();
            posts.push((envelope.id.clone(), self.started.elapsed().as_secs()));
            posts.iter().filter(|(id, _)| *id == envelope.id).count()
        };
        {
            let mut at_once = self.at_once.lock().unwrap();
            at_once.0 += 1;
            at_once.1 = at_once.1.max(at_once.0);
        }
        sleep(self.takes).await;
        self.at_once.lock().unwrap().0 -= 1;
        (self.reaction)(envelope, number)
    }
}

fn again() -> Answer {
    Answer::RetryLater { reason: "answered 500".to_owned(), wait: None }
}

/// Events of Machnet, which has no entities.
async fn machnet(world: &mut World, id: &str) -> Vec<Entry> {
    world.deliver(ProviderName::Machnet, &[], format!(r#"{{"id":"{id}","event_name":"done"}}"#)).await
}

fn forwarder(
    outbox: &MemoryOutbox,
    world: &World,
    receiver: &TestReceiver,
) -> Forwarder<MemoryOutbox, MemoryPayloads, TestReceiver, RunningClock> {
    let settings = ForwardingSettings::default();
    Forwarder::new(
        outbox.clone(),
        world.payloads.clone(),
        receiver.clone(),
        RunningClock(receiver.started),
        || 0.5,
        settings,
    )
}

/// An outbox with an event of each of these partitions, whose id is its partition and its number.
async fn outbox_with(partitions: &[&str]) -> (MemoryOutbox, World) {
    let (outbox, mut world) = (MemoryOutbox::default(), World::default());
    for (number, partition) in partitions.iter().enumerate() {
        outbox.record(partition, machnet(&mut world, &format!("{partition}{number}")).await);
    }
    (outbox, world)
}

#[tokio::test(start_paused = true)]
async fn a_later_event_of_an_entity_waits_for_the_earlier_one_and_others_go_on() {
    let (outbox, world) = outbox_with(&["a", "a", "b", "a", "c"]).await;
    let receiver = TestReceiver::answering(|envelope, number| match envelope.id.as_str() {
        "a0" if number < 3 => again(),
        _ => Answer::Delivered,
    });
    forwarder(&outbox, &world, &receiver).run(sleep(MINUTE)).await;
    assert_eq!(receiver.ids(), ["a0", "b2", "c4", "a0", "a0", "a1", "a3"]);
    assert_eq!(receiver.seconds("a0"), [0, 5, 20]);
    assert_eq!((outbox.waiting(), outbox.given_up().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn eight_events_are_under_way_at_once_and_what_is_recorded_meanwhile_is_sent_at_once() {
    let partitions: Vec<String> = (0..30).map(|number| format!("p{number}-")).collect();
    let (outbox, mut world) = outbox_with(&partitions.iter().map(String::as_str).collect::<Vec<_>>()).await;
    // Longer than the time between two looks for events.
    let takes = Duration::from_millis(600);
    let receiver = TestReceiver { takes, ..TestReceiver::answering(|_, _| Answer::Delivered) };
    let forwarder = forwarder(&outbox, &world, &receiver);
    let late = machnet(&mut world, "late").await;
    let record = async {
        sleep(MINUTE).await;
        outbox.record("late", late);
        sleep(Duration::from_millis(25)).await;
    };
    forwarder.run(record).await;
    assert_eq!(receiver.ids().len(), 31);
    assert_eq!(receiver.at_once.lock().unwrap().1, 8);
    assert_eq!((receiver.seconds("late"), outbox.waiting()), (vec![60], 0));
}

#[tokio::test(start_paused = true)]
async fn the_line_of_a_forwarded_event_names_it_and_says_how_long_after_its_arrival_that_was() {
    let (outbox, world) = outbox_with(&["a"]).await;
    let receiver = TestReceiver::answering(|_, _| Answer::Delivered);
    let lines = Lines::record();
    forwarder(&outbox, &world, &receiver).run(sleep(MINUTE)).await;
    let line = lines.of(FORWARDED).remove(0);
    let delivery_id = delivery(1, "").id.to_string();
    assert_eq!((&line["provider"], &line["delivery_id"]), (&"machnet".into(), &delivery_id.into()));
    assert_eq!((&line["index"], &line["attempts"]), (&0.into(), &1.into()));
    assert_eq!((&line["milliseconds_after_arrival"], &line["duration_microseconds"]), (&20.into(), &20_000.into()));
}

#[tokio::test(start_paused = true)]
async fn an_event_is_given_up_after_its_attempts_and_the_one_behind_it_is_sent_then() {
    let (outbox, world) = outbox_with(&["a", "a"]).await;
    let receiver = TestReceiver::answering(|envelope, _| if envelope.id == "a0" { again() } else { Answer::Delivered });
    let lines = Lines::record();
    forwarder(&outbox, &world, &receiver).run(sleep(DAY)).await;
    let times = receiver.seconds("a0");
    assert_eq!((times.len(), &times[..4]), (30, &[0, 5, 20, 65][..]));
    assert_eq!(receiver.seconds("a1"), [*times.last().unwrap()]);
    let given_up = outbox.given_up();
    assert_eq!((given_up.len(), given_up[0].attempts, given_up[0].reason.as_str()), (1, 30, "answered 500"));
    assert_eq!(outbox.waiting(), 0);
    assert_eq!(lines.of(FORWARDING_FAILED).len(), 29);
    assert_eq!(lines.of(GIVEN_UP)[0]["attempts"], 30);
    assert!(!lines.text().contains("a0"), "the id may be content");
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_given_up_at_once() {
    let (outbox, world) = outbox_with(&["a", "a"]).await;
    let receiver = TestReceiver::answering(|envelope, _| match envelope.id.as_str() {
        "a0" => Answer::Refused { reason: "answered 410".to_owned() },
        _ => Answer::Delivered,
    });
    forwarder(&outbox, &world, &receiver).run(sleep(MINUTE)).await;
    assert_eq!(receiver.ids(), ["a0", "a1"]);
    assert_eq!((outbox.waiting(), outbox.given_up()[0].attempts), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_asks_for_a_pause_gets_it_from_all_events() {
    let (outbox, mut world) = outbox_with(&["a"]).await;
    let receiver = TestReceiver::answering(|_, number| match number {
        1 => Answer::RetryLater { reason: "answered 429".to_owned(), wait: Some(Duration::from_secs(30)) },
        _ => Answer::Delivered,
    });
    let forwarder = forwarder(&outbox, &world, &receiver);
    let late = machnet(&mut world, "late").await;
    let record = async {
        sleep(Duration::from_secs(1)).await;
        outbox.record("late", late);
        sleep(2 * MINUTE).await;
    };
    forwarder.run(record).await;
    assert_eq!((receiver.seconds("a0"), receiver.seconds("late")), (vec![0, 30], vec![30, 60]));
    assert_eq!(outbox.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_a_receiver_missed_while_it_was_away_is_sent_as_soon_as_it_takes_anything() {
    let (outbox, mut world) = outbox_with(&["a", "b", "c"]).await;
    let started = Instant::now();
    let receiver = TestReceiver::answering(move |envelope, _| match envelope.id.as_str() {
        "b1" => again(),
        _ if started.elapsed() < Duration::from_secs(10) => {
            Answer::Unreachable { reason: "nobody answers there".to_owned() }
        }
        _ => Answer::Delivered,
    });
    let forwarder = forwarder(&outbox, &world, &receiver);
    let late = machnet(&mut world, "late").await;
    let record = async {
        sleep(Duration::from_secs(10)).await;
        outbox.record("late", late);
        sleep(Duration::from_secs(1)).await;
    };
    forwarder.run(record).await;
    assert_eq!((receiver.seconds("a0"), receiver.seconds("c2")), (vec![0, 5, 10], vec![0, 5, 10]));
    assert_eq!(receiver.seconds("b1"), [0, 5], "it was answered, so it keeps to its own pace");
}

#[tokio::test(start_paused = true)]
async fn whenever_the_process_is_killed_each_event_is_delivered_and_in_order() {
    for polls in 1..60 {
        let (outbox, world) = outbox_with(&["a", "a", "b", "a"]).await;
        let taken = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&taken);
        let receiver = TestReceiver::answering(move |envelope, _| {
            noted.lock().unwrap().push(envelope.id.clone());
            Answer::Delivered
        });
        killed_after(polls, forwarder(&outbox, &world, &receiver).run(sleep(MINUTE))).await;
        forwarder(&outbox, &world, &receiver).run(sleep(MINUTE)).await;
        let mut taken = taken.lock().unwrap().clone();
        taken.retain(|id| id.starts_with('a'));
        taken.dedup();
        assert_eq!(taken, ["a0", "a1", "a3"], "killed after {polls} polls");
        assert_eq!(outbox.waiting(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_outbox_that_is_down_for_a_while_costs_no_event() {
    let (outbox, world) = outbox_with(&["a", "a"]).await;
    let (down, receiver) = (Arc::clone(&outbox.is_down), TestReceiver::answering(|_, _| Answer::Delivered));
    let break_and_mend = async {
        sleep(Duration::from_millis(10)).await;
        *down.lock().unwrap() = true;
        sleep(MINUTE).await;
        *down.lock().unwrap() = false;
        sleep(MINUTE).await;
    };
    forwarder(&outbox, &world, &receiver).run(break_and_mend).await;
    assert_eq!(receiver.ids(), ["a0", "a0", "a1"]);
    assert_eq!(outbox.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_cannot_be_noted_is_made_again_and_no_line_counts_it() {
    let (outbox, world) = outbox_with(&["a"]).await;
    let (down, receiver) = (Arc::clone(&outbox.is_down), TestReceiver::answering(|_, _| again()));
    let lines = Lines::record();
    let break_and_mend = async {
        sleep(Duration::from_millis(10)).await;
        *down.lock().unwrap() = true;
        sleep(MINUTE).await;
        *down.lock().unwrap() = false;
        sleep(DAY).await;
    };
    forwarder(&outbox, &world, &receiver).run(break_and_mend).await;
    assert_eq!((receiver.ids().len(), outbox.given_up()[0].attempts), (31, 30));
    let counted: Vec<u64> = lines.of(FORWARDING_FAILED).iter().filter_map(|line| line["attempts"].as_u64()).collect();
    assert_eq!(counted, (1..=29).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn attempts_under_way_end_when_the_flow_is_stopped_and_one_that_hangs_is_left() {
    for (takes, left) in [(Duration::from_secs(2), 1), (Duration::from_secs(20), 2)] {
        let (outbox, world) = outbox_with(&["a", "a"]).await;
        let receiver = TestReceiver { takes, ..TestReceiver::answering(|_, _| Answer::Delivered) };
        forwarder(&outbox, &world, &receiver).run(sleep(Duration::from_millis(100))).await;
        assert_eq!((receiver.ids().len(), outbox.waiting()), (1, left));
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_be_read_is_a_dead_letter_and_one_that_nobody_expects_is_done() {
    let (outbox, mut world) = outbox_with(&["a"]).await;
    let receiver = TestReceiver::answering(|_, _| Answer::Delivered);
    let forwarder = forwarder(&outbox, &world, &receiver);
    let entry = Err("the entry is damaged".to_owned());
    forwarder.attempt(Outgoing { position: Position(1), entry, failed_attempts: 0 }).await;
    assert_eq!(outbox.given_up()[0].reason, "the entry is damaged");
    let quarantined = world.deliver(ProviderName::Machnet, &[], "{").await.remove(0);
    assert!(forwarder.post(&quarantined).await.is_none());
    assert_eq!(receiver.ids().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_receiver_gets_all_data_however_large() {
    let mut world = World::default();
    let large = "x".repeat(3_000_000);
    let body = format!(r#"{{"Event":"PolicyUpdated","Document":"{large}"}}"#);
    let entries = world.deliver(ProviderName::NowCerts, &[("content-type", "application/json")], body).await;
    let outbox = MemoryOutbox::default();
    outbox.record("a", entries);
    let receiver = TestReceiver::answering(move |envelope, _| {
        assert!(envelope.text.contains(&large) && !envelope.text.contains("dataref"));
        Answer::Delivered
    });
    forwarder(&outbox, &world, &receiver).run(sleep(MINUTE)).await;
    assert_eq!((receiver.ids().len(), outbox.waiting()), (1, 0));
}

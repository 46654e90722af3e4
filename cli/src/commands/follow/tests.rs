use std::cell::RefCell;
use std::collections::VecDeque;

use intake_providers::delivery::DeliveryId;
use tokio::time::Instant;

use super::*;

const LOOKS: Looks = Looks {
    pause: Duration::from_secs(1),
    near: Duration::from_secs(10),
    far_every: Duration::from_secs(30),
    far: Duration::from_secs(100),
};

/// The time of tokio's clock, which the tests let stand still while something happens and jump over pauses.
struct TestClock {
    started_at: Instant,
}

impl TestClock {
    fn start() -> Self {
        Self { started_at: Instant::now() }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::parse("2026-11-21T09:30:00Z").unwrap().plus(Duration::from_secs(seconds))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Self::at(0).plus(self.started_at.elapsed())
    }

    fn new_delivery_id(&self, received_at: Timestamp) -> DeliveryId {
        DeliveryId::new(received_at, [0; 10])
    }
}

/// Numbers that are recorded at some second, and were received at another one.
struct Numbers {
    clock: TestClock,
    /// Second of recording, number, and time of arrival.
    recorded: Vec<(u64, u32, Timestamp)>,
    looks: RefCell<Vec<Timestamp>>,
    known: RefCell<usize>,
    failures: RefCell<VecDeque<u64>>,
    unreadable: Vec<EntryKey>,
}

impl Numbers {
    /// Each is a second of recording, a number, and how many seconds before the recording it was received.
    fn of(recorded: &[(u64, u32, u64)]) -> Self {
        let item = |&(second, number, late): &(u64, u32, u64)| {
            (second, number, before(TestClock::at(second), Duration::from_secs(late)))
        };
        Self {
            clock: TestClock::start(),
            recorded: recorded.iter().map(item).collect(),
            looks: RefCell::default(),
            known: RefCell::default(),
            failures: RefCell::default(),
            unreadable: Vec::new(),
        }
    }

    /// What is printed from the start until that second.
    async fn printed(&self, since: Option<Timestamp>, until: u64) -> Vec<String> {
        let mut lines = Kept::default();
        let following = follow(self, since, LOOKS, &self.clock, &mut lines);
        tokio::time::timeout(Duration::from_secs(until), following).await.unwrap_err();
        lines.printed
    }
}

impl Feed for Numbers {
    type Item = (u32, Timestamp);
    type Key = u32;

    async fn list(&self, since: Timestamp, known: Known<u32>) -> Result<Listing<Self::Item>, PortError> {
        self.looks.borrow_mut().push(since);
        *self.known.borrow_mut() = known.len();
        let now = self.clock.started_at.elapsed().as_secs();
        let fails = self.failures.borrow().front() == Some(&now);
        if fails {
            self.failures.borrow_mut().pop_front();
            return Err(PortError::of("dynamodb Query", "throttled"));
        }
        let is_listed = |(second, number, received_at): &&(u64, u32, Timestamp)| {
            *second <= now && *received_at >= since && !known.contains_key(number)
        };
        let listed = self.recorded.iter().filter(is_listed);
        Ok(Listing {
            found: listed.map(|(_, number, received_at)| (*number, *received_at)).collect(),
            unreadable: self.unreadable.clone(),
            looked_back_to: None,
        })
    }

    fn key(item: &Self::Item) -> Option<(u32, Timestamp)> {
        Some(*item)
    }

    fn line(&self, (number, _): &Self::Item) -> String {
        format!("{}:{number}\n", self.clock.started_at.elapsed().as_secs())
    }
}

#[derive(Default)]
struct Kept {
    printed: Vec<String>,
    complaints: Vec<String>,
    /// Number of times that something is read.
    reads: Option<usize>,
}

impl Lines for Kept {
    fn print(&mut self, text: &str) -> Result<bool, CommandError> {
        self.printed.extend(text.lines().map(str::to_owned));
        Ok(self.reads.is_none_or(|reads| self.printed.len() < reads))
    }

    fn is_read(&self) -> bool {
        self.reads != Some(0)
    }

    fn complain(&mut self, text: &str) -> Result<(), CommandError> {
        self.complaints.push(text.to_owned());
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_recorded_from_now_on_is_printed_once_at_the_next_look() {
    let numbers = Numbers::of(&[(0, 1, 5), (3, 2, 0), (3, 3, 1), (7, 4, 0)]);
    assert_eq!(numbers.printed(None, 60).await, ["3:2", "3:3", "7:4"]);
}

#[tokio::test(start_paused = true)]
async fn what_was_received_since_a_time_is_printed_first() {
    let numbers = Numbers::of(&[(0, 1, 500), (0, 2, 300), (0, 3, 5), (2, 4, 0)]);
    assert_eq!(
        numbers.printed(Some(before(TestClock::at(0), Duration::from_secs(400))), 60).await,
        ["0:2", "0:3", "2:4"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_recorded_late_is_printed_at_the_next_look_that_goes_back_so_far() {
    // Received more than the ten seconds of every look before it is recorded, and at most 100.
    let numbers = Numbers::of(&[(1, 1, 100), (5, 2, 50), (31, 3, 100), (40, 4, 9)]);
    assert_eq!(numbers.printed(None, 100).await, ["30:1", "30:2", "40:4", "60:3"]);
}

#[tokio::test(start_paused = true)]
async fn what_arrived_before_every_look_is_printed_only_with_an_earlier_since() {
    let late = [(5, 1, 400)];
    assert_eq!(Numbers::of(&late).printed(None, 100).await, Vec::<String>::new());
    let since = before(TestClock::at(0), Duration::from_secs(500));
    assert_eq!(Numbers::of(&late).printed(Some(since), 100).await, ["30:1"]);
}

#[tokio::test(start_paused = true)]
async fn most_looks_go_back_a_little_and_what_no_look_reaches_is_forgotten() {
    let numbers = Numbers::of(&[(1, 1, 0), (2, 2, 0)]);
    numbers.printed(None, 150).await;
    let looks = numbers.looks.borrow();
    assert_eq!(looks[0], before(TestClock::at(0), LOOKS.far));
    assert_eq!(looks[1], before(TestClock::at(1), LOOKS.near));
    // Each goes back as far from the one before it.
    let far_starts =
        looks.iter().zip(0_u64..).filter(|(since, second)| **since < before(TestClock::at(*second), LOOKS.near));
    let far_starts: Vec<_> = far_starts.map(|(since, second)| (second, *since)).collect();
    let start = |second| before(TestClock::at(second), LOOKS.far);
    let expected = [(0, 0), (30, 0), (60, 30), (90, 60), (120, 90), (150, 120)];
    assert_eq!(far_starts, expected.map(|(second, last)| (second, start(last))));
    assert_eq!(*numbers.known.borrow(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_is_reported_once_and_made_up_for() {
    let numbers = Numbers::of(&[(28, 1, 50), (29, 2, 0)]);
    numbers.failures.borrow_mut().extend([29, 30, 31]);
    let mut lines = Kept::default();
    let following = follow(&numbers, None, LOOKS, &numbers.clock, &mut lines);
    tokio::time::timeout(Duration::from_secs(60), following).await.unwrap_err();
    // The far look was due in second 30, and is taken as soon as one succeeds.
    assert_eq!(lines.printed, ["32:1", "32:2"]);
    assert_eq!(lines.complaints, ["dynamodb Query failed: throttled; trying again\n"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_reported_once() {
    let mut numbers = Numbers::of(&[(2, 1, 0)]);
    numbers.unreadable.push(EntryKey { partition: "machnet#1".to_owned(), sort: "event".to_owned() });
    let mut lines = Kept::default();
    let following = follow(&numbers, None, LOOKS, &numbers.clock, &mut lines);
    tokio::time::timeout(Duration::from_secs(60), following).await.unwrap_err();
    assert_eq!(lines.printed, ["2:1"]);
    let [complaint] = &lines.complaints[..] else { panic!("{:?}", lines.complaints) };
    assert!(complaint.contains("an entry could not be read") && complaint.contains("machnet#1 event"), "{complaint}");
}

#[tokio::test(start_paused = true)]
async fn a_first_look_that_fails_ends_it() {
    let numbers = Numbers::of(&[]);
    numbers.failures.borrow_mut().push_back(0);
    let error = follow(&numbers, None, LOOKS, &numbers.clock, &mut Kept::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "dynamodb Query failed: throttled");
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nobody_reads_or_when_it_is_told_to() {
    let numbers = Numbers::of(&[(2, 1, 0), (3, 2, 0), (4, 3, 0)]);
    let mut lines = Kept { reads: Some(2), ..Kept::default() };
    follow(&numbers, None, LOOKS, &numbers.clock, &mut lines).await.unwrap();
    assert_eq!(lines.printed, ["2:1", "3:2"]);

    let mut unread = Kept { reads: Some(0), ..Kept::default() };
    follow(&Numbers::of(&[]), None, LOOKS, &numbers.clock, &mut unread).await.unwrap();

    let numbers = Numbers::of(&[(2, 1, 0)]);
    let mut lines = Kept::default();
    let stop = tokio::time::sleep(Duration::from_secs(10));
    until(stop, follow(&numbers, None, LOOKS, &numbers.clock, &mut lines)).await.unwrap();
    assert_eq!(lines.printed, ["2:1"]);
}

//! Several questions as of one moment.

use std::sync::atomic::AtomicI64;

use super::*;

/// A clock that goes on by a second each time.
struct Going(AtomicI64);

impl Clock for Going {
    fn now(&self) -> Timestamp {
        let seconds = self.0.fetch_add(1, Ordering::Relaxed);
        Timestamp::from_unix_milliseconds(at(NOW).unix_milliseconds() + seconds * 1_000).unwrap()
    }

    fn new_delivery_id(&self, received_at: Timestamp) -> DeliveryId {
        DeliveryId::new(received_at, [0; 10])
    }
}

#[tokio::test]
async fn a_bucket_in_which_one_question_found_nothing_is_not_asked_by_the_next() {
    let rows = vec![event("a", "2026-11-21T10:10:00.000Z", 1), quarantine("2026-11-21T09:20:00.000Z")];
    let service = Table::of(rows).service();
    let name = str::to_owned;
    let names = Names { events_table: name("events"), entities_table: name("entities"), bucket: name("bucket") };
    let clock = Going(AtomicI64::new(0));
    let records = StackRecords::of(clock, &service.config(), BUDGET, CONTENTION, names).of_this_moment();
    let with = |outcome| EventFilter { outcome: Some(outcome), ..since("2026-11-21T08:30:00Z") };

    let mut asked = 0;
    for (filter, found, expected) in [
        (with(Outcome::Quarantined), 1, 3 * BUCKETS),
        (with(Outcome::Conflict), 0, 2),
        (since("2026-11-21T09:00:00Z"), 2, 2),
        // Nobody has looked at the first half of the hour.
        (since("2026-11-21T08:00:00Z"), 2, 3 * BUCKETS),
    ] {
        let listing = records.events(&filter).await.unwrap();
        let before = std::mem::replace(&mut asked, queries(&service.received()).len());
        assert_eq!((listing.found.len(), asked - before), (found, expected), "{filter:?}");
    }
}

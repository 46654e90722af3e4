//! Outages of our side, minute after minute, against queues that drop what is returned too often.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::testing::{Batching, Kind, MAIN, MemoryBroker};
use super::tests::{TestDrain, drain, run};
use super::*;
use crate::lease::pause::{PauseReason, RefusedMessage};
use crate::queue_message::MAX_MESSAGE_BYTES;
use crate::testing::killed_after;

const MINUTE: Duration = Duration::from_secs(60);

/// What RabbitMQ 4 has unless a policy says otherwise.
const QUORUM: Kind = Kind::Quorum { delivery_limit: 20 };

/// What an outage of one hour may cost.
const MAX_DELIVERIES: u64 = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outage {
    /// The whole call is denied.
    Queue,
    /// The call succeeds, and each entry is refused.
    Entries,
    Store,
}

fn drain_of(kind: Kind, bodies: &[String]) -> TestDrain {
    let mut drain = TestDrain { broker: MemoryBroker::of_kind(kind), ..drain() };
    drain.settings.prefetch = 400;
    drain.settings.batches_in_flight = 16;
    drain.broker.publish(MAIN, bodies.to_vec());
    drain
}

fn small(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("small {number}")).collect()
}

fn large(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("large {number} {}", "x".repeat(MAX_MESSAGE_BYTES))).collect()
}

/// A large body after every few small ones.
fn mixed(count: usize, every: usize) -> Vec<String> {
    let mut larges = large(count / every).into_iter();
    let mut bodies = Vec::new();
    for (number, body) in small(count).into_iter().enumerate() {
        bodies.push(body);
        if number % every == every - 1 {
            bodies.extend(larges.next());
        }
    }
    bodies
}

fn begin(drain: &TestDrain, outage: Outage) {
    match outage {
        Outage::Queue => drain.queue.behave([Batching::Fail]),
        Outage::Entries => drain.queue.behave([Batching::RefuseAll]),
        Outage::Store => *drain.payloads.is_down.lock().unwrap() = true,
    }
}

fn heal(drain: &TestDrain) {
    drain.queue.behave([Batching::Work]);
    *drain.payloads.is_down.lock().unwrap() = false;
    *drain.payloads.fails_after.lock().unwrap() = None;
}

/// A run begins every minute, as the schedule has it.
async fn minutes(drain: &TestDrain, count: usize) -> Vec<DrainOutcome> {
    let mut outcomes = Vec::new();
    for _ in 0..count {
        let started = Instant::now();
        outcomes.push(run(drain).await.outcome);
        tokio::time::sleep_until(started + MINUTE.max(started.elapsed())).await;
    }
    outcomes
}

/// Nothing was dropped, and what is neither acknowledged nor left was taken by our queue.
fn assert_nothing_lost(drain: &TestDrain, bodies: &[String], what: &str) {
    assert_eq!(drain.broker.dropped(), Vec::<String>::new(), "{what}");
    let known: Vec<String> = drain.broker.acknowledged().into_iter().chain(drain.broker.left(MAIN)).collect();
    assert_eq!(known.len(), bodies.len(), "{what}");
    assert_eq!(BTreeSet::from_iter(known).len(), bodies.len(), "{what}");
    let taken = drain.queue.documents.lock().unwrap().len();
    assert!(taken >= drain.broker.acknowledged().len(), "{what}: acknowledged, and not taken by our queue");
}

/// After an outage: nothing is lost, and within the maximum pause the queue is empty.
async fn assert_heals(drain: &TestDrain, bodies: &[String], what: &str) {
    assert_nothing_lost(drain, bodies, what);
    heal(drain);
    minutes(drain, 62).await;
    assert_nothing_lost(drain, bodies, what);
    assert_eq!(drain.broker.left(MAIN), Vec::<String>::new(), "{what}");
    assert_eq!(drain.lease.pause(), None, "{what}");
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_either_outage_loses_nothing_and_returns_no_message_more_than_a_few_times() {
    for kind in [Kind::Classic, QUORUM] {
        for outage in [Outage::Queue, Outage::Entries, Outage::Store] {
            for bodies in [small(500), large(15), mixed(300, 20), [small(100), large(10)].concat()] {
                let what = format!("{kind:?} {outage:?} {} messages", bodies.len());
                let drain = drain_of(kind, &bodies);
                begin(&drain, outage);
                let outcomes = minutes(&drain, 60).await;
                let paused = outcomes.iter().filter(|outcome| matches!(outcome, DrainOutcome::Paused(_))).count();
                assert!(drain.broker.most_deliveries() <= MAX_DELIVERIES, "{what}: {}", drain.broker.most_deliveries());
                assert!(paused > 50 || (outage == Outage::Store && bodies.len() == 500), "{what}: {outcomes:?}");
                assert_heals(&drain, &bodies, &what).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_of_a_week_returns_a_message_no_more_often_than_one_of_an_hour() {
    for outage in [Outage::Queue, Outage::Entries, Outage::Store] {
        let bodies = mixed(60, 4);
        let drain = drain_of(QUORUM, &bodies);
        begin(&drain, outage);
        minutes(&drain, 7 * 24 * 60).await;
        assert!(drain.broker.most_deliveries() <= 2, "{outage:?}: {}", drain.broker.most_deliveries());
        assert_heals(&drain, &bodies, &format!("{outage:?}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_in_the_middle_of_every_run_loses_nothing() {
    for kind in [Kind::Classic, QUORUM] {
        let bodies = mixed(3_000, 200);
        for outage in [Outage::Queue, Outage::Store] {
            let what = format!("{kind:?} {outage:?}");
            let drain = drain_of(kind, &bodies);
            for _ in 0..60 {
                match outage {
                    Outage::Store => {
                        heal(&drain);
                        *drain.payloads.fails_after.lock().unwrap() = Some(2);
                    }
                    _ => drain.queue.behave([Batching::Work, Batching::Work, Batching::Work, Batching::Fail]),
                }
                minutes(&drain, 1).await;
            }
            assert!(drain.broker.most_deliveries() <= MAX_DELIVERIES, "{what}: {}", drain.broker.most_deliveries());
            assert_heals(&drain, &bodies, &what).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_takes_one_message_until_our_queue_accepts_one_and_then_more() {
    let bodies = small(500);
    let drain = drain_of(QUORUM, &bodies);
    begin(&drain, Outage::Queue);
    let report = run(&drain).await;
    assert_eq!((report.received, report.returned), (1, 1));

    heal(&drain);
    drain.lease.lift_pause();
    assert_eq!(run(&drain).await.acknowledged, 500);
    let consumed: Vec<String> = drain.broker.calls().into_iter().filter(|call| call.starts_with("consume")).collect();
    assert_eq!(consumed[..2], ["consume events with 1", "consume events with 10"], "the second run is proven at once");
    assert_eq!(consumed.len(), 3, "{consumed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_sent_as_the_proof_is_acknowledged_and_not_sent_twice() {
    // Bodies that are alike: only the one that was refused is the proof's.
    let bodies = ["twin".to_owned(), "twin".to_owned(), "other".to_owned()];
    let drain = drain_of(Kind::Classic, &bodies);
    begin(&drain, Outage::Queue);
    assert_eq!(run(&drain).await.outcome, DrainOutcome::Failed(DrainFailure::QueueUnavailable));
    heal(&drain);
    drain.lease.lift_pause();
    let lines = crate::testing::Lines::record();
    let report = run(&drain).await;
    assert_eq!((report.outcome, report.acknowledged), (DrainOutcome::Drained, 3));
    let mut sent = drain.queue.bodies();
    sent.sort();
    assert_eq!(sent, ["other", "twin", "twin"]);
    let reported = lines.of("delivery").into_iter().map(|line| line["delivery_id"].to_string());
    let documents = drain.queue.documents.lock().unwrap().clone();
    let in_our_queue = documents
        .iter()
        .map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap()["delivery_id"].to_string());
    let (reported, in_our_queue) = (BTreeSet::from_iter(reported), BTreeSet::from_iter(in_our_queue));
    assert_eq!(reported, in_our_queue, "the proof is reported as the delivery that our queue has");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_like_the_one_of_the_proof_is_never_taken_for_it() {
    for polls in 1..120 {
        // Both were returned before, so that nothing distinguishes them.
        let drain = drain_of(QUORUM, &[]);
        for _ in 0..2 {
            drain.broker.publish_returned(MAIN, "twin", 1);
        }
        begin(&drain, Outage::Queue);
        run(&drain).await;
        heal(&drain);
        drain.lease.lift_pause();
        let _ = killed_after(polls, run(&drain)).await;
        // Whatever the killed run came to, the next ones finish.
        tokio::time::sleep(drain.settings.lease).await;
        for _ in 0..3 {
            drain.lease.lift_pause();
            run(&drain).await;
        }
        assert_eq!(drain.broker.acknowledged(), ["twin", "twin"]);
        let documents = drain.queue.documents.lock().unwrap().clone();
        let ids: BTreeSet<String> = documents
            .iter()
            .map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap()["delivery_id"].to_string())
            .collect();
        assert!(ids.len() >= 2, "killed after {polls} polls: two messages, and one delivery");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_in_a_pause_ends_quietly_and_says_until_when_and_why() {
    let lines = crate::testing::Lines::record();
    let drain = drain_of(QUORUM, &small(5));
    begin(&drain, Outage::Queue);
    let failed = run(&drain).await;
    let pause = drain.lease.pause().unwrap();
    assert_eq!(failed.paused_until, Some(pause.until));
    let connections = drain.broker.calls().len();

    let report = run(&drain).await;
    assert_eq!(report.outcome, DrainOutcome::Paused(PauseReason::QueueUnavailable));
    assert_eq!(report.paused_until, Some(pause.until));
    assert_eq!(drain.broker.calls().len(), connections, "the broker is left alone");
    assert_eq!(drain.lease.pause(), Some(pause.clone()), "and the pause is as it was");
    let line = lines.of("drain").pop().unwrap();
    assert_eq!((&line["outcome"], &line["reason"]), (&"paused".into(), &"queue-unavailable".into()));
    assert_eq!(line["paused_until"], pause.until.to_string());
    assert!(!lines.text().contains("small 0"), "no line shows the kept document");

    heal(&drain);
    drain.lease.lift_pause();
    assert_eq!(run(&drain).await.outcome, DrainOutcome::Drained);
    assert_eq!(drain.lease.pause(), None);
}

#[tokio::test(start_paused = true)]
async fn a_pause_that_ends_in_this_moment_is_not_reported_as_one_that_holds_up_runs() {
    let drain = drain_of(QUORUM, &small(5));
    begin(&drain, Outage::Queue);
    let until = run(&drain).await.paused_until.unwrap();
    heal(&drain);
    drain.broker.refuse_connections(BrokerFailure::Unreachable);
    let left = until.unix_milliseconds() - drain.clock.now().unix_milliseconds();
    tokio::time::sleep(Duration::from_millis(left.unsigned_abs())).await;
    let report = run(&drain).await;
    assert_eq!(report.outcome, DrainOutcome::Failed(DrainFailure::CannotConsume(BrokerFailure::Unreachable)));
    assert_eq!((report.paused_until, drain.clock.now()), (None, until));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_refuses_after_the_store_took_its_proof_is_what_failed() {
    let drain = drain_of(QUORUM, &small(3));
    begin(&drain, Outage::Queue);
    run(&drain).await;
    let pause = drain.lease.pause().unwrap();
    *drain.lease.pause.lock().unwrap() = Some(Pause { reason: PauseReason::PayloadsUnavailable, ..pause });
    drain.lease.lift_pause();
    assert_eq!(run(&drain).await.outcome, DrainOutcome::Failed(DrainFailure::QueueUnavailable));
    assert_eq!(drain.lease.pause().unwrap().reason, PauseReason::QueueUnavailable);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_while_what_was_refused_is_refused_again() {
    for outage in [Outage::Queue, Outage::Store] {
        let drain = drain_of(QUORUM, &large(3));
        begin(&drain, outage);
        run(&drain).await;
        let before = drain.broker.calls().len();
        for failed_runs in 2..8 {
            drain.lease.lift_pause();
            let report = run(&drain).await;
            assert!(matches!(report.outcome, DrainOutcome::Failed(_)), "{report:?}");
            assert_eq!(drain.lease.pause().unwrap().failed_runs, failed_runs);
        }
        assert_eq!(drain.broker.calls().len(), before, "{outage:?}");
        assert_eq!(drain.broker.most_deliveries(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_kept_document_that_cannot_be_read_does_not_block_the_next_run() {
    let drain = drain_of(QUORUM, &small(3));
    begin(&drain, Outage::Queue);
    run(&drain).await;
    let pause = drain.lease.pause().unwrap();
    *drain.lease.pause.lock().unwrap() = Some(Pause { refused: Some(RefusedMessage::stored("{".to_owned())), ..pause });
    heal(&drain);
    drain.lease.lift_pause();
    assert_eq!(run(&drain).await.acknowledged, 3);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_refuses_ends_the_run_and_small_messages_already_delivered_are_sent() {
    let drain = drain_of(QUORUM, &[small(100), large(5), small(400)].concat());
    begin(&drain, Outage::Store);
    let report = run(&drain).await;
    assert_eq!(report.outcome, DrainOutcome::Failed(DrainFailure::PayloadsUnavailable));
    assert!(report.returned <= 5, "{report:?}");
    assert_eq!(report.accepted + report.returned, report.received);
    assert!(report.received < 505, "the run ended early");
    assert_eq!(drain.lease.pause().unwrap().reason, PauseReason::PayloadsUnavailable);
}

#[tokio::test(start_paused = true)]
async fn one_message_that_our_queue_never_takes_pauses_nothing_until_it_is_close_to_being_dropped() {
    let bodies = small(2);
    let drain = drain_of(QUORUM, &bodies);
    drain.queue.behave([Batching::Refuse(["small 0".to_owned()].into())]);
    for number in 1..=9 {
        drain.broker.publish(MAIN, [format!("next {number}")]);
        let report = run(&drain).await;
        assert_eq!(report.outcome, DrainOutcome::Failed(DrainFailure::MessagesRefused));
        assert!(report.accepted > 0 && drain.lease.pause().is_none(), "{number}");
    }
    drain.broker.publish(MAIN, ["last".to_owned()]);
    run(&drain).await;
    assert_eq!(drain.lease.pause().unwrap().reason, PauseReason::MessagesRefused);
    minutes(&drain, 60).await;
    assert_eq!(drain.broker.dropped(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_message_that_our_queue_never_takes_is_not_what_an_outage_is_measured_by() {
    let never = || Batching::Refuse(["never".to_owned()].into());
    // Refused alone, then others are accepted, then an outage begins.
    let drain = drain_of(QUORUM, &["never".to_owned()]);
    drain.broker.publish(MAIN, small(100));
    drain.queue.behave([never(), Batching::Work, Batching::Work, Batching::Fail]);
    assert_eq!(run(&drain).await.outcome, DrainOutcome::Failed(DrainFailure::QueueUnavailable));
    drain.queue.behave([never()]);
    drain.lease.lift_pause();
    assert_eq!(run(&drain).await.outcome, DrainOutcome::Failed(DrainFailure::MessagesRefused));
    assert_eq!(drain.broker.acknowledged().len(), 100, "the outage is over for all the others");

    // Refused alone and last, and close to being dropped.
    let drain = drain_of(QUORUM, &small(1));
    drain.broker.publish_returned(MAIN, "never", 9);
    drain.queue.behave([Batching::Work, never()]);
    run(&drain).await;
    assert_eq!(drain.lease.pause().unwrap().reason, PauseReason::MessagesRefused);
    drain.broker.publish(MAIN, small(3));
    drain.lease.lift_pause();
    assert_eq!(run(&drain).await.acknowledged, 3);
}

#[tokio::test(start_paused = true)]
async fn a_defect_leaves_a_pause_because_it_returns_what_was_taken() {
    let drain = drain_of(QUORUM, &small(5));
    drain.queue.behave([Batching::Panic]);
    minutes(&drain, 60).await;
    assert!(drain.broker.most_deliveries() <= MAX_DELIVERIES, "{}", drain.broker.most_deliveries());
    assert_heals(&drain, &small(5), "panic").await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_never_answers_leaves_a_pause() {
    let drain = drain_of(QUORUM, &small(50));
    drain.queue.behave([Batching::Hang]);
    let report = run(&drain).await;
    assert_eq!(report.outcome, DrainOutcome::Failed(DrainFailure::QueueUnavailable));
    assert_eq!((report.received, report.returned), (1, 1));
    assert!(drain.lease.pause().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_away_neither_leaves_a_pause_nor_ends_one() {
    let drain = drain_of(QUORUM, &small(5));
    begin(&drain, Outage::Queue);
    run(&drain).await;
    drain.lease.lift_pause();
    let pause = drain.lease.pause();
    heal(&drain);
    drain.broker.refuse_connections(BrokerFailure::Unreachable);
    run(&drain).await;
    assert_eq!(drain.lease.pause(), pause.map(|pause| Pause { refused: None, ..pause }), "it was sent as the proof");

    let drain = drain_of(QUORUM, &small(5));
    drain.broker.refuse_connections(BrokerFailure::Unreachable);
    run(&drain).await;
    assert_eq!(drain.lease.pause(), None);
}

#[tokio::test(start_paused = true)]
async fn the_prefetch_follows_the_sizes_so_that_bodies_in_flight_stay_within_the_bound() {
    let drain = drain_of(Kind::Classic, &large(100));
    drain.queue.behave([Batching::Slow(Duration::from_millis(15))]);
    let bound = drain.settings.in_flight_bytes as u64;
    let report = run(&drain).await;
    assert_eq!(report.acknowledged, 100);
    assert!(report.peak_body_bytes <= bound, "{report:?}");
    assert!(report.peak_body_bytes > bound / 4, "and the bound is used: {report:?}");
}

#[tokio::test(start_paused = true)]
async fn large_bodies_after_many_small_ones_stop_the_consumer_beyond_the_bound() {
    let mut drain = drain_of(Kind::Classic, &[small(2_000), large(60)].concat());
    drain.queue.behave([Batching::Slow(Duration::from_millis(15))]);
    drain.settings.in_flight_bytes = 4 * MAX_MESSAGE_BYTES;
    assert_eq!(run(&drain).await.acknowledged, 2_060);
    let prefetches: Vec<u16> = drain
        .broker
        .calls()
        .iter()
        .filter_map(|call| call.strip_prefix("consume events with ").and_then(|count| count.parse().ok()))
        .collect();
    assert_eq!(prefetches[..2], [1, 10]);
    assert!(prefetches[2] > 300, "{prefetches:?}");
    assert!(prefetches[3..].iter().all(|prefetch| *prefetch <= 3), "{prefetches:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn an_outage_that_begins_and_heals_at_any_time_loses_nothing(
        begins in 0_usize..20,
        lasts in 1_usize..60,
        kind in prop::sample::select(vec![Kind::Classic, QUORUM]),
        outage in prop::sample::select(vec![Outage::Queue, Outage::Entries, Outage::Store]),
        every in 1_usize..30,
        work_before in 0_usize..6,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let bodies = mixed(120, every.max(6));
            let drain = drain_of(kind, &[]);
            for (minute, bodies) in bodies.chunks(4).enumerate() {
                drain.broker.publish(MAIN, bodies.to_vec());
                if minute == begins {
                    let works = std::iter::repeat_n(Batching::Work, work_before);
                    match outage {
                        Outage::Queue => drain.queue.behave(works.chain([Batching::Fail]).collect::<Vec<_>>()),
                        Outage::Entries => drain.queue.behave(works.chain([Batching::RefuseAll]).collect::<Vec<_>>()),
                        Outage::Store => *drain.payloads.fails_after.lock().unwrap() = Some(work_before),
                    }
                }
                minutes(&drain, 1).await;
            }
            minutes(&drain, lasts).await;
            assert!(drain.broker.most_deliveries() <= MAX_DELIVERIES);
            assert_heals(&drain, &bodies, &format!("{kind:?} {outage:?}")).await;
        });
    }
}

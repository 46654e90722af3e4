use std::collections::BTreeSet;

use intake_providers::ProviderName;
use intake_providers::nowcerts::NowCerts;
use intake_providers::queue_source::QueueSource as _;
use proptest::prelude::*;

use super::testing::{Batching, DrainMemory, MAIN, MemoryBatchQueue, MemoryBroker, PassingTime, REPLAY, TestPayloads};
use super::*;
use crate::queue_message;
use crate::testing::{Counted, Lines, MemoryLease, MemorySecrets, killed_after};

pub(super) type TestDrain = Drain<DrainMemory, MemoryBroker>;

pub(super) const TIME: Duration = Duration::from_secs(60);

fn account(replay: bool) -> String {
    let mut document = serde_json::json!({
        "account": "main", "connection_string": "host=broker;username=agency;password=hush-hush", "queue": MAIN, "tls": true,
    });
    if replay {
        document["replay_queue"] = REPLAY.into();
    }
    document.to_string()
}

pub(super) fn drain() -> TestDrain {
    Drain {
        provider: ProviderName::NowCerts,
        broker: MemoryBroker::default(),
        queue: MemoryBatchQueue::default(),
        payloads: TestPayloads::default(),
        secrets: MemorySecrets::with(&account(false)),
        read_account: NowCerts::read_account,
        lease: MemoryLease::default(),
        clock: PassingTime::default(),
        settings: DrainSettings { prefetch: 40, batches_in_flight: 2, ..DrainSettings::default() },
    }
}

fn with_messages(count: usize) -> TestDrain {
    let drain = drain();
    drain.broker.publish(MAIN, bodies(count));
    drain
}

fn bodies(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("m{number}")).collect()
}

fn sorted(mut bodies: Vec<String>) -> Vec<String> {
    bodies.sort();
    bodies
}

pub(super) async fn run(drain: &TestDrain) -> DrainReport {
    drain.run(Instant::now() + TIME).await
}

#[tokio::test(start_paused = true)]
async fn a_message_that_has_come_back_more_than_five_times_is_warned_of() {
    let lines = Lines::record();
    let drain = drain();
    drain.broker.publish_returned(MAIN, "often", 5);
    drain.broker.publish_returned(MAIN, "too often", 6);
    assert_eq!(run(&drain).await.outcome, DrainOutcome::Drained);
    let warnings = lines.of("a message comes back again and again; its queue may drop it after 20 returns");
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert_eq!((&warning["level"], &warning["delivery_count"]), (&"WARN".into(), &6.into()));
}

#[tokio::test(start_paused = true)]
async fn messages_go_to_our_queue_in_full_batches_and_are_acknowledged_after_that() {
    let drain = with_messages(95);
    let report = run(&drain).await;
    assert_eq!(report.outcome, DrainOutcome::Drained);
    assert_eq!((report.received, report.accepted, report.acknowledged, report.returned), (95, 95, 95, 0));
    assert_eq!(sorted(drain.queue.bodies()), sorted(bodies(95)));
    assert_eq!(sorted(drain.broker.acknowledged()), sorted(bodies(95)));
    let batches: Vec<usize> = drain.queue.batches.lock().unwrap().iter().map(|(count, _)| *count).collect();
    assert_eq!(batches, [1, 10, 10, 10, 10, 10, 10, 10, 10, 10, 4]);
    let calls = drain.broker.calls();
    assert_eq!(calls[..3], ["connect", "consume events with 1", "cancel events"]);
    assert_eq!(calls[calls.len() - 2..], ["cancel events", "close"]);
    assert!(drain.lease.holder.lock().unwrap().is_none(), "the lease is given up");
}

#[tokio::test(start_paused = true)]
async fn an_empty_queue_ends_the_run_after_a_moment_of_quiet() {
    let drain = drain();
    let started = Instant::now();
    assert_eq!(run(&drain).await.outcome, DrainOutcome::Idle);
    assert_eq!(started.elapsed(), drain.settings.idle);
}

#[tokio::test(start_paused = true)]
async fn a_message_travels_with_its_properties_as_a_verified_delivery() {
    let drain = with_messages(1);
    run(&drain).await;
    let text = drain.queue.documents.lock().unwrap()[0].clone();
    let delivery = queue_message::read(&text, &drain.payloads).await.unwrap();
    assert_eq!((delivery.provider, delivery.body.as_ref()), (ProviderName::NowCerts, b"m0".as_slice()));
    assert_eq!(delivery.authenticated_by.account.as_str(), "main");
    assert_eq!(delivery.header_text("amqp-queue"), Some(MAIN));
    assert_eq!(delivery.header_text("amqp-redelivered"), Some("false"));
}

#[tokio::test(start_paused = true)]
async fn a_lone_message_does_not_wait_for_a_full_batch() {
    let drain = with_messages(1);
    let mut running = std::pin::pin!(run(&drain));
    let waited = tokio::time::timeout(drain.settings.linger * 2, &mut running).await;
    assert!(waited.is_err(), "the run waits for more");
    assert_eq!(drain.broker.acknowledged(), ["m0"]);
    drain.broker.publish(MAIN, ["late"]);
    assert_eq!(running.await.accepted, 2);
}

#[tokio::test(start_paused = true)]
async fn batches_stay_within_a_mebibyte_and_larger_bodies_are_offloaded_first() {
    let drain = drain();
    let large = |letter: &str, size: usize| letter.repeat(size);
    drain.broker.publish(
        MAIN,
        [large("a", 400_000), large("b", 400_000), large("c", 400_000), large("d", 400_000), large("e", 1_100_000)],
    );
    let report = run(&drain).await;
    assert_eq!((report.outcome, report.acknowledged), (DrainOutcome::Drained, 5));
    let batches: Vec<usize> = drain.queue.batches.lock().unwrap().iter().map(|(count, _)| *count).collect();
    assert_eq!(batches, [1, 2, 2]);
    assert_eq!(drain.payloads.stored.0.lock().unwrap().len(), 1);
    assert!(drain.queue.bodies()[4].starts_with("deliveries/nowcerts/2026/11/21/"));
}

#[tokio::test(start_paused = true)]
async fn what_our_queue_refuses_is_not_acknowledged_and_returns_once_at_the_end() {
    let drain = with_messages(25);
    drain.queue.behave([Batching::Refuse(["m3".to_owned(), "m17".to_owned()].into())]);
    let report = run(&drain).await;
    assert_eq!(report.outcome, DrainOutcome::Failed(DrainFailure::MessagesRefused));
    assert_eq!((report.received, report.accepted, report.acknowledged, report.returned), (25, 23, 23, 2));
    let calls = drain.broker.calls();
    assert_eq!(
        calls[calls.len() - 4..],
        ["cancel events", "nack m3", "nack m17", "close"],
        "requeued after the consumer is cancelled, so that they are not redelivered in this run"
    );
    assert_eq!(drain.broker.redelivered(MAIN), 2);
    drain.queue.behave([Batching::Work]);
    let again = run(&drain).await;
    assert_eq!((again.outcome, again.redelivered, again.acknowledged), (DrainOutcome::Drained, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn the_first_whole_batch_that_fails_ends_the_run_and_the_rest_returns() {
    for failing in [Batching::Fail, Batching::RefuseAll] {
        let drain = with_messages(100);
        drain.queue.behave([Batching::Work, failing.clone()]);
        let report = run(&drain).await;
        assert_eq!(report.outcome, DrainOutcome::Failed(DrainFailure::QueueUnavailable), "{failing:?}");
        assert_eq!((report.accepted, report.acknowledged), (1, 1));
        assert_eq!(report.returned, report.received - 1);
        assert!(drain.queue.batches.lock().unwrap().len() <= 1 + 1 + drain.settings.batches_in_flight);
        assert_eq!(drain.broker.left(MAIN).len(), 99);
        assert!(drain.broker.calls().contains(&"nack m99".to_owned()) || report.received < 100);
        let nacked = drain.broker.calls().iter().filter(|call| call.starts_with("nack")).count() as u64;
        assert_eq!(nacked, report.returned, "each once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_message_that_our_queue_never_takes_does_not_hold_up_the_others() {
    let drain = with_messages(1);
    drain.queue.behave([Batching::RefuseAll, Batching::Work]);
    let mut running = std::pin::pin!(run(&drain));
    assert!(tokio::time::timeout(drain.settings.linger * 2, &mut running).await.is_err());
    drain.broker.publish(MAIN, ["next"]);
    let report = running.await;
    assert_eq!(report.outcome, DrainOutcome::Failed(DrainFailure::MessagesRefused));
    assert_eq!((drain.broker.acknowledged(), drain.broker.left(MAIN)), (vec!["next".to_owned()], bodies(1)));
}

#[tokio::test(start_paused = true)]
async fn our_queue_is_asked_before_anything_is_taken() {
    let drain = with_messages(3);
    *drain.queue.is_down.lock().unwrap() = true;
    assert_eq!(run(&drain).await.outcome, DrainOutcome::Failed(DrainFailure::QueueUnavailable));
    assert!(drain.broker.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn at_the_budget_the_run_takes_no_more_and_works_off_what_was_sent() {
    let drain =
        TestDrain { settings: DrainSettings { message_budget: 50, ..with_messages(0).settings }, ..with_messages(500) };
    let report = run(&drain).await;
    assert_eq!(report.outcome, DrainOutcome::BudgetReached);
    assert!((50..=90).contains(&report.received), "at most the prefetch more: {report:?}");
    assert_eq!((report.acknowledged, report.returned), (report.received, 0));
    assert_eq!(drain.broker.redelivered(MAIN), 0, "nothing is returned by closing");
}

#[tokio::test(start_paused = true)]
async fn before_its_time_is_up_the_run_takes_no_more_and_works_off_what_was_sent() {
    let drain = with_messages(10_000);
    drain.queue.behave([Batching::Slow(Duration::from_millis(500))]);
    let started = Instant::now();
    let report = run(&drain).await;
    assert_eq!(report.outcome, DrainOutcome::TimeUp);
    assert!(started.elapsed() >= TIME - drain.settings.margin && started.elapsed() < TIME - CLOSING);
    assert_eq!((report.acknowledged, report.returned), (report.received, 0));
    assert_eq!(drain.broker.redelivered(MAIN), 0);
}

#[tokio::test(start_paused = true)]
async fn what_our_queue_does_not_answer_for_in_time_is_given_back() {
    let drain = with_messages(35);
    drain.queue.behave([Batching::Work, Batching::Hang]);
    let started = Instant::now();
    let report = run(&drain).await;
    assert_eq!((report.outcome, report.acknowledged, report.returned), (DrainOutcome::TimeUp, 1, 34));
    assert!(started.elapsed() < TIME);
    assert_eq!(drain.broker.left(MAIN).len(), 34);
    assert!(drain.lease.holder.lock().unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_slow_queue_of_ours_is_not_taken_for_an_empty_one_of_theirs() {
    let mut drain = with_messages(90);
    drain.settings.prefetch = 10;
    drain.broker.be_slow(Duration::from_millis(1));
    drain.queue.behave([Batching::Slow(drain.settings.idle * 2)]);
    assert_eq!(run(&drain).await.acknowledged, 90);
}

#[tokio::test(start_paused = true)]
async fn no_more_batches_are_on_their_way_than_the_settings_say() {
    let drain = with_messages(200);
    drain.queue.behave([Batching::Slow(Duration::from_millis(100))]);
    run(&drain).await;
    assert_eq!(drain.queue.most_at_once.lock().unwrap().1, drain.settings.batches_in_flight);
}

#[tokio::test(start_paused = true)]
async fn the_replay_queue_is_emptied_after_the_main_one_over_the_same_connection() {
    let drain = with_messages(12);
    drain.secrets.set(Some(&account(true)));
    drain.broker.publish(REPLAY, ["r0", "r1"]);
    let report = run(&drain).await;
    assert_eq!((report.outcome, report.acknowledged), (DrainOutcome::Drained, 14));
    let calls: Vec<String> = drain.broker.calls();
    assert_eq!(calls.iter().filter(|call| *call == "connect").count(), 1);
    assert_eq!(calls[calls.len() - 4..], ["cancel events", "consume replay with 10", "cancel replay", "close"]);
    assert_eq!(drain.queue.bodies()[12..], ["r0", "r1"]);
}

#[tokio::test(start_paused = true)]
async fn the_replay_queue_waits_while_the_main_one_takes_all_the_time() {
    let drain = with_messages(10_000);
    drain.secrets.set(Some(&account(true)));
    drain.queue.behave([Batching::Slow(Duration::from_millis(500))]);
    assert_eq!(run(&drain).await.outcome, DrainOutcome::TimeUp);
    assert!(!drain.broker.calls().iter().any(|call| call.starts_with("consume replay")));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_refuses_is_a_failure_of_its_kind_and_the_next_run_catches_up() {
    for failure in [BrokerFailure::Unreachable, BrokerFailure::LoginRefused, BrokerFailure::Tls] {
        let drain = with_messages(3);
        drain.broker.refuse_connections(failure);
        let report = run(&drain).await;
        assert_eq!(report.outcome, DrainOutcome::Failed(DrainFailure::CannotConsume(failure)));
        assert!(drain.lease.holder.lock().unwrap().is_none());
    }
    for failure in [BrokerFailure::UnknownQueue, BrokerFailure::AccessRefused] {
        let drain = with_messages(3);
        drain.broker.refuse(MAIN, failure);
        let report = run(&drain).await;
        assert_eq!(report.outcome, DrainOutcome::Failed(DrainFailure::CannotConsume(failure)));
        assert_eq!(drain.broker.calls(), ["connect", "consume events with 1", "close"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_in_use_or_a_lease_that_is_taken_ends_the_run_quietly() {
    let drain = with_messages(3);
    drain.broker.refuse(MAIN, BrokerFailure::InUse);
    assert_eq!(run(&drain).await.outcome, DrainOutcome::HeldByAnother(Holder::Queue));

    let drain = with_messages(3);
    let other = LeaseOwner("another".to_owned());
    let now = drain.clock.now();
    assert!(drain.lease.take(&other, now, now.plus(Duration::from_secs(30))).await.unwrap() == Taken::Ours(None));
    assert_eq!(run(&drain).await.outcome, DrainOutcome::HeldByAnother(Holder::Lease));
    assert!(drain.broker.calls().is_empty() && drain.secrets.fetches() == 0);

    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(run(&drain).await.outcome, DrainOutcome::Drained, "the one who held it is gone");
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_while_the_run_lasts_and_a_run_that_loses_it_ends_in_order() {
    let drain = with_messages(10_000);
    drain.queue.behave([Batching::Slow(Duration::from_millis(500))]);
    let started = Instant::now();
    let mut running = std::pin::pin!(run(&drain));
    assert!(tokio::time::timeout(Duration::from_secs(35), &mut running).await.is_err());
    let (owner, expires_at) = drain.lease.holder.lock().unwrap().clone().unwrap();
    assert!(expires_at > drain.clock.now(), "longer ago than the lease lasts, and still held");

    let other = LeaseOwner("another".to_owned());
    *drain.lease.holder.lock().unwrap() = Some((other.clone(), expires_at));
    let report = running.await;
    assert_eq!(report.outcome, DrainOutcome::Failed(DrainFailure::LeaseLost));
    assert!(started.elapsed() < Duration::from_secs(48), "it does not go on to the end of its time");
    assert_eq!((report.acknowledged, report.returned), (report.received, 0));
    assert_ne!(owner, other);
    assert_eq!(drain.lease.holder.lock().unwrap().clone().unwrap().0, other, "another's lease is not given up");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_renewed_is_kept_until_it_would_have_ended() {
    let drain = with_messages(10_000);
    drain.queue.behave([Batching::Slow(Duration::from_millis(500))]);
    let mut running = std::pin::pin!(drain.run(Instant::now() + 4 * TIME));
    let until_next_renewal = drain.settings.lease / 3;
    let mut go_on_for = async |duration| tokio::time::timeout(duration, &mut running).await.ok();
    assert!(go_on_for(Duration::from_secs(1)).await.is_none());
    // The first renewal fails, and the next does not.
    *drain.lease.is_down.lock().unwrap() = true;
    assert!(go_on_for(until_next_renewal * 3 / 2).await.is_none());
    *drain.lease.is_down.lock().unwrap() = false;
    assert!(go_on_for(until_next_renewal).await.is_none());
    *drain.lease.is_down.lock().unwrap() = true;
    assert!(go_on_for(drain.settings.lease * 2 / 3).await.is_none(), "another could not have taken it by now");
    let report = go_on_for(drain.settings.lease).await.unwrap();
    assert_eq!(report.outcome, DrainOutcome::Failed(DrainFailure::LeaseLost));
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_asked_for_or_a_secret_that_cannot_be_used_is_a_failure() {
    let drain = with_messages(3);
    *drain.lease.is_down.lock().unwrap() = true;
    assert_eq!(run(&drain).await.outcome, DrainOutcome::Failed(DrainFailure::LeaseUnavailable));

    let drain = with_messages(3);
    drain.secrets.set(None);
    assert_eq!(run(&drain).await.outcome, DrainOutcome::Failed(DrainFailure::SecretsUnavailable));
    drain.secrets.set(Some("{}"));
    assert_eq!(run(&drain).await.outcome, DrainOutcome::Failed(DrainFailure::AccountUnusable));
    assert!(drain.broker.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_leaves_what_was_not_acknowledged_to_the_next_run() {
    let drain = with_messages(50);
    drain.broker.break_after_acknowledging(15);
    let report = run(&drain).await;
    assert_eq!(report.outcome, DrainOutcome::Failed(DrainFailure::BrokenOff(BrokerFailure::ConnectionLost)));
    assert!(report.accepted > report.acknowledged, "{report:?}");
    assert_eq!(drain.broker.left(MAIN).len(), 35);
    let again = run(&drain).await;
    assert_eq!((again.outcome, again.acknowledged), (DrainOutcome::Drained, 35));
    assert_eq!(BTreeSet::from_iter(drain.queue.bodies()), BTreeSet::from_iter(bodies(50)));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_at_the_very_end_is_noticed_too() {
    let mut drain = with_messages(5);
    drain.settings.message_budget = 5;
    drain.broker.break_after_acknowledging(2);
    let report = run(&drain).await;
    assert_eq!(report.outcome, DrainOutcome::Failed(DrainFailure::BrokenOff(BrokerFailure::ConnectionLost)));
    assert_eq!((report.accepted, report.acknowledged), (5, 2));
}

#[tokio::test(start_paused = true)]
async fn a_consumer_that_the_broker_ends_works_off_what_had_been_sent() {
    let drain = with_messages(100);
    drain.queue.behave([Batching::Slow(Duration::from_secs(1))]);
    let mut running = std::pin::pin!(run(&drain));
    assert!(tokio::time::timeout(Duration::from_millis(2_500), &mut running).await.is_err());
    drain.broker.end_consumer(MAIN);
    let report = running.await;
    assert_eq!(report.outcome, DrainOutcome::Failed(DrainFailure::BrokenOff(BrokerFailure::ConsumerCancelled)));
    assert!(report.received > 20, "{report:?}");
    assert_eq!((report.acknowledged, report.returned), (report.received, 0));
}

#[tokio::test(start_paused = true)]
async fn a_defect_is_caught_and_reported_and_nothing_is_lost() {
    let drain = with_messages(5);
    drain.queue.behave([Batching::Panic, Batching::Work]);
    assert_eq!(run(&drain).await.outcome, DrainOutcome::Failed(DrainFailure::Panic));
    assert_eq!(drain.broker.left(MAIN).len(), 5);
    tokio::time::sleep(crate::lease::pause::MIN_PAUSE).await;
    assert_eq!(run(&drain).await.acknowledged, 5);
}

#[tokio::test(start_paused = true)]
async fn every_delivery_and_the_run_have_a_line_and_no_line_shows_the_password() {
    let lines = Lines::record();
    let drain = with_messages(2);
    drain.secrets.set(Some(&account(false).replace("true", "false")));
    run(&drain).await;
    let [first, _] = &lines.of("delivery")[..] else { panic!("{}", lines.text()) };
    assert_eq!(
        (&first["provider"], &first["outcome"], &first["queue"]),
        (&"nowcerts".into(), &"accepted".into(), &MAIN.into())
    );
    let [run] = &lines.of("drain")[..] else { panic!("{}", lines.text()) };
    assert_eq!((&run["outcome"], &run["acknowledged"]), (&"drained".into(), &2.into()));
    assert!(lines.text().contains("the connection is not encrypted"));
    assert!(!lines.text().contains("hush"), "{}", lines.text());
}

#[tokio::test(start_paused = true)]
async fn each_run_that_got_as_far_as_the_lease_says_whether_it_found_another_consumer() {
    let counted = Counted::default();
    let _guard = counted.record();
    let drain = with_messages(3);
    drain.broker.refuse(MAIN, BrokerFailure::InUse);
    run(&drain).await;
    assert_eq!(counted.take(), ["drain_busy nowcerts=1"]);

    let drain = with_messages(3);
    let other = LeaseOwner("another".to_owned());
    let now = drain.clock.now();
    drain.lease.take(&other, now, now.plus(Duration::from_secs(30))).await.unwrap();
    run(&drain).await;
    assert_eq!(counted.take(), ["drain_busy nowcerts=1"]);

    tokio::time::sleep(Duration::from_secs(30)).await;
    run(&drain).await;
    assert_eq!(counted.take(), ["accepted nowcerts=3", "drain_busy nowcerts=0", "drained nowcerts=1"]);

    drain.broker.publish(MAIN, bodies(1));
    drain.queue.behave([Batching::Fail]);
    run(&drain).await;
    assert_eq!(counted.take(), ["drain_busy nowcerts=0", "drain_failed nowcerts=1", "returned nowcerts=1"]);
    run(&drain).await;
    assert_eq!(counted.take(), ["drain_busy nowcerts=0", "drain_paused nowcerts=1"]);

    *drain.lease.is_down.lock().unwrap() = true;
    run(&drain).await;
    DrainReport::not_begun(DrainFailure::ConfigurationInvalid).write(drain.provider);
    assert_eq!(counted.take(), ["drain_failed nowcerts=2"], "nobody knows");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn whatever_is_killed_or_refused_nothing_is_lost_and_nothing_is_acknowledged_that_our_queue_did_not_take(
        count in 1_usize..80,
        kills in prop::collection::vec(1_usize..60, 0..4),
        refused in prop::collection::btree_set(0_usize..80, 0..6),
        fails in prop::collection::vec(0_usize..4, 0..6),
        breaks in prop::option::of(0_usize..40),
        prefetch in 1_u16..30,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut drain = with_messages(count);
            drain.settings.prefetch = prefetch;
            let refused: BTreeSet<String> = refused.iter().map(|number| format!("m{number}")).collect();
            let behaviour = fails.into_iter().map(|kind| match kind {
                0 => Batching::Fail,
                1 => Batching::Slow(Duration::from_secs(1)),
                _ => Batching::Refuse(refused.clone()),
            });
            drain.queue.behave(behaviour.chain([Batching::Work]).collect::<Vec<_>>());
            if let Some(breaks) = breaks {
                drain.broker.break_after_acknowledging(breaks);
            }
            let taken = |drain: &TestDrain| BTreeSet::from_iter(drain.queue.bodies());
            for polls in kills {
                drain.lease.lift_pause();
                let _ = killed_after(polls, run(&drain)).await;
                let acknowledged = BTreeSet::from_iter(drain.broker.acknowledged());
                assert!(acknowledged.is_subset(&taken(&drain)), "acknowledged, and not taken by our queue");
                assert_eq!(acknowledged.len() + drain.broker.left(MAIN).len(), count, "neither acknowledged nor left");
                // The lease of the run that was killed must end first.
                tokio::time::sleep(drain.settings.lease).await;
            }
            for _ in 0..12 {
                drain.lease.lift_pause();
                if run(&drain).await.outcome == DrainOutcome::Idle {
                    break;
                }
            }
            assert!(drain.broker.left(MAIN).is_empty(), "{:?}", drain.broker.left(MAIN));
            assert_eq!(taken(&drain).len(), count, "nothing is lost");
        });
    }
}

//! What is done before the first request, and that it never does harm.

use std::sync::atomic::Ordering;

use super::*;
use crate::preparation::MAX_PREPARATION;

impl World {
    /// How long it takes until the process is ready.
    async fn prepare(&self) -> Duration {
        let started = Instant::now();
        self.intake.prepare(MAX_PREPARATION).await;
        started.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_request_finds_the_keys_read_and_the_queue_connected() {
    let world = world();
    assert_eq!(world.prepare().await, Duration::ZERO);
    assert_eq!((world.secrets.fetches(), world.queue.connects.load(Ordering::Relaxed)), (1, 1));
    assert_eq!(world.send(signed(BODY)).await.0, 200);
    assert_eq!(world.secrets.fetches(), 1, "the keys were there");
}

#[tokio::test(start_paused = true)]
async fn a_secret_store_that_hangs_delays_the_start_by_300_ms_and_the_first_request_asks_it_again_at_once() {
    let world = world();
    world.secrets.behave(Behaviour::Hang);
    assert_eq!(world.prepare().await, Duration::from_millis(300));
    world.secrets.behave(Behaviour::Work);
    assert_eq!(world.send(signed(BODY)).await.0, 200);
    assert_eq!(world.secrets.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_secret_store_that_fails_delays_nothing_and_the_first_request_asks_it_again_at_once() {
    let world = world();
    for behaviour in [Behaviour::Fail, Behaviour::Panic] {
        world.secrets.behave(behaviour);
        assert_eq!(world.prepare().await, Duration::ZERO);
    }
    world.secrets.behave(Behaviour::Work);
    assert_eq!(world.send(signed(BODY)).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_hangs_or_fails_keeps_nothing_from_the_first_request() {
    for (behaviour, took) in [(Behaviour::Hang, MAX_PREPARATION), (Behaviour::Fail, Duration::ZERO)] {
        let world = world();
        world.queue.behave(behaviour);
        assert_eq!(world.prepare().await, took, "{behaviour:?}");
        world.queue.behave(Behaviour::Work);
        assert_eq!(world.send(signed(BODY)).await.0, 200, "{behaviour:?}");
        assert_eq!(world.secrets.fetches(), 1, "{behaviour:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn keys_that_were_read_in_advance_are_refreshed_like_others() {
    let world = world();
    world.prepare().await;
    world.secrets.set(Some(&secret_document(&[("main", OTHER_SECRET)])));
    tokio::time::advance(IntakeSettings::default().secret_refresh).await;
    let (status, answer) = world.send(signed(BODY)).await;
    let mismatch = Value::from("urn:webhook-intake:problem:signature-mismatch");
    assert_eq!((status, &answer["type"]), (409, &mismatch), "the key was removed");
}

#[tokio::test(start_paused = true)]
async fn an_intake_without_settings_has_nothing_to_prepare() {
    TestIntake::unconfigured(TestClock::default()).prepare(MAX_PREPARATION).await;
}

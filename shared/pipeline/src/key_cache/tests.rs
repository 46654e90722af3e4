use std::time::Duration;

use intake_providers::machnet::Machnet;
use intake_providers::webhook::Webhook;

use super::*;
use crate::testing::{MemorySecrets, OTHER_SECRET, SECRET, secret_document};

const REFRESH: Duration = Duration::from_secs(300);

fn store(secrets: &MemorySecrets) -> KeyCache<<Machnet as Webhook>::Keys, MemorySecrets> {
    KeyCache::new("machnet", secrets.clone(), Machnet::read_keys, REFRESH)
}

fn active(keys: &Keys<<Machnet as Webhook>::Keys>) -> Option<usize> {
    keys.get().map(intake_providers::active_keys::ActiveKeys::len)
}

#[tokio::test(start_paused = true)]
async fn keys_are_fetched_once_and_again_only_after_the_refresh_interval() {
    let secrets = MemorySecrets::with(&secret_document(&[("main", SECRET)]));
    let store = store(&secrets);
    for _ in 0..5 {
        store.keys().await.unwrap();
    }
    tokio::time::advance(REFRESH - Duration::from_millis(1)).await;
    store.keys().await.unwrap();
    assert_eq!(secrets.fetches(), 1);
    tokio::time::advance(Duration::from_millis(1)).await;
    store.keys().await.unwrap();
    assert_eq!(secrets.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_forger_causes_at_most_one_fetch_in_fifteen_seconds() {
    let secrets = MemorySecrets::with(&secret_document(&[("main", SECRET)]));
    let store = store(&secrets);
    let keys = store.keys().await.unwrap();
    for _ in 0..200 {
        store.newer_than(&keys).await;
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert_eq!(secrets.fetches(), 2, "one for the first keys, one in the twenty seconds since");
}

#[tokio::test(start_paused = true)]
async fn a_rotated_secret_is_found_when_nothing_matches() {
    let secrets = MemorySecrets::with(&secret_document(&[("main", SECRET)]));
    let store = store(&secrets);
    let before = store.keys().await.unwrap();
    secrets.set(Some(&secret_document(&[("main", SECRET), ("main", OTHER_SECRET)])));
    tokio::time::advance(MIN_REREAD_INTERVAL).await;
    let Newer::Keys(after) = store.newer_than(&before).await else { panic!("newer keys") };
    assert_eq!((active(&before), active(&after)), (Some(1), Some(2)));
    // A request that still holds the old keys gets the newer ones without another fetch.
    assert!(matches!(store.newer_than(&before).await, Newer::Keys(newer) if Arc::ptr_eq(&newer, &after)));
    assert_eq!(secrets.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_last_keys_stay_while_the_secret_cannot_be_fetched() {
    let secrets = MemorySecrets::with(&secret_document(&[("main", SECRET)]));
    let store = store(&secrets);
    store.keys().await.unwrap();
    secrets.set(None);
    for _ in 0..10 {
        tokio::time::advance(REFRESH).await;
        assert_eq!(active(&store.keys().await.unwrap()), Some(1));
    }
    let fetches = secrets.fetches();
    store.keys().await.unwrap();
    assert_eq!(secrets.fetches(), fetches, "a failed refresh isn't repeated at once");
}

#[tokio::test(start_paused = true)]
async fn with_a_maximum_age_the_last_keys_stay_that_long_and_no_longer() {
    let max_age = Duration::from_secs(3_600);
    let secrets = MemorySecrets::with(&secret_document(&[("main", SECRET)]));
    let store = store(&secrets).with_max_age(max_age);
    store.keys().await.unwrap();
    secrets.set(None);
    tokio::time::advance(max_age - Duration::from_millis(1)).await;
    assert_eq!(active(&store.keys().await.unwrap()), Some(1));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(store.keys().await.is_err());
    let fetches = secrets.fetches();
    assert!(matches!(store.keys().await, Err(KeyCacheError::TriedJustNow)));
    assert_eq!(secrets.fetches(), fetches, "requests don't set the pace of the attempts");

    secrets.set(Some(&secret_document(&[("main", SECRET), ("main", OTHER_SECRET)])));
    tokio::time::advance(MIN_RETRY_INTERVAL).await;
    assert_eq!(active(&store.keys().await.unwrap()), Some(2));
}

#[tokio::test(start_paused = true)]
async fn keys_past_their_age_are_read_again_before_they_are_missed() {
    let secrets = MemorySecrets::with(&secret_document(&[("main", SECRET)]));
    let store = store(&secrets).with_max_age(REFRESH / 2);
    store.keys().await.unwrap();
    tokio::time::advance(REFRESH / 2).await;
    assert_eq!(active(&store.keys().await.unwrap()), Some(1));
    assert_eq!(secrets.fetches(), 2, "an interval longer than the age gives way");
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_never_read_is_tried_again_but_not_at_the_pace_of_requests() {
    let secrets = MemorySecrets::default();
    let store = store(&secrets);
    assert!(matches!(store.keys().await, Err(KeyCacheError::Fetch(_))));
    assert!(matches!(store.keys().await, Err(KeyCacheError::TriedJustNow)));
    assert_eq!(secrets.fetches(), 1);
    secrets.set(Some(&secret_document(&[("main", SECRET)])));
    tokio::time::advance(MIN_RETRY_INTERVAL).await;
    assert_eq!(active(&store.keys().await.unwrap()), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_malformed_secret_leaves_no_key_active() {
    let secrets = MemorySecrets::with(&secret_document(&[("main", SECRET)]));
    let store = store(&secrets);
    store.keys().await.unwrap();
    secrets.set(Some("{\"keys\": [oops]}"));
    tokio::time::advance(REFRESH).await;
    assert_eq!(active(&store.keys().await.unwrap()), None);
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_out_of_the_secret_is_out() {
    let secrets = MemorySecrets::with(&secret_document(&[("old", SECRET), ("new", OTHER_SECRET)]));
    let store = store(&secrets);
    store.keys().await.unwrap();
    secrets.set(Some(&secret_document(&[("new", OTHER_SECRET)])));
    tokio::time::advance(REFRESH).await;
    let keys = store.keys().await.unwrap();
    let accounts: Vec<&str> = keys.get().unwrap().iter().map(|(account, _)| account.as_str()).collect();
    assert_eq!(accounts, ["new"]);
}

#[tokio::test(start_paused = true)]
async fn asking_for_newer_keys_reports_whether_the_cached_ones_are_fresh() {
    let secrets = MemorySecrets::with(&secret_document(&[("main", SECRET)]));
    let store = store(&secrets);
    let keys = store.keys().await.unwrap();
    assert!(matches!(store.newer_than(&keys).await, Newer::None), "they were read just now");
    secrets.set(None);
    tokio::time::advance(MIN_REREAD_INTERVAL).await;
    assert!(matches!(store.newer_than(&keys).await, Newer::Unavailable));
    assert!(matches!(store.newer_than(&keys).await, Newer::Unavailable), "and nobody asks again so soon");
    assert_eq!(secrets.fetches(), 2);
}

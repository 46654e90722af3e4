use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use intake_cli::client::{Sender, webhook_url};
use intake_cli::key_files::ensure_test_keys;
use intake_providers::ProviderName;
use intake_providers::timestamp::Timestamp;
use intake_simulator::machnet::{Key, body};
use intake_simulator::made_up::random_hex;
use intake_sqlite::DataDirectory;
use tokio::task::JoinSet;

use crate::program::{Server, output, run};

/// Sends one delivery after the other until the server is gone, and returns the event ids of those that were acknowledged.
async fn send_until_killed(url: String, key: Arc<Key>, count: Arc<AtomicUsize>) -> Vec<String> {
    let url = webhook_url(&url, ProviderName::Machnet.source_path()).unwrap();
    let sender = Sender::new(&url).unwrap();
    let mut acknowledged = Vec::new();
    loop {
        let id = random_hex(12);
        let delivery = key.sign(body(&id, &random_hex(12), Timestamp::EPOCH), None);
        match sender.post(&url, &delivery).await {
            Ok(reply) if reply.status == 200 => {
                acknowledged.push(id);
                count.fetch_add(1, Ordering::Relaxed);
            }
            Ok(reply) => panic!("{reply:?}"),
            Err(_) => return acknowledged,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_acknowledged_before_a_kill_is_recorded_exactly_once_after_it() {
    kill_and_account(2, &[20, 40, 60]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_when_the_server_is_killed_at_full_load() {
    kill_and_account(128, &[300, 600, 900]).await;
}

/// Kills a server whenever a given number of deliveries was acknowledged, and then accounts for all of them.
async fn kill_and_account(senders: usize, kill_at: &[usize]) {
    let parent = tempfile::tempdir().unwrap();
    let data = DataDirectory::create(parent.path()).unwrap();
    ensure_test_keys(&data).await.unwrap();
    let key = Arc::new(Key::read(&std::fs::read_to_string(data.keys(ProviderName::Machnet)).unwrap()).unwrap());

    let mut acknowledged = BTreeSet::new();
    for kill_at in kill_at {
        let server = Server::start(data.path());
        let url = server.url.clone();
        let count = Arc::new(AtomicUsize::new(0));
        let kill = async {
            while count.load(Ordering::Relaxed) < *kill_at {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::task::block_in_place(|| server.kill());
        };
        let mut sending = JoinSet::new();
        for _ in 0..senders {
            sending.spawn(send_until_killed(url.clone(), Arc::clone(&key), Arc::clone(&count)));
        }
        let ((), ids) = tokio::join!(kill, sending.join_all());
        acknowledged.extend(ids.into_iter().flatten());
    }

    let server = Server::start(data.path());
    server.wait_until_drained();
    let listed = output(&run(data.path(), &["events", "--json", "--limit", "1000000"]));
    let (mut recorded, mut deliveries) = (BTreeSet::new(), BTreeSet::new());
    for line in listed.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(entry["outcome"], "stored", "{entry}");
        deliveries.insert(entry["delivery_id"].as_str().unwrap().to_owned());
        assert!(recorded.insert(entry["id"].as_str().unwrap().to_owned()), "recorded twice: {entry}");
    }
    let lost: Vec<_> = acknowledged.difference(&recorded).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    let listed = output(&run(data.path(), &["deliveries", "--json", "--limit", "1000000"]));
    let mut kept = BTreeSet::new();
    for line in listed.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        kept.insert((record["delivery_id"].as_str().unwrap().to_owned(), record["outcomes"][0]["outcome"].to_string()));
    }
    let stored = |delivery_id: &String| (delivery_id.clone(), "\"stored\"".to_owned());
    assert_eq!(
        kept,
        deliveries.iter().map(stored).collect(),
        "each delivery with an event has a record, and no other has"
    );
    assert!(server.health().contains("\"dead_letters\":0"), "{}", server.health());
}

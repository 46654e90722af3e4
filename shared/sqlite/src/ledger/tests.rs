use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use intake_pipeline::ledger::{
    AliasEntry, EventData, EventEntry, Occurrence, OutcomeCounts, ProgressEntry, QuarantineEntry, QuarantinedContent,
    TimeIndex,
};
use intake_pipeline::payloads::PayloadKey;
use intake_pipeline::records::TimeRange;
use intake_providers::account::AccountName;
use intake_providers::delivery::DeliveryId;
use intake_providers::digest::Sha256Digest;
use intake_providers::entity::EntityReference;
use intake_providers::event::{CloudEvent, EventIndex};
use proptest::prelude::*;

use super::*;

fn ledger(directory: &Path) -> SqliteLedger {
    SqliteLedger::new(Database::open(&directory.join("intake.sqlite")).unwrap())
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_unix_milliseconds(seconds * 1000).unwrap()
}

fn key(partition: &str, sort: &str) -> EntryKey {
    EntryKey { partition: partition.to_owned(), sort: sort.to_owned() }
}

fn occurrence(received_at: Timestamp) -> Occurrence {
    Occurrence { delivery_id: DeliveryId::new(received_at, [7; 10]), index: EventIndex(3) }
}

fn time_index() -> TimeIndex {
    TimeIndex { time_bucket: "machnet#1970-01-01T00#1".to_owned(), time_order: "x".to_owned() }
}

fn event(id: &str, provider: ProviderName, outcome: Outcome, received_at: Timestamp) -> EventEntry {
    EventEntry {
        outcome,
        provider,
        account: AccountName::new("main").unwrap(),
        cloud_event: CloudEvent {
            id: id.to_owned(),
            source: format!("{}/main", provider.source_path()),
            event_type: "machnet.transaction_completed".to_owned(),
            subject: Some("txn".to_owned()),
            time: None,
            datacontenttype: "application/json".to_owned(),
        },
        data: EventData::Inline { data: "{\"id\": \"\u{1f600}\"}".to_owned() },
        envelope: None,
        digest: Sha256Digest::of(id.as_bytes()),
        occurrence: occurrence(received_at),
        received_at,
        key_fingerprint: "01ab".to_owned(),
        attributes: BTreeMap::from([("user_id".to_owned(), "u".to_owned())]),
        repeat_of: None,
        alias: Some("machnet#2".to_owned()),
        same_job_as: Some("other".to_owned()),
        entity: None,
        time_index: time_index(),
    }
}

fn stored(id: &str, seconds: i64) -> Entry {
    Entry::Event(Box::new(event(id, ProviderName::Machnet, Outcome::Stored, at(seconds))))
}

fn alias(owner: &str, expires_at: i64) -> Entry {
    Entry::Alias(AliasEntry {
        provider: ProviderName::Machnet,
        owner: owner.to_owned(),
        owner_id: owner.to_owned(),
        expires_at,
    })
}

fn quarantine(seconds: i64) -> Entry {
    Entry::Quarantine(Box::new(QuarantineEntry {
        outcome: Outcome::Quarantined,
        provider: ProviderName::Accredit,
        reason: "the content is not JSON".to_owned(),
        content: QuarantinedContent::Kept { document: "{}".to_owned(), data: None },
        occurrence: occurrence(at(seconds)),
        received_at: at(seconds),
        quarantined_again_at: None,
        released: None,
        time_index: time_index(),
    }))
}

fn absent(key: EntryKey, entry: Entry) -> ConditionalPut {
    ConditionalPut { key, entry, condition: Condition::Absent }
}

fn claimable(key: EntryKey, entry: Entry, from: &str) -> ConditionalPut {
    ConditionalPut { key, entry, condition: Condition::Claimable(from.to_owned()) }
}

#[tokio::test]
async fn a_failed_condition_changes_nothing_and_returns_the_existing_entries_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(directory.path());
    let (first, taken) = (key("a", "event"), key("s", "alias"));
    let puts = [absent(first.clone(), stored("1", 1)), claimable(taken.clone(), alias("a", 100), "a")];
    assert_eq!(ledger.put(at(1), &puts).await.unwrap(), PutOutcome::Done);

    let second = key("b", "event");
    let puts = [absent(second.clone(), stored("2", 2)), claimable(taken, alias("b", 200), "b")];
    let refused = PutOutcome::ConditionFailed(vec![None, Some(alias("a", 100))]);
    assert_eq!(ledger.put(at(99), &puts).await.unwrap(), refused);
    let again = [absent(second, stored("3", 3))];
    assert_eq!(ledger.put(at(99), &again).await.unwrap(), PutOutcome::Done, "the refused put left something behind");

    let again = [absent(first, stored("4", 4))];
    assert_eq!(ledger.put(at(99), &again).await.unwrap(), PutOutcome::ConditionFailed(vec![Some(stored("1", 1))]));
}

#[tokio::test]
async fn a_name_is_free_again_in_the_second_in_which_it_expires() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(directory.path());
    let name = key("s", "alias");
    let put = |owner, expires_at| [claimable(name.clone(), alias(owner, expires_at), owner)];
    ledger.put(at(1), &put("a", 100)).await.unwrap();
    let refused = PutOutcome::ConditionFailed(vec![Some(alias("a", 100))]);
    assert_eq!(ledger.put(at(99), &put("b", 200)).await.unwrap(), refused);
    assert_eq!(ledger.put(at(100), &put("b", 200)).await.unwrap(), PutOutcome::Done);
    assert_eq!(
        ledger.put(at(100), &[absent(name.clone(), alias("c", 300))]).await.unwrap(),
        PutOutcome::ConditionFailed(vec![Some(alias("b", 200))])
    );
}

#[tokio::test]
async fn a_name_gives_way_to_the_event_that_owns_it_and_to_whoever_claims_it_from_that_one() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(directory.path());
    let name = key("s", "alias");
    let put = |owner, expires_at, from| [claimable(name.clone(), alias(owner, expires_at), from)];
    assert_eq!(ledger.put(at(1), &put("a", 100, "a")).await.unwrap(), PutOutcome::Done);
    assert_eq!(ledger.put(at(2), &put("a", 200, "a")).await.unwrap(), PutOutcome::Done);
    let refused = PutOutcome::ConditionFailed(vec![Some(alias("a", 200))]);
    assert_eq!(ledger.put(at(150), &put("b", 300, "b")).await.unwrap(), refused);
    assert_eq!(ledger.put(at(150), &put("b", 300, "a")).await.unwrap(), PutOutcome::Done);
    let refused = PutOutcome::ConditionFailed(vec![Some(alias("b", 300))]);
    assert_eq!(ledger.put(at(150), &put("c", 300, "a")).await.unwrap(), refused);
}

#[tokio::test]
async fn two_puts_at_one_key_in_one_call_are_an_error_as_they_are_on_dynamodb() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(directory.path());
    let puts = [absent(key("a", "event"), stored("1", 1)), absent(key("a", "event"), stored("1", 1))];
    let error = ledger.put(at(1), &puts).await.unwrap_err();
    assert_eq!(error.to_string(), "sqlite put entries failed: one call puts two entries at a event");
}

#[tokio::test]
async fn an_event_is_found_by_its_place_and_what_is_known_is_left_out_unread() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(directory.path());
    let entries = [("a", 10, 0), ("b", 10, 1), ("c", 10, 2), ("d", 20, 0)];
    for (id, seconds, index) in entries {
        let mut event = event(id, ProviderName::Machnet, Outcome::Stored, at(seconds));
        event.occurrence.index = EventIndex(index);
        ledger.put(at(50), &[absent(key(id, "event"), Entry::Event(Box::new(event)))]).await.unwrap();
    }
    let list = async |filter: EventFilter| {
        let listed = ledger.list(&filter).await.unwrap();
        assert_eq!(listed.unreadable, []);
        listed.found.into_iter().map(|event| event.key.partition).collect::<Vec<_>>()
    };
    let of_delivery = EventFilter::of_delivery(occurrence(at(10)).delivery_id);
    assert_eq!(list(of_delivery.clone()).await, ["a", "b", "c"]);
    assert_eq!(list(EventFilter { index: Some(EventIndex(1)), ..of_delivery.clone() }).await, ["b"]);
    // A damaged entry would be reported, if it were read.
    ledger
        .0
        .transaction("sqlite damage", |transaction| {
            Ok(transaction.execute("UPDATE ledger SET entry = '{' WHERE partition IN ('a', 'd')", ())?)
        })
        .await
        .unwrap();
    let except = ["a", "c"].map(|id| (key(id, "event"), at(10))).into();
    assert_eq!(list(EventFilter { except: Arc::new(except), ..of_delivery }).await, ["b"]);
}

#[tokio::test]
async fn the_latest_of_one_delivery_are_its_last_ones_however_it_was_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(directory.path());
    let puts = |second: i64, indexes: &[u32]| -> Vec<ConditionalPut> {
        let put = |index: &u32| {
            let id = format!("{second}.{index}");
            let mut event = event(&id, ProviderName::Machnet, Outcome::Stored, at(second));
            event.occurrence.index = EventIndex(*index);
            absent(key(&id, "event"), Entry::Event(Box::new(event)))
        };
        indexes.iter().map(put).collect()
    };
    ledger.put(at(50), &puts(20, &[3, 1, 2])).await.unwrap();
    ledger.put(at(50), &puts(10, &(0..2000).map(|index| index * 7 % 2000).collect::<Vec<_>>())).await.unwrap();
    let list = async |most: u32| {
        let filter = EventFilter { most: Some(most), ..EventFilter::default() };
        let listed = ledger.list(&filter).await.unwrap().found;
        listed.into_iter().map(|event| event.key.partition).collect::<Vec<_>>()
    };
    assert_eq!(list(2).await, ["20.2", "20.3"]);
    assert_eq!(list(5).await, ["10.1998", "10.1999", "20.1", "20.2", "20.3"]);
    assert_eq!(list(2003).await.len(), 2003);
}

#[tokio::test]
async fn a_listing_of_one_moment_keeps_no_writer_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let (reader, writer) = (ledger(directory.path()), ledger(directory.path()));
    writer.put(at(1), &[absent(key("a", "event"), stored("a", 1))]).await.unwrap();
    let (reading, begun) = std::sync::mpsc::channel();
    let (written, end) = std::sync::mpsc::channel();
    let count = "SELECT count(*) FROM ledger";
    let read = reader.0.read("sqlite read", move |transaction| {
        let before: i64 = transaction.query_row(count, (), |row| row.get(0))?;
        reading.send(()).unwrap();
        end.recv_timeout(std::time::Duration::from_secs(30)).unwrap();
        let after: i64 = transaction.query_row(count, (), |row| row.get(0))?;
        Ok((before, after))
    });
    let write = async {
        tokio::task::spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
        writer.put(at(2), &[absent(key("b", "event"), stored("b", 2))]).await.unwrap();
        written.send(()).unwrap();
    };
    assert_eq!(tokio::join!(read, write).0.unwrap(), (1, 1));
}

#[tokio::test]
async fn events_are_listed_by_provider_outcome_and_time_and_names_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(directory.path());
    let repeat = Entry::Event(Box::new(event("2", ProviderName::Machnet, Outcome::Repeat, at(20))));
    let mut conflict = event("1", ProviderName::Machnet, Outcome::Conflict, at(30));
    conflict.data = EventData::Payload { data_key: PayloadKey::new("events/1".to_owned()), data_size_bytes: 300_000 };
    let entries = [
        (key("q", "00000"), quarantine(40)),
        (key("a", "event"), stored("1", 10)),
        (key("s", "alias"), alias("a", 100)),
        (key("b", "event"), repeat),
        (key("a", "conflict#1"), Entry::Conflict(Box::new(conflict))),
    ];
    for (key, entry) in &entries {
        ledger.put(at(50), &[absent(key.clone(), entry.clone())]).await.unwrap();
    }
    let list = async |filter: EventFilter| {
        let listed = ledger.list(&filter).await.unwrap().found;
        listed.into_iter().map(|event| event.key.partition + "/" + &event.key.sort).collect::<Vec<_>>()
    };
    assert_eq!(list(EventFilter::default()).await, ["a/event", "b/event", "a/conflict#1", "q/00000"]);
    let accredit = EventFilter { provider: Some(ProviderName::Accredit), ..EventFilter::default() };
    assert_eq!(list(accredit).await, ["q/00000"]);
    let conflicts = EventFilter { outcome: Some(Outcome::Conflict), ..EventFilter::default() };
    assert_eq!(list(conflicts).await, ["a/conflict#1"]);
    let late = EventFilter { received: TimeRange { since: Some(at(20)), until: None }, ..EventFilter::default() };
    assert_eq!(list(late).await, ["b/event", "a/conflict#1", "q/00000"]);
    let latest = EventFilter { most: Some(2), ..EventFilter::default() };
    assert_eq!(list(latest).await, ["a/conflict#1", "q/00000"]);
    let whole = ledger.list(&EventFilter::default()).await.unwrap().found;
    assert!(whole.iter().all(|event| entries.contains(&(event.key.clone(), event.entry.clone()))));
}

fn version(number: u64) -> Entry {
    let entity = EntityReference {
        account: AccountName::new("main").unwrap(),
        component: "agent".to_owned(),
        organisation: "o".to_owned(),
        business_id: "b".to_owned(),
        id: "1".to_owned(),
    };
    Entry::Entity(Box::new(EntityEntry {
        provider: ProviderName::NurtureCloud,
        entity,
        component_and_id: "agent#1".to_owned(),
        version: number,
        deleted: false,
        content: None,
        existence: None,
    }))
}

#[tokio::test]
async fn an_entity_replaces_only_the_version_that_was_read() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(directory.path());
    let here = key("e", ENTITY_SORT);
    let over = |entry, condition| [ConditionalPut { key: here.clone(), entry, condition }];
    assert_eq!(ledger.entity(&here).await.unwrap(), None);
    assert!(ledger.put(at(1), &over(version(2), Condition::Version(1))).await.is_err(), "nothing is there");
    ledger.put(at(1), &over(version(1), Condition::Absent)).await.unwrap();
    assert_eq!(ledger.put(at(1), &over(version(2), Condition::Version(1))).await.unwrap(), PutOutcome::Done);
    let refused = PutOutcome::ConditionFailed(vec![Some(version(2))]);
    assert_eq!(ledger.put(at(1), &over(version(2), Condition::Version(1))).await.unwrap(), refused);
    assert_eq!(ledger.put(at(1), &over(version(1), Condition::Absent)).await.unwrap(), refused);
    assert_eq!(ledger.entity(&here).await.unwrap().map(|entity| entity.version), Some(2));
    assert_eq!(ledger.entities().await.unwrap().found.len(), 1);
    assert!(ledger.list(&EventFilter::default()).await.unwrap().found.is_empty(), "an entity is not an event");
}

#[tokio::test]
async fn an_entity_s_history_holds_only_its_events_in_the_order_of_arrival() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(directory.path());
    let entries = [
        (key("e", "event#2"), stored("second", 1)),
        (key("e", "event#1"), stored("first", 2)),
        (key("e", ENTITY_SORT), version(1)),
        (key("other", "event#1"), stored("other", 1)),
    ];
    for (key, entry) in entries {
        ledger.put(at(50), &[absent(key, entry)]).await.unwrap();
    }
    let history = ledger.history(&key("e", ENTITY_SORT)).await.unwrap().found;
    assert_eq!(history.iter().map(|event| event.cloud_event.id.as_str()).collect::<Vec<_>>(), ["first", "second"]);
}

#[tokio::test]
async fn progress_replaces_what_was_saved_before_and_is_found_but_not_listed() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(directory.path());
    let delivery_id = occurrence(at(1)).delivery_id;
    let progress = |next_index| {
        Entry::Progress(ProgressEntry {
            provider: ProviderName::Sterling,
            delivery_id,
            events: 1_000,
            next_index: EventIndex(next_index),
            outcomes: OutcomeCounts { stored: next_index, ..OutcomeCounts::default() },
            expires_at: 60,
        })
    };
    let key = ProgressEntry::key(delivery_id);
    assert_eq!(ledger.find(&key).await.unwrap(), None);
    for next_index in [300, 200] {
        let entry = progress(next_index);
        let put = ConditionalPut { key: key.clone(), entry: entry.clone(), condition: Condition::Always };
        assert_eq!(ledger.put(at(0), &[put]).await.unwrap(), PutOutcome::Done);
        assert_eq!(ledger.find(&key).await.unwrap(), Some(entry));
    }
    assert_eq!(ledger.list(&EventFilter::default()).await.unwrap().found, []);
}

#[tokio::test]
async fn the_events_of_a_delivery_are_listed_in_their_order_however_they_were_recorded() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(directory.path());
    for index in [2, 0, 1] {
        let mut entry = event(&index.to_string(), ProviderName::Machnet, Outcome::Stored, at(1));
        entry.occurrence.index = EventIndex(index);
        let put = absent(key(&format!("machnet#{index}"), "event"), Entry::Event(Box::new(entry)));
        ledger.put(at(1), &[put]).await.unwrap();
    }
    let listed = ledger.list(&EventFilter::default()).await.unwrap().found;
    let partitions: Vec<&str> = listed.iter().map(|event| event.key.partition.as_str()).collect();
    assert_eq!(partitions, ["machnet#0", "machnet#1", "machnet#2"]);
}

#[tokio::test]
async fn a_damaged_entry_is_named_and_not_quoted() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(directory.path());
    ledger.put(at(1), &[absent(key("a", "event"), stored("1", 1))]).await.unwrap();
    rusqlite::Connection::open(directory.path().join("intake.sqlite"))
        .unwrap()
        .execute("UPDATE ledger SET entry = 'hunter2'", ())
        .unwrap();
    let error = ledger.put(at(1), &[absent(key("a", "event"), stored("1", 1))]).await.unwrap_err().to_string();
    assert!(error.contains("the ledger's entry at a event is damaged (line 1"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn a_damaged_entry_is_named_by_a_listing_and_does_not_end_it() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(directory.path());
    for id in ["a", "b", "c"] {
        ledger.put(at(1), &[absent(key(id, "event"), stored(id, 1))]).await.unwrap();
    }
    let database = rusqlite::Connection::open(directory.path().join("intake.sqlite")).unwrap();
    database.execute("UPDATE ledger SET entry = 'hunter2' WHERE partition = 'b'", ()).unwrap();
    let listing = ledger.list(&EventFilter::default()).await.unwrap();
    let found: Vec<&str> = listing.found.iter().map(|event| event.key.partition.as_str()).collect();
    assert_eq!((found, listing.unreadable), (vec!["a", "c"], vec![key("b", "event")]));
    database.execute("UPDATE ledger SET partition = 'e', sort = 'entity' WHERE partition = 'b'", ()).unwrap();
    assert_eq!(ledger.entities().await.unwrap().unreadable, [key("e", ENTITY_SORT)]);
    database.execute("UPDATE ledger SET sort = 'event#1' WHERE partition = 'e'", ()).unwrap();
    let history = ledger.history(&key("e", ENTITY_SORT)).await.unwrap();
    assert_eq!((history.found, history.unreadable), (vec![], vec![key("e", "event#1")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_writers_on_two_connections_exactly_one_gets_each_key() {
    let directory = tempfile::tempdir().unwrap();
    let ledgers = [ledger(directory.path()), ledger(directory.path())];
    let writer = |ledger: SqliteLedger, name: &'static str| {
        tokio::spawn(async move {
            let mut won = Vec::new();
            for number in 0..40 {
                let put = absent(key(&number.to_string(), "event"), stored(name, number));
                match ledger.put(at(1), &[put]).await.unwrap() {
                    PutOutcome::Done => won.push(number),
                    PutOutcome::ConditionFailed(found) => assert!(matches!(found.as_slice(), [Some(_)])),
                }
            }
            won
        })
    };
    let [one, two] = &ledgers;
    let (first, second) = tokio::join!(writer(one.clone(), "a"), writer(two.clone(), "b"));
    let mut won = [first.unwrap(), second.unwrap()].concat();
    won.sort_unstable();
    assert_eq!(won, (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_entry_is_found_by_an_index_however_many_there_are() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = ledger(directory.path());
    let plan = ledger.0.read("sqlite explain", |connection| {
        let explain = |row: &rusqlite::Row<'_>| row.get::<_, String>(3);
        Ok(connection.query_row(&format!("EXPLAIN QUERY PLAN {AT}"), ("a", "b"), explain)?)
    });
    assert_eq!(plan.await.unwrap(), "SEARCH ledger USING INDEX ledger_by_key (<expr>=? AND sort=?)");
}

/// The ledger as a plain map, as the reference.
#[derive(Default)]
struct Model(HashMap<EntryKey, Entry>);

impl Model {
    fn put(&mut self, now: i64, puts: &[ConditionalPut]) -> PutOutcome {
        let blocks = |put: &ConditionalPut| {
            let found = self.0.get(&put.key)?;
            match (found, &put.condition) {
                (Entry::Alias(alias) | Entry::Hint(alias), Condition::Claimable(owner))
                    if alias.expires_at <= now || alias.owner == *owner =>
                {
                    None
                }
                _ => Some(found.clone()),
            }
        };
        let found: Vec<_> = puts.iter().map(blocks).collect();
        if found.iter().any(Option::is_some) {
            return PutOutcome::ConditionFailed(found);
        }
        self.0.extend(puts.iter().map(|put| (put.key.clone(), put.entry.clone())));
        PutOutcome::Done
    }
}

fn any_put() -> impl Strategy<Value = ConditionalPut> {
    let entry = prop_oneof![
        (0..3_i64).prop_map(|id| stored(&id.to_string(), id)),
        (prop_oneof![Just("a"), Just("b")], 0..10_i64).prop_map(|(owner, expires_at)| alias(owner, expires_at)),
        Just(quarantine(1)),
    ];
    let condition = prop_oneof![
        Just(Condition::Absent),
        prop_oneof![Just("a"), Just("b")].prop_map(|owner| Condition::Claimable(owner.to_owned())),
    ];
    // Two of them end alike, as far as the index goes.
    let partition = prop_oneof![Just("a#123456789012"), Just("b#123456789012"), Just("b#12")];
    (partition, "[xy]", entry, condition).prop_map(|(partition, sort, entry, condition)| ConditionalPut {
        key: key(partition, &sort),
        entry,
        condition,
    })
}

fn any_call() -> impl Strategy<Value = (i64, Vec<ConditionalPut>)> {
    let puts = prop::collection::vec(any_put(), 1..4).prop_map(|mut puts| {
        let mut keys = HashSet::new();
        puts.retain(|put| keys.insert(put.key.clone()));
        puts
    });
    (0..10_i64, puts)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_calls_are_answered_as_a_plain_map_answers_them(calls in prop::collection::vec(any_call(), 1..12)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let ledger = ledger(directory.path());
        let mut model = Model::default();
        for (now, puts) in calls {
            let answered = runtime.block_on(ledger.put(at(now), &puts)).unwrap();
            prop_assert_eq!(answered, model.put(now, &puts));
        }
        let mut listed: Vec<_> = runtime.block_on(ledger.list(&EventFilter::default())).unwrap().found
            .into_iter().map(|event| event.key).collect();
        let mut expected: Vec<_> = model.0.into_iter()
            .filter(|(_, entry)| !matches!(entry, Entry::Alias(_) | Entry::Hint(_))).map(|(key, _)| key).collect();
        listed.sort();
        expected.sort();
        prop_assert_eq!(listed, expected);
    }
}

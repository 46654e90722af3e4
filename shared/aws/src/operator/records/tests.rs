use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use intake_pipeline::delivery_record::{EventOutcome, RecordedBody};
use intake_pipeline::ledger::{EventData, Occurrence, Outcome, OutcomeCounts, QuarantineEntry, QuarantinedContent};
use intake_pipeline::records::TimeRange;
use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::digest::Sha256Digest;
use intake_providers::event::{CloudEvent, EventIndex};
use intake_providers::timestamp::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::operator::LOOK_BACK;
use crate::test_service::{BUDGET, CONTENTION, Received, Reply, TestService};
use crate::time_shards::NOTES;

mod one_moment;

const NOW: &str = "2026-11-21T10:30:00.000Z";
/// Buckets of an hour: five providers with four shards each.
const BUCKETS: usize = 20;

struct Frozen;

impl Clock for Frozen {
    fn now(&self) -> Timestamp {
        at(NOW)
    }

    fn new_delivery_id(&self, received_at: Timestamp) -> DeliveryId {
        DeliveryId::new(received_at, [0; 10])
    }
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// Items as DynamoDB's JSON has them.
type Row = serde_json::Map<String, Value>;

/// The events table: answers as DynamoDB does, in pages of some keys.
#[derive(Clone)]
struct Table {
    rows: Vec<Row>,
    page_keys: usize,
}

impl Table {
    fn of(rows: Vec<Row>) -> Self {
        Self { rows, page_keys: 1_000 }
    }

    fn answer(&self, request: &Value) -> Value {
        match request.get("RequestItems") {
            Some(asked) => {
                let found = asked["events"]["Keys"].as_array().unwrap().iter().filter_map(|key| self.at(key));
                json!({"Responses": {"events": found.collect::<Vec<_>>()}})
            }
            None => self.query(request),
        }
    }

    fn at(&self, key: &Value) -> Option<Row> {
        self.rows.iter().find(|row| row["pk"] == key["pk"] && row["sk"] == key["sk"]).cloned()
    }

    fn query(&self, request: &Value) -> Value {
        assert_eq!(request["IndexName"], "by_time");
        assert_eq!(request["ScanIndexForward"], false);
        let values = &request["ExpressionAttributeValues"];
        let text = |value: &Value| value["S"].as_str().unwrap().to_owned();
        let (first, last) = (text(&values[":first"]), text(&values[":last"]));
        let before = request.get("ExclusiveStartKey").map(|start| text(&start["time_order"]));
        let mut keys: Vec<Row> = self
            .rows
            .iter()
            .filter(|row| row["time_bucket"] == values[":bucket"])
            .filter(|row| (first.clone()..=last.clone()).contains(&text(&row["time_order"])))
            .filter(|row| before.as_ref().is_none_or(|before| text(&row["time_order"]) < *before))
            .map(|row| {
                let projected = ["pk", "sk", "time_bucket", "time_order"];
                projected.map(|name| (name.to_owned(), row[name].clone())).into_iter().collect()
            })
            .collect();
        keys.sort_by_key(|key| std::cmp::Reverse(text(&key["time_order"])));
        let has_more = keys.len() > self.page_keys;
        keys.truncate(self.page_keys);
        let mut answer = json!({"Items": keys});
        if has_more {
            answer["LastEvaluatedKey"] = keys.last().unwrap().clone().into();
        }
        answer
    }

    fn service(self) -> TestService {
        TestService::answering(move |_, request| Reply::json(200, &self.answer(&request.json())))
    }
}

fn wire(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(text) => json!({"S": text}),
        AttributeValue::N(number) => json!({"N": number}),
        AttributeValue::Bool(truth) => json!({"BOOL": truth}),
        AttributeValue::M(members) => {
            json!({"M": members.iter().map(|(name, value)| (name.clone(), wire(value))).collect::<Row>()})
        }
        AttributeValue::L(members) => json!({"L": members.iter().map(wire).collect::<Vec<_>>()}),
        other => panic!("{other:?} is not written"),
    }
}

fn row(key: EntryKey, content: &impl serde::Serialize) -> Row {
    let item: HashMap<String, AttributeValue> = serde_dynamo::to_item(content).unwrap();
    let mut row: Row = item.iter().map(|(name, value)| (name.clone(), wire(value))).collect();
    row.insert("pk".to_owned(), json!({"S": key.partition}));
    row.insert("sk".to_owned(), json!({"S": key.sort}));
    row
}

/// A stored event of Machnet's.
fn event(id: &str, received_at: &str, shard: u8) -> Row {
    event_of(ProviderName::Machnet, id, received_at, shard)
}

fn event_of(provider: ProviderName, id: &str, received_at: &str, shard: u8) -> Row {
    let received_at = at(received_at);
    let occurrence = Occurrence { delivery_id: DeliveryId::new(received_at, [7; 10]), index: EventIndex(0) };
    let event = EventEntry {
        outcome: Outcome::Stored,
        provider,
        account: AccountName::new("main").unwrap(),
        cloud_event: CloudEvent {
            id: id.to_owned(),
            source: "/webhooks/machnet/main".to_owned(),
            event_type: "machnet.changed".to_owned(),
            subject: None,
            time: None,
            datacontenttype: "application/json".to_owned(),
        },
        data: EventData::Inline { data: "{}".to_owned() },
        envelope: None,
        digest: Sha256Digest::of(b"content"),
        occurrence,
        received_at,
        key_fingerprint: "0a1b2c3d".to_owned(),
        attributes: BTreeMap::new(),
        repeat_of: None,
        alias: None,
        same_job_as: None,
        entity: None,
        time_index: time_index(provider, occurrence, received_at, shard),
    };
    row(EntryKey { partition: format!("{provider}#{id}"), sort: "event".to_owned() }, &Entry::Event(Box::new(event)))
}

fn quarantine(received_at: &str) -> Row {
    let received_at = at(received_at);
    let occurrence = Occurrence { delivery_id: DeliveryId::new(received_at, [9; 10]), index: EventIndex(0) };
    let entry = QuarantineEntry {
        outcome: Outcome::Quarantined,
        provider: ProviderName::Machnet,
        reason: "it is not JSON".to_owned(),
        content: QuarantinedContent::Kept { document: "{}".to_owned(), data: None },
        occurrence,
        received_at,
        quarantined_again_at: None,
        released: None,
        time_index: time_index(ProviderName::Machnet, occurrence, received_at, 3),
    };
    let key = EntryKey::of_quarantine(occurrence.delivery_id, occurrence.index);
    row(key, &Entry::Quarantine(Box::new(entry)))
}

fn time_index(provider: ProviderName, occurrence: Occurrence, received_at: Timestamp, shard: u8) -> TimeIndex {
    TimeIndex {
        time_bucket: TimeIndex::events_bucket(provider, received_at, shard),
        time_order: format!("{received_at}#{}#{:05}", occurrence.delivery_id, occurrence.index.0),
    }
}

fn delivery(received_at: &str, outcome: Outcome, only_type: &str) -> Row {
    let received_at = at(received_at);
    let delivery_id = DeliveryId::new(received_at, [7; 10]);
    let mut counts = OutcomeCounts::default();
    counts.add(outcome);
    let record = DeliveryRecord {
        delivery_id,
        provider: ProviderName::Machnet,
        account: AccountName::new("main").unwrap(),
        key_fingerprint: "0a1b2c3d".to_owned(),
        received_at,
        recorded_at: received_at,
        receive_count: 1,
        headers: Vec::new(),
        headers_over_limit: 0,
        body: RecordedBody::Text { body: "{}".to_owned() },
        body_bytes: 2,
        sha256: Sha256Digest::of(b"{}"),
        events: 1,
        outcomes: vec![EventOutcome { index: EventIndex(0), outcome, first_delivery: None }],
        further_outcomes: OutcomeCounts::default(),
        event_types: Some(only_type).filter(|name| !name.is_empty()).map(str::to_owned).into_iter().collect(),
        expires_at: 0,
        time_index: TimeIndex {
            time_bucket: TimeIndex::deliveries_bucket(ProviderName::Machnet, received_at, delivery_id.shard(4)),
            time_order: format!("{received_at}#{delivery_id}#{counts}#{only_type}"),
        },
    };
    row(DeliveryRecord::key(delivery_id), &record)
}

fn records(service: &TestService) -> StackRecords<Frozen> {
    let name = str::to_owned;
    let names = Names { events_table: name("events"), entities_table: name("entities"), bucket: name("bucket") };
    StackRecords::of(Frozen, &service.config(), BUDGET, CONTENTION, names)
}

async fn listed(service: &TestService, filter: EventFilter) -> Listing<RecordedEvent> {
    records(service).events(&filter).await.unwrap()
}

fn ids(listing: &Listing<RecordedEvent>) -> Vec<&str> {
    let id = |event: &RecordedEvent| event.key.partition.find('#').map(|end| end + 1);
    listing.found.iter().map(|event| event.key.partition.split_at(id(event).unwrap()).1).collect()
}

fn since(text: &str) -> EventFilter {
    EventFilter { received: TimeRange { since: Some(at(text)), until: None }, ..EventFilter::default() }
}

fn queries(received: &[Received]) -> Vec<String> {
    let bucket =
        |request: &Received| request.json()["ExpressionAttributeValues"][":bucket"]["S"].as_str().map(str::to_owned);
    received.iter().filter_map(bucket).filter(|bucket| bucket != NOTES).collect()
}

fn items_asked(received: &[Received]) -> Vec<usize> {
    let keys = |request: &Received| request.json()["RequestItems"]["events"]["Keys"].as_array().map(Vec::len);
    received.iter().filter_map(keys).collect()
}

#[tokio::test]
async fn events_of_all_shards_providers_and_hours_come_in_the_order_of_their_arrival() {
    let service = Table::of(vec![
        event("c", "2026-11-21T10:10:00.000Z", 1),
        event_of(ProviderName::Sterling, "b", "2026-11-21T09:59:59.999Z", 0),
        event("d", "2026-11-21T10:20:00.000Z", 3),
        event("a", "2026-11-21T08:00:00.000Z", 2),
        event("too early", "2026-11-21T07:59:59.999Z", 2),
    ])
    .service();

    let listing = listed(&service, since("2026-11-21T08:00:00Z")).await;

    assert_eq!(ids(&listing), ["a", "b", "c", "d"]);
    assert_eq!((listing.unreadable, listing.looked_back_to), (vec![], None));
}

/// A note that an hour is written in more shards, as writers make it.
fn widened(hour: &str) -> Row {
    let time = hour.rsplit_once('#').unwrap().1;
    let text = |text: String| json!({"S": text});
    Row::from_iter([
        ("pk".to_owned(), text(format!("time-shards#{hour}"))),
        ("sk".to_owned(), text("time-shards".to_owned())),
        ("time_bucket".to_owned(), text(NOTES.to_owned())),
        ("time_order".to_owned(), text(format!("{time}#{hour}#64"))),
    ])
}

#[tokio::test]
async fn an_hour_that_was_widened_is_asked_in_all_its_shards_and_the_others_are_not() {
    let service = Table::of(vec![
        widened("machnet#2026-11-21T07"),
        widened("machnet#2026-11-21T09"),
        widened("deliveries#machnet#2026-11-21T10"),
        event("a", "2026-11-21T08:00:00.000Z", 2),
        event("b", "2026-11-21T09:10:00.000Z", 63),
        event("c", "2026-11-21T09:20:00.000Z", 3),
        event("d", "2026-11-21T10:10:00.000Z", 0),
    ])
    .service();

    let listing = listed(&service, since("2026-11-21T08:00:00Z")).await;

    assert_eq!(ids(&listing), ["a", "b", "c", "d"]);
    let received = service.received();
    let asked = queries(&received);
    assert_eq!(asked.len(), 3 * BUCKETS + 60);
    let of_hour = |hour: &str| asked.iter().filter(|bucket| bucket.starts_with(hour)).count();
    assert_eq!((of_hour("machnet#2026-11-21T09#"), of_hour("machnet#2026-11-21T10#")), (64, 4));
    let notes = received.iter().filter(|request| request.json()["ExpressionAttributeValues"][":bucket"]["S"] == NOTES);
    assert_eq!(notes.count(), 1, "one question for all hours");
}

#[tokio::test]
async fn a_range_ends_before_its_last_moment() {
    let service =
        Table::of(vec![event("in", "2026-11-21T09:59:59.999Z", 1), event("out", "2026-11-21T10:00:00.000Z", 1)])
            .service();
    let received = TimeRange { since: Some(at("2026-11-21T09:00:00Z")), until: Some(at("2026-11-21T10:00:00Z")) };

    let listing = listed(&service, EventFilter { received, ..EventFilter::default() }).await;

    assert_eq!(ids(&listing), ["in"]);
}

#[tokio::test]
async fn a_listing_without_a_beginning_looks_back_seven_days_and_says_so() {
    let service =
        Table::of(vec![event("within", "2026-11-14T10:30:00.000Z", 1), event("beyond", "2026-11-14T10:29:59.999Z", 1)])
            .service();

    let machnet = EventFilter { provider: Some(ProviderName::Machnet), ..EventFilter::default() };
    let listing = listed(&service, machnet.clone()).await;

    assert_eq!(ids(&listing), ["within"]);
    assert_eq!(listing.looked_back_to, Some(at("2026-11-14T10:30:00Z")));
    assert_eq!(queries(&service.received()).len(), (24 * 7 + 1) * BUCKETS / 5);
    let until = TimeRange { since: None, until: Some(at("2026-03-01T00:00:00Z")) };
    let listing = listed(&service, EventFilter { received: until, ..machnet }).await;
    assert_eq!(listing.looked_back_to, Some(at("2026-02-22T00:00:00Z")), "as far before the end");
    assert_eq!(LOOK_BACK.as_secs(), 7 * 24 * 60 * 60);
}

#[tokio::test]
async fn nothing_is_asked_about_hours_without_end() {
    let service = Table::of(vec![]).service();
    let received = TimeRange { since: Some(Timestamp::EPOCH), until: Some(at("2026-01-01T02:00:00Z")) };

    listed(&service, EventFilter { received, ..EventFilter::default() }).await;

    assert_eq!(queries(&service.received()).len(), 3 * BUCKETS, "the hours of 2026");
}

#[tokio::test]
async fn a_clock_that_is_behind_that_of_the_functions_hides_nothing() {
    let service = Table::of(vec![event("a", "2026-11-21T10:39:00.000Z", 1)]).service();
    assert_eq!(ids(&listed(&service, since("2026-11-21T10:00:00Z")).await), ["a"]);
}

#[tokio::test]
async fn the_latest_are_kept_and_no_further_hour_is_asked() {
    let service = Table::of(vec![
        event("a", "2026-11-21T10:01:00.000Z", 1),
        event("b", "2026-11-21T10:02:00.000Z", 2),
        event("c", "2026-11-21T10:03:00.000Z", 1),
        event("d", "2026-11-21T08:00:00.000Z", 1),
    ])
    .service();

    let listing = listed(&service, EventFilter { most: Some(2), ..EventFilter::default() }).await;

    assert_eq!(ids(&listing), ["b", "c"]);
    assert_eq!(listing.looked_back_to, None, "there is more, but not for want of looking");
    let received = service.received();
    assert_eq!(queries(&received).len(), BUCKETS);
    assert_eq!(items_asked(&received), [2], "no item is read that is not listed");
}

#[tokio::test]
async fn pages_are_merged_in_one_order() {
    let mut table = Table::of(vec![]);
    // The keys of one shard are later than those of the other, so its pages come first.
    for minute in 10..30 {
        table.rows.push(event(&format!("{minute}"), &format!("2026-11-21T10:{minute}:00.000Z"), u8::from(minute < 20)));
    }
    table.page_keys = 3;
    let service = table.service();

    let all = listed(&service, since("2026-11-21T10:00:00Z")).await;
    assert_eq!(ids(&all), (10..30).map(|minute| minute.to_string()).collect::<Vec<_>>());
    let most = EventFilter { most: Some(4), ..since("2026-11-21T10:00:00Z") };
    assert_eq!(ids(&listed(&service, most).await), ["26", "27", "28", "29"]);
}

#[tokio::test]
async fn what_the_keys_rule_out_is_not_read() {
    let service =
        Table::of(vec![event("a", "2026-11-21T10:10:00.000Z", 1), quarantine("2026-11-21T10:20:00.000Z")]).service();

    let filter = EventFilter { outcome: Some(Outcome::Quarantined), ..since("2026-11-21T10:00:00Z") };
    let quarantined = listed(&service, filter).await;
    let filter = EventFilter { event_type: Some("changed".to_owned()), ..since("2026-11-21T10:00:00Z") };
    let changed = listed(&service, filter).await;
    let filter = EventFilter { reason: Some("JSON".to_owned()), ..since("2026-11-21T10:00:00Z") };
    let with_reason = listed(&service, filter).await;

    assert!(quarantined.found[0].key.is_of_quarantine());
    assert_eq!(ids(&changed), ["a"]);
    assert_eq!(with_reason, quarantined);
    assert_eq!(items_asked(&service.received()), [1, 1, 1]);
}

#[tokio::test]
async fn the_events_of_a_delivery_are_in_the_hour_of_its_id() {
    let service =
        Table::of(vec![event("a", "2026-09-01T07:10:00.000Z", 1), event("b", "2026-09-01T07:10:00.001Z", 1)]).service();
    let delivery_id = Some(DeliveryId::new(at("2026-09-01T07:10:00Z"), [7; 10]));

    let listing = listed(&service, EventFilter { delivery_id, ..EventFilter::default() }).await;

    assert_eq!(ids(&listing), ["a"]);
    assert_eq!(listing.looked_back_to, None);
    let received = service.received();
    assert_eq!(queries(&received).len(), BUCKETS);
    assert_eq!(items_asked(&received), [1]);
    let other = Some("c232ab00-9414-4aec-b3c8-f6bdeced846a".parse().unwrap());
    assert_eq!(
        listed(&service, EventFilter { delivery_id: other, ..EventFilter::default() }).await,
        Listing::default()
    );
}

#[tokio::test]
async fn one_event_of_a_delivery_is_read_alone() {
    let received_at = at("2026-09-01T07:10:00Z");
    let delivery_id = DeliveryId::new(received_at, [7; 10]);
    let rows = (0..20).map(|index| {
        let mut row = event(&index.to_string(), "2026-09-01T07:10:00.000Z", 1);
        row.insert("index".to_owned(), json!({"N": index.to_string()}));
        row.insert("time_order".to_owned(), json!({"S": format!("{received_at}#{delivery_id}#{index:05}")}));
        row
    });
    let service = Table::of(rows.collect()).service();

    let filter = EventFilter { index: Some(EventIndex(12)), ..EventFilter::of_delivery(delivery_id) };
    let listing = listed(&service, filter).await;

    assert_eq!(ids(&listing), ["12"]);
    assert_eq!(items_asked(&service.received()), [1]);
}

#[tokio::test]
async fn only_the_buckets_of_the_provider_are_asked() {
    let service = Table::of(vec![event("a", "2026-11-21T10:10:00.000Z", 1)]).service();
    let filter = EventFilter { provider: Some(ProviderName::Machnet), ..since("2026-11-21T10:00:00Z") };

    assert_eq!(ids(&listed(&service, filter).await), ["a"]);

    let mut asked = queries(&service.received());
    asked.sort();
    assert_eq!(asked, [0, 1, 2, 3].map(|shard| format!("machnet#2026-11-21T10#{shard}")));
}

#[tokio::test]
async fn deliveries_are_filtered_by_the_outcomes_and_the_type_in_their_keys() {
    let service = Table::of(vec![
        delivery("2026-11-21T10:01:00.000Z", Outcome::Stored, "machnet.changed"),
        delivery("2026-11-21T10:02:00.000Z", Outcome::Conflict, "machnet.changed"),
        delivery("2026-11-21T10:03:00.000Z", Outcome::Conflict, "machnet.created"),
        delivery("2026-11-21T10:04:00.000Z", Outcome::Conflict, ""),
    ])
    .service();
    let filter = DeliveryFilter {
        outcome: Some(Outcome::Conflict),
        event_type: Some("changed".to_owned()),
        received: TimeRange { since: Some(at("2026-11-21T10:00:00Z")), until: None },
        ..DeliveryFilter::default()
    };

    let listing = records(&service).deliveries(&filter).await.unwrap();

    let found: Vec<_> = listing.found.iter().map(|record| record.received_at).collect();
    assert_eq!(found, [at("2026-11-21T10:02:00Z")]);
    assert_eq!(items_asked(&service.received()), [2], "the one that matches, and the one whose key holds no type");
}

#[tokio::test]
async fn a_damaged_or_unknown_item_is_named_and_does_not_end_the_listing() {
    let mut damaged = event("damaged", "2026-11-21T10:11:00.000Z", 1);
    damaged.insert("digest".to_owned(), json!({"S": "hunter2"}));
    let mut unknown = event("unknown", "2026-11-21T10:12:00.000Z", 2);
    unknown.insert("kind".to_owned(), json!({"S": "of the future"}));
    let service = Table::of(vec![damaged, unknown, event("a", "2026-11-21T10:10:00.000Z", 1)]).service();

    let listing = listed(&service, since("2026-11-21T10:00:00Z")).await;

    assert_eq!(ids(&listing), ["a"]);
    let names: Vec<_> = listing.unreadable.iter().map(|key| key.partition.as_str()).collect();
    assert_eq!(names, ["machnet#unknown", "machnet#damaged"]);
}

#[tokio::test]
async fn a_damaged_record_is_an_error_that_names_it_and_does_not_quote_it() {
    let mut damaged = delivery("2026-11-21T10:01:00.000Z", Outcome::Stored, "");
    damaged.insert("sha256".to_owned(), json!({"S": "hunter2"}));
    let service = TestService::replying(&[Reply::json(200, &json!({"Item": damaged}))]);
    let delivery_id = DeliveryId::new(at("2026-11-21T10:01:00Z"), [7; 10]);

    let error = records(&service).delivery(delivery_id).await.unwrap_err().to_string();

    assert!(error.contains(&format!("the record of delivery {delivery_id} is damaged")), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn an_item_that_has_expired_since_is_left_out_and_the_next_one_takes_its_place() {
    let mut table = Table::of(vec![
        event("a", "2026-11-21T10:10:00.000Z", 1),
        event("b", "2026-11-21T10:11:00.000Z", 1),
        event("gone", "2026-11-21T10:12:00.000Z", 1),
    ]);
    table.page_keys = 1;
    let service = TestService::answering(move |_, request| {
        let request = request.json();
        let mut answer = table.answer(&request);
        if let Some(items) = answer.pointer_mut("/Responses/events").and_then(Value::as_array_mut) {
            items.retain(|item| item["pk"]["S"] != "machnet#gone");
        }
        Reply::json(200, &answer)
    });

    let listing = listed(&service, EventFilter { most: Some(1), ..since("2026-11-21T10:00:00Z") }).await;

    assert_eq!(ids(&listing), ["b"]);
    assert_eq!(listing.unreadable, []);
}

/// Answers to requests for items, in which only some of the keys are processed.
fn processing(table: Table, processed: impl Fn(usize) -> usize + Send + Sync + 'static) -> TestService {
    let asked = Arc::new(AtomicUsize::new(0));
    TestService::answering(move |_, request| {
        let mut request = request.json();
        let Some(keys) = request.pointer_mut("/RequestItems/events/Keys").and_then(Value::as_array_mut) else {
            return Reply::json(200, &table.answer(&request));
        };
        let count = processed(asked.fetch_add(1, Ordering::SeqCst)).min(keys.len());
        let left = keys.split_off(count);
        let mut answer = table.answer(&request);
        if !left.is_empty() {
            answer["UnprocessedKeys"] = json!({"events": {"Keys": left}});
        }
        Reply::json(200, &answer)
    })
}

fn hundred() -> Table {
    let name = |number: u32| format!("2026-11-21T10:10:{:02}.{:03}Z", number / 1000, number % 1000);
    Table::of((0..250).map(|number| event(&format!("{number:03}"), &name(number), 1)).collect())
}

#[tokio::test]
async fn keys_that_were_not_processed_are_asked_for_again() {
    let service = processing(hundred(), |_| 30);

    let listing = listed(&service, since("2026-11-21T10:00:00Z")).await;

    assert_eq!(listing.found.len(), 250);
    let mut asked = items_asked(&service.received());
    asked.sort_unstable();
    assert_eq!(asked, [10, 10, 20, 40, 40, 50, 70, 70, 100, 100]);
}

#[tokio::test]
async fn a_table_that_is_throttled_is_asked_again_and_given_up_when_it_lasts() {
    let service = processing(hundred(), |attempt| if attempt < 3 { 0 } else { 100 });
    assert_eq!(listed(&service, since("2026-11-21T10:00:00Z")).await.found.len(), 250);

    let service = processing(hundred(), |_| 0);
    let error = records(&service).events(&since("2026-11-21T10:00:00Z")).await.unwrap_err().to_string();
    assert!(error.contains("dynamodb BatchGetItem failed: the table returned no item in 4 attempts"), "{error}");
}

#[tokio::test]
async fn a_query_that_is_throttled_is_retried_and_the_error_is_that_of_the_service() {
    let throttled = json!({
        "__type": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
        "message": "slow down",
    });
    let table = Table::of(vec![event("a", "2026-11-21T10:10:00.000Z", 1)]);
    let (first, answer) = (throttled.clone(), table.clone());
    let service = TestService::answering(move |index, request| match index {
        // The question for the widened hours, and then each of those for the shards.
        0 | 2..6 => Reply::json(400, &first),
        _ => Reply::json(200, &answer.answer(&request.json())),
    });
    let filter = EventFilter { provider: Some(ProviderName::Machnet), ..since("2026-11-21T10:00:00Z") };
    assert_eq!(ids(&listed(&service, filter.clone()).await), ["a"]);

    let service = TestService::replying(&[Reply::json(400, &throttled)]);
    let error = records(&service).events(&filter).await.unwrap_err().to_string();
    assert!(error.contains("dynamodb Query failed: ProvisionedThroughputExceededException"), "{error}");
}

#[tokio::test]
async fn a_history_of_several_pages_is_read_to_its_end() {
    let pages = [event("a", "2026-11-21T10:10:00.000Z", 1), event("b", "2026-11-21T10:11:00.000Z", 1)];
    let last = json!({"pk": {"S": "p"}, "sk": {"S": "event#1"}});
    let service = TestService::replying(&[
        Reply::json(200, &json!({"Items": [pages[0]], "LastEvaluatedKey": last})),
        Reply::json(200, &json!({"Items": [pages[1]]})),
    ]);
    let entity = EntryKey { partition: "nurturecloud#1".to_owned(), sort: "entity".to_owned() };

    let history = records(&service).entity_history(&entity).await.unwrap();

    let found: Vec<_> = history.found.iter().map(|event| event.cloud_event.id.as_str()).collect();
    assert_eq!(found, ["a", "b"]);
    let [first, second] = &service.received()[..] else { panic!("two requests were expected") };
    assert_eq!(first.json()["ExpressionAttributeValues"][":entity"], json!({"S": "nurturecloud#1"}));
    assert_eq!(second.json()["ExclusiveStartKey"], last);
}

//! Entries that are read at the same time.

use super::*;

/// A table with some of the items, which answers each kind of read; `unread` is left out of an answer with several.
fn table(items: &[ConditionalPut], unread: &'static str) -> TestService {
    let items: Vec<Value> = items.iter().map(wire_item).collect();
    TestService::answering(move |_, request| {
        let request = request.json();
        let find = |key: &Value| items.iter().find(|item| item["pk"] == key["pk"] && item["sk"] == key["sk"]);
        if let Some(key) = request.get("Key") {
            return Reply::json(200, &find(key).map_or(json!({}), |item| json!({"Item": item})));
        }
        let (table, asked) = request["RequestItems"].as_object().unwrap().iter().next().unwrap();
        let keys = asked["Keys"].as_array().unwrap().iter();
        let (left, read): (Vec<&Value>, Vec<&Value>) = keys.partition(|key| key["pk"]["S"] == unread);
        let found: Vec<&Value> = read.into_iter().filter_map(find).collect();
        let left = if left.is_empty() { json!({}) } else { json!({table: {"Keys": left}}) };
        Reply::json(200, &json!({"Responses": {table: found}, "UnprocessedKeys": left}))
    })
}

fn entity(partition: &str, version: u64) -> ConditionalPut {
    let entry = Entry::Entity(Box::new(bare_entity(version)));
    ConditionalPut { key: key(partition, "entity"), entry, condition: Condition::Absent }
}

/// The requests for several items, and the partition keys of those for one.
fn requests(service: &TestService) -> (Vec<Value>, Vec<String>) {
    let requests: Vec<Value> = service.received().iter().map(Received::json).collect();
    let (several, single): (Vec<Value>, Vec<Value>) =
        requests.into_iter().partition(|request| request.get("RequestItems").is_some());
    let keys = single.iter().map(|request| request["Key"]["pk"]["S"].as_str().unwrap().to_owned());
    (several.into_iter().map(|request| request["RequestItems"].clone()).collect(), keys.collect())
}

#[tokio::test]
async fn entities_that_are_read_at_the_same_time_share_a_call() {
    let service = table(&[entity("a", 7), entity("c", 9)], "none");
    let ledger = service.clients().ledger("events".to_owned(), "entities".to_owned());
    let [a, b, c] = ["a", "b", "c"].map(|partition| key(partition, "entity"));
    let found = tokio::join!(ledger.entity(&a), ledger.entity(&b), ledger.entity(&c), ledger.entity(&a));
    let versions = <[_; 4]>::from(found).map(|found| found.unwrap().map(|entity| entity.version));
    assert_eq!(versions, [Some(7), None, Some(9), Some(7)]);
    let (several, single) = requests(&service);
    assert_eq!((several.len(), single), (1, vec![]));
    let asked = &several[0]["entities"];
    assert_eq!((&asked["ConsistentRead"], asked["Keys"].as_array().unwrap().len()), (&json!(true), 3));
}

#[tokio::test]
async fn entries_that_are_found_at_the_same_time_share_a_call_that_may_be_a_little_old() {
    let put = ConditionalPut {
        key: key("progress#1", "progress"),
        entry: Entry::Progress(progress()),
        condition: Condition::Always,
    };
    let service = table(std::slice::from_ref(&put), "none");
    let ledger = service.clients().ledger("events".to_owned(), "entities".to_owned());
    let absent = key("machnet#1", "event");
    let (found, nothing) = tokio::join!(ledger.find(&put.key), ledger.find(&absent));
    assert_eq!((found.unwrap(), nothing.unwrap()), (Some(put.entry), None));
    assert_eq!(requests(&service).0[0]["events"]["ConsistentRead"], json!(false));
}

#[tokio::test]
async fn what_a_call_for_several_leaves_out_is_read_alone() {
    let service = table(&[entity("a", 7), entity("b", 8)], "b");
    let ledger = service.clients().ledger("events".to_owned(), "entities".to_owned());
    let [a, b] = ["a", "b"].map(|partition| key(partition, "entity"));
    let found = tokio::join!(ledger.entity(&a), ledger.entity(&b));
    assert_eq!(<[_; 2]>::from(found).map(|found| found.unwrap().unwrap().version), [7, 8]);
    assert_eq!(requests(&service).1, ["b"]);
}

#[tokio::test]
async fn if_a_call_for_several_fails_each_is_read_alone_and_fails_alone() {
    let there = entity("a", 7);
    let item = wire_item(&there);
    let service = TestService::answering(move |_, request| {
        let denied = Reply::json(400, &json!({"__type": "AccessDeniedException", "message": "no"}));
        match request.json().get("Key").map(|key| key["pk"]["S"].clone()) {
            Some(partition) if partition == "a" => Reply::json(200, &json!({"Item": item})),
            _ => denied,
        }
    });
    let ledger = service.clients().ledger("events".to_owned(), "entities".to_owned());
    let other = key("b", "entity");
    let (found, failed) = tokio::join!(ledger.entity(&there.key), ledger.entity(&other));
    assert_eq!(found.unwrap(), Some(bare_entity(7)));
    assert!(failed.unwrap_err().to_string().starts_with("dynamodb GetItem failed: AccessDenied"));
}

#[tokio::test]
async fn an_item_that_is_not_an_entry_fails_alone() {
    let there = entity("a", 7);
    let item = wire_item(&there);
    let service = TestService::answering(move |_, _| {
        let newer = json!({"pk": {"S": "b"}, "sk": {"S": "entity"}, "kind": {"S": "something newer"}});
        Reply::json(200, &json!({"Responses": {"entities": [item, newer]}, "UnprocessedKeys": {}}))
    });
    let ledger = service.clients().ledger("events".to_owned(), "entities".to_owned());
    let other = key("b", "entity");
    let (found, failed) = tokio::join!(ledger.entity(&there.key), ledger.entity(&other));
    assert_eq!(found.unwrap(), Some(bare_entity(7)));
    assert!(failed.unwrap_err().to_string().contains("not an entry that this version knows"));
}

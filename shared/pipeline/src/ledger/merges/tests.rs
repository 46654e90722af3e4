use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::delivery::DeliveryId;
use intake_providers::digest::Sha256Digest;
use intake_providers::entity::{EntityState, EntityUpdate};
use intake_providers::event::EventIndex;
use intake_providers::timestamp::Timestamp;

use super::*;
use crate::ledger::entity::{Arrival, Observation, apply};
use crate::ledger::{Condition, ConditionalPut, Entry, EventData, Ledger as _};
use crate::testing::MemoryLedger;

fn reference(id: &str) -> EntityReference {
    EntityReference {
        account: AccountName::new("main").unwrap(),
        component: "contact".to_owned(),
        organisation: "o".to_owned(),
        business_id: "b".to_owned(),
        id: id.to_owned(),
    }
}

fn arrival(second: i64) -> Arrival {
    let received_at = Timestamp::from_unix_milliseconds(second * 1000).unwrap();
    Arrival { received_at, delivery_id: DeliveryId::new(received_at, [1; 10]), index: EventIndex(0) }
}

fn entity(id: &str, merged_into: Option<&str>) -> EntityEntry {
    let state = if merged_into.is_some() { EntityState::Deleted } else { EntityState::Created };
    let update = EntityUpdate { entity: reference(id), state, merged_into: merged_into.map(reference) };
    let data = EventData::Inline { data: "{}".to_owned() };
    let observation = Observation {
        provider: ProviderName::NurtureCloud,
        event_id: id,
        update: &update,
        arrival: arrival(1),
        digest: Sha256Digest::of(b"{}"),
        data: &data,
    };
    apply(None, &observation).entity
}

async fn ledger(merges: &[(&str, Option<&str>)]) -> MemoryLedger {
    let ledger = MemoryLedger::default();
    for (id, merged_into) in merges {
        let put = ConditionalPut {
            key: entity_key(ProviderName::NurtureCloud, &reference(id)),
            entry: Entry::Entity(Box::new(entity(id, *merged_into))),
            condition: Condition::Absent,
        };
        ledger.put(Timestamp::EPOCH, &[put]).await.unwrap();
    }
    ledger
}

async fn followed(ledger: &MemoryLedger, id: &str) -> (Vec<String>, MergeEnd) {
    let followed = follow_merges(ledger, ProviderName::NurtureCloud, reference(id)).await.unwrap();
    (followed.path.into_iter().map(|entity| entity.id).collect(), followed.end)
}

#[tokio::test]
async fn merges_are_followed_to_the_entity_that_stands_for_all_of_them() {
    let ledger = ledger(&[("a", Some("b")), ("b", Some("c")), ("c", None)]).await;
    let (path, end) = followed(&ledger, "a").await;
    assert_eq!(path, ["a", "b", "c"]);
    assert!(matches!(end, MergeEnd::At(entity) if entity.entity.id == "c" && !entity.deleted));
    assert_eq!(followed(&ledger, "c").await.0, ["c"]);
}

#[tokio::test]
async fn a_merge_into_the_unknown_and_a_cycle_are_reported() {
    let ledger = ledger(&[("a", Some("b")), ("x", Some("y")), ("y", Some("x")), ("z", Some("z"))]).await;
    assert_eq!(followed(&ledger, "a").await, (vec!["a".to_owned(), "b".to_owned()], MergeEnd::Unknown));
    let (path, end) = followed(&ledger, "x").await;
    assert_eq!((path.join(" "), end), ("x y x".to_owned(), MergeEnd::Cycle));
    assert_eq!(followed(&ledger, "z").await.1, MergeEnd::Cycle);
}

#[tokio::test]
async fn a_chain_of_merges_is_followed_up_to_a_bound() {
    let ids: Vec<String> = (0..MAX_MERGES + 3).map(|number| number.to_string()).collect();
    let merges: Vec<_> =
        ids.iter().zip(ids.iter().skip(1)).map(|(id, next)| (id.as_str(), Some(next.as_str()))).collect();
    let ledger = ledger(&merges).await;
    let (path, end) = followed(&ledger, "0").await;
    assert_eq!(end, MergeEnd::TooLong);
    assert_eq!(path.len(), MAX_MERGES + 2);
    let within = (ids.len() - 1 - MAX_MERGES).to_string();
    assert_eq!(followed(&ledger, &within).await.1, MergeEnd::Unknown, "the last one is not known");
}

#[test]
fn the_sort_keys_of_an_entity_s_events_are_in_the_order_of_their_arrival() {
    let nth = |index| Arrival { index: EventIndex(index), ..arrival(1) };
    let in_order = [nth(0), nth(9), nth(10), nth(99_999), arrival(2), arrival(10)];
    assert!(in_order.is_sorted());
    assert!(in_order.map(|arrival| arrival.event_sort()).is_sorted());
}

#[test]
fn an_entity_is_written_and_read_back() {
    for entity in [entity("a", None), entity("a", Some("b"))] {
        let entry = Entry::Entity(Box::new(entity));
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry, "{text}");
    }
}

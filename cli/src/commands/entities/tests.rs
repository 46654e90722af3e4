use intake_pipeline::ledger::entity::{Arrival, ContentRegister, ExistenceRegister};
use intake_pipeline::ledger::{Condition, ConditionalPut, EventData, Ledger as _};
use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::delivery::DeliveryId;
use intake_providers::digest::Sha256Digest;
use intake_providers::entity::{EntityReference, EntityState};
use intake_providers::event::EventIndex;
use intake_providers::timestamp::Timestamp;
use intake_sqlite::{Database, SqliteLedger, SqliteRecords};

use super::*;
use crate::commands::describe::table_within;

fn reference(id: &str) -> EntityReference {
    EntityReference {
        account: AccountName::new("main").unwrap(),
        component: "contact".to_owned(),
        organisation: "example-realty".to_owned(),
        business_id: "business-1".to_owned(),
        id: id.to_owned(),
    }
}

fn arrival(milliseconds: i64) -> Arrival {
    let received_at = Timestamp::from_unix_milliseconds(milliseconds).unwrap();
    Arrival { received_at, delivery_id: DeliveryId::new(received_at, [0; 10]), index: EventIndex(0) }
}

fn entity(id: &str) -> EntityEntry {
    EntityEntry {
        provider: ProviderName::NurtureCloud,
        entity: reference(id),
        component_and_id: format!("contact#{id}"),
        version: 1,
        deleted: false,
        content: None,
        existence: None,
    }
}

fn updated(entity: EntityEntry) -> EntityEntry {
    let content = ContentRegister {
        arrival: arrival(2_000),
        state: EntityState::Updated,
        digest: Sha256Digest::of(b""),
        data: EventData::Inline { data: "{}".to_owned() },
        told_by: "event".to_owned(),
    };
    EntityEntry { content: Some(content), ..entity }
}

fn gone(entity: EntityEntry, into: Option<&str>) -> EntityEntry {
    let life = ExistenceRegister {
        arrival: arrival(1_000),
        state: EntityState::Deleted,
        digest: Sha256Digest::of(b""),
        merged_into: into.map(reference),
        told_by: "event".to_owned(),
    };
    EntityEntry { deleted: true, existence: Some(life), ..entity }
}

async fn records(entities: Vec<EntityEntry>) -> (tempfile::TempDir, SqliteRecords) {
    let directory = tempfile::tempdir().unwrap();
    let database = Database::open(&directory.path().join("intake.sqlite")).unwrap();
    let ledger = SqliteLedger::new(database.clone());
    for entity in entities {
        let key = intake_pipeline::ledger::entity::entity_key(entity.provider, &entity.entity);
        let put = ConditionalPut { key, entry: Entry::Entity(Box::new(entity)), condition: Condition::Absent };
        ledger.put(Timestamp::EPOCH, &[put]).await.unwrap();
    }
    (directory, SqliteRecords::new(database))
}

#[test]
fn a_row_says_whether_the_entity_is_there_and_what_is_known_of_it() {
    let cells = |entity: &EntityEntry| {
        let [_, _, _, _, _, last_event, state] = row(entity);
        [last_event, state].join(" | ")
    };
    for (entity, expected) in [
        (updated(entity("1")), "1970-01-01 00:00:02 | there (only updates)"),
        (gone(entity("1"), None), "1970-01-01 00:00:01 | deleted (no content)"),
        (updated(gone(entity("1"), Some("2"))), "1970-01-01 00:00:02 | merged"),
    ] {
        assert_eq!(cells(&entity), expected);
    }
}

#[test]
fn the_table_fits_120_columns_with_uuids_and_wraps_between_words() {
    let id = "6b8e64f2-c1d9-4a5c-8f3e-0a7d5b219c40";
    let entities = [updated(entity(id)), gone(entity(id), None), updated(gone(entity(id), Some("2")))];
    let text = table_within(Some(120), COLUMNS, entities.iter().map(row).collect());
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
    assert_eq!(text.matches(id).count(), 3, "{text}");
    for word in ["there", "(only", "updates)", "deleted", "(no", "content)", "merged"] {
        assert!(text.contains(word), "{word} in\n{text}");
    }
}

#[tokio::test]
async fn merges_are_reported_step_by_step_and_how_they_end() {
    let chain = |length: u32| (0..length).map(|step| gone(entity(&step.to_string()), Some(&(step + 1).to_string())));
    let there = "         into contact 1\n         into contact 2\n         which is there\n";
    let unknown = "         into contact 1\n         into contact 2\n         of which nothing is known\n";
    let cycle = "         into contact 1\n         into contact 0\n         which is on the way already: the merges go in a circle\n";
    for (entities, expected) in [
        (chain(2).chain([updated(entity("2"))]).collect::<Vec<_>>(), there),
        (chain(2).collect(), unknown),
        (vec![gone(entity("0"), Some("1")), gone(entity("1"), Some("0"))], cycle),
    ] {
        let first = entities[0].clone();
        let (_directory, records) = records(entities).await;
        let text = one::text(&records, &first).await.unwrap();
        assert!(text.contains(&format!("state    merged\n{expected}version")), "{text}");
    }
    let (_directory, records) = records(chain(40).collect()).await;
    let text = one::text(&records, &gone(entity("0"), Some("1"))).await.unwrap();
    assert!(text.contains("and further: no more than 32 merges are followed\n"), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&one::json(&records, gone(entity("0"), Some("1"))).await.unwrap()).unwrap();
    assert_eq!(json["merges"]["end"], "too-long");
}

#[tokio::test]
async fn a_merge_into_another_business_names_it() {
    let mut first = gone(entity("1"), Some("2"));
    let elsewhere = EntityReference { business_id: "business-2".to_owned(), ..reference("2") };
    first.existence.as_mut().unwrap().merged_into = Some(elsewhere);
    let (_directory, records) = records(vec![first.clone()]).await;
    let text = one::text(&records, &first).await.unwrap();
    assert!(text.contains("into contact 2 of business business-2, organisation example-realty\n"), "{text}");
}

#[test]
fn of_several_entities_none_is_chosen() {
    let other = EntityReference { business_id: "business-2".to_owned(), ..reference("1") };
    let entities = vec![entity("1"), EntityEntry { entity: other, ..gone(entity("1"), None) }];
    let error = one::the_only(entities, "contact", "1").unwrap_err().to_string();
    assert_eq!(
        error,
        "there is more than one contact 1; say which one is meant:\n  \
         --account main --business \"business-1\" --organisation \"example-realty\"  (there)\n  \
         --account main --business \"business-2\" --organisation \"example-realty\"  (deleted)"
    );
    let error = one::the_only(Vec::new(), "contact", "1").unwrap_err().to_string();
    assert_eq!(error, "nothing is known of contact 1; `entities` lists what is known");
}

//! The check of entities: each is what the greatest arrivals say.

use std::collections::{BTreeMap, BTreeSet};

use intake_pipeline::ledger::entity::EntityEntry;
use intake_pipeline::ledger::{Entry, EntryKey, EventData};
use intake_providers::delivery::DeliveryId;
use intake_providers::entity::EntityReference;

use crate::invariant::Invariant;
use crate::platform::Services;
use crate::reference::{EntityEvent, Expected};

/// When an event arrived, in milliseconds since 1970, in which delivery, and where in it.
type Arrival = (i64, String, u32);

/// Compares every entity with the model, except those of which an event expired.
pub(crate) fn check(services: &Services, entries: &BTreeMap<EntryKey, Entry>, expired: &BTreeSet<DeliveryId>) {
    let mut uncertain = BTreeSet::new();
    let mut events: BTreeMap<String, Vec<(Arrival, EntityEvent)>> = BTreeMap::new();
    for (delivery_id, accepted) in &services.reference.model().accepted {
        for (index, event) in (0..).zip(&accepted.events) {
            if let Expected::Entity(event) = event {
                if expired.contains(delivery_id) {
                    uncertain.insert(event.entity.clone());
                }
                let arrival = (accepted.received_at.unix_milliseconds(), delivery_id.to_string(), index);
                events.entry(event.entity.clone()).or_default().push((arrival, event.clone()));
            }
        }
    }
    let mut entities: BTreeMap<String, &EntityEntry> = BTreeMap::new();
    for entry in entries.values() {
        if let Entry::Entity(entity) = entry {
            entities.insert(name(&entity.entity), entity);
        }
    }
    let violate = |text: String| services.world.violate(Invariant::EntitiesEqualTheModel, text);
    for unknown in entities.keys().filter(|name| !events.contains_key(*name)) {
        violate(format!("nobody sent {unknown}"));
    }
    for (name, mut events) in events.into_iter().filter(|(name, _)| !uncertain.contains(name)) {
        events.sort_by(|(one, _), (other, _)| one.cmp(other));
        let Some(entity) = entities.get(&name) else {
            violate(format!("{name} is missing"));
            continue;
        };
        if entity.version != u64::try_from(events.len()).unwrap_or(u64::MAX) {
            violate(format!("{name} has version {} after {} events", entity.version, events.len()));
        }
        let last = |states: &[&str]| {
            events.iter().rev().map(|(_, event)| event).find(|event| states.contains(&event.state.as_str()))
        };
        let content = last(&["Created", "Updated", "Current"]).map(|event| event.content.clone());
        let stored = entity.content.as_ref().and_then(|content| text(services, &content.data));
        if stored != content {
            violate(format!("{name} holds {stored:?}, and its last content is {content:?}"));
        }
        let existence = last(&["Created", "Current", "Deleted"]);
        let is_deleted = existence.is_some_and(|event| event.state == "Deleted");
        let merged_into = existence.and_then(|event| event.merged_into.clone());
        let stored = entity.existence.as_ref().and_then(|existence| existence.merged_into.as_ref()).map(self::name);
        if entity.deleted != is_deleted || stored != merged_into {
            violate(format!("{name} is deleted: {}, merged into {stored:?}; expected {existence:?}", entity.deleted));
        }
    }
}

fn name(entity: &EntityReference) -> String {
    let EntityReference { account, component, organisation, business_id, id } = entity;
    format!("nurturecloud/{}/{component}/{organisation}/{business_id}/{id}", account.as_str())
}

/// The data as canonical JSON.
fn text(services: &Services, data: &EventData) -> Option<String> {
    let text = match data {
        EventData::Inline { data } => data.clone(),
        EventData::Payload { data_key, .. } => {
            String::from_utf8_lossy(&services.bucket.get(data_key.as_str())?).into_owned()
        }
        EventData::Elsewhere { .. } | EventData::Erased { .. } => return None,
    };
    Some(serde_json::from_str::<serde_json::Value>(&text).ok()?.to_string())
}

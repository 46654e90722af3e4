//! One entity: what is known of it, where its merges lead, and its history.

use std::fmt::Write as _;

use intake_pipeline::ledger::entity::{EntityEntry, Visibility, entity_key};
use intake_pipeline::ledger::merges::{Followed, MAX_MERGES, MergeEnd, follow_merges};
use intake_pipeline::ledger::{EventData, EventEntry};
use intake_pipeline::port_error::PortError;
use intake_pipeline::records::Records;
use intake_providers::entity::{EntityReference, EntityState};
use serde::Serialize;

use super::state;
use crate::commands::describe::{id_in_table, in_milliseconds, table};
use crate::commands::error::CommandError;
use crate::commands::unreadable::found;
use crate::terminal::escape;

/// The one entity that is meant, or the candidates.
pub(in crate::commands) fn the_only(
    mut entities: Vec<EntityEntry>,
    component: &str,
    id: &str,
) -> Result<EntityEntry, CommandError> {
    let (component, id) = (escape(component).into_owned(), escape(id).into_owned());
    match (entities.pop(), entities.is_empty()) {
        (Some(entity), true) => Ok(entity),
        (None, _) => Err(CommandError::UnknownEntity { component, id }),
        (Some(last), false) => {
            entities.push(last);
            let candidate = |entity: &EntityEntry| {
                let EntityReference { account, organisation, business_id, .. } = &entity.entity;
                let options = format!("--account {account} --business {business_id:?} --organisation {organisation:?}");
                format!("\n  {options}  ({})", state(entity))
            };
            let candidates = entities.iter().map(candidate).collect();
            Err(CommandError::AmbiguousEntity { component, id, candidates })
        }
    }
}

#[derive(Serialize)]
struct Whole {
    entity: EntityEntry,
    #[serde(skip_serializing_if = "Option::is_none")]
    merges: Option<Merges>,
    history: Vec<EventEntry>,
}

#[derive(Serialize)]
struct Merges {
    path: Vec<EntityReference>,
    end: &'static str,
}

/// The entity, its merges and its history as one JSON object.
pub(super) async fn json(records: &impl Records, entity: EntityEntry) -> Result<String, CommandError> {
    let merges = merges(records, &entity).await?.map(|followed| Merges {
        end: match followed.end {
            MergeEnd::At(_) => "at",
            MergeEnd::Unknown => "unknown",
            MergeEnd::Cycle => "cycle",
            MergeEnd::TooLong => "too-long",
        },
        path: followed.path,
    });
    let history = found(records.entity_history(&entity_key(entity.provider, &entity.entity)).await?)?;
    // Entries came from JSON, so they go back into it.
    Ok(serde_json::to_string(&Whole { entity, merges, history }).unwrap_or_default() + "\n")
}

/// The same in words.
pub(super) async fn text(records: &impl Records, entity: &EntityEntry) -> Result<String, CommandError> {
    let EntityReference { account, component, organisation, business_id, id } = &entity.entity;
    let [component, id, business_id, organisation] =
        [component, id, business_id, organisation].map(|name| escape(name));
    let mut text =
        format!("{component} {id} of business {business_id}, organisation {organisation}, account {account}\n\n");
    let _ = writeln!(text, "state    {}", state(entity));
    if let Some(followed) = merges(records, entity).await? {
        text.push_str(&merges_summary(&followed));
    }
    let _ = writeln!(text, "version  {}", entity.version);
    match &entity.content {
        Some(content) => {
            let writer = last_writer(content.state, in_milliseconds(content.arrival.received_at));
            let _ = writeln!(text, "content  {writer}\n         {}", data_summary(&content.data));
        }
        None => text.push_str("content  not known\n"),
    }
    match &entity.existence {
        Some(life) => {
            let _ = writeln!(text, "life     {}", last_writer(life.state, in_milliseconds(life.arrival.received_at)));
        }
        None => text.push_str("life     not reported: only updates are known, so it is there\n"),
    }
    let history = found(records.entity_history(&entity_key(entity.provider, &entity.entity)).await?)?;
    let rows = history.iter().filter_map(row).collect();
    let columns = ["received (UTC)", "change", "event"];
    let _ = writeln!(text, "\nIn the order of arrival:\n{}", table(columns, rows));
    Ok(text)
}

async fn merges(records: &impl Records, entity: &EntityEntry) -> Result<Option<Followed>, PortError> {
    match entity.visibility() {
        Visibility::Absent(Some(_)) => follow_merges(records, entity.provider, entity.entity.clone()).await.map(Some),
        Visibility::Unknown | Visibility::Present(_) | Visibility::Absent(None) => Ok(None),
    }
}

/// Each step on a line of its own, and how it ends.
fn merges_summary(followed: &Followed) -> String {
    let steps = followed.path.iter().skip(1).zip(&followed.path);
    let mut text: String = steps
        .map(|(to, from)| {
            let elsewhere = to.business_id != from.business_id || to.organisation != from.organisation;
            let of = if elsewhere {
                format!(" of business {}, organisation {}", escape(&to.business_id), escape(&to.organisation))
            } else {
                String::new()
            };
            format!("         into {} {}{of}\n", escape(&to.component), escape(&to.id))
        })
        .collect();
    let _ = match &followed.end {
        MergeEnd::At(entity) => writeln!(text, "         which is {}", state(entity)),
        MergeEnd::Unknown => writeln!(text, "         of which nothing is known"),
        MergeEnd::Cycle => writeln!(text, "         which is on the way already: the merges go in a circle"),
        MergeEnd::TooLong => writeln!(text, "         and further: no more than {MAX_MERGES} merges are followed"),
    };
    text
}

fn last_writer(state: EntityState, at: String) -> String {
    format!("reported by {} at {at}", state.as_str())
}

fn data_summary(data: &EventData) -> String {
    match data {
        // Each line of it under the first, so that none looks like one of ours.
        EventData::Inline { data } => data.lines().map(escape).collect::<Vec<_>>().join("\n         "),
        EventData::Payload { data_key, data_size_bytes } => {
            format!("{data_size_bytes} bytes, kept as a payload under {}", data_key.as_str())
        }
        EventData::Elsewhere { same_data_as } => format!("that of event {same_data_as}"),
        EventData::Erased { erased_at } => format!("erased at {}", in_milliseconds(*erased_at)),
    }
}

/// A row whose ids are whole, in 80 columns.
fn row(event: &EventEntry) -> Option<[String; 3]> {
    let change = event.entity.as_ref()?;
    let same = match &event.data {
        EventData::Elsewhere { same_data_as } => format!("; same as {}", id_in_table(same_data_as)),
        EventData::Inline { .. } | EventData::Payload { .. } => String::new(),
        EventData::Erased { .. } => "; erased".to_owned(),
    };
    let id = id_in_table(&event.cloud_event.id);
    let (state, outcome, version) = (change.state.as_str(), event.outcome.as_str(), change.version);
    Some([
        in_milliseconds(event.received_at),
        change.change.as_str().to_owned(),
        format!("{id} ({state}, {outcome}, version {version}{same})"),
    ])
}

//! `entities`: what is known of NurtureCloud's entities.

use std::path::Path;
use std::process::ExitCode;

use intake_pipeline::ledger::Entry;
use intake_pipeline::ledger::entity::{EntityEntry, Visibility};
use intake_pipeline::records::Records as _;
use intake_providers::account::AccountName;
use intake_providers::nurturecloud::component::component_name;

use super::describe::{id_in_table, in_seconds, table};
use super::error::CommandError;
use super::output::{print, print_json_lines};
use super::place::StackOptions;
use super::unreadable::found;

mod one;

pub(super) use one::the_only;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: StackOptions,
    /// For one entity: what it is, such as contact or contacts.
    #[arg(requires = "id", conflicts_with_all = ["only_component", "deleted"])]
    component: Option<String>,
    /// For one entity: its id.
    id: Option<String>,
    /// Only entities of this component, such as contact or contacts.
    #[arg(long = "component", value_name = "COMPONENT")]
    only_component: Option<String>,
    /// Only entities of this account: the one that the URL was made for to which NurtureCloud delivered them. [default: every
    /// account; for one entity, the only account that has it]
    #[arg(long, value_name = "NAME")]
    account: Option<AccountName>,
    /// Only entities of this business.
    #[arg(long, value_name = "ID")]
    business: Option<String>,
    /// Only entities of this organisation.
    #[arg(long, value_name = "NAME")]
    organisation: Option<String>,
    /// Only entities that are gone: deleted, or merged into another one.
    #[arg(long)]
    deleted: bool,
    /// Print whole entries, one JSON object a line; for one entity one object with its history.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let records = arguments.place.place(data_directory).records().await?;
    let mut entities = found(records.entities().await?)?;
    entities.retain(|entity| arguments.mean(entity));
    match (&arguments.component, &arguments.id) {
        (Some(component), Some(id)) => {
            let entity = one::the_only(entities, component, id)?;
            if arguments.json {
                print_json_lines(&one::json(&records, entity).await?)?;
            } else {
                print(&one::text(&records, &entity).await?)?;
            }
        }
        _ if arguments.json => print_json_lines(&json_lines(entities))?,
        _ if entities.is_empty() => print("No such entity.\n")?,
        _ => print(&format!("{}\n", table(COLUMNS, entities.iter().map(row).collect())))?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    fn mean(&self, entity: &EntityEntry) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let component = self.component.as_ref().or(self.only_component.as_ref()).map(|name| component_name(name));
        self.account.as_ref().is_none_or(|account| *account == entity.entity.account)
            && is(&component, &entity.entity.component)
            && is(&self.id, &entity.entity.id)
            && is(&self.business, &entity.entity.business_id)
            && is(&self.organisation, &entity.entity.organisation)
            && (!self.deleted || entity.deleted)
    }
}

fn json_lines(entities: Vec<EntityEntry>) -> String {
    // Entries came from JSON, so they go back into it.
    let lines = entities.into_iter().filter_map(|entity| serde_json::to_string(&Entry::Entity(Box::new(entity))).ok());
    lines.map(|line| line + "\n").collect()
}

const COLUMNS: [&str; 7] = ["component", "id", "account", "business", "version", "last event (UTC)", "state"];

fn row(entity: &EntityEntry) -> [String; 7] {
    let content = entity.content.as_ref().map(|content| content.arrival);
    let last_event = content.max(entity.existence.as_ref().map(|life| life.arrival));
    [
        entity.entity.component.clone(),
        entity.entity.id.clone(),
        entity.entity.account.to_string(),
        id_in_table(&entity.entity.business_id),
        entity.version.to_string(),
        last_event.map_or_else(|| "-".to_owned(), |arrival| in_seconds(arrival.received_at)),
        format!("{}{}", state(entity), gap(entity)),
    ]
}

fn state(entity: &EntityEntry) -> &'static str {
    match entity.visibility() {
        Visibility::Unknown => "unknown",
        Visibility::Present(_) => "there",
        Visibility::Absent(None) => "deleted",
        Visibility::Absent(Some(_)) => "merged",
    }
}

/// What is not known of it: an update reports no existence, and a deletion no content.
const fn gap(entity: &EntityEntry) -> &'static str {
    match (&entity.content, &entity.existence) {
        (Some(_), None) => " (only updates)",
        (None, Some(_)) => " (no content)",
        (Some(_), Some(_)) | (None, None) => "",
    }
}

#[cfg(test)]
mod tests;

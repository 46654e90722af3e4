//! `keys list`: the keys, and when each was used.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_providers::ProviderName;
use intake_providers::key_ring::listing::{KeyListing, ListedKey};
use intake_providers::registry::key_ring;
use intake_providers::timestamp::Timestamp;
use intake_sqlite::DataDirectoryError;
use serde_json::json;

use super::super::describe::{in_minutes, table};
use super::super::error::CommandError;
use super::super::output::{explain, print, print_json_lines};
use super::super::place::Place;
use super::super::since;
use super::forwarding;
use super::key_place::KeyPlace;
use super::owner::{KeyOwner, owner_parser};
use crate::key_store::Access;
use crate::key_uses::{KeyUses, MAX_DELIVERIES, Use};
use crate::records::{AnyRecords, OpenRecordsError};

/// How far back the uses of a stack's keys are looked up, unless something else is said.
const STACK_LOOK_BACK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

#[derive(Debug, clap::Args)]
pub(in crate::commands) struct List {
    /// Only the keys of this provider, or the secrets of `forwarding`.
    #[arg(value_name = "PROVIDER", value_parser = owner_parser())]
    owner: Option<KeyOwner>,
    /// How far back uses are looked up: how long ago, such as 30m, 2h or 7d, or a time such as 2026-11-21T09:30:00Z. [default: 7d on a
    /// stack, everything in a data directory]
    #[arg(long, value_name = "WHEN", value_parser = since::parse)]
    since: Option<Timestamp>,
    /// Print one JSON object a key.
    #[arg(long)]
    json: bool,
}

/// The keys of one provider, and their uses where these could be read.
struct Listed {
    provider: ProviderName,
    listing: KeyListing,
    uses: Option<KeyUses>,
}

pub(super) async fn run(place: &Place, list: List) -> Result<ExitCode, CommandError> {
    if list.owner == Some(KeyOwner::Forwarding) {
        forwarding::list(place, true, list.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let key_place = KeyPlace::open(place).await?;
    let records = records(place).await?;
    let default = matches!(place, Place::Stack { .. }).then(|| SystemClock.now().minus(STACK_LOOK_BACK));
    let since = list.since.or(default);
    let mut all = Vec::new();
    for provider in ProviderName::ALL.iter().copied().filter(|provider| is_meant(&key_place, list.owner, *provider)) {
        let found = key_place.store(provider, Access::Read).await?.read().await?;
        let listing = found.with(|documents| key_ring(provider).list(documents));
        let uses = match &records {
            Some(records) if !listing.keys.is_empty() => match KeyUses::read(records, provider, since).await {
                Ok(uses) => Some(uses),
                Err(error) => {
                    explain(&format!("When keys of {provider} were used cannot be read: {error}\n"))?;
                    None
                }
            },
            _ => None,
        };
        all.push(Listed { provider, listing, uses });
    }
    if list.json {
        print_json_lines(&all.iter().flat_map(json_lines).collect::<String>())?;
    } else {
        print(&text(&all, since, list.owner.is_none()))?;
    }
    if list.owner.is_none() {
        forwarding::list(place, false, list.json)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a provider is listed: the one that was named, or else each that is part of the place.
pub(super) fn is_meant(place: &KeyPlace, named: Option<KeyOwner>, provider: ProviderName) -> bool {
    named.map_or_else(|| place.has(provider), |named| named.provider() == Some(provider))
}

/// The records of a place; nothing where nothing was ever received.
async fn records(place: &Place) -> Result<Option<AnyRecords>, CommandError> {
    match place.records().await {
        Ok(records) => Ok(Some(records)),
        Err(CommandError::Records(OpenRecordsError::DataDirectory(DataDirectoryError::Missing { .. }))) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Listed {
    fn use_of(&self, key: &ListedKey) -> Option<Use> {
        self.uses.as_ref()?.of(key.recorded_as.as_ref()?)
    }
}

fn json_lines(listed: &Listed) -> Vec<String> {
    let key = |key: &ListedKey| {
        let used = listed.use_of(key);
        json!({
            "provider": listed.provider,
            "account": key.account,
            "key": key.id.to_string(),
            "kind": key.kind,
            "state": key.state.name(),
            "remark": key.state.remark(),
            "first_used": used.map(|used| used.first),
            "last_used": used.map(|used| used.last),
        })
    };
    let problem = |problem: &String| json!({"provider": listed.provider, "problem": problem});
    let problems = listed.listing.problems.iter().map(problem);
    listed.listing.keys.iter().map(key).chain(problems).map(|line| format!("{line}\n")).collect()
}

fn text(all: &[Listed], since: Option<Timestamp>, with_provider: bool) -> String {
    let mut text = String::new();
    let rows: Vec<_> = all.iter().flat_map(rows).collect();
    if !rows.is_empty() {
        let columns = ["provider", "account", "key", "first used (UTC)", "last used (UTC)", "state", "what it is"];
        let table = if with_provider {
            table(columns, rows)
        } else {
            let [_, columns @ ..] = columns;
            table(columns, rows.into_iter().map(|[_, row @ ..]| row).collect())
        };
        let _ = writeln!(text, "{table}");
    }
    for Listed { provider, listing, .. } in all {
        if listing.is_empty() {
            let _ = writeln!(text, "{provider} has no key yet; add one with `keys add {provider}`.");
        }
        for problem in &listing.problems {
            let _ = writeln!(text, "{provider}: {problem}.");
        }
    }
    if all.iter().any(|listed| listed.uses.is_some()) {
        text += &look_back(all, since);
    }
    text
}

/// How far the uses go back.
fn look_back(all: &[Listed], since: Option<Timestamp>) -> String {
    let mut text = match since {
        None => "Uses are read from all records of deliveries that are kept.\n".to_owned(),
        Some(since) => format!("Uses are read from the records of deliveries since {} UTC.\n", in_minutes(since)),
    };
    for Listed { provider, uses, .. } in all {
        if let Some(oldest) = uses.as_ref().and_then(KeyUses::limited_to) {
            let oldest = in_minutes(oldest);
            let _ = writeln!(
                text,
                "Of {provider} only the latest were looked at, at most {MAX_DELIVERIES}, back to {oldest} UTC."
            );
        }
    }
    text
}

fn rows(listed: &Listed) -> Vec<[String; 7]> {
    let row = |key: &ListedKey| {
        let used = listed.use_of(key);
        let time = |time: Option<Timestamp>| time.map_or_else(|| "-".to_owned(), in_minutes);
        let remark = key.state.remark().map(|remark| format!("; {remark}")).unwrap_or_default();
        [
            listed.provider.to_string(),
            key.account.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string),
            key.id.to_string(),
            time(used.map(|used| used.first)),
            time(used.map(|used| used.last)),
            key.state.name().to_owned(),
            format!("{}{remark}", key.kind),
        ]
    };
    listed.listing.keys.iter().map(row).collect()
}

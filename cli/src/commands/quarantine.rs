//! `quarantine`: authentic content that could not be read, and its release.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use intake_pipeline::ledger::{Entry, Outcome, QuarantineEntry};
use intake_pipeline::quarantine::QuarantinedDelivery;
use intake_pipeline::records::{EventFilter, RecordedEvent, Records, TimeRange};
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;

use super::describe::{in_seconds, table};
use super::error::CommandError;
use super::listing::{ListUnless, looked_back};
use super::output::{print, print_json_lines, write_to_stdout};
use super::parsers::provider_parser;
use super::since;
use super::unreadable::found;

mod one;
mod release;

pub(super) type Arguments = ListUnless<Action, List>;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// List what is in quarantine, by the time of arrival. This is what `quarantine` alone does.
    List(List),
    /// Show one delivery: each event that could not be read, why, and whether it can be read now.
    Show(Show),
    /// Process deliveries again that can be read now, after a new release or a change of settings.
    ///
    /// A delivery is processed as a whole, and what was recorded of it stays as it is. Before it is sent, this program reads it with
    /// its own code and the settings of the processor there; what would be quarantined again is left where it is. The exit code is 0
    /// only if everything that was chosen was released.
    Release(Release),
}

#[derive(Debug, Args)]
pub(super) struct Choice {
    /// Only deliveries of this provider.
    #[arg(long, value_parser = provider_parser())]
    provider: Option<ProviderName>,
    /// Only what was quarantined for a reason with this text in it.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only deliveries received since then: how long ago, such as 30m, 2h or 7d, or a time such as 2026-11-21T09:30:00Z. [default on
    /// a stack: 7d]
    #[arg(long, value_name = "WHEN", value_parser = since::parse)]
    since: Option<Timestamp>,
    /// Only deliveries received before then.
    #[arg(long, value_name = "WHEN", value_parser = since::parse)]
    until: Option<Timestamp>,
}

impl Choice {
    fn filter(&self) -> EventFilter {
        EventFilter {
            provider: self.provider,
            outcome: Some(Outcome::Quarantined),
            reason: self.reason.clone(),
            received: TimeRange { since: self.since, until: self.until },
            ..EventFilter::default()
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    choice: Choice,
    /// What was released and could be read instead: a trace of it stays here, its events are among the others.
    #[arg(long)]
    released: bool,
    /// Maximum number of events to list, the latest ones.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print whole entries, one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The delivery's id.
    #[arg(value_name = "ID")]
    id: DeliveryId,
    /// Print the entries, one JSON object a line.
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// Write the body's bytes and nothing else. A terminal may obey them; write them to a file or a pipe.
    #[arg(long)]
    raw: bool,
}

#[derive(Debug, Args)]
pub(super) struct Release {
    /// The ids of deliveries.
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with_all = ["all", "provider", "reason", "since", "until"]
    )]
    ids: Vec<DeliveryId>,
    /// Everything in quarantine, or what the options after it leave of it.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    choice: Choice,
    /// Only say what would be released.
    #[arg(long)]
    dry_run: bool,
    /// Maximum number of deliveries to send in a second. [default: no limit]
    #[arg(long, value_name = "NUMBER")]
    rate: Option<NonZeroU32>,
    /// Release also what would be quarantined again, such as for a processor that is newer than this program.
    #[arg(long)]
    anyway: bool,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let place = arguments.place.place(data_directory);
    match arguments.action.unwrap_or(Action::List(arguments.list)) {
        Action::List(list) => {
            list_all(&place.records().await?, &list, &place.call("quarantine release --all --dry-run")).await
        }
        Action::Show(show) => show_one(&place.repair().await?, &show).await,
        Action::Release(release) => release::run(&place.repair().await?, &release, &place.call("quarantine")).await,
    }
}

async fn list_all(records: &impl Records, list: &List, check: &str) -> Result<ExitCode, CommandError> {
    let filter = EventFilter { most: Some(list.limit), released: list.released, ..list.choice.filter() };
    let (events, looked_back) = listed(records, &filter).await?;
    let entries: Vec<&QuarantineEntry> = events.iter().filter_map(entry).collect();
    if list.json {
        print_json_lines(&events.iter().map(|event| json_line(&event.entry)).collect::<String>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = match (entries.is_empty(), list.released) {
        (true, false) => "Nothing is in quarantine.\n".to_owned(),
        (true, true) => "Nothing was released.\n".to_owned(),
        (false, _) => rows(&entries),
    };
    text += &looked_back.unwrap_or_default();
    if entries.len() as u64 == u64::from(list.limit) {
        let _ = writeln!(text, "The latest {}; --limit shows more.", list.limit);
    }
    if !entries.is_empty() && !list.released {
        let _ = writeln!(text, "`{check}` says which of them can be read now, and releases none.");
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

async fn show_one(repair: &crate::repair::Repair, show: &Show) -> Result<ExitCode, CommandError> {
    let delivery = find(&repair.records, show.id).await?;
    if show.json {
        let entries = delivery.entries().map(|entry| Entry::Quarantine(Box::new(entry.clone())));
        print_json_lines(&entries.map(|entry| json_line(&entry)).collect::<String>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let read = delivery.read(&repair.records).await?;
    if show.raw {
        write_to_stdout(&read.body)?;
    } else {
        print(&one::text(&delivery, &read, &repair.providers))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What matches, and what to say if it was not looked back to the beginning.
async fn listed(
    records: &impl Records,
    filter: &EventFilter,
) -> Result<(Vec<RecordedEvent>, Option<String>), CommandError> {
    let listing = records.events(filter).await?;
    let looked_back = looked_back(&listing);
    Ok((found(listing)?, looked_back))
}

/// The delivery with this id, if something of it is in quarantine.
async fn find(records: &impl Records, id: DeliveryId) -> Result<QuarantinedDelivery, CommandError> {
    let filter = EventFilter { delivery_id: Some(id), outcome: Some(Outcome::Quarantined), ..EventFilter::default() };
    let (events, _) = listed(records, &filter).await?;
    QuarantinedDelivery::group(events).into_iter().next().ok_or(CommandError::NotInQuarantine { id })
}

const fn entry(event: &RecordedEvent) -> Option<&QuarantineEntry> {
    match &event.entry {
        Entry::Quarantine(entry) => Some(entry),
        _ => None,
    }
}

/// An entry came from JSON, so it goes back into it.
fn json_line(entry: &Entry) -> String {
    serde_json::to_string(entry).unwrap_or_default() + "\n"
}

fn rows(entries: &[&QuarantineEntry]) -> String {
    let row = |entry: &&QuarantineEntry| {
        [
            in_seconds(entry.received_at),
            entry.provider.to_string(),
            entry.occurrence.delivery_id.to_string(),
            entry.occurrence.index.0.to_string(),
            state(entry),
        ]
    };
    let columns = ["received (UTC)", "provider", "delivery", "event", "reason"];
    format!("{}\n", table(columns, entries.iter().map(row).collect()))
}

/// Why it is there, and what a release made of it.
fn state(entry: &QuarantineEntry) -> String {
    match (entry.released, entry.quarantined_again_at) {
        (Some(release), _) => {
            format!("{}, since {}; was: {}", release.outcome.as_str(), in_seconds(release.at), entry.reason)
        }
        (None, Some(at)) => format!("{} (again, after a release at {})", entry.reason, in_seconds(at)),
        (None, None) => entry.reason.clone(),
    }
}

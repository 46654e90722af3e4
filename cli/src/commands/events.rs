//! `events`: the ledger.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use intake_pipeline::ledger::Entry;
use intake_pipeline::records::{EventFilter, RecordedEvent, TimeRange};
use intake_providers::delivery::DeliveryId;

use super::error::CommandError;
use super::listing::{Extent, ListUnless, Selection, TAIL_HELP};

mod follow;
mod list;
pub(super) mod row;
mod show;

pub(super) const EXAMPLES: &str = "\
Examples:
  webhook-intake events --since 1h --outcome conflict
  webhook-intake events --provider machnet --id evt_1
  webhook-intake events show 019aa7ba-0b4f-7000-8000-00000000abcd.0
  webhook-intake events tail --type transaction_completed --json | jq .data
  webhook-intake events --stack hooks --region eu-central-1 --reason 'member \"id\"'

The exit code is 0, or 1 if `show` doesn't find exactly one event, and 2 for a wrong command line.";

pub(super) type Arguments = ListUnless<Action, List>;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// List events by the time of arrival. This is what `events` alone does.
    List(List),
    /// Show one event: what it is, its outcome and why, its delivery, and where its data are.
    Show(Show),
    /// Print what comes, one line each, until Ctrl-C. This is `list --follow`.
    ///
    /// With --json the lines are the envelopes that consumers receive, CloudEvents with all their data; duplicates and what is
    /// quarantined have none.
    #[command(after_long_help = TAIL_HELP)]
    Tail(Wanted),
}

/// Which events are wanted.
#[derive(Clone, Debug, Args)]
pub(super) struct Wanted {
    #[command(flatten)]
    selection: Selection,
    /// Only events with this id, which is the provider's own where it has one.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Only events of this subject.
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Only events of this delivery.
    #[arg(long, value_name = "ID")]
    delivery: Option<DeliveryId>,
    /// Only quarantined events with this text in their reason, in upper or lower case.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    wanted: Wanted,
    #[command(flatten)]
    extent: Extent,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The event: its place `<delivery id>.<index>` as `events` lists it, its own id, or the id of its delivery.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    selection: Selection,
    /// Write the bytes of its data and nothing else. Of a quarantined event, the part that could not be read, or its whole delivery.
    /// A terminal may obey them; write them to a file or a pipe.
    #[arg(long, conflicts_with = "json")]
    raw: bool,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let place = arguments.place.place(data_directory);
    let records = Arc::new(place.records().await?);
    match arguments.action.unwrap_or(Action::List(arguments.list)) {
        Action::Show(show) => return show::run(records.as_ref(), &place, &show).await,
        Action::Tail(wanted) => follow::run(&records, &place, &wanted).await?,
        Action::List(List { wanted, extent }) if extent.follow => follow::run(&records, &place, &wanted).await?,
        Action::List(list) => list::run(records.as_ref(), &place, &list).await?,
    }
    Ok(ExitCode::SUCCESS)
}

impl Wanted {
    fn filter(&self, received: TimeRange) -> EventFilter {
        let Selection { provider, outcome, event_type, .. } = self.selection.clone();
        let of_delivery = self.delivery.map(EventFilter::of_delivery).unwrap_or_default();
        EventFilter {
            provider,
            outcome,
            event_type,
            id: self.id.clone(),
            subject: self.subject.clone(),
            reason: self.reason.clone(),
            received: TimeRange {
                since: received.since.max(of_delivery.received.since),
                until: received.until.or(of_delivery.received.until),
            },
            ..of_delivery
        }
    }
}

/// The entries, one JSON object a line. They came from JSON, so they go back into it.
fn json_lines<'a>(events: impl IntoIterator<Item = &'a RecordedEvent>) -> String {
    let json = |entry: &Entry| serde_json::to_string(entry).ok();
    events.into_iter().filter_map(|event| json(&event.entry)).map(|line| line + "\n").collect()
}

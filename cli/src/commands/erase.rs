//! `erase`: what was received is removed, and what decides about a redelivery stays.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_pipeline::erasure::{DryRun, Eraser, Erasure, ErasureError, ErasureReport};
use intake_pipeline::records::TimeRange;
use intake_providers::ProviderName;
use intake_providers::account::AccountName;
use intake_providers::timestamp::Timestamp;

use self::progress::Shown;
use self::target::Target;
use super::error::CommandError;
use super::output::{explain, print, print_json_lines};
use super::parsers::provider_parser;
use super::place::{Place, StackOptions};
use super::since;
use super::unreadable::not_read;
use crate::records::AnyRecords;

mod progress;
mod summary;
mod target;

/// The exit code of a wrong command line.
const USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  webhook-intake erase --entity contact 1cf67ed3 --dry-run
  webhook-intake erase --event evt_1 --event evt_2 --provider machnet
  webhook-intake erase --event 019aa7ba-0b4f-7000-8000-00000000abcd.0 --yes
  webhook-intake erase --before 90d --stack hooks --region eu-central-1 --yes --json";

#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, group = clap::ArgGroup::new("target").required(true).args(["entity", "events", "before"]))]
pub(super) struct Arguments {
    #[command(flatten)]
    place: StackOptions,
    /// An entity, named as `entities` names it: its content, all of its events, and the deliveries that brought them.
    #[arg(long, num_args = 2, value_names = ["COMPONENT", "ID"])]
    entity: Option<Vec<String>>,
    /// An event: its place `<delivery id>.<index>`, its own id, or a delivery's id for all events of it; may be given several times.
    #[arg(long = "event", value_name = "ID")]
    events: Vec<String>,
    /// Everything that was received before then: how long ago, such as 90d, or a time such as 2026-11-21T09:30:00Z. The present content
    /// of entities stays.
    #[arg(long, value_name = "WHEN", value_parser = since::parse)]
    before: Option<Timestamp>,
    /// Only what this provider sent.
    #[arg(long, value_parser = provider_parser(), conflicts_with = "entity")]
    provider: Option<ProviderName>,
    /// Only what was received since then. An event's own id is looked for from there on. [default: from the beginning]
    #[arg(long, value_name = "WHEN", value_parser = since::parse, conflicts_with = "entity")]
    since: Option<Timestamp>,
    /// The account of the entity, where several have it.
    #[arg(long, value_name = "NAME", requires = "entity")]
    account: Option<AccountName>,
    /// Its business.
    #[arg(long, value_name = "ID", requires = "entity")]
    business: Option<String>,
    /// Its organisation.
    #[arg(long, value_name = "NAME", requires = "entity")]
    organisation: Option<String>,
    /// Also erase deliveries that are in quarantine and were never read. What else they hold is lost with them. With --before they are
    /// erased in any case.
    #[arg(long)]
    quarantined: bool,
    /// Erase nothing; print what would be erased and the first events of it.
    #[arg(long)]
    dry_run: bool,
    /// Yes, without being asked.
    #[arg(long)]
    yes: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let asks = !arguments.yes && !arguments.dry_run;
    if asks && !io::stdin().is_terminal() {
        explain("error: nobody can be asked here; say --yes to erase, or --dry-run to see what would be erased\n")?;
        return Ok(ExitCode::from(USAGE));
    }
    let place = arguments.place.place(data_directory);
    let records = place.records().await?;
    let target = Target::find(&records, &arguments).await?;
    if !arguments.yes {
        let shown = Shown::new(arguments.json);
        let report = erase(&records, &DryRun, &target, &arguments, &shown).await?;
        let text = summary::would_be_erased(&report, &shown.sample());
        if arguments.dry_run {
            if arguments.json {
                print_json_lines(&summary::json(&report, Some(&shown.sample())))?;
            } else {
                print(&text)?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        explain(&text)?;
        if !confirmed()? {
            explain("Nothing was erased.\n")?;
            return Ok(ExitCode::FAILURE);
        }
    }
    let report = erase_now(&place, &records, &target, &arguments).await?;
    if arguments.json {
        print_json_lines(&summary::json(&report, None))?;
    } else {
        print(&summary::erased(&report))?;
    }
    if !report.unreadable.is_empty() {
        explain(&not_read(&report.unreadable))?;
    }
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn erase_now(
    place: &Place,
    records: &AnyRecords,
    target: &Target,
    arguments: &Arguments,
) -> Result<ErasureReport, CommandError> {
    let eraser = place.eraser().await?;
    let shown = Shown::new(arguments.json);
    let erased = erase(records, &eraser, target, arguments, &shown).await;
    // Also after a failure: what was erased until then shall be gone.
    let finished = eraser.finish().await;
    let report = match erased {
        Ok(report) => report,
        Err(error) => {
            let from = shown.reached().map_or_else(String::new, |reached| format!(" with --since {reached}"));
            explain(&format!("What was erased stays erased; run the command again{from} to go on.\n"))?;
            return Err(error.into());
        }
    };
    finished?;
    Ok(report)
}

async fn erase<E: Eraser>(
    records: &AnyRecords,
    eraser: &E,
    target: &Target,
    arguments: &Arguments,
    shown: &Shown,
) -> Result<ErasureReport, ErasureError> {
    let erasure =
        Erasure { records, eraser, progress: shown, now: SystemClock.now(), erase_quarantine: arguments.quarantined };
    match target {
        Target::Entity(entity) => erasure.entity(entity).await,
        Target::Events(events) => erasure.events(events.clone()).await,
        Target::Before(before) => {
            let received = TimeRange { since: arguments.since, until: Some(*before) };
            erasure.range(arguments.provider, received).await
        }
    }
}

/// Asks whether to go on.
fn confirmed() -> Result<bool, CommandError> {
    let mut question = io::stderr().lock();
    write!(question, "Nobody can undo this. Type yes to erase: ").map_err(CommandError::Terminal)?;
    question.flush().map_err(CommandError::Terminal)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(CommandError::Terminal)?;
    Ok(answer.trim() == "yes")
}

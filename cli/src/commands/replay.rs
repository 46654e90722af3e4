//! `replay`: events that were recorded are sent to consumers again.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use intake_outbound::ReceiverUrl;
use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_pipeline::ledger::{Occurrence, Outcome};
use intake_pipeline::records::{EventFilter, TimeRange};
use intake_pipeline::replay::{Replay, ReplayReport, occurrence_at};
use intake_providers::ProviderName;
use intake_providers::timestamp::Timestamp;

use self::progress::Shown;
use super::error::CommandError;
use super::output::{explain, print, print_json_lines};
use super::parsers::{outcome_parser, provider_parser};
use super::place::{Place, StackOptions};
use super::since;
use super::unreadable::not_read;
use crate::replay_target::{AnyTarget, payload_location};

mod progress;
mod summary;

/// Maximum rate, in events a second.
const MAX_RATE: i64 = 1_000;

const EXAMPLES: &str = "\
Examples:
  webhook-intake replay --since 2026-11-20T00:00:00Z --until 2026-11-21T00:00:00Z --dry-run
  webhook-intake replay --since 2h --provider machnet --to http://127.0.0.1:8000/events --secret-file secret.json
  webhook-intake replay --since 7d --stack hooks --region eu-central-1 --rate 20
  webhook-intake replay --since 7d --stack hooks --name backfill --resume 019aa7ba-0b4f-7000-8000-00000000abcd.0";

#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: StackOptions,
    /// Only what was received since then: how long ago, such as 30m, 2h or 7d, or a time such as 2026-11-21T09:30:00Z.
    #[arg(long, value_name = "WHEN", value_parser = since::parse)]
    since: Timestamp,
    /// Only what was received before then, in the same form. [default: now]
    #[arg(long, value_name = "WHEN", value_parser = since::parse)]
    until: Option<Timestamp>,
    /// Only what this provider sent.
    #[arg(long, value_parser = provider_parser())]
    provider: Option<ProviderName>,
    /// Only events of this type, with or without the provider's name before it.
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only the event with this id.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Only events of this subject.
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// Only events with this outcome. Consumers receive stored events, repeats and conflicts.
    #[arg(long, value_parser = outcome_parser())]
    outcome: Option<Outcome>,
    /// A receiver to post them to, signed by Standard Webhooks. [default: the stack's event bus]
    #[arg(long, value_name = "URL", requires = "secret_file")]
    to: Option<ReceiverUrl>,
    /// The file with the secrets that sign, of the form {"keys":[{"secret":"whsec_..."}]}.
    #[arg(long, value_name = "FILE", requires = "to")]
    secret_file: Option<PathBuf>,
    /// An event bus of your account, instead of the stack's own.
    #[arg(long, value_name = "NAME", conflicts_with = "to")]
    bus: Option<String>,
    /// Maximum number of events a second.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=MAX_RATE)
    )]
    rate: u32,
    /// The name of the replay, which each envelope has as `replay`. [default: the present time]
    #[arg(long, value_name = "NAME", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: Option<String>,
    /// Go on behind this event, `<delivery id>.<index>`, as a run that was cut off says.
    #[arg(long, value_name = "EVENT", value_parser = place_of_event)]
    resume: Option<Occurrence>,
    /// Send nothing; print how many events would be sent and the first of them.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

fn place_of_event(text: &str) -> Result<Occurrence, &'static str> {
    occurrence_at(text).ok_or("write the place of an event, such as 019aa7ba-0b4f-7000-8000-00000000abcd.0")
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let place = arguments.place.place(data_directory);
    let records = place.records().await?;
    let now = SystemClock.now();
    let name = arguments.name.clone().unwrap_or_else(|| now.to_string());
    let shown = Shown::new(&name, arguments.json || arguments.dry_run);
    let replay =
        Replay { records: &records, progress: &shown, filter: arguments.filter(now), after: arguments.resume, now };
    if arguments.dry_run {
        let report = replay.count().await?;
        if arguments.json {
            print_json_lines(&summary::json(&report, &name, Some(&shown.sample())))?;
        } else {
            print(&summary::would_be_sent(&report, &shown.sample()))?;
        }
        warn(&report)?;
        return Ok(ExitCode::SUCCESS);
    }
    let target = arguments.target(&place, &name).await?;
    let rate = NonZeroU32::new(arguments.rate).unwrap_or(NonZeroU32::MIN);
    let report = tokio::select! {
        report = replay.send(&target, rate) => report,
        _ = tokio::signal::ctrl_c() => {
            explain(&shown.how_to_go_on())?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            explain(&shown.how_to_go_on())?;
            return Err(error.into());
        }
    };
    if arguments.json {
        print_json_lines(&summary::json(&report, &name, None))?;
    } else {
        print(&summary::sent(&report, &name))?;
    }
    warn(&report)?;
    Ok(if report.is_complete() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn warn(report: &ReplayReport) -> Result<(), CommandError> {
    if report.unreadable.is_empty() { Ok(()) } else { explain(&not_read(&report.unreadable)) }
}

impl Arguments {
    fn filter(&self, now: Timestamp) -> EventFilter {
        EventFilter {
            provider: self.provider,
            outcome: self.outcome,
            event_type: self.event_type.clone(),
            id: self.id.clone(),
            subject: self.subject.clone(),
            received: TimeRange { since: Some(self.since), until: Some(self.until.unwrap_or(now)) },
            ..EventFilter::default()
        }
    }

    async fn target(&self, place: &Place, name: &str) -> Result<AnyTarget, CommandError> {
        let stack = match place {
            Place::Directory(_) => None,
            Place::Stack { name, region } => Some((name.as_str(), region.as_deref())),
        };
        let payloads = place.records().await?;
        Ok(match (&self.to, &self.secret_file, stack) {
            (Some(url), Some(secrets), stack) => {
                let location = payload_location(stack).await?;
                AnyTarget::receiver(payloads, location, url.clone(), secrets.clone(), name.to_owned())?
            }
            (_, _, Some(stack)) => AnyTarget::bus(payloads, stack, self.bus.clone(), name.to_owned()).await?,
            (_, _, None) => return Err(CommandError::NowhereToReplay),
        })
    }
}

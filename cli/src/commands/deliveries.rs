//! `deliveries`: what was received, and what became of it.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use intake_pipeline::delivery_record::DeliveryRecord;
use intake_pipeline::ledger::{Outcome, OutcomeCounts};
use intake_pipeline::records::{DeliveryFilter, Records, TimeRange};
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;
use strum::VariantArray as _;

use super::describe::{in_seconds, table};
use super::place::StackOptions;
use super::{CommandError, found, print, print_json_lines, provider_parser, since, write_to_stdout};

mod one;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: StackOptions,
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List deliveries by the time of arrival. This is what `deliveries` alone does.
    List(List),
    /// Show one delivery: its headers, the outcome of each of its events, and where its body is.
    Show(Show),
}

#[derive(Debug, Args)]
struct List {
    /// Only deliveries of this provider.
    #[arg(long, value_parser = provider_parser())]
    provider: Option<ProviderName>,
    /// Only deliveries received since then: how long ago, such as 30m, 2h or 7d, or a time such as 2026-11-21T09:30:00Z.
    #[arg(long, value_name = "WHEN", value_parser = since::parse)]
    since: Option<Timestamp>,
    /// Maximum number of deliveries to list, the latest ones.
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: u32,
    /// Print whole records, one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Show {
    /// The delivery's id.
    #[arg(value_name = "ID")]
    id: DeliveryId,
    /// Print the whole record as a JSON object.
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// Write the body's bytes and nothing else. A terminal may obey them; write them to a file or a pipe.
    #[arg(long)]
    raw: bool,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let records = arguments.place.place(data_directory).records().await?;
    match arguments.action {
        Some(Action::Show(show)) => show_one(&records, show).await,
        Some(Action::List(list)) => list_all(&records, list).await,
        None => list_all(&records, arguments.list).await,
    }
}

async fn list_all(records: &impl Records, list: List) -> Result<ExitCode, CommandError> {
    let filter = DeliveryFilter {
        provider: list.provider,
        received: TimeRange { since: list.since, until: None },
        most: Some(list.limit),
        ..DeliveryFilter::default()
    };
    let records = found(records.deliveries(&filter).await?)?;
    if list.json {
        print_json_lines(&records.iter().map(json).collect::<String>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = if records.is_empty() { "No such delivery.\n".to_owned() } else { rows(&records) };
    if records.len() as u64 == u64::from(list.limit) {
        let _ = writeln!(text, "The latest {}; --limit shows more.", list.limit);
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

async fn show_one(records: &impl Records, show: Show) -> Result<ExitCode, CommandError> {
    let record = records.delivery(show.id).await?;
    let record = record.ok_or(CommandError::UnknownDelivery { id: show.id })?;
    if show.raw {
        write_to_stdout(&record.read_body(records, records).await?)?;
    } else if show.json {
        print_json_lines(&json(&record))?;
    } else {
        print(&one::text(records, &record).await?)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A record as a line of JSON. It came from JSON, so it goes back into it.
fn json(record: &DeliveryRecord) -> String {
    serde_json::to_string(record).unwrap_or_default() + "\n"
}

fn rows(records: &[DeliveryRecord]) -> String {
    let row = |record: &DeliveryRecord| {
        [
            in_seconds(record.received_at),
            record.provider.to_string(),
            record.delivery_id.to_string(),
            size(record.body_bytes),
            duration(time_to_record(record)),
            in_words(record.counts()),
        ]
    };
    let columns = ["received (UTC)", "provider", "delivery", "body", "took", "outcomes"];
    format!("{}\n", table(columns, records.iter().map(row).collect()))
}

/// From the arrival to the moment when the last event was recorded.
fn time_to_record(record: &DeliveryRecord) -> Duration {
    let milliseconds = record.recorded_at.unix_milliseconds().saturating_sub(record.received_at.unix_milliseconds());
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

/// The outcomes that occurred, such as `stored ×7, duplicate`.
fn in_words(counts: OutcomeCounts) -> String {
    let numbers = [counts.stored, counts.duplicate, counts.repeat, counts.conflict, counts.quarantined];
    let words = Outcome::VARIANTS.iter().zip(numbers).filter_map(|(outcome, number)| match number {
        0 => None,
        1 => Some(outcome.as_str().to_owned()),
        _ => Some(format!("{} ×{number}", outcome.as_str())),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn size(bytes: u64) -> String {
    match bytes {
        0..=9_999 => format!("{bytes} B"),
        10_000..=9_999_999 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

/// A duration in its largest unit.
fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=9 => format!("{} ms", time.as_millis()),
        10..=599 => format!("{seconds} s"),
        600..=35_999 => format!("{} min", seconds / 60),
        36_000..=863_999 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_durations_and_outcomes_fit_a_column() {
        assert_eq!([0, 9_999, 10_000, 4_194_304, 12_345_678].map(size), ["0 B", "9999 B", "10 kB", "4194 kB", "12 MB"]);
        let durations =
            [12, 9_999, 10_000, 600_000, 36_000_000, 864_000_000].map(|time| duration(Duration::from_millis(time)));
        assert_eq!(durations, ["12 ms", "9999 ms", "10 s", "10 min", "10 h", "10 d"]);
        let counts = OutcomeCounts { stored: 2, conflict: 1, ..OutcomeCounts::default() };
        assert_eq!(in_words(counts), "stored ×2, conflict");
    }
}

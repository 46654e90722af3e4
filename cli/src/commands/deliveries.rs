//! `deliveries`: what was received, and what became of it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use intake_pipeline::delivery_record::DeliveryRecord;
use intake_pipeline::ledger::{Outcome, OutcomeCounts};
use intake_pipeline::records::{DeliveryFilter, Records, TimeRange};
use intake_providers::delivery::DeliveryId;
use strum::VariantArray as _;

use super::describe::{in_seconds, table};
use super::error::CommandError;
use super::listing::{Extent, ListUnless, Selection, TAIL_HELP, looked_back};
use super::output::{print, print_json_lines, write_to_stdout};
use super::unreadable::found;
use crate::records::AnyRecords;

mod follow;
mod one;

pub(super) use self::one::{outcome, quarantine_reason};

pub(super) const EXAMPLES: &str = "\
Examples:
  webhook-intake deliveries --since 1h --outcome quarantined
  webhook-intake deliveries show 019aa7ba-0b4f-7000-8000-00000000abcd
  webhook-intake deliveries show 019aa7ba-0b4f-7000-8000-00000000abcd --raw > body
  webhook-intake deliveries tail --provider machnet
  webhook-intake deliveries --stack hooks --region eu-central-1 --since 2026-11-21T09:00:00Z --until 2026-11-21T10:00:00Z

The exit code is 0, or 1 if there is no such delivery to show, and 2 for a wrong command line.";

pub(super) type Arguments = ListUnless<Action, List>;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// List deliveries by the time of arrival. This is what `deliveries` alone does.
    List(List),
    /// Show one delivery: its headers, the outcome of each of its events, and where its body is.
    Show(Show),
    /// Print what comes, one line each, until Ctrl-C. This is `list --follow`.
    ///
    /// A delivery that is processed again with other outcomes, such as one that was quarantined, is printed again.
    #[command(after_long_help = TAIL_HELP)]
    Tail(Selection),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    selection: Selection,
    #[command(flatten)]
    extent: Extent,
}

#[derive(Debug, Args)]
pub(super) struct Show {
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
    let place = arguments.place.place(data_directory);
    let records = place.records().await?;
    match arguments.action.unwrap_or(Action::List(arguments.list)) {
        Action::Show(show) => show_one(&records, show).await?,
        Action::Tail(selection) => follow::run(&records, &place, &selection).await?,
        Action::List(List { selection, extent }) if extent.follow => follow::run(&records, &place, &selection).await?,
        Action::List(list) => list_all(&records, &list).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn list_all(records: &AnyRecords, List { selection, extent }: &List) -> Result<(), CommandError> {
    let filter = DeliveryFilter { most: Some(extent.limit), ..filter(selection, extent.received(selection)) };
    let listing = records.deliveries(&filter).await?;
    let looked_back = looked_back(&listing);
    let records = found(listing)?;
    if selection.json {
        return print_json_lines(&records.iter().map(json).collect::<String>());
    }
    let mut text = if records.is_empty() { "No such delivery.\n".to_owned() } else { rows(&records) };
    text.extend(extent.hint(records.len()).into_iter().chain(looked_back));
    print(&text)
}

fn filter(selection: &Selection, received: TimeRange) -> DeliveryFilter {
    let Selection { provider, outcome, event_type, .. } = selection.clone();
    DeliveryFilter { provider, outcome, event_type, received, ..DeliveryFilter::default() }
}

async fn show_one(records: &impl Records, show: Show) -> Result<(), CommandError> {
    let record = records.delivery(show.id).await?;
    let record = record.ok_or(CommandError::UnknownDelivery { id: show.id })?;
    if show.raw {
        write_to_stdout(&record.read_body(records, records).await?)
    } else if show.json {
        print_json_lines(&json(&record))
    } else {
        print(&one::text(records, &record).await?)
    }
}

/// A record as a line of JSON. It came from JSON, so it goes back into it.
fn json(record: &DeliveryRecord) -> String {
    serde_json::to_string(record).unwrap_or_default() + "\n"
}

/// A table whose ids are whole, in 80 columns.
fn rows(records: &[DeliveryRecord]) -> String {
    let row = |record: &DeliveryRecord| {
        let what = format!("{} {} {}", record.provider, in_words(record.counts()), measures(record));
        [in_seconds(record.received_at), record.delivery_id.to_string(), what]
    };
    format!("{}\n", table(["received (UTC)", "delivery", "what it was"], records.iter().map(row).collect()))
}

/// A line for a stream of deliveries.
fn line(record: &DeliveryRecord) -> String {
    format!(
        "{}  {}  {:<12}  {}  {}\n",
        in_seconds(record.received_at),
        record.delivery_id,
        record.provider,
        in_words(record.counts()),
        measures(record)
    )
}

/// Its size, and how long it took to be recorded.
fn measures(record: &DeliveryRecord) -> String {
    format!("({}, {})", size(record.body_bytes), duration(time_to_record(record)))
}

/// From the arrival to the moment when the last event was recorded.
pub(super) fn time_to_record(record: &DeliveryRecord) -> Duration {
    let milliseconds = record.recorded_at.unix_milliseconds().saturating_sub(record.received_at.unix_milliseconds());
    Duration::from_millis(u64::try_from(milliseconds).unwrap_or(0))
}

/// The outcomes that occurred, such as `stored ×7, duplicate`.
pub(super) fn in_words(counts: OutcomeCounts) -> String {
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
pub(super) fn duration(time: Duration) -> String {
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

//! `events`: the ledger as a table.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use intake_pipeline::ledger::{Entry, Outcome};
use intake_providers::ProviderName;
use intake_providers::timestamp::Timestamp;

use super::describe::{in_seconds, remark, short_id, short_type, table};
use super::{CommandError, found, invocation, outcome_parser, print, print_json_lines, provider_parser, since};
use intake_pipeline::records::{EventFilter, RecordedEvent, Records as _, TimeRange};
use intake_sqlite::DataDirectory;
use intake_sqlite::{Database, SqliteQueue, SqliteRecords};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only events of this provider.
    #[arg(long, value_parser = provider_parser())]
    provider: Option<ProviderName>,
    /// Only events with this outcome. A duplicate leaves no event of its own, and `deliveries` lists it; NurtureCloud's do
    /// leave one.
    #[arg(long, value_parser = outcome_parser())]
    outcome: Option<Outcome>,
    /// Only events received since then: how long ago, such as 30m, 2h or 7d, or a time such as 2026-11-21T09:30:00Z.
    #[arg(long, value_name = "WHEN", value_parser = since::parse)]
    since: Option<Timestamp>,
    /// Maximum number of events to list, the latest ones.
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: u32,
    /// Print whole entries, one JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let directory = DataDirectory::existing(data_directory)?;
    let database = Database::open(&directory.database())?;
    let filter = EventFilter {
        provider: arguments.provider,
        outcome: arguments.outcome,
        received: TimeRange { since: arguments.since, until: None },
        most: Some(arguments.limit),
        ..EventFilter::default()
    };
    let events = found(SqliteRecords::new(database.clone()).events(&filter).await?)?;
    if arguments.json {
        print_json_lines(&json_lines(&events))?;
        return Ok(ExitCode::SUCCESS);
    }

    let mut text = if events.is_empty() {
        match arguments.outcome {
            Some(Outcome::Duplicate) => {
                "No such event. Only NurtureCloud's duplicates leave one; `deliveries` lists them all.\n".to_owned()
            }
            _ => "No such event.\n".to_owned(),
        }
    } else {
        format!("{}\n", rows(&events))
    };
    if events.len() as u64 == u64::from(arguments.limit) {
        let _ = writeln!(text, "The latest {}; --limit shows more.", arguments.limit);
    }
    let depth = SqliteQueue::new(database).depth().await?;
    if depth.queued > 0 {
        let _ = writeln!(text, "{} on the queue, not processed yet.", depth.queued);
    }
    if depth.dead_letters > 0 {
        let _ = writeln!(
            text,
            "{} given up after five attempts; `{} dead-letters` says why.",
            depth.dead_letters,
            invocation(data_directory)
        );
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn json_lines(events: &[RecordedEvent]) -> String {
    // Entries came from JSON, so they go back into it.
    events.iter().filter_map(|event| serde_json::to_string(&event.entry).ok()).map(|line| line + "\n").collect()
}

fn rows(events: &[RecordedEvent]) -> comfy_table::Table {
    let rows = events.iter().filter_map(|event| row(&event.entry)).collect();
    table(["received (UTC)", "provider", "outcome", "type", "id", "remark"], rows)
}

fn row(entry: &Entry) -> Option<[String; 6]> {
    let (received_at, provider, outcome, event_type, id) = match entry {
        Entry::Event(event) | Entry::Conflict(event) => {
            let event_type = short_type(&event.cloud_event.event_type);
            (event.received_at, event.provider, event.outcome, event_type, short_id(&event.cloud_event.id))
        }
        Entry::Quarantine(quarantine) => {
            (quarantine.received_at, quarantine.provider, quarantine.outcome, "-".to_owned(), "-".to_owned())
        }
        Entry::Alias(_) | Entry::Hint(_) | Entry::Entity(_) | Entry::Progress(_) => return None,
    };
    Some([
        in_seconds(received_at),
        provider.to_string(),
        outcome.as_str().to_owned(),
        event_type,
        id,
        remark(entry, short_id),
    ])
}

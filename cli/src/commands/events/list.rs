//! Events as a table.

use std::fmt::Write as _;

use intake_pipeline::ledger::Outcome;
use intake_pipeline::records::{EventFilter, Records as _};
use intake_sqlite::{DataDirectory, Database, SqliteQueue};

use super::{List, json_lines, row};
use crate::commands::error::CommandError;
use crate::commands::listing::looked_back;
use crate::commands::output::{print, print_json_lines};
use crate::commands::place::Place;
use crate::commands::unreadable::found;
use crate::records::AnyRecords;

pub(super) async fn run(records: &AnyRecords, place: &Place, list: &List) -> Result<(), CommandError> {
    let List { wanted, extent } = list;
    let filter = EventFilter { most: Some(extent.limit), ..wanted.filter(extent.received(&wanted.selection)) };
    let listing = records.events(&filter).await?;
    let looked_back = looked_back(&listing);
    let events = found(listing)?;
    if wanted.selection.json {
        return print_json_lines(&json_lines(&events));
    }
    let mut text = match (events.is_empty(), wanted.selection.outcome) {
        (false, _) => row::rows(&events),
        (true, Some(Outcome::Duplicate)) => {
            "No such event. Only NurtureCloud's duplicates leave one; `deliveries` lists them all.\n".to_owned()
        }
        (true, _) => "No such event.\n".to_owned(),
    };
    text.extend(extent.hint(events.len()).into_iter().chain(looked_back));
    if let Place::Directory(path) = place {
        let database = Database::open(&DataDirectory::existing(path)?.database())?;
        text += &waiting(&SqliteQueue::new(database), place).await?;
    }
    print(&text)
}

/// What is not among the events yet.
async fn waiting(queue: &SqliteQueue, place: &Place) -> Result<String, CommandError> {
    let mut text = String::new();
    let depth = queue.depth().await?;
    if depth.queued > 0 {
        let _ = writeln!(text, "{} on the queue, not processed yet.", depth.queued);
    }
    if depth.dead_letters > 0 {
        let _ = writeln!(
            text,
            "{} given up after five attempts, `{}` shows the reason of each, and `{}` puts them back on the queue.",
            depth.dead_letters,
            place.call("dead-letters list"),
            place.call("dead-letters redrive --all")
        );
    }
    Ok(text)
}

//! `dead-letters redrive`, and `redrive` as it was called before.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::ExitCode;

use intake_pipeline::dead_letters::{DeadLetter, DeadLetters as _};

use super::{MAX_SEARCHED, Redrive, is_named, undelivered, verdict};
use crate::commands::error::CommandError;
use crate::commands::output::print;
use crate::repair::Repair;
use crate::terminal::escape;

pub(super) async fn run(repair: &Repair, redrive: Redrive) -> Result<ExitCode, CommandError> {
    if redrive.all && !redrive.dry_run {
        print(&redrive_all(repair, redrive.rate).await?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut letters = repair.dead_letters.list(MAX_SEARCHED).await?.dead_letters;
    let mut events = undelivered::list(repair, MAX_SEARCHED).await?;
    let mut text = String::new();
    let mut is_missing = false;
    if !redrive.all {
        let is_known = |id: &String| {
            letters.iter().any(|letter| is_named(letter, id))
                || events.iter().any(|letter| undelivered::is_named(letter, id))
        };
        for id in redrive.ids.iter().filter(|id| !is_known(id)) {
            is_missing = true;
            let _ = writeln!(text, "No dead letter has the id {}.", escape(id));
        }
        letters.retain(|letter| redrive.ids.iter().any(|id| is_named(letter, id)));
        events.retain(|letter| redrive.ids.iter().any(|id| undelivered::is_named(letter, id)));
    }
    if redrive.dry_run {
        for letter in &letters {
            let _ = writeln!(text, "{}: would be moved; {}", name(letter), verdict(repair, letter).await);
        }
        for letter in &events {
            let _ = writeln!(text, "{}: would be forwarded again", undelivered::name(letter));
        }
        let _ = writeln!(text, "{} would be moved.", letters.len() + events.len());
        print(&text)?;
    } else {
        print(&text)?;
        let message_ids: Vec<String> = letters.iter().map(|letter| letter.message_id.clone()).collect();
        let redriven = repair.dead_letters.redrive(&message_ids, redrive.rate).await?;
        let mut text = String::new();
        for letter in &letters {
            let is_moved = redriven.contains(&letter.message_id);
            is_missing |= !is_moved;
            let outcome = if is_moved { "moved back to the queue" } else { "was not found any more" };
            let _ = writeln!(text, "{}: {outcome}", name(letter));
        }
        let again = undelivered::redrive(repair, &events).await?;
        print(&(text + &moved(redriven.len() as u64, again)))?;
    }
    Ok(if is_missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// All of a data directory.
pub(in crate::commands) async fn all_of_directory(data_directory: &Path) -> Result<ExitCode, CommandError> {
    print(&redrive_all(&Repair::of_directory(data_directory)?, None).await?)?;
    Ok(ExitCode::SUCCESS)
}

/// Redrives all, and says how many.
async fn redrive_all(repair: &Repair, rate: Option<NonZeroU32>) -> Result<String, CommandError> {
    let messages = repair.dead_letters.redrive_all(rate).await?;
    let events = undelivered::list(repair, usize::MAX).await?;
    Ok(moved(messages, undelivered::redrive(repair, &events).await?))
}

fn name(letter: &DeadLetter) -> String {
    match letter.origin().delivery_id {
        Some(delivery_id) => format!("message {} of delivery {delivery_id}", escape(&letter.message_id)),
        None => format!("message {}", escape(&letter.message_id)),
    }
}

fn moved(messages: u64, events: u64) -> String {
    let mut text = String::new();
    if messages > 0 {
        let _ = writeln!(text, "{messages} back on the queue; the processor takes them next.");
    }
    if events > 0 {
        let events = if events == 1 { "1 event".to_owned() } else { format!("{events} events") };
        let _ = writeln!(text, "{events} to be forwarded again; `serve --forward-to` does it.");
    }
    if text.is_empty() { "There was nothing to move.\n".to_owned() } else { text }
}

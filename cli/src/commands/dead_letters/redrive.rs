//! `dead-letters redrive`, and `redrive` as it was called before.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use intake_pipeline::dead_letters::{DeadLetter, DeadLetters as _};

use super::{MAX_SEARCHED, Redrive, is_named, verdict};
use crate::commands::error::CommandError;
use crate::commands::output::print;
use crate::repair::Repair;
use crate::terminal::escape;

pub(super) async fn run(repair: &Repair, redrive: Redrive) -> Result<ExitCode, CommandError> {
    if redrive.all && !redrive.dry_run {
        print(&moved(repair.dead_letters.redrive_all(redrive.rate).await?))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut letters = repair.dead_letters.list(MAX_SEARCHED).await?.dead_letters;
    let mut text = String::new();
    let mut is_missing = false;
    if !redrive.all {
        for id in redrive.ids.iter().filter(|id| !letters.iter().any(|letter| is_named(letter, id))) {
            is_missing = true;
            let _ = writeln!(text, "No dead letter has the id {}.", escape(id));
        }
        letters.retain(|letter| redrive.ids.iter().any(|id| is_named(letter, id)));
    }
    if redrive.dry_run {
        for letter in &letters {
            let _ = writeln!(text, "{}: would be moved; {}", name(letter), verdict(repair, letter).await);
        }
        let _ = writeln!(text, "{} would be moved.", letters.len());
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
        print(&(text + &moved(redriven.len() as u64)))?;
    }
    Ok(if is_missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// All of a data directory.
pub(in crate::commands) async fn all_of_directory(data_directory: &Path) -> Result<ExitCode, CommandError> {
    print(&moved(Repair::of_directory(data_directory)?.dead_letters.redrive_all(None).await?))?;
    Ok(ExitCode::SUCCESS)
}

fn name(letter: &DeadLetter) -> String {
    match letter.origin().delivery_id {
        Some(delivery_id) => format!("message {} of delivery {delivery_id}", escape(&letter.message_id)),
        None => format!("message {}", escape(&letter.message_id)),
    }
}

fn moved(number: u64) -> String {
    match number {
        0 => "There was nothing to move.\n".to_owned(),
        number => format!("{number} back on the queue; the processor takes them next.\n"),
    }
}

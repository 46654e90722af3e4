//! `dead-letters`: messages that the queue gave up on, events that forwarding gave up, and the way back.

use std::fmt::Write as _;
use std::num::NonZeroU32;
use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use intake_pipeline::dead_letters::{DeadLetter, DeadLetters, FoundDeadLetters};
use intake_pipeline::forwarding::UndeliveredEvent;
use intake_pipeline::queue_message::MessageOrigin;
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;
use serde::Serialize;

use super::describe::in_seconds;
use super::error::CommandError;
use super::listing::ListUnless;
use super::output::{explain, print, print_json_lines, write_to_stdout};
use crate::repair::Repair;
use crate::terminal::escape;

mod redrive;
mod undelivered;

pub(super) use redrive::all_of_directory;

/// Maximum number of dead letters among which one is looked for.
const MAX_SEARCHED: usize = 10_000;

pub(super) type Arguments = ListUnless<Action, List>;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// List dead letters with the reason why each failed. This is what `dead-letters` alone does.
    ///
    /// On a stack the messages are received for that, because SQS has no other way to look at them: each receive counts, and
    /// others do not see them for up to 30 seconds. The reasons come from the functions' log.
    List(List),
    /// Show one dead letter with its text.
    Show(Show),
    /// Move dead letters back to the queue, or to what is forwarded, after what made them fail was put right.
    ///
    /// What was recorded of a delivery stays as it is. The exit code is 0 only if everything that was named was moved.
    Redrive(Redrive),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Maximum number of dead letters to list.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print one JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// The message's id or its delivery's; of an event, its delivery's id, a dot, and its index.
    #[arg(value_name = "ID")]
    id: String,
    /// Print one JSON object.
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// Write the message's text, or the event's entry, and nothing else. A terminal may obey it; write it to a file or a pipe.
    #[arg(long)]
    raw: bool,
}

#[derive(Debug, Args)]
pub(super) struct Redrive {
    /// The ids of messages, of events, or of their deliveries.
    #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// All dead letters. On a stack SQS moves them itself, at most 500 a second.
    #[arg(long)]
    all: bool,
    /// Only say what would be moved, and whether this program can read it.
    #[arg(long)]
    dry_run: bool,
    /// Maximum number of messages to move in a second. [default: no limit]
    #[arg(long, value_name = "NUMBER")]
    rate: Option<NonZeroU32>,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let place = arguments.place.place(data_directory);
    let repair = place.repair().await?;
    match arguments.action.unwrap_or(Action::List(arguments.list)) {
        Action::List(list) => list_all(&repair, &list, &place.call("dead-letters redrive --all")).await,
        Action::Show(show) => show_one(&repair, &show).await,
        Action::Redrive(redrive) => redrive::run(&repair, redrive).await,
    }
}

async fn list_all(repair: &Repair, list: &List, redrive: &str) -> Result<ExitCode, CommandError> {
    let mut found = repair.dead_letters.list(usize::try_from(list.limit).unwrap_or(usize::MAX)).await?;
    let beside = with_reasons(&repair.dead_letters, &mut found).await;
    let room = usize::try_from(list.limit).unwrap_or(usize::MAX).saturating_sub(found.dead_letters.len());
    let mut events = undelivered::list(repair, room.saturating_add(1)).await?;
    found.is_partial |= events.len() > room;
    events.truncate(room);
    if list.json {
        let messages = found.dead_letters.iter().map(|letter| json_line(&Listed::of(letter)));
        let events = events.iter().map(|letter| json_line(&undelivered::Listed::of(letter)));
        print_json_lines(&messages.chain(events).collect::<String>())?;
    } else {
        let mut text: String = found.dead_letters.iter().map(|letter| in_words(letter) + "\n").collect();
        text.extend(events.iter().map(|letter| undelivered::in_words(letter) + "\n"));
        if text.is_empty() {
            text += "There is no dead letter.\n";
        } else {
            let _ = writeln!(
                text,
                "When the cause is put right, `{redrive}` moves messages back to the queue and has events forwarded again; with --dry-run \
                 it only says what it would do."
            );
        }
        if found.is_partial {
            let shown = found.dead_letters.len() + events.len();
            let _ = writeln!(text, "These are {shown}; --limit shows more.");
        }
        print(&text)?;
    }
    explain(&beside)?;
    Ok(ExitCode::SUCCESS)
}

async fn show_one(repair: &Repair, show: &Show) -> Result<ExitCode, CommandError> {
    let mut found = repair.dead_letters.list(MAX_SEARCHED).await?;
    found.dead_letters.retain(|letter| is_named(letter, &show.id));
    found.dead_letters.truncate(1);
    let beside = with_reasons(&repair.dead_letters, &mut found).await;
    let Some(letter) = found.dead_letters.first() else {
        let events = undelivered::list(repair, MAX_SEARCHED).await?;
        if let Some(letter) = events.iter().find(|letter| undelivered::is_named(letter, &show.id)) {
            show_event(letter, show)?;
            return Ok(ExitCode::SUCCESS);
        }
        return Err(CommandError::NoDeadLetter { id: escape(&show.id).into_owned() });
    };
    if show.raw {
        write_to_stdout(letter.body.as_bytes())?;
    } else if show.json {
        print_json_lines(&json_line(&Shown { listed: Listed::of(letter), body: &letter.body }))?;
    } else {
        let verdict = verdict(repair, letter).await;
        print(&format!("{}now       {verdict}\n\n{}\n", in_words(letter), escape(&letter.body)))?;
    }
    explain(&beside)?;
    Ok(ExitCode::SUCCESS)
}

fn show_event(letter: &UndeliveredEvent, show: &Show) -> Result<(), CommandError> {
    if show.raw {
        write_to_stdout(undelivered::entry(letter).as_bytes())
    } else if show.json {
        print_json_lines(&json_line(&undelivered::Listed::of(letter)))
    } else {
        print(&format!("{}\n{}\n", undelivered::in_words(letter), escape(&undelivered::entry(letter))))
    }
}

/// Adds the reasons, and returns what is to be said beside the output: how the dead letters were found, and whether the reasons are
/// missing. Without them a list is still worth printing.
async fn with_reasons(dead_letters: &impl DeadLetters, found: &mut FoundDeadLetters) -> String {
    if found.dead_letters.is_empty() {
        return String::new();
    }
    let mut beside: String = found.remarks.iter().map(|remark| format!("{remark}\n")).collect();
    if let Err(error) = dead_letters.find_failures(&mut found.dead_letters).await {
        let _ = writeln!(beside, "The reasons are missing, because they could not be searched for: {error}");
    }
    beside
}

/// Whether an id is that of the message or of its delivery.
fn is_named(letter: &DeadLetter, id: &str) -> bool {
    letter.message_id == id || id.parse::<DeliveryId>().is_ok_and(|id| letter.origin().delivery_id == Some(id))
}

/// Whether this program can read the message.
async fn verdict(repair: &Repair, letter: &DeadLetter) -> String {
    match letter.check(&repair.records).await {
        Ok(()) => "this program can read the message and its body".to_owned(),
        Err(error) => format!("would fail again: {}", escape(&error.to_string())),
    }
}

fn in_words(letter: &DeadLetter) -> String {
    let MessageOrigin { delivery_id, provider, received_at } = letter.origin();
    let mut text = format!("message   {}, received {} times\n", escape(&letter.message_id), letter.receive_count);
    let _ = match delivery_id {
        None => writeln!(text, "delivery  unknown, the message does not name one"),
        Some(delivery_id) => {
            let provider = provider.map_or_else(String::new, |provider| format!(" of {provider}"));
            let arrived = received_at.map_or_else(String::new, |at| format!(", received {} UTC", in_seconds(at)));
            let release = if letter.is_release { ", released from quarantine" } else { "" };
            writeln!(text, "delivery  {delivery_id}{provider}{arrived}{release}")
        }
    };
    let _ = match &letter.failure {
        Some(failure) => writeln!(text, "failed    {} UTC: {}", in_seconds(failure.at), escape(&failure.error)),
        None => writeln!(text, "failed    for a reason that is not known"),
    };
    text
}

#[derive(Serialize)]
struct Listed<'a> {
    kind: &'static str,
    message_id: &'a str,
    delivery_id: Option<DeliveryId>,
    provider: Option<ProviderName>,
    received_at: Option<Timestamp>,
    receive_count: u32,
    is_release: bool,
    failed_at: Option<Timestamp>,
    error: Option<&'a str>,
}

impl<'a> Listed<'a> {
    fn of(letter: &'a DeadLetter) -> Self {
        let MessageOrigin { delivery_id, provider, received_at } = letter.origin();
        Self {
            kind: "message",
            message_id: &letter.message_id,
            delivery_id,
            provider,
            received_at,
            receive_count: letter.receive_count,
            is_release: letter.is_release,
            failed_at: letter.failure.as_ref().map(|failure| failure.at),
            error: letter.failure.as_ref().map(|failure| failure.error.as_str()),
        }
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    listed: Listed<'a>,
    body: &'a str,
}

fn json_line(document: &impl Serialize) -> String {
    // Texts and numbers can be written as JSON.
    serde_json::to_string(document).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use intake_pipeline::port_error::PortError;

    use super::*;

    /// A queue whose log cannot be read.
    struct WithoutLog;

    impl DeadLetters for WithoutLog {
        async fn list(&self, _: usize) -> Result<FoundDeadLetters, PortError> {
            Ok(FoundDeadLetters::default())
        }

        async fn find_failures(&self, _: &mut [DeadLetter]) -> Result<(), PortError> {
            Err(PortError::new("logs StartQuery", &std::io::Error::other("AccessDenied")))
        }

        async fn redrive(&self, _: &[String], _: Option<NonZeroU32>) -> Result<Vec<String>, PortError> {
            Ok(Vec::new())
        }

        async fn redrive_all(&self, _: Option<NonZeroU32>) -> Result<u64, PortError> {
            Ok(0)
        }
    }

    #[tokio::test]
    async fn how_dead_letters_were_found_and_that_their_reasons_are_missing_is_said_beside_them() {
        let letter = DeadLetter {
            message_id: "1".to_owned(),
            body: "not a message".to_owned(),
            receive_count: 5,
            is_release: false,
            sent_at: None,
            failure: None,
        };
        let remarks = vec!["Each receive counts.".to_owned()];
        let mut found = FoundDeadLetters { dead_letters: vec![letter], is_partial: false, remarks };
        let beside = with_reasons(&WithoutLog, &mut found).await;
        let [remark, reasons] = beside.lines().collect::<Vec<_>>()[..] else { panic!("{beside}") };
        assert_eq!(remark, "Each receive counts.");
        assert!(reasons.starts_with("The reasons are missing, ") && reasons.ends_with("AccessDenied"), "{reasons}");
        found.dead_letters.clear();
        assert_eq!(with_reasons(&WithoutLog, &mut found).await, "", "there is nothing to say about none");
    }
}

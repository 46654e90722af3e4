//! `doctor`: whether all is well.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

use intake_providers::timestamp::Timestamp;

use super::error::CommandError;
use super::output::{print, print_json_lines};
use super::place::{Place, StackOptions};
use super::since;
use crate::doctor::check::{Check, Verdict};
use crate::doctor::{Call, directory};
use crate::terminal::escape;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    place: StackOptions,
    /// How far back deliveries, quarantine and conflicts are looked at: how long ago, such as 30m, 2h or 7d, or a time such as
    /// 2026-11-21T09:30:00Z. A stack is asked hour by hour, so less takes less time. [default: 7d]
    #[arg(long, value_name = "WHEN", value_parser = since::parse)]
    since: Option<Timestamp>,
    /// Print one JSON object for each check, one a line.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(data_directory: &Path, arguments: Arguments) -> Result<ExitCode, CommandError> {
    let place = arguments.place.place(data_directory);
    let call = |command: &str| place.call(command);
    let checks = match &place {
        Place::Directory(path) => directory::check(path, arguments.since, &call).await?,
        Place::Stack { name, region } => of_stack(name, region.as_deref(), arguments.since, &call).await?,
    };
    if arguments.json {
        // Texts always serialise.
        let lines = checks.iter().filter_map(|check| serde_json::to_string(check).ok());
        print_json_lines(&lines.map(|line| line + "\n").collect::<String>())?;
    } else {
        print(&in_words(&checks))?;
    }
    let is_healthy = checks.iter().all(|check| check.verdict.is_healthy());
    Ok(if is_healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(feature = "aws")]
async fn of_stack(
    name: &str,
    region: Option<&str>,
    since: Option<Timestamp>,
    call: Call<'_>,
) -> Result<Vec<Check>, CommandError> {
    let stack = crate::deployed_stack::open(name, region).await?;
    Ok(crate::doctor::stack::check(&stack, since, call).await)
}

#[cfg(not(feature = "aws"))]
async fn of_stack(
    name: &str,
    region: Option<&str>,
    _since: Option<Timestamp>,
    _call: Call<'_>,
) -> Result<Vec<Check>, CommandError> {
    match crate::deployed_stack::open(name, region).await? {}
}

/// A line for each check, what to do below it, and how many are not well at the end.
fn in_words(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let _ = writeln!(text, "{:<8} {}: {}", word(check.verdict), escape(&check.subject), escape(&check.finding));
        if let Some(remedy) = &check.remedy {
            let _ = writeln!(text, "{:<8}   {}", "", escape(remedy));
        }
    }
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let (wrong, unknown) = (count(Verdict::Wrong), count(Verdict::Unknown));
    text.push_str(&match (wrong, unknown) {
        (0, 0) => "\nAll is well.\n".to_owned(),
        (0, unknown) => format!("\n{unknown} could not be checked.\n"),
        (wrong, 0) => format!("\n{wrong} to put right.\n"),
        (wrong, unknown) => format!("\n{wrong} to put right, and {unknown} could not be checked.\n"),
    });
    text
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Well => "ok",
        Verdict::Notice => "notice",
        Verdict::Wrong => "WRONG",
        Verdict::Unknown => "UNKNOWN",
    }
}

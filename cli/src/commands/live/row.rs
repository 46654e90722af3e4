//! What a line looks like.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::Style;
use intake_pipeline::ledger::{Outcome, OutcomeCounts};
use intake_providers::timestamp::Timestamp;
use strum::VariantArray as _;
use tracing::Level;

use crate::commands::describe::{in_milliseconds, shortened};
use crate::commands::style::{ERROR, FAINT, KNOWN, OK, WARNING};
use crate::terminal::escape;

/// Maximum length of what a line is about, in characters.
pub(super) const MAX_WHAT_CHARACTERS: usize = 60;

/// What became of a delivery or a request.
pub(super) struct Row {
    /// When it arrived.
    pub(super) at: Timestamp,
    /// Who sent it; empty if that is not known.
    pub(super) provider: String,
    /// How long the answer took, if there was one.
    pub(super) took: Option<Duration>,
    /// What it is.
    pub(super) what: String,
    /// What became of it, each part in its colour.
    pub(super) result: Vec<(Style, String)>,
    /// What is to be said beyond that.
    pub(super) remark: Option<String>,
    /// The command that shows more.
    pub(super) hint: Option<String>,
}

impl Row {
    /// The line in colours, with its line break. Whatever is in it, it is shown as text.
    pub(super) fn shown(&self) -> String {
        let provider = if self.provider.is_empty() { "-" } else { &self.provider };
        let took = self.took.map_or_else(|| "-".to_owned(), milliseconds);
        let what = shortened(&self.what, MAX_WHAT_CHARACTERS, MAX_WHAT_CHARACTERS - 1);
        let mut text = format!("{}  {:<12}  {took:>8}  {what:<28}  ", time(self.at), escape(provider));
        for (number, (style, part)) in self.result.iter().enumerate() {
            let _ = write!(text, "{}{style}{}{style:#}", if number > 0 { ", " } else { "" }, escape(part));
        }
        if let Some(remark) = &self.remark {
            let _ = write!(text, ": {}", escape(remark));
        }
        if let Some(hint) = &self.hint {
            let _ = write!(text, "  {FAINT}{}{FAINT:#}", escape(hint));
        }
        text + "\n"
    }
}

/// The outcomes that occurred, each in its colour.
pub(super) fn outcomes(counts: OutcomeCounts) -> Vec<(Style, String)> {
    let numbers = [counts.stored, counts.duplicate, counts.repeat, counts.conflict, counts.quarantined];
    let occurred = Outcome::VARIANTS.iter().zip(numbers).filter(|(_, number)| *number > 0);
    occurred
        .map(|(outcome, number)| {
            let style = match outcome {
                Outcome::Stored => OK,
                Outcome::Duplicate | Outcome::Repeat => KNOWN,
                Outcome::Conflict | Outcome::Quarantined => WARNING,
            };
            let number = if number == 1 { String::new() } else { format!(" ×{number}") };
            (style, format!("{}{number}", outcome.as_str()))
        })
        .collect()
}

/// Any other log line.
pub(super) fn message(at: Timestamp, level: Level, message: &str, fields: &[(&'static str, String)]) -> String {
    let style = match level {
        Level::ERROR => ERROR,
        Level::WARN => WARNING,
        Level::INFO => Style::new(),
        Level::DEBUG | Level::TRACE => FAINT,
    };
    let mut text = format!("{}  {style}{}{style:#}", time(at), escape(message));
    for (name, value) in fields {
        let _ = write!(text, "  {FAINT}{name}={FAINT:#}{}", escape(value));
    }
    text + "\n"
}

/// The time of the day in UTC, as tables show it.
fn time(at: Timestamp) -> String {
    let at = in_milliseconds(at);
    let time = at.split_once(' ').map_or(at.as_str(), |(_, time)| time);
    format!("{FAINT}{time}{FAINT:#}")
}

fn milliseconds(time: Duration) -> String {
    match time.as_millis() {
        0 => "<1 ms".to_owned(),
        milliseconds => format!("{milliseconds} ms"),
    }
}

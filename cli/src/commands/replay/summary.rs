//! What was sent, in words and in JSON.

use std::fmt::Write as _;

use intake_pipeline::ledger::Entry;
use intake_pipeline::records::RecordedEvent;
use intake_pipeline::replay::ReplayReport;
use serde::Serialize;

use crate::commands::events::row;
use crate::terminal::escape;

#[derive(Serialize)]
struct Document<'a> {
    dry_run: bool,
    replay: &'a str,
    #[serde(flatten)]
    report: &'a ReplayReport,
    /// Number of entries that could not be read.
    unreadable: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<Vec<&'a Entry>>,
}

/// The report as a line of JSON; with a sample it is that of a dry run.
pub(super) fn json(report: &ReplayReport, name: &str, sample: Option<&[RecordedEvent]>) -> String {
    let document = Document {
        dry_run: sample.is_some(),
        replay: name,
        report,
        unreadable: report.unreadable.len(),
        sample: sample.map(|sample| sample.iter().map(|event| &event.entry).collect()),
    };
    serde_json::to_string(&document).unwrap_or_default() + "\n"
}

/// What would be sent, with a sample.
pub(super) fn would_be_sent(report: &ReplayReport, sample: &[RecordedEvent]) -> String {
    let mut text = format!("Would send {}.\n", counts(report));
    if !sample.is_empty() {
        let first = if sample.len() as u64 == report.sent { "They are" } else { "The first ones" };
        let _ = write!(text, "{first}:\n{}", row::rows(sample));
    }
    text
}

/// What was sent.
pub(super) fn sent(report: &ReplayReport, name: &str) -> String {
    let mut text = format!("Sent {}, as replay {}.\n", counts(report), escape(name));
    for refused in &report.refused {
        let _ = writeln!(text, "{} was refused: {}", refused.event, escape(&refused.reason));
    }
    if let Some(failure) = &report.failure {
        let _ = writeln!(text, "{} could not be sent: {}", failure.event, escape(&failure.reason));
        text += &how_to_go_on(report.position.as_deref(), name);
        let _ = writeln!(text, "To leave that one out, say --resume {}.", failure.event);
    }
    text
}

/// How to go on with a run that was cut off.
pub(super) fn how_to_go_on(position: Option<&str>, name: &str) -> String {
    match position {
        Some(position) => {
            format!("Go on with the same command and --name {} --resume {position}.\n", shell_word(&escape(name)))
        }
        None => "Nothing was sent; run the same command again.\n".to_owned(),
    }
}

fn shell_word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if text.bytes().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn counts(report: &ReplayReport) -> String {
    let events = |count: u64| if count == 1 { "1 event".to_owned() } else { format!("{count} events") };
    let mut text = events(report.sent);
    if report.erased > 0 {
        let _ = write!(text, "; passed over {} whose data were erased", report.erased);
    }
    if report.passed_over > 0 {
        let _ = write!(text, "; passed over {} that consumers never receive", report.passed_over);
    }
    text
}

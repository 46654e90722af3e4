//! What was erased, in words and in JSON.

use std::fmt::Write as _;

use intake_pipeline::erasure::ErasureReport;
use intake_pipeline::ledger::Entry;
use intake_pipeline::records::RecordedEvent;
use intake_providers::delivery::DeliveryId;
use serde::Serialize;

use crate::commands::events::row;

#[derive(Serialize)]
struct Document<'a> {
    dry_run: bool,
    #[serde(flatten)]
    report: &'a ErasureReport,
    /// Number of entries that could not be read.
    unreadable: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<Vec<&'a Entry>>,
}

/// The report as a line of JSON; with a sample it is that of a dry run.
pub(super) fn json(report: &ErasureReport, sample: Option<&[RecordedEvent]>) -> String {
    let document = Document {
        dry_run: sample.is_some(),
        report,
        unreadable: report.unreadable.len(),
        sample: sample.map(|sample| sample.iter().map(|event| &event.entry).collect()),
    };
    serde_json::to_string(&document).unwrap_or_default() + "\n"
}

/// What would be erased, with a sample.
pub(super) fn would_be_erased(report: &ErasureReport, sample: &[RecordedEvent]) -> String {
    let mut text = format!("Would erase {}.\n", counts(report));
    if !sample.is_empty() {
        let first =
            if sample.len() as u64 == report.events + report.quarantined { "They are" } else { "The first ones" };
        let _ = write!(text, "{first}:\n{}", row::rows(sample));
    }
    text + &left(report)
}

/// What was erased.
pub(super) fn erased(report: &ErasureReport) -> String {
    format!("Erased {}.\n{}", counts(report), left(report))
}

fn counts(report: &ErasureReport) -> String {
    let counts = [
        (report.events, "event", "events"),
        (report.quarantined, "quarantined event", "quarantined events"),
        (report.entities, "entity's content", "entities' content"),
        (report.deliveries, "delivery", "deliveries"),
        (report.payloads, "payload", "payloads"),
    ];
    let mut parts: Vec<String> = counts
        .into_iter()
        .filter(|(count, _, _)| *count > 0)
        .map(|(count, one, many)| format!("{count} {}", if count == 1 { one } else { many }))
        .collect();
    if parts.is_empty() {
        parts.push("nothing".to_owned());
    }
    if report.erased_before > 0 {
        parts.push(format!("and {} before", report.erased_before));
    }
    parts.join(", ")
}

/// What was left, and why.
fn left(report: &ErasureReport) -> String {
    let mut text = String::new();
    if report.payloads_in_use > 0 {
        let _ = writeln!(
            text,
            "Left {} payloads, which are also the content of an entity or of another event of it; --entity erases them.",
            report.payloads_in_use
        );
    }
    if !report.left_in_quarantine.is_empty() {
        let ids: Vec<String> = report.left_in_quarantine.iter().map(DeliveryId::to_string).collect();
        let _ = writeln!(
            text,
            "Left in quarantine, whole, because other events of them were never read: deliveries {}. Release them first, or say \
             --quarantined to erase them with all they hold.",
            ids.join(", ")
        );
    }
    text
}

//! One quarantined delivery in words.

use std::fmt::Write as _;

use intake_pipeline::ledger::QuarantinedContent;
use intake_pipeline::quarantine::{QuarantinedDelivery, Verdict};
use intake_providers::delivery::Delivery;
use intake_providers::split::Split;

use super::state;
use crate::commands::describe::in_milliseconds;
use crate::terminal::escape;

/// What follows a heading, from this column on.
const INDENT: &str = "          ";

pub(super) fn text(delivery: &QuarantinedDelivery, read: &Delivery, providers: &impl Split) -> String {
    let mut text = format!("delivery {} of {}, account {}\n\n", read.id, read.provider, read.account());
    let _ = writeln!(text, "received  {}", in_milliseconds(read.received_at));
    let _ = writeln!(text, "key       {}", escape(&read.authenticated_by.fingerprint.to_string()));
    let _ = writeln!(text, "body      {} bytes, SHA-256 {}", read.body.len(), read.sha256);
    for (number, header) in read.headers.iter().enumerate() {
        let heading = if number == 0 { "headers" } else { "" };
        let value = String::from_utf8_lossy(&header.value);
        let _ = writeln!(text, "{heading:<width$}{}: {}", escape(&header.name), escape(&value), width = INDENT.len());
    }
    for (entry, verdict) in delivery.entries().zip(delivery.check(read, providers)) {
        let _ = writeln!(text, "\nevent {}: {}", entry.occurrence.index.0, escape(&state(entry)));
        let _ = writeln!(text, "{INDENT}{}", in_words(&verdict, &entry.reason));
        if let QuarantinedContent::Kept { data: Some(data), .. } = &entry.content {
            let _ = writeln!(text, "{INDENT}{}", escape(data));
        }
    }
    text
}

/// What would become of an event now.
pub(super) fn in_words(verdict: &Verdict, reason: &str) -> String {
    match verdict {
        Verdict::Readable => "can be read now".to_owned(),
        Verdict::QuarantinedAgain(again) if again == reason => {
            "would be quarantined again, for the same reason".to_owned()
        }
        Verdict::QuarantinedAgain(again) => format!("would be quarantined again: {}", escape(again)),
    }
}

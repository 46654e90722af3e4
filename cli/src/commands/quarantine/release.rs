//! `quarantine release`: what can be read now is processed again.
//!
//! A delivery is sent to the queue as it is kept, marked as a release; the processor takes its entries out of the quarantine once
//! their events are recorded. So nothing has to be undone if this program is interrupted, and what is released twice is recorded once.

use std::process::ExitCode;

use intake_pipeline::quarantine::{QuarantinedDelivery, Verdict};
use intake_pipeline::queue::Queue as _;
use intake_pipeline::rate_limiter::RateLimiter;
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use serde::Serialize;

use super::one::in_words;
use super::{Release, find, listed};
use crate::commands::error::CommandError;
use crate::commands::output::{explain, print, print_json_lines};
use crate::repair::Repair;
use crate::terminal::escape;

/// What was decided about a delivery.
#[derive(Serialize)]
struct Decision {
    delivery_id: DeliveryId,
    provider: ProviderName,
    /// Whether it was sent, or would have been.
    released: bool,
    dry_run: bool,
    events: Vec<EventDecision>,
    /// Why it cannot even be fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct EventDecision {
    index: u32,
    reason: String,
    readable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    would_be_quarantined: Option<String>,
    #[serde(skip)]
    words: String,
}

pub(super) async fn run(repair: &Repair, release: &Release, list: &str) -> Result<ExitCode, CommandError> {
    let (deliveries, looked_back) = chosen(repair, release).await?;
    let mut pace = release.rate.map(RateLimiter::per_second);
    let (mut released, mut left) = (0_u64, 0_u64);
    for delivery in &deliveries {
        let decision = decide(repair, release, delivery).await;
        if decision.released && !release.dry_run {
            if let Some(pace) = &mut pace {
                pace.turn().await;
            }
            // Without content it can't have been read, and is not released.
            if let Some(message) = delivery.release() {
                repair.queue.send(&message).await?;
            }
        }
        if decision.released {
            released += 1
        } else {
            left += 1
        }
        // Each is said when it is done, in case the next one fails.
        if release.json {
            print_json_lines(&(serde_json::to_string(&decision).unwrap_or_default() + "\n"))?;
        } else {
            print(&text(&decision))?;
        }
    }
    if !release.json {
        print(&(summary(release, released, left) + &looked_back.unwrap_or_default()))?;
        if released > 0 && !release.dry_run {
            explain(&format!("`{list}` says whether anything comes back.\n"))?;
        }
    }
    Ok(if left > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The deliveries that were chosen, and what to say if it was not looked back to the beginning for them.
async fn chosen(
    repair: &Repair,
    release: &Release,
) -> Result<(Vec<QuarantinedDelivery>, Option<String>), CommandError> {
    if !release.all {
        // All of them are looked up before any is sent.
        let mut deliveries: Vec<QuarantinedDelivery> = Vec::new();
        for id in &release.ids {
            if !deliveries.iter().any(|known| known.id() == *id) {
                deliveries.push(find(&repair.records, *id).await?);
            }
        }
        return Ok((deliveries, None));
    }
    let (events, looked_back) = listed(&repair.records, &release.choice.filter()).await?;
    Ok((QuarantinedDelivery::group(events), looked_back))
}

async fn decide(repair: &Repair, release: &Release, delivery: &QuarantinedDelivery) -> Decision {
    let (events, error): (Vec<EventDecision>, _) = match delivery.read(&repair.records).await {
        Err(error) => (Vec::new(), Some(error.to_string())),
        Ok(read) => {
            let verdicts = delivery.check(&read, &repair.providers).into_iter();
            (
                delivery
                    .entries()
                    .zip(verdicts)
                    .map(|(entry, verdict)| EventDecision {
                        index: entry.occurrence.index.0,
                        reason: entry.reason.clone(),
                        words: in_words(&verdict, &entry.reason),
                        readable: verdict == Verdict::Readable,
                        would_be_quarantined: match verdict {
                            Verdict::Readable => None,
                            Verdict::QuarantinedAgain(again) => Some(again),
                        },
                    })
                    .collect(),
                None,
            )
        }
    };
    Decision {
        delivery_id: delivery.id(),
        provider: delivery.provider(),
        released: error.is_none() && (release.anyway || events.iter().any(|event| event.readable)),
        dry_run: release.dry_run,
        events,
        error,
    }
}

fn text(decision: &Decision) -> String {
    let done = match (decision.released, decision.dry_run) {
        (true, false) => "released",
        (true, true) => "would be released",
        (false, _) => "left in quarantine",
    };
    let mut text = format!("{} of {}: {done}\n", decision.delivery_id, decision.provider);
    if let Some(error) = &decision.error {
        text += &format!("  cannot be read: {}\n", escape(error));
    }
    for event in &decision.events {
        text += &format!("  event {} ({}) {}\n", event.index, escape(&event.reason), event.words);
    }
    text
}

fn summary(release: &Release, released: u64, left: u64) -> String {
    let done = if release.dry_run { "would be released" } else { "released" };
    match (released, left) {
        (0, 0) => "Nothing is in quarantine.\n".to_owned(),
        (_, 0) => format!("{released} {done}.\n"),
        (_, _) if release.anyway => format!("{released} {done}, {left} cannot be read.\n"),
        _ => {
            format!("{released} {done}, {left} left in quarantine; --anyway releases those that can be fetched too.\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use intake_pipeline::ledger::{Condition, ConditionalPut, Entry, EntryKey, Ledger as _};
    use intake_providers::digest::Sha256Digest;
    use intake_providers::timestamp::Timestamp;
    use intake_sqlite::{DataDirectory, Database, SqliteLedger};
    use serde_json::json;
    use tokio::time::Instant;

    use super::super::Choice;
    use super::*;

    const BODY: &str = r#"{"id":"e1","event_name":"x.y","resource_id":"r"}"#;

    /// Puts a delivery into the quarantine that can be read.
    async fn quarantine(data: &Path, number: u32) {
        let id = DeliveryId::new(Timestamp::EPOCH, [u8::try_from(number).unwrap(); 10]);
        let received_at = "2026-11-26T12:00:00.000Z";
        let document = json!({
            "version": 1, "delivery_id": id, "provider": "machnet", "received_at": received_at, "headers": [],
            "authenticated_by": {"account": "main", "fingerprint": "8d9530e3"},
            "sha256": Sha256Digest::of(BODY.as_bytes()), "body": {"text": BODY},
        });
        let entry: Entry = serde_json::from_value(json!({
            "kind": "quarantine", "outcome": "quarantined", "provider": "machnet", "reason": "unknown",
            "document": document.to_string(), "delivery_id": id, "index": 0, "received_at": received_at,
            "time_bucket": "b", "time_order": format!("{received_at}#{id}"),
        }))
        .unwrap();
        let key = EntryKey { partition: format!("quarantine#{id}"), sort: "00000".to_owned() };
        let put = ConditionalPut { key, entry, condition: Condition::Absent };
        let ledger = SqliteLedger::new(Database::open(&DataDirectory::at(data).database()).unwrap());
        ledger.put(Timestamp::EPOCH, &[put]).await.unwrap();
    }

    // The clock stands still, and goes on by what is waited for.
    #[tokio::test(start_paused = true)]
    async fn deliveries_are_released_at_the_rate_that_was_given() {
        let data = tempfile::tempdir().unwrap();
        DataDirectory::create(data.path()).unwrap();
        for number in 1..=3 {
            quarantine(data.path(), number).await;
        }
        let repair = Repair::of_directory(data.path()).unwrap();
        for (rate, dry_run, milliseconds) in [(None, false, 0), (Some(2), false, 1_500), (Some(2), true, 0)] {
            let release = Release {
                ids: Vec::new(),
                all: true,
                choice: Choice { provider: None, reason: None, since: None, until: None },
                dry_run,
                rate: rate.and_then(std::num::NonZeroU32::new),
                anyway: false,
                json: true,
            };
            let started = Instant::now();
            assert_eq!(run(&repair, &release, "quarantine").await.unwrap(), ExitCode::SUCCESS);
            let took = started.elapsed().as_millis();
            assert!((milliseconds..milliseconds + 100).contains(&took), "{rate:?}, dry {dry_run}: {took} ms");
        }
    }
}

//! The outcomes of events, as the log of the processors tells them.

use std::collections::{BTreeMap, BTreeSet};

use intake_providers::delivery::DeliveryId;
use serde::Deserialize;

/// What the lines say.
#[derive(Debug, Default)]
pub(crate) struct Outcomes {
    /// Every outcome that was ever reported of an event.
    pub(crate) of_events: BTreeMap<(DeliveryId, u32), BTreeSet<String>>,
    /// The deliveries of which some line says that they are processed.
    pub(crate) processed: BTreeSet<DeliveryId>,
    /// Whether a delivery was acknowledged without its record.
    pub(crate) without_record: BTreeSet<DeliveryId>,
    /// What the intakes and the drain say of deliveries: accepted, rejected or unknown.
    pub(crate) of_intake: BTreeMap<DeliveryId, String>,
}

#[derive(Deserialize)]
struct Line {
    message: String,
    delivery_id: Option<String>,
    outcomes: Option<String>,
    outcome: Option<String>,
}

impl Outcomes {
    /// Reads the log of a run.
    pub(crate) fn read(log: &str) -> Self {
        let mut outcomes = Self::default();
        for line in log.lines() {
            let meant = ["\"message\":\"delivery\"", "record processed", "cannot be written"];
            let is_meant = meant.iter().any(|part| line.contains(part));
            if is_meant && let Ok(line) = serde_json::from_str::<Line>(line) {
                outcomes.note(&line);
            }
        }
        outcomes
    }

    fn note(&mut self, line: &Line) {
        let Some(delivery_id) = line.delivery_id.as_ref().and_then(|id| id.parse::<DeliveryId>().ok()) else { return };
        match line.message.as_str() {
            "record processed" => {
                self.processed.insert(delivery_id);
                for outcome in line.outcomes.as_deref().unwrap_or_default().split(',') {
                    if let Some((index, outcome)) = outcome.split_once('=')
                        && let Ok(index) = index.parse()
                    {
                        self.of_events.entry((delivery_id, index)).or_default().insert(outcome.to_owned());
                    }
                }
            }
            "delivery" => {
                self.of_intake.insert(delivery_id, line.outcome.clone().unwrap_or_default());
            }
            _ => {
                // Its record cannot be written.
                self.without_record.insert(delivery_id);
            }
        }
    }
}

//! What became of a delivery, as the processor's line in the log reports it. The ledger cannot report it for a duplicate, which
//! leaves no entry.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use intake_pipeline::ledger::Outcome;
use intake_providers::delivery::DeliveryId;
use serde::Deserialize;
use tokio::time::Instant;

use crate::commands::error::CommandError;

/// A log from a certain place on.
pub(super) struct OutcomeLog {
    path: PathBuf,
    start: u64,
}

/// A line of the processor.
#[derive(Deserialize)]
struct Line {
    delivery_id: DeliveryId,
    outcomes: String,
}

impl OutcomeLog {
    /// Everything that is logged from now on. The file is made if it isn't there.
    pub(super) fn open(path: &Path) -> Result<Self, CommandError> {
        let failed = |source| CommandError::Log { path: path.to_owned(), source };
        let file = File::options().create(true).append(true).open(path).map_err(failed)?;
        let start = file.metadata().map_err(failed)?.len();
        Ok(Self { path: path.to_owned(), start })
    }

    /// Waits for the outcomes of a delivery's events.
    pub(super) async fn wait_for(
        &self,
        delivery_id: DeliveryId,
        patience: Duration,
    ) -> Result<Option<Vec<Outcome>>, CommandError> {
        let until = Instant::now() + patience;
        loop {
            let log = self.read().map_err(|source| CommandError::Log { path: self.path.clone(), source })?;
            let outcomes = outcomes(&log, delivery_id);
            if outcomes.is_some() || Instant::now() > until {
                return Ok(outcomes);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn read(&self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.start))?;
        let mut log = String::new();
        file.read_to_string(&mut log)?;
        Ok(log)
    }
}

fn outcomes(log: &str, delivery_id: DeliveryId) -> Option<Vec<Outcome>> {
    log.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .find(|line: &Line| line.delivery_id == delivery_id)
        .and_then(|line| {
            let named = line.outcomes.split(',').zip(0_usize..).map(|(named, index)| {
                let name = named.strip_prefix(&format!("{index}="))?;
                name.parse().ok()
            });
            named.collect()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outcomes_are_taken_from_the_processors_line_of_that_delivery() {
        let log = r#"{"level":"INFO","message":"delivery","delivery_id":"019aa000-0000-7000-8000-000000000001","outcome":"accepted"}
{"level":"INFO","message":"record processed","delivery_id":"019aa000-0000-7000-8000-000000000002","outcomes":"0=stored"}
{"level":"INFO","message":"record processed","delivery_id":"019aa000-0000-7000-8000-000000000001","outcomes":"0=duplicate,1=stored"}
{"level":"INFO","message":"rec"#;
        let first = "019aa000-0000-7000-8000-000000000001".parse().unwrap();
        assert_eq!(outcomes(log, first), Some(vec![Outcome::Duplicate, Outcome::Stored]));
        let unknown = "019aa000-0000-7000-8000-000000000003".parse().unwrap();
        assert_eq!(outcomes(log, unknown), None);
    }
}

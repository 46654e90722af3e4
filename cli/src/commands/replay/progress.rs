//! What is shown while events are sent.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use intake_pipeline::records::RecordedEvent;
use intake_pipeline::replay::{ReplayProgress, ReplayReport};
use intake_providers::timestamp::Timestamp;

use super::summary::how_to_go_on;
use crate::commands::describe::in_seconds;
use crate::commands::output::explain;

/// Maximum number of events of a sample.
const MAX_SAMPLE: usize = 10;

/// Time between two lines of progress.
const PAUSE: Duration = Duration::from_secs(5);

/// Shows the progress of a run, and keeps a sample.
pub(super) struct Shown(Mutex<State>);

struct State {
    name: String,
    is_quiet: bool,
    sample: Vec<RecordedEvent>,
    position: Option<String>,
    last_line: Instant,
}

impl Shown {
    pub(super) fn new(name: &str, is_quiet: bool) -> Self {
        let (sample, position, last_line) = (Vec::new(), None, Instant::now());
        Self(Mutex::new(State { name: name.to_owned(), is_quiet, sample, position, last_line }))
    }

    /// The first events.
    pub(super) fn sample(&self) -> Vec<RecordedEvent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).sample.clone()
    }

    /// What to say when the run is cut off.
    pub(super) fn how_to_go_on(&self) -> String {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        how_to_go_on(state.position.as_deref(), &state.name)
    }
}

impl ReplayProgress for Shown {
    fn chosen(&self, event: &RecordedEvent) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.sample.len() < MAX_SAMPLE {
            state.sample.push(event.clone());
        }
    }

    fn reached(&self, until: Timestamp, so_far: &ReplayReport) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.position.clone_from(&so_far.position);
        if !state.is_quiet && state.last_line.elapsed() >= PAUSE {
            state.last_line = Instant::now();
            // What can't be shown doesn't stop it.
            let at = so_far.position.as_deref().unwrap_or("no event yet");
            drop(explain(&format!("{} sent, last {at}, before {}\n", so_far.sent, in_seconds(until))));
        }
    }
}

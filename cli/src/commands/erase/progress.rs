//! What is shown while it is erased.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use intake_pipeline::erasure::{ErasureReport, Progress};
use intake_pipeline::records::RecordedEvent;
use intake_providers::timestamp::Timestamp;

use crate::commands::describe::in_seconds;
use crate::commands::output::explain;

/// Maximum number of events of a sample.
const MAX_SAMPLE: usize = 10;

/// Time between two lines of progress.
const PAUSE: Duration = Duration::from_secs(5);

/// Shows the progress of a long run, and keeps a sample.
pub(super) struct Shown(Mutex<State>);

struct State {
    is_quiet: bool,
    sample: Vec<RecordedEvent>,
    reached: Option<Timestamp>,
    last_line: Instant,
}

impl Shown {
    pub(super) fn new(is_quiet: bool) -> Self {
        Self(Mutex::new(State { is_quiet, sample: Vec::new(), reached: None, last_line: Instant::now() }))
    }

    /// The first events.
    pub(super) fn sample(&self) -> Vec<RecordedEvent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).sample.clone()
    }

    /// The time up to which everything is done.
    pub(super) fn reached(&self) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).reached
    }
}

impl Progress for Shown {
    fn erased(&self, event: &RecordedEvent) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.sample.len() < MAX_SAMPLE {
            state.sample.push(event.clone());
        }
    }

    fn reached(&self, until: Timestamp, so_far: &ErasureReport) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.reached = Some(until);
        if !state.is_quiet && state.last_line.elapsed() >= PAUSE {
            state.last_line = Instant::now();
            // What can't be shown doesn't stop it.
            let events = so_far.events + so_far.quarantined;
            drop(explain(&format!("up to {}: {events} events, {} deliveries\n", in_seconds(until), so_far.deliveries)));
        }
    }
}

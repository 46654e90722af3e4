//! What happened in a run, one line for each step. The same seed gives the same lines, to the byte.

use std::fmt::Write as _;
use std::time::Duration;

use crate::guarded::Guarded;

/// The lines, if they are wanted: writing them takes longer than the run itself.
#[derive(Debug)]
pub(crate) struct Trace(Option<Guarded<String>>);

impl Trace {
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self(is_wanted.then(Guarded::default))
    }

    /// Writes a line: when, who, and what.
    pub(crate) fn line(&self, at: impl FnOnce() -> Duration, who: &str, what: impl FnOnce() -> String) {
        if let Some(lines) = &self.0 {
            let at = at();
            let (seconds, milliseconds) = (at.as_secs(), at.subsec_millis());
            // Writing to a string does not fail.
            let _ = writeln!(lines.get(), "{seconds:>6}.{milliseconds:03}  {who:<16} {}", what());
        }
    }

    /// All lines so far.
    pub(crate) fn text(&self) -> String {
        self.0.as_ref().map(|lines| lines.get().clone()).unwrap_or_default()
    }
}

//! Pauses between attempts that the SDK does not make.

use std::time::Duration;

use tokio::time::Instant;

use crate::timeouts::ContentionBudget;

/// The pauses of one write.
pub(crate) struct Pauses {
    budget: ContentionBudget,
    started: Instant,
    longest: Duration,
    /// Number of attempts that have failed.
    pub(crate) attempts: u32,
}

impl Pauses {
    pub(crate) fn new(budget: ContentionBudget) -> Self {
        Self { budget, started: Instant::now(), longest: budget.first_pause, attempts: 0 }
    }

    /// Waits after an attempt that failed, and returns whether there is time for another one.
    pub(crate) async fn next(&mut self) -> bool {
        self.attempts += 1;
        let pause = self.longest.mul_f64(fastrand::f64());
        self.longest = self.longest.saturating_mul(2).min(self.budget.longest_pause);
        if self.attempts >= self.budget.attempts || self.started.elapsed() + pause > self.budget.within {
            return false;
        }
        tokio::time::sleep(pause).await;
        true
    }
}

//! Timeouts and retries of calls to AWS.
//!
//! Each budget has three limits, one inside the other: a connection, an attempt (connection, request and answer), and the
//! operation (all attempts and the pauses between them). The attempt's limit rescues a function that Lambda
//! had frozen: its pooled connections may have been dropped silently, and only a new attempt makes a new connection.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;

/// Timeouts and retries for one kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Timeout of a connection, TLS included.
    pub connect: Duration,
    /// Timeout of one attempt, its connection included.
    pub attempt: Duration,
    /// Timeout of the operation: all attempts and the pauses between them.
    pub operation: Duration,
    /// Maximum number of attempts.
    pub attempts: u32,
    /// Maximum first pause after throttling; it doubles with each attempt, and each pause is a random fraction of it. After
    /// other failures the SDK starts at 50 ms.
    pub first_pause: Duration,
    /// Maximum pause between two attempts.
    pub longest_pause: Duration,
}

impl Budget {
    pub(crate) fn timeout_config(&self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.connect)
            .operation_attempt_timeout(self.attempt)
            .operation_timeout(self.operation)
            .build()
    }

    pub(crate) fn retry_config(&self) -> RetryConfig {
        RetryConfig::standard()
            .with_max_attempts(self.attempts)
            .with_initial_backoff(self.first_pause)
            .with_max_backoff(self.longest_pause)
    }
}

/// Calls of an operator's command, for which a person waits.
#[cfg(feature = "operator")]
pub const OPERATOR: Budget = Budget {
    connect: Duration::from_secs(3),
    attempt: Duration::from_secs(10),
    operation: Duration::from_secs(30),
    attempts: 4,
    first_pause: Duration::from_millis(200),
    longest_pause: Duration::from_secs(5),
};

/// Small calls of an intake, which answers within 3 seconds: `SendMessage` and `GetSecretValue`.
///
/// They usually take 10 to 50 ms. Two attempts may hang, and the operation still has time for a third. A first request that
/// needs both the secret and the queue meets its deadline unless both hang; then the deadline cuts the second call off.
pub const INTAKE: Budget = Budget {
    connect: Duration::from_millis(500),
    attempt: Duration::from_millis(900),
    operation: Duration::from_millis(2_200),
    attempts: 3,
    first_pause: Duration::from_millis(100),
    longest_pause: Duration::from_millis(400),
};

/// Storing a large body in an intake: up to 4 MiB, from a function with a fraction of a processor. An attempt may take longer,
/// so there is time for only one more.
pub const INTAKE_PAYLOADS: Budget = Budget { attempt: Duration::from_millis(1_400), attempts: 2, ..INTAKE };

/// Keeping a refused request, for which its answer waits 300 ms at most. One attempt only: each is billed, and a stranger causes
/// it.
pub const REFUSED: Budget = Budget {
    connect: Duration::from_millis(300),
    attempt: Duration::from_millis(300),
    operation: Duration::from_millis(300),
    attempts: 1,
    ..INTAKE
};

/// Every call of the processor, which has 30 seconds and redelivers failed records.
///
/// Long enough for throttling to pass. Three operations in a row, usually the maximum for one event, fit into the function's
/// timeout.
pub const PROCESSOR: Budget = Budget {
    connect: Duration::from_secs(1),
    attempt: Duration::from_secs(3),
    operation: Duration::from_secs(8),
    attempts: 5,
    first_pause: Duration::from_millis(200),
    longest_pause: Duration::from_secs(2),
};

/// Every call of the drain. A batch does not delay another one, and its messages are redelivered if it fails; but once the run
/// has received its last message, everything in flight must be sent within its margin of 12 s.
pub const DRAIN: Budget = Budget { attempt: Duration::from_secs(4), operation: Duration::from_secs(9), ..PROCESSOR };

/// Retries of a write to the ledger when another writer holds one of its items, or the table throttles it within a
/// transaction. The SDK does not retry these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentionBudget {
    /// Maximum number of attempts.
    pub attempts: u32,
    /// Maximum first pause; it doubles with each attempt, and each pause is a random fraction of it.
    pub first_pause: Duration,
    /// Maximum pause between two attempts.
    pub longest_pause: Duration,
    /// No attempt starts later than this after the first.
    pub within: Duration,
}

/// A conflict lasts as long as the other writer's transaction, some 10 to 30 ms, and a processor works on ten records at once.
pub const LEDGER_CONTENTION: ContentionBudget = ContentionBudget {
    attempts: 12,
    first_pause: Duration::from_millis(25),
    longest_pause: Duration::from_millis(800),
    within: Duration::from_secs(6),
};

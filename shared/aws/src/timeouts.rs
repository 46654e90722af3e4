//! How long calls to AWS may take, and how often they are tried.
//!
//! Each budget has three limits, one inside the other: a connection, an attempt (connection, request and answer), and the
//! operation (all attempts and the pauses between them). The attempt's limit is what saves a function that Lambda had
//! frozen: its pooled connections may have died without a word, and only a new attempt makes a new connection.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;

/// The time for calls of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For one attempt, its connection included.
    pub attempt: Duration,
    /// For all attempts and the pauses between them.
    pub operation: Duration,
    /// How many attempts are made at most.
    pub attempts: u32,
    /// The longest first pause after throttling; it doubles with each attempt, and each pause is a random part of it. After
    /// other failures the SDK starts at 50 ms.
    pub first_pause: Duration,
    /// The longest pause.
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

/// Small calls of an intake, which answers within 3 seconds: `SendMessage` and `GetSecretValue`.
///
/// They usually take 10 to 50 ms. Two attempts may hang, and the rest of the operation is for a third one. A first request
/// that needs the secret and the queue stays inside its deadline unless both hang; then the deadline cuts the second off.
pub const INTAKE: Budget = Budget {
    connect: Duration::from_millis(500),
    attempt: Duration::from_millis(900),
    operation: Duration::from_millis(2_200),
    attempts: 3,
    first_pause: Duration::from_millis(100),
    longest_pause: Duration::from_millis(400),
};

/// The store of a large body by an intake: up to 4 MiB, from a function with a fraction of a processor. One attempt gets
/// longer, so there is room for one more only.
pub const INTAKE_PAYLOADS: Budget = Budget { attempt: Duration::from_millis(1_400), attempts: 2, ..INTAKE };

/// Every call of the processor, which has 30 seconds and redelivers failed records.
///
/// Long enough for throttling to pass, and three operations in a row, the most that one event usually needs, fit into the
/// function's time.
pub const PROCESSOR: Budget = Budget {
    connect: Duration::from_secs(1),
    attempt: Duration::from_secs(3),
    operation: Duration::from_secs(8),
    attempts: 5,
    first_pause: Duration::from_millis(200),
    longest_pause: Duration::from_secs(2),
};

/// Every call of the drain. A batch holds up no other one, and its messages are redelivered if it fails; but after the run
/// has taken its last message, everything that is out must be sent within its margin of 12 s.
pub const DRAIN: Budget = Budget { attempt: Duration::from_secs(4), operation: Duration::from_secs(9), ..PROCESSOR };

/// How a write to the ledger is tried again when another writer holds one of its items, or the table throttles it within a
/// transaction. The SDK doesn't try these again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentionBudget {
    /// How many attempts are made at most.
    pub attempts: u32,
    /// The longest first pause; it doubles with each attempt, and each pause is a random part of it.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// No attempt starts later than this after the first one.
    pub within: Duration,
}

/// A conflict lasts as long as the other writer's transaction, some 10 to 30 ms, and a processor works on ten records at once.
pub const LEDGER_CONTENTION: ContentionBudget = ContentionBudget {
    attempts: 12,
    first_pause: Duration::from_millis(25),
    longest_pause: Duration::from_millis(800),
    within: Duration::from_secs(6),
};

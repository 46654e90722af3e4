//! What the HTTP flows have in common: a body is read up to a limit, and an answer is out within the deadline, whatever happens to
//! the work on the request.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use intake_providers::answer::{Fault, Rejection};
use tokio::time::{Instant, timeout_at};

/// When a request must be answered at the latest. Callers that know put it into the request's extensions, where it bounds the
/// flow's own deadline: Lambda ends an invocation at its timeout, whatever the settings say. A flow puts its deadline into the
/// extensions of its answer, for what is done before that is sent.
#[derive(Clone, Copy, Debug)]
pub struct AnswerBy(pub Instant);

/// Bounds the work on each request.
#[derive(Debug)]
pub(crate) struct Guard {
    deadline: Duration,
    /// What starting took, in milliseconds, until the first request has been charged with it.
    uncharged_start_milliseconds: AtomicU64,
}

impl Guard {
    pub(crate) const fn new(deadline: Duration) -> Self {
        Self { deadline, uncharged_start_milliseconds: AtomicU64::new(0) }
    }

    /// Charges the first request with the time that the process has taken to start.
    pub(crate) fn charge_start(&self, start: Duration) {
        let milliseconds = u64::try_from(start.as_millis()).unwrap_or(u64::MAX);
        self.uncharged_start_milliseconds.store(milliseconds, Ordering::Relaxed);
    }

    /// Runs the work on a request until the deadline, or until `answer_by` if that is earlier.
    pub(crate) async fn run<T>(&self, answer_by: Option<AnswerBy>, work: impl Future<Output = T>) -> Ran<T> {
        let started = Instant::now();
        let start = Duration::from_millis(self.uncharged_start_milliseconds.swap(0, Ordering::Relaxed));
        let own = started + self.deadline.saturating_sub(start);
        let answer_by = answer_by.map_or(own, |AnswerBy(latest)| own.min(latest));
        let result = match timeout_at(answer_by, AssertUnwindSafe(work).catch_unwind()).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(_panic)) => Err(Fault::Panic),
            Err(_elapsed) => Err(Fault::DeadlineExceeded),
        };
        Ran { result, duration: started.elapsed(), answer_by: AnswerBy(answer_by) }
    }
}

/// What work on a request came to.
pub(crate) struct Ran<T> {
    /// [`Fault::DeadlineExceeded`] when the work was given up, and [`Fault::Panic`] when it panicked.
    pub(crate) result: Result<T, Fault>,
    /// How long it took.
    pub(crate) duration: Duration,
    /// When the answer is due.
    pub(crate) answer_by: AnswerBy,
}

/// Reads a body up to a limit, in bytes.
pub(crate) async fn collect<B>(body: B, limit_bytes: usize) -> Result<Bytes, Rejection>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let too_large = Rejection::BodyTooLarge { limit_bytes };
    if body.size_hint().lower() > limit_bytes as u64 {
        return Err(too_large);
    }
    match Limited::new(body, limit_bytes).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large),
        Err(_) => Err(Rejection::BodyUnreadable),
    }
}

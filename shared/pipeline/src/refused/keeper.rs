//! Keeps refused requests whole where a function runs on AWS, and makes sure that a stranger cannot run up a bill with it.
//!
//! - A function has so many places for each hour, and a place is taken by whoever writes to it first. So all copies of the function
//!   together keep no more than that, without a count that they would have to share.
//! - A refused request costs at most one write. A copy takes its places in an order of its own, and stops until the next hour once
//!   three writes of it have failed, because their places were taken or because the store does not work. So with `n` places and `c`
//!   copies there are at most `n + 3 c` writes an hour.
//! - The answer waits for the write, because Lambda freezes the process once it has the answer: 300 ms at most, and only if the
//!   answer is not due before that. Whatever fails changes nothing of the answer.

use std::convert::Infallible;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use intake_providers::delivery::DeliveryId;
use intake_providers::explain::provider_of;
use intake_providers::timestamp::Timestamp;
use tokio::time::{Instant, timeout};
use tower::Service;

use super::{RawQuery, RefusedSummary, document};
use crate::answering::AnswerBy;
use crate::clock::Clock;
use crate::port_error::PortError;
use crate::problem::Refusal;

/// Maximum number of requests that a function can be asked to keep an hour.
pub const MAX_KEPT_PER_HOUR: u8 = 100;

/// Maximum size of a body that is kept whole, in bytes: 1 MiB. Of a larger one the beginning is kept.
pub const MAX_KEPT_BODY_BYTES: usize = 1024 * 1024;

/// What the keys of all kept requests begin with.
pub const KEY_PREFIX: &str = "refused/";

/// How long an answer waits at most.
const TIME_LIMIT: Duration = Duration::from_millis(300);

/// After how many writes that failed nothing more is written in the same hour.
const MAX_FAILED_WRITES: u8 = 3;

/// Where refused requests are kept.
pub trait RefusedStore: Send + Sync + 'static {
    /// Writes a document to a place, unless it is taken, and tries that once only.
    fn put_new(&self, key: &str, document: Bytes) -> impl Future<Output = Result<PutNew, PortError>> + Send;
}

/// What became of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutNew {
    /// It was written.
    Written,
    /// The place was taken.
    Taken,
}

/// What the keys of a function's kept requests of an hour begin with.
#[must_use]
pub fn hour_prefix(function: &str, received_at: Timestamp) -> String {
    format!("{KEY_PREFIX}{function}/{}/", received_at.hour())
}

/// Keeps the requests that a function refuses.
#[derive(Debug)]
pub struct RefusedKeeper<S, C> {
    store: S,
    clock: C,
    function: &'static str,
    max_per_hour: u8,
    hour: Mutex<Hour>,
}

/// What this copy of the function has done in the current hour.
#[derive(Debug, Default)]
struct Hour {
    prefix: String,
    untried_places: Vec<u8>,
    failed_writes: u8,
}

impl<S: RefusedStore, C: Clock> RefusedKeeper<S, C> {
    /// Keeps at most `max_per_hour` requests of the function of this name an hour.
    pub fn new(store: S, clock: C, function: &'static str, max_per_hour: u8) -> Self {
        Self { store, clock, function, max_per_hour, hour: Mutex::default() }
    }

    /// Answers a request by the function's flow, and keeps it if the flow has refused it.
    pub async fn answer<F>(&self, flow: &mut F, request: Request<Full<Bytes>>) -> Response<Full<Bytes>>
    where
        F: Service<Request<Full<Bytes>>, Response = Response<Full<Bytes>>, Error = Infallible>,
    {
        let received = Received::of(&request, self.clock.now());
        let Ok(response) = flow.call(request).await;
        let refusal = response.extensions().get::<Refusal>();
        if let (Some(refusal), Some(AnswerBy(answer_by))) = (refusal, response.extensions().get()) {
            // On the heap, because it is large, and most requests need none of it.
            self.keep(received, refusal, response.status(), *answer_by).boxed().await;
        }
        response
    }

    async fn keep(&self, received: Received, refusal: &Refusal, status: StatusCode, answer_by: Instant) {
        if Instant::now() + TIME_LIMIT > answer_by {
            return;
        }
        let id = refusal.id.unwrap_or_else(|| self.clock.new_delivery_id(received.at));
        let received_at = id.received_at().unwrap_or(received.at);
        let prefix = hour_prefix(self.function, received_at);
        let Some(place) = self.take_place(&prefix, id) else { return };
        let key = format!("{prefix}{place:03}");
        let write = async {
            let document = received.document(id, received_at, refusal.reason, status).await;
            self.store.put_new(&key, document).await
        };
        let error = match timeout(TIME_LIMIT, AssertUnwindSafe(write).catch_unwind()).await {
            Ok(Ok(Ok(PutNew::Written))) => {
                tracing::info!(delivery_id = %id, key, "refused request kept");
                return;
            }
            Ok(Ok(Ok(PutNew::Taken))) => None,
            Ok(Ok(Err(error))) => Some(error.to_string()),
            Ok(Err(_panic)) => Some("a defect of ours".to_owned()),
            Err(_elapsed) => Some(format!("there was no answer within {} ms", TIME_LIMIT.as_millis())),
        };
        if let Some(error) = error {
            tracing::warn!(delivery_id = %id, error, "the refused request cannot be kept");
        }
        self.count_failure(&prefix);
    }

    /// A place that this copy has not tried in this hour. Ids are random, and so is the order of the places.
    fn take_place(&self, prefix: &str, id: DeliveryId) -> Option<u8> {
        let mut hour = self.hour.lock().unwrap_or_else(PoisonError::into_inner);
        if hour.prefix != prefix {
            let untried_places = (0..self.max_per_hour).collect();
            *hour = Hour { prefix: prefix.to_owned(), untried_places, failed_writes: 0 };
        }
        let untried = u8::try_from(hour.untried_places.len()).unwrap_or(u8::MAX);
        if untried == 0 || hour.failed_writes >= MAX_FAILED_WRITES {
            return None;
        }
        Some(hour.untried_places.swap_remove(id.shard(untried).into()))
    }

    fn count_failure(&self, prefix: &str) {
        let mut hour = self.hour.lock().unwrap_or_else(PoisonError::into_inner);
        if hour.prefix == prefix {
            hour.failed_writes = hour.failed_writes.saturating_add(1);
        }
    }
}

/// A request before its flow takes it. Its parts are reference-counted but for the list of headers.
struct Received {
    at: Timestamp,
    method: Method,
    path: String,
    query: Option<RawQuery>,
    headers: HeaderMap,
    body: Full<Bytes>,
}

impl Received {
    fn of(request: &Request<Full<Bytes>>, at: Timestamp) -> Self {
        Self {
            at,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: request.extensions().get().cloned(),
            headers: request.headers().clone(),
            body: request.body().clone(),
        }
    }

    async fn document(self, id: DeliveryId, received_at: Timestamp, reason: &str, status: StatusCode) -> Bytes {
        let Ok(body) = self.body.collect().await;
        let body = body.to_bytes();
        let kept = body.slice(..body.len().min(MAX_KEPT_BODY_BYTES));
        let summary = RefusedSummary {
            id,
            received_at,
            provider: provider_of(&self.path),
            status: status.as_u16(),
            reason: reason.to_owned(),
            method: self.method.to_string(),
            target: self.query.map_or(self.path.clone(), |RawQuery(query)| format!("{}?{query}", self.path)),
            body_bytes: kept.len() as u64,
            is_whole: kept.len() == body.len(),
        };
        document::write(&summary, &self.headers, &kept)
    }
}

#[cfg(test)]
mod tests;

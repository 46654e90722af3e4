//! From a request to an answer.
//!
//! The flow is a tower service over plain `http` types, so that Lambda and the development server run the same code. The cheap
//! checks come first: method, proof of the right form, size of the body. Then the keys, then the signature. Only what is
//! verified becomes a delivery, and only what is durable on the queue is acknowledged. Any fault of ours, a panic included, is
//! answered in the provider's own way of "send it again", within the deadline.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::Full;
use intake_providers::active_keys::MatchedKey;
use intake_providers::answer::{Answer, Fault, Rejection};
use intake_providers::authentic::Authentic;
use intake_providers::delivery::{DeliveryId, VerifiedDelivery};
use intake_providers::request::UnverifiedRequest;
use intake_providers::timestamp::Timestamp;
use intake_providers::webhook::{KeyFreshness, VerifyError, Webhook};
use serde::Serialize;

use crate::answering::{Guard, collect};
use crate::clock::Clock;
use crate::counters::{ProviderCounter, count_rejected};
use crate::evidence::Evidence;
use crate::key_cache::{KeyCache, Newer};
use crate::platform::Platform;
use crate::port_error::PortError;
use crate::preparation::prepare;
use crate::problem::{self, Refusal};
use crate::queue::Queue;
use crate::queue_message::QueueMessage;

/// Maximum size of a body, in bytes: 4 MiB. Lambda takes 6 MB, and a binary body arrives in base64.
pub const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// Settings of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntakeSettings {
    /// Maximum time until a request is answered. For the first request of a process it includes the time that starting took.
    pub deadline: Duration,
    /// Maximum age of cached keys before they are read again.
    pub secret_refresh: Duration,
}

impl Default for IntakeSettings {
    /// Three seconds, and five minutes.
    fn default() -> Self {
        Self { deadline: Duration::from_secs(3), secret_refresh: Duration::from_secs(5 * 60) }
    }
}

/// The intake of one provider.
pub struct Intake<W: Webhook, P: Platform>(Arc<Inner<W, P>>);

impl<W: Webhook, P: Platform> Clone for Intake<W, P> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<W: Webhook, P: Platform> {
    /// `None` without usable settings: then every request is answered "send it again".
    parts: Option<Parts<W, P>>,
    clock: P::Clock,
    guard: Guard,
}

struct Parts<W: Webhook, P: Platform> {
    queue: P::Queue,
    payloads: P::Payloads,
    keys: KeyCache<W::Keys, P::Secrets>,
}

impl<W: Webhook, P: Platform> Intake<W, P> {
    /// An intake on these ports.
    pub fn new(
        queue: P::Queue,
        payloads: P::Payloads,
        secrets: P::Secrets,
        clock: P::Clock,
        settings: IntakeSettings,
    ) -> Self {
        let parts = Parts {
            queue,
            payloads,
            keys: KeyCache::new(W::NAME.as_str(), secrets, W::read_keys, settings.secret_refresh),
        };
        Self::with(Some(parts), clock, settings.deadline)
    }

    /// An intake without usable settings. It answers every request "send it again": for a function that fails to start, API
    /// Gateway would answer, with a status that may count as delivered or as final.
    pub fn unconfigured(clock: P::Clock) -> Self {
        Self::with(None, clock, IntakeSettings::default().deadline)
    }

    fn with(parts: Option<Parts<W, P>>, clock: P::Clock, deadline: Duration) -> Self {
        Self(Arc::new(Inner { parts, clock, guard: Guard::new(deadline) }))
    }

    /// The answer to a request that can't be parsed: the provider's own "send it again".
    #[must_use]
    pub fn answer_unreadable(&self) -> Response<Full<Bytes>> {
        let progress = self.0.begin(Evidence::default());
        self.0.conclude(&Answer::RetryLater(Fault::RequestUnreadable), &progress, Duration::ZERO)
    }

    /// Reads the keys and connects to the queue, side by side and for at most this long, so that the first request finds both. What
    /// fails is logged, and the first request does it.
    pub async fn prepare(&self, at_most: Duration) {
        if let Some(parts) = &self.0.parts {
            tokio::join!(
                prepare("keys", at_most, parts.keys.prefetch()),
                prepare("queue", at_most, parts.queue.connect()),
            );
        }
    }

    /// Charges the first request with the time that the process has taken to start.
    #[must_use]
    pub fn started_in(self, start: Duration) -> Self {
        self.0.guard.charge_start(start);
        self
    }
}

impl<W, P, B> tower::Service<Request<B>> for Intake<W, P>
where
    W: Webhook,
    P: Platform,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { Ok(inner.answer(request).await) })
    }
}

/// What the request's log line reports, filled in on the way.
struct Progress {
    received_at: Timestamp,
    delivery_id: DeliveryId,
    /// Whether the delivery may be on the queue although its answer is unknown.
    undecided: AtomicBool,
    offloaded: AtomicBool,
    body_bytes: AtomicU64,
    matched: OnceLock<MatchedKey>,
    /// What is wrong with a proof that did not hold.
    detail: OnceLock<String>,
    evidence: Evidence,
}

impl<W: Webhook, P: Platform> Inner<W, P> {
    async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let progress = self.begin(Evidence::of(&request));
        let answer_by = request.extensions().get().copied();
        let ran = self.guard.run(answer_by, self.take(request, &progress)).await;
        let answer = match ran.result {
            Ok(Ok(())) => Answer::Accepted,
            Ok(Err(answer)) => answer,
            Err(fault) => Answer::RetryLater(fault),
        };
        let mut response = self.conclude(&answer, &progress, ran.duration);
        response.extensions_mut().insert(ran.answer_by);
        response
    }

    fn begin(&self, evidence: Evidence) -> Progress {
        let received_at = self.clock.now();
        Progress {
            received_at,
            delivery_id: self.clock.new_delivery_id(received_at),
            undecided: AtomicBool::new(false),
            offloaded: AtomicBool::new(false),
            body_bytes: AtomicU64::new(0),
            matched: OnceLock::new(),
            detail: OnceLock::new(),
            evidence,
        }
    }

    fn conclude(&self, answer: &Answer, progress: &Progress, duration: Duration) -> Response<Full<Bytes>> {
        self.report(answer, progress, duration);
        respond(answer, W::status(answer), W::challenge(answer), progress.delivery_id)
    }

    /// Handles a request. `Ok` means that the delivery is on the queue.
    async fn take<B>(&self, request: Request<B>, progress: &Progress) -> Result<(), Answer>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        if head.method != Method::POST {
            return Err(Answer::Rejected(Rejection::MethodNotAllowed));
        }
        let Some(parts) = &self.parts else {
            return Err(Answer::RetryLater(Fault::ConfigurationInvalid));
        };
        let proof = W::credential(head.uri.path(), &head.headers).map_err(Answer::Rejected)?;
        let body = collect(body, MAX_BODY_BYTES).await.map_err(Answer::Rejected)?;
        progress.body_bytes.store(body.len() as u64, Ordering::Relaxed);

        let request = UnverifiedRequest::new(head.headers, body);
        let request = parts.verify(request, &proof, progress).await?;
        let _ = progress.matched.set(request.authenticated_by().clone());
        let delivery = VerifiedDelivery::new(request, progress.delivery_id, progress.received_at);

        let unavailable = |error: PortError| {
            tracing::error!(provider = %W::NAME, delivery_id = %progress.delivery_id, %error, "the delivery cannot be queued");
            Answer::RetryLater(Fault::QueueUnavailable)
        };
        let document = QueueMessage::prepare(&delivery, &parts.payloads).await.map_err(unavailable)?;
        progress.offloaded.store(document.offloaded(), Ordering::Relaxed);
        progress.undecided.store(true, Ordering::Relaxed);
        let sent = parts.queue.send(&document).await;
        let undecided = sent.as_ref().is_err_and(|error| error.may_have_taken_effect());
        progress.undecided.store(undecided, Ordering::Relaxed);
        sent.map_err(unavailable)
    }

    fn report(&self, answer: &Answer, progress: &Progress, duration: Duration) {
        let (outcome, reason) = match answer {
            Answer::Accepted => {
                ProviderCounter::Accepted.count(W::NAME);
                ("accepted", None)
            }
            Answer::Rejected(rejection) => {
                count_rejected(rejection);
                if rejection.is_unverified() {
                    ProviderCounter::Unverified.count(W::NAME);
                }
                ("rejected", Some(rejection.reason()))
            }
            Answer::RetryLater(fault) => {
                ProviderCounter::Faults.count(W::NAME);
                // Abandoned during the call to the queue, which may or may not have the delivery.
                let is_unknown = progress.undecided.load(Ordering::Relaxed);
                if is_unknown {
                    ProviderCounter::Unknown.count(W::NAME);
                }
                (if is_unknown { "unknown" } else { "rejected" }, Some(fault.reason()))
            }
        };
        let matched = progress.matched.get();
        // An accepted delivery is recorded with its headers; of a refused request only this line remains.
        let evidence = (!matches!(answer, Answer::Accepted)).then_some(&progress.evidence);
        tracing::info!(
            provider = W::NAME.as_str(),
            delivery_id = %progress.delivery_id,
            outcome,
            reason,
            detail = progress.detail.get(),
            status = W::status(answer).as_u16(),
            account = matched.map(|key| key.account.as_str()),
            key_fingerprint = matched.map(|key| key.fingerprint.as_str()),
            body_bytes = progress.body_bytes.load(Ordering::Relaxed),
            offloaded = progress.offloaded.load(Ordering::Relaxed).then_some(true),
            duration_microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            route = evidence.map(|_| W::ROUTE.pattern()),
            source_address = evidence.and_then(Evidence::source_address),
            api_request_id = evidence.and_then(Evidence::api_request_id),
            user_agent = evidence.and_then(Evidence::user_agent),
            header_names = evidence.map(Evidence::header_names),
            content_length = evidence.and_then(Evidence::content_length),
            "delivery"
        );
    }
}

impl<W: Webhook, P: Platform> Parts<W, P> {
    async fn verify(
        &self,
        request: UnverifiedRequest,
        proof: &W::Credential,
        progress: &Progress,
    ) -> Result<Authentic, Answer> {
        let now = progress.received_at;
        let note = |keys: Option<&W::Keys>| {
            if let Some(detail) = keys.and_then(|keys| W::detail(proof, keys, now)) {
                let _ = progress.detail.set(detail);
            }
        };
        let mut keys = self.keys.keys().await.map_err(|_logged| Answer::RetryLater(Fault::SecretsUnavailable))?;
        let attempted = attempt::<W>(request, proof, keys.get(), now).inspect_err(|_| note(keys.get()))?;
        let unverified = match attempted {
            Ok(verified) => return Ok(verified),
            Err(request) => request,
        };
        let freshness = match self.keys.newer_than(&keys).await {
            Newer::Keys(newer) => {
                let attempted = attempt::<W>(unverified, proof, newer.get(), now).inspect_err(|_| note(newer.get()))?;
                if let Ok(verified) = attempted {
                    return Ok(verified);
                }
                keys = newer;
                KeyFreshness::Fresh
            }
            Newer::None => KeyFreshness::Fresh,
            Newer::Unavailable => KeyFreshness::Stale,
        };
        note(keys.get());
        match keys.get() {
            Some(keys) if !W::is_unset(keys) => Err(W::no_key_matches(freshness)),
            _ => Err(Answer::RetryLater(Fault::NoActiveKey)),
        }
    }
}

/// Checks a request against keys, and returns it if newer ones may help.
fn attempt<W: Webhook>(
    request: UnverifiedRequest,
    proof: &W::Credential,
    keys: Option<&W::Keys>,
    now: Timestamp,
) -> Result<Result<Authentic, UnverifiedRequest>, Answer> {
    let Some(keys) = keys else { return Ok(Err(request)) };
    match W::verify(request, proof, keys, now) {
        Ok(verified) => Ok(Ok(verified)),
        Err(VerifyError::NoKeyMatches(request)) => Ok(Err(request)),
        Err(VerifyError::Rejected(rejection)) => Err(Answer::Rejected(rejection)),
    }
}

#[derive(Serialize)]
struct Receipt {
    delivery_id: DeliveryId,
}

fn respond(
    answer: &Answer,
    status: StatusCode,
    challenge: Option<HeaderValue>,
    delivery_id: DeliveryId,
) -> Response<Full<Bytes>> {
    let mut response = match answer {
        Answer::Accepted => problem::json(status, &Receipt { delivery_id }),
        Answer::Rejected(rejection) => problem::problem(status, rejection.reason(), rejection.to_string(), delivery_id),
        // Which part of ours failed is in our log; a stranger only learns to send it again.
        Answer::RetryLater(fault) => problem::problem(status, "send-again", fault.to_string(), delivery_id),
    };
    if let Some(reason) = answer.reason() {
        response.extensions_mut().insert(Refusal { id: Some(delivery_id), reason });
    }
    if let Some(challenge) = challenge {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

#[cfg(test)]
mod tests;

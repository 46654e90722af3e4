//! Keeps the requests that the server refuses, whole, so that `refused` shows and `explain` explains them.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use intake_pipeline::clock::{Clock as _, SystemClock};
use intake_pipeline::intake::MAX_BODY_BYTES;
use intake_pipeline::problem::Refusal;
use intake_pipeline::refused::{RefusedRequest, RefusedSummary, request_head};
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::explain::provider_of;
use intake_providers::registry::webhook_route;
use intake_sqlite::RefusedRequests;

/// The message of the log line of every refused request.
pub(crate) const REQUEST_REFUSED: &str = "request refused";

/// How long the rest of a body may take that the answer did not wait for.
const REST_OF_BODY: Duration = Duration::from_secs(1);

/// Answers a request, and keeps it if it is refused. A refused one is kept before its answer is sent, so that the id in the answer
/// can be looked up at once.
pub(crate) async fn keep_refused(State(refused): State<RefusedRequests>, request: Request, next: Next) -> Response {
    let received_at = SystemClock.now();
    let started = Instant::now();
    let (head, body) = request.into_parts();
    let kept_head = head.clone();
    let kept = KeptBody(Arc::new(Mutex::new(Kept { body, parts: Vec::new(), bytes: 0, end: End::NotYet })));
    let response = next.run(Request::from_parts(head, Body::new(kept.clone()))).await;
    // A redirect or a refusal, ours or axum's. The state of the server is no request's fault.
    if response.status().is_success() || kept_head.uri.path() == "/health" {
        return response;
    }
    let took = started.elapsed();
    let refusal = response.extensions().get::<Refusal>();
    let id = refusal.and_then(|refusal| refusal.id).unwrap_or_else(|| DeliveryId::random(received_at));
    let reason = refusal.map_or_else(|| response.status().as_u16().to_string(), |refusal| refusal.reason.to_owned());
    let (body, is_whole) = kept.rest().await;
    let summary = RefusedSummary {
        id,
        received_at,
        provider: provider_of(kept_head.uri.path()),
        status: response.status().as_u16(),
        reason,
        method: kept_head.method.to_string(),
        target: kept_head.uri.path_and_query().map_or_else(|| kept_head.uri.to_string(), ToString::to_string),
        body_bytes: body.len() as u64,
        is_whole,
    };
    let head = request_head(&kept_head.method, &summary.target, kept_head.version, &kept_head.headers);
    // The webhooks have logged why. This line is for those without one, and has the id for the ones that their answer does not name.
    tracing::info!(
        provider = summary.provider.map(ProviderName::as_str),
        delivery_id = %id,
        method = summary.method,
        path = shown_target(&summary).as_ref(),
        status = summary.status,
        reason = summary.reason,
        duration_microseconds = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        "{REQUEST_REFUSED}"
    );
    if let Err(error) = refused.keep(RefusedRequest { summary, head, body }).await {
        tracing::error!(%error, delivery_id = %id, "the refused request cannot be kept");
    }
    response
}

/// The path of a request without the secret that it may end with, and without its query.
pub(crate) fn shown_target(summary: &RefusedSummary) -> Cow<'_, str> {
    let path = summary.target.split_once('?').map_or(summary.target.as_str(), |(path, _)| path);
    match summary.provider.and_then(webhook_route) {
        Some(route) if route.ends_with_secret() && path.len() > route.path().len() + 1 => Cow::Owned(route.shown()),
        Some(_) => Cow::Borrowed(path),
        // Somebody may have called a wrong path with the right secret.
        None => {
            let hidden = path.split('/').map(|part| if part.len() < 32 { part } else { "<hidden>" });
            Cow::Owned(hidden.collect::<Vec<_>>().join("/"))
        }
    }
}

/// A body that remembers what was read of it. Whoever reads it sees what would be seen without it.
#[derive(Clone)]
struct KeptBody(Arc<Mutex<Kept>>);

struct Kept {
    body: Body,
    parts: Vec<Bytes>,
    bytes: usize,
    end: End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    NotYet,
    Whole,
    Broken,
}

impl KeptBody {
    fn with<T>(&self, use_it: impl FnOnce(&mut Kept) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The body, read to its end if that comes soon, and whether it is whole.
    async fn rest(self) -> (Bytes, bool) {
        let read = async {
            while self.with(|kept| kept.end == End::NotYet && kept.bytes <= MAX_BODY_BYTES) {
                std::future::poll_fn(|context| self.with(|kept| kept.poll(context))).await;
            }
        };
        let _ = tokio::time::timeout(REST_OF_BODY, read).await;
        self.with(|kept| {
            let mut bytes = kept.parts.concat();
            let is_whole = kept.end == End::Whole && bytes.len() <= MAX_BODY_BYTES;
            bytes.truncate(MAX_BODY_BYTES);
            (bytes.into(), is_whole)
        })
    }
}

impl Kept {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(None) => self.end = End::Whole,
            Poll::Ready(Some(Err(_))) => self.end = End::Broken,
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(part) = frame.data_ref().filter(|_| self.bytes <= MAX_BODY_BYTES) {
                    self.bytes += part.len();
                    self.parts.push(part.clone());
                }
                if self.body.is_end_stream() {
                    self.end = End::Whole;
                }
            }
        }
        polled
    }
}

impl HttpBody for KeptBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.with(|kept| kept.poll(context))
    }

    fn is_end_stream(&self) -> bool {
        self.with(|kept| kept.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.with(|kept| kept.body.size_hint())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use axum::Router;
    use axum::middleware::from_fn_with_state;
    use http::StatusCode;
    use intake_pipeline::problem::problem;
    use intake_pipeline::refused::RefusedReader as _;

    use super::*;

    /// Refuses everything without reading a body, but `/read`, which reads it and accepts.
    async fn answer(request: Request) -> Response {
        if request.uri().path() == "/read" {
            let read = axum::body::to_bytes(request.into_body(), MAX_BODY_BYTES).await.unwrap();
            return Response::new(Body::from(read));
        }
        let id = DeliveryId::random(SystemClock.now());
        let mut response = problem(StatusCode::NOT_FOUND, "not-found", String::new(), id).map(Body::new);
        response.extensions_mut().insert(Refusal { id: Some(id), reason: "not-found" });
        response
    }

    /// Sends raw requests, each on a connection of its own, and returns their answers and what was kept.
    async fn exchange(requests: &[&str]) -> (Vec<String>, Vec<RefusedRequest>) {
        let directory = tempfile::tempdir().unwrap();
        let refused = RefusedRequests::open(&directory.path().join("refused.sqlite")).unwrap();
        let router = Router::new().fallback(answer).layer(from_fn_with_state(refused.clone(), keep_refused));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        let mut answers = Vec::new();
        for request in requests {
            let request = (*request).to_owned();
            let exchanged = tokio::task::spawn_blocking(move || {
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                stream.write_all(request.as_bytes()).unwrap();
                let mut answer = vec![0; 4096];
                let length = stream.read(&mut answer).unwrap();
                answer.truncate(length);
                answer
            });
            let answer = exchanged.await.unwrap();
            answers.push(String::from_utf8(answer).unwrap());
        }
        server.abort();
        let mut kept = Vec::new();
        for summary in refused.list(100).await.unwrap() {
            kept.push(refused.get(summary.id).await.unwrap().unwrap());
        }
        (answers, kept)
    }

    #[tokio::test]
    async fn a_refused_request_is_kept_whole_though_its_body_was_not_read() {
        let sent =
            "POST /nowhere?a=1 HTTP/1.1\r\nhost: x\r\nx-odd: \u{e9}\r\nx-odd: 2\r\ncontent-length: 5\r\n\r\nab\r\nc";
        let chunked =
            "PUT /nowhere HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        let (answers, kept) = exchange(&[sent, chunked]).await;
        assert_eq!(kept.len(), 2);
        assert_eq!(kept[0].raw(), sent.as_bytes());
        assert!(kept[0].summary.is_whole && kept[0].summary.reason == "not-found");
        assert_eq!(kept[1].raw(), b"PUT /nowhere HTTP/1.1\r\nhost: x\r\n\r\nabc");
        for (answer, kept) in answers.iter().zip(&kept) {
            assert!(answer.contains(&format!(r#""instance":"urn:uuid:{}""#, kept.summary.id)), "{answer}");
        }
    }

    #[tokio::test]
    async fn an_accepted_request_is_not_kept_and_is_read_as_it_was_sent() {
        let (answers, kept) = exchange(&["POST /read HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc"]).await;
        assert!(answers[0].starts_with("HTTP/1.1 200") && answers[0].ends_with("\r\n\r\nabc"), "{answers:?}");
        assert_eq!(kept, []);
    }

    #[tokio::test]
    async fn a_body_that_never_arrives_holds_the_answer_up_for_a_second_only() {
        let started = std::time::Instant::now();
        let (answers, kept) = exchange(&["POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc"]).await;
        assert!(answers[0].starts_with("HTTP/1.1 404"), "{answers:?}");
        assert!(started.elapsed() < Duration::from_secs(20));
        assert_eq!((kept[0].body.as_ref(), kept[0].summary.is_whole), (&b"abc"[..], false));
    }
}

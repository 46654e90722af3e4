use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use intake_providers::nurturecloud::resync::What;

use super::*;

const ID: &str = "the-client";
const SECRET: &str = "nobody else's secret";

/// The server's reaction to a request with the right credentials.
#[derive(Clone, Copy, Debug)]
enum Reply {
    Status(u16),
    Throttle(&'static str),
    Redirect,
    EndlessBody,
    Hang,
}

/// A stand-in for NurtureCloud on its own port, which records its requests.
struct Server {
    base_url: String,
    requests: Arc<Mutex<Vec<(String, HeaderMap)>>>,
}

impl Server {
    async fn replying(reply: Reply) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        let routes = Router::new().fallback(move |request: Request| {
            log.lock().unwrap().push((format!("{} {}", request.method(), request.uri()), request.headers().clone()));
            let expected = format!("Basic {}", STANDARD.encode(format!("{ID}:{SECRET}")));
            let is_known = request.headers().get(AUTHORIZATION).is_some_and(|value| *value == *expected);
            async move {
                match reply {
                    _ if !is_known => StatusCode::UNAUTHORIZED.into_response(),
                    Reply::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
                    Reply::Throttle(wait) => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", wait)]).into_response(),
                    Reply::Redirect => (StatusCode::FOUND, [("location", "/v1/elsewhere")]).into_response(),
                    Reply::EndlessBody => {
                        let body = axum::body::Body::new(Endless);
                        (StatusCode::ACCEPTED, body).into_response()
                    }
                    Reply::Hang => std::future::pending().await,
                }
            }
        });
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { base_url, requests }
    }

    fn api(&self, client_id: &str, client_secret: &str) -> HttpSyncApi {
        let credentials = Credentials::new(client_id, client_secret).unwrap();
        let limits = Limits { connect: Duration::from_secs(3), call: Duration::from_millis(600) };
        HttpSyncApi::within(limits, self.base_url.parse().unwrap(), &credentials).unwrap()
    }

    async fn ask(&self) -> Result<SyncAnswer, PortError> {
        self.api(ID, SECRET).call(&by_id()).await
    }

    fn lines(&self) -> Vec<String> {
        self.requests.lock().unwrap().iter().map(|(line, _)| line.clone()).collect()
    }
}

/// A body that begins and never ends.
struct Endless;

impl axum::body::HttpBody for Endless {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Self::Data>, Self::Error>>> {
        std::task::Poll::Pending
    }
}

fn call(what: What) -> SyncCall {
    SyncCall { business_id: "b1".parse().unwrap(), component: "contacts".parse().unwrap(), what }
}

fn by_id() -> SyncCall {
    call(What::ById { id: "private/id".parse().unwrap() })
}

fn status(answer: Result<SyncAnswer, PortError>) -> u16 {
    answer.unwrap().status.as_u16()
}

#[tokio::test]
async fn a_call_is_one_empty_post_with_http_basic() {
    let server = Server::replying(Reply::Status(202)).await;
    assert_eq!(status(server.ask().await), 202);
    let all = call(What::All { since: "2026-11-21".parse().unwrap() });
    assert_eq!(status(server.api(ID, SECRET).call(&all).await), 202);
    assert_eq!(
        server.lines(),
        [
            "POST /v1/business/b1/contact/sync-by-id?id=private%2Fid",
            "POST /v1/business/b1/contact/sync-all?since=2026-11-21"
        ]
    );
    let (_, headers) = server.requests.lock().unwrap()[0].clone();
    assert_eq!(headers["content-length"], "0");
    assert!(headers["user-agent"].to_str().unwrap().starts_with("webhook-intake/"));
}

#[tokio::test]
async fn each_status_is_returned_unchanged_after_one_request() {
    for code in [200, 400, 403, 404, 500, 503] {
        let server = Server::replying(Reply::Status(code)).await;
        assert_eq!(status(server.ask().await), code);
        assert_eq!(server.lines().len(), 1, "{code}");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_answered_401() {
    let server = Server::replying(Reply::Status(202)).await;
    assert_eq!(status(server.api(ID, "another").call(&by_id()).await), 401);
}

#[tokio::test]
async fn retry_after_is_returned() {
    let server = Server::replying(Reply::Throttle("17")).await;
    let answer = server.ask().await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.retry_after.as_deref()), (429, Some("17")));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::replying(Reply::Redirect).await;
    assert_eq!(status(server.ask().await), 302);
    assert_eq!(server.lines().len(), 1);
}

#[tokio::test]
async fn an_endless_body_is_not_awaited() {
    let server = Server::replying(Reply::EndlessBody).await;
    assert_eq!(status(server.ask().await), 202);
}

#[tokio::test]
async fn a_server_that_hangs_times_out_and_may_have_accepted_the_call() {
    let server = Server::replying(Reply::Hang).await;
    let started = Instant::now();
    let error = server.ask().await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(5));
    assert!(error.may_have_taken_effect(), "{error}");
    let text = error.to_string();
    assert!(text.starts_with("nurturecloud sync-by-id failed: ") && text.contains("timed out"), "{text}");
}

#[tokio::test]
async fn an_error_shows_neither_url_nor_id_nor_credentials_and_is_one_line() {
    let closed = Server { base_url: "http://127.0.0.1:1/v1".to_owned(), requests: Arc::default() };
    let hanging = Server::replying(Reply::Hang).await;
    for server in [closed, hanging] {
        let api = server.api(ID, SECRET);
        let error = api.call(&by_id()).await.unwrap_err();
        let shown = format!("{error} {error:?} {api:?}");
        let encoded = STANDARD.encode(format!("{ID}:{SECRET}"));
        for secret in ["private", "sync-by-id?", "/v1/business", ID, "nobody", &encoded] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
        assert_eq!(error.to_string().lines().count(), 1);
    }
}

#[tokio::test]
async fn a_refused_connection_means_that_the_call_was_not_made() {
    let closed = Server { base_url: "http://127.0.0.1:1".to_owned(), requests: Arc::default() };
    let error = closed.ask().await.unwrap_err();
    assert!(!error.may_have_taken_effect(), "{error}");
}

#[test]
fn a_client_for_https_can_be_made() {
    let credentials = Credentials::new(ID, SECRET).unwrap();
    assert!(HttpSyncApi::new("https://api.example.com/v1".parse().unwrap(), &credentials).is_ok());
}

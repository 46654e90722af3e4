use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use intake_pipeline::port_error::PortError;
use intake_pipeline::secrets::SecretText;
use intake_providers::ProviderName;
use intake_providers::delivery::DeliveryId;
use intake_providers::timestamp::Timestamp;
use secrecy::ExposeSecret as _;
use standardwebhooks::Webhook;

use super::*;
use crate::signing_secrets::SigningSecret;

const TEXT: &str = r#"{"specversion":"1.0","id":"7","source":"/webhooks/machnet/main","data":"é"}"#;

/// The receiver's reaction.
#[derive(Clone, Copy, Debug)]
enum Reply {
    Status(u16),
    Busy(&'static str),
    Redirect,
    EndlessBody,
    Hang,
}

/// A receiver on its own port, which records its requests.
struct Server {
    url: String,
    requests: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl Server {
    async fn replying(reply: Reply) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events/secret-path?key=secret-query", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        let routes = Router::new().fallback(move |headers: HeaderMap, body: Bytes| {
            log.lock().unwrap().push((headers, body));
            async move {
                match reply {
                    Reply::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
                    Reply::Busy(wait) => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", wait)]).into_response(),
                    Reply::Redirect => (StatusCode::FOUND, [("location", "/elsewhere")]).into_response(),
                    Reply::EndlessBody => {
                        let chunk = || Some((Ok::<_, std::convert::Infallible>(Bytes::from_static(&[0; 4096])), ()));
                        Body::from_stream(futures_util::stream::unfold((), move |()| async move { chunk() }))
                            .into_response()
                    }
                    Reply::Hang => std::future::pending().await,
                }
            }
        });
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self { url, requests }
    }

    async fn post(&self, secrets: &SigningSecrets) -> Answer {
        receiver(&self.url, secrets).post(&envelope()).await
    }
}

#[derive(Clone, Debug)]
struct Given(String);

impl Secrets for Given {
    async fn fetch(&self) -> Result<SecretText, PortError> {
        Ok(SecretText::new(self.0.clone()))
    }
}

/// The time at which the test runs, because the library that verifies reads it itself.
#[derive(Clone, Copy, Debug)]
struct Now;

impl Clock for Now {
    fn now(&self) -> Timestamp {
        intake_pipeline::clock::SystemClock.now()
    }

    fn new_delivery_id(&self, received_at: Timestamp) -> DeliveryId {
        DeliveryId::random(received_at)
    }
}

fn receiver(url: &str, secrets: &SigningSecrets) -> HttpReceiver<Given, Now> {
    let limits = Limits { connect: Duration::from_secs(3), call: Duration::from_millis(600) };
    let document = secrets.write().unwrap().expose_secret().to_owned();
    HttpReceiver::within(limits, url.parse().unwrap(), Given(document), Now).unwrap()
}

fn envelope() -> WrittenEnvelope {
    WrittenEnvelope {
        provider: ProviderName::Machnet,
        source: "/webhooks/machnet/main".to_owned(),
        id: "7".to_owned(),
        event_type: "machnet.transaction".to_owned(),
        entity: None,
        text: TEXT.to_owned(),
    }
}

fn secrets(number: usize) -> SigningSecrets {
    let mut secrets = SigningSecrets::default();
    (0..number).for_each(|_| secrets.add(SigningSecret::generate().unwrap()).unwrap());
    secrets
}

#[tokio::test]
async fn an_envelope_is_one_signed_post_that_each_secret_verifies() {
    let server = Server::replying(Reply::Status(204)).await;
    let secrets = secrets(2);
    assert_eq!(server.post(&secrets).await, Answer::Delivered);
    assert_eq!(server.post(&secrets).await, Answer::Delivered);
    let requests = server.requests.lock().unwrap().clone();
    let [(headers, body), (again, _)] = &requests[..] else { panic!("{requests:?}") };
    assert_eq!(headers["content-type"], "application/cloudevents+json; charset=utf-8");
    assert_eq!(&body[..], TEXT.as_bytes());
    let id = headers["webhook-id"].to_str().unwrap();
    assert!(id.strip_prefix("evt_").is_some_and(|id| id.len() == 32 && id.chars().all(|c| c.is_ascii_hexdigit())));
    assert_eq!(headers["webhook-id"], again["webhook-id"]);
    for secret in secrets.iter() {
        Webhook::new(secret.reveal()).unwrap().verify(body, headers).unwrap();
    }
    let other = SigningSecret::generate().unwrap();
    Webhook::new(other.reveal()).unwrap().verify(body, headers).unwrap_err();
}

#[tokio::test]
async fn nothing_is_sent_unsigned() {
    let server = Server::replying(Reply::Status(204)).await;
    let answer = server.post(&SigningSecrets::default()).await;
    assert!(matches!(answer, Answer::RetryLater { reason, .. } if reason.contains("keys add forwarding")));
    assert!(server.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_refusal_is_told_from_what_may_pass() {
    let refused = Server::replying(Reply::Status(410)).await.post(&secrets(1)).await;
    assert_eq!(refused, Answer::Refused { reason: "answered 410".to_owned() });
    let busy = Server::replying(Reply::Busy("17")).await.post(&secrets(1)).await;
    let wait = Some(Duration::from_secs(17));
    assert_eq!(busy, Answer::RetryLater { reason: "answered 503".to_owned(), wait });
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::replying(Reply::Redirect).await;
    let answer = server.post(&secrets(1)).await;
    assert!(
        matches!(answer, Answer::RetryLater { reason, .. } if reason == "answered 302, and redirects are not followed")
    );
    assert_eq!(server.requests.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let server = Server::replying(Reply::EndlessBody).await;
    assert_eq!(server.post(&secrets(1)).await, Answer::Delivered);
}

#[tokio::test]
async fn a_receiver_that_hangs_or_is_away_gets_the_event_later_and_nothing_of_the_url_is_said() {
    let started = Instant::now();
    let hanging = Server::replying(Reply::Hang).await;
    let away = Server { url: "http://127.0.0.1:1/secret-path?key=secret-query".to_owned(), requests: Arc::default() };
    for (server, expected) in [(hanging, "no answer in time"), (away, "nobody answers there")] {
        let receiver = receiver(&server.url, &secrets(1));
        let answer = receiver.post(&envelope()).await;
        assert_eq!(answer, Answer::Unreachable { reason: expected.to_owned() });
        assert!(!format!("{receiver:?}{answer:?}").contains("secret-path"), "{receiver:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(5));
}

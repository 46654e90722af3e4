use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use intake_providers::oauth::authority::{ClientSecret, DEFAULT_TOKEN_LIFETIME, NewSigningKey};
use intake_providers::timestamp::Timestamp;
use serde_json::Value;
use tower::ServiceExt as _;

use super::*;
use crate::preparation::MAX_PREPARATION;
use crate::testing::{Counted, Lines, Memory, MemorySecrets, TestClock};

const GRANT: &str = "grant_type=client_credentials";

struct World {
    secrets: MemorySecrets,
    authority: Authority,
    client_secret: ClientSecret,
    endpoint: TokenEndpoint<Memory>,
}

fn world() -> World {
    let now = Timestamp::parse("2026-11-21T09:30:00Z").unwrap();
    let refresh = Duration::from_secs(300);
    let key = NewSigningKey::generate().unwrap();
    let mut authority =
        Authority::new("issuer".into(), "audience".into(), DEFAULT_TOKEN_LIFETIME, false, refresh, key, now).unwrap();
    let client_secret = ClientSecret::generate().unwrap();
    authority.add_client_secret("ibm", None, &client_secret).unwrap();
    let secrets = MemorySecrets::with(&serde_json::to_string(&authority).unwrap());
    let endpoint = TokenEndpoint::new(secrets.clone(), TestClock::default(), IntakeSettings::default());
    World { secrets, authority, client_secret, endpoint }
}

fn request(id: &str, secret: &str, body: &'static str) -> Request<Full<Bytes>> {
    Request::post("/oauth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("authorization", format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))))
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .unwrap()
}

impl World {
    fn genuine(&self) -> Request<Full<Bytes>> {
        request("ibm", self.client_secret.reveal(), GRANT)
    }

    async fn ask(&self, request: Request<Full<Bytes>>) -> (u16, Value) {
        let response = self.endpoint.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers().get("www-authenticate").is_some(), status == 401);
        (status, serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_request_is_answered_within_what_starting_has_left_of_the_deadline() {
    let mut world = world();
    world.secrets.behave(crate::testing::Behaviour::Hang);
    world.endpoint = world.endpoint.started_in(Duration::from_millis(1_200));
    for milliseconds in [1_800, 3_000] {
        let asked = tokio::time::Instant::now();
        assert_eq!(world.ask(world.genuine()).await.0, 503);
        assert_eq!(asked.elapsed(), Duration::from_millis(milliseconds));
    }
}

#[tokio::test(start_paused = true)]
async fn the_document_is_read_in_advance_and_a_store_that_hangs_is_asked_again_by_the_first_request() {
    let world = world();
    world.secrets.behave(crate::testing::Behaviour::Hang);
    let started = tokio::time::Instant::now();
    world.endpoint.prepare(MAX_PREPARATION).await;
    assert_eq!(started.elapsed(), MAX_PREPARATION);
    world.secrets.behave(crate::testing::Behaviour::Work);
    for fetches in [2, 2] {
        world.endpoint.prepare(MAX_PREPARATION).await;
        assert_eq!(world.ask(world.genuine()).await.0, 200);
        assert_eq!(world.secrets.fetches(), fetches);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_proves_itself_gets_a_token_that_verifies() {
    let world = world();
    let (status, answer) = world.ask(world.genuine()).await;
    assert_eq!((status, &answer["token_type"], &answer["expires_in"]), (200, &"Bearer".into(), &7_200.into()));
    let verification = world.authority.verification().unwrap();
    let token = answer["access_token"].as_str().unwrap();
    let now = TestClock::default().now();
    assert_eq!(access_token::verify(token, &verification, now).unwrap().account.as_str(), "ibm");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_client_and_a_wrong_secret_get_the_same_answer() {
    let world = world();
    let wrong = world.ask(request("ibm", "wrong", GRANT)).await;
    assert_eq!(wrong, world.ask(request("nobody", world.client_secret.reveal(), GRANT)).await);
    assert_eq!((wrong.0, &wrong.1["error"]), (401, &"invalid_client".into()));
    for _ in 0..50 {
        world.ask(request("ibm", "wrong", GRANT)).await;
    }
    assert_eq!(world.secrets.fetches(), 1, "nobody drives up calls by guessing");
}

#[tokio::test(start_paused = true)]
async fn errors_have_the_codes_and_statuses_of_rfc_6749() {
    let world = world();
    let get = Request::get("/oauth/token").body(Full::default()).unwrap();
    let mut json = world.genuine();
    json.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    let large = Request::post("/").header("content-type", "application/x-www-form-urlencoded");
    let large = large.body(Full::new(Bytes::from(vec![b'a'; MAX_TOKEN_REQUEST_BYTES + 1]))).unwrap();
    for (request, status, error) in [
        (get, 405, "invalid_request"),
        (json, 400, "invalid_request"),
        (request("ibm", "x", "grant_type=password"), 400, "unsupported_grant_type"),
        (large, 413, "invalid_request"),
    ] {
        let (found, answer) = world.ask(request).await;
        assert_eq!((found, &answer["error"]), (status, &error.into()), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_was_just_added_is_found_and_a_removed_one_is_out() {
    let mut world = world();
    world.ask(world.genuine()).await;
    let added = ClientSecret::generate().unwrap();
    world.authority.add_client_secret("second", None, &added).unwrap();
    world.authority.remove_client("ibm").unwrap();
    world.secrets.set(Some(&serde_json::to_string(&world.authority).unwrap()));
    tokio::time::advance(Duration::from_secs(15)).await;
    assert_eq!(world.ask(request("second", added.reveal(), GRANT)).await.0, 200);
    assert_eq!(world.ask(world.genuine()).await.0, 401);
}

#[tokio::test(start_paused = true)]
async fn no_token_is_signed_once_the_authority_could_not_be_read_for_an_hour() {
    let world = world();
    let lines = Lines::record();
    assert_eq!(world.ask(world.genuine()).await.0, 200);
    world.secrets.set(None);
    tokio::time::advance(Duration::from_secs(3_599)).await;
    assert_eq!(world.ask(world.genuine()).await.0, 200);
    tokio::time::advance(Duration::from_secs(1)).await;
    let (status, answer) = world.ask(world.genuine()).await;
    assert_eq!((status, &answer["error"]), (503, &"temporarily_unavailable".into()));
    assert_eq!(lines.of("token").pop().unwrap()["reason"], "secrets-unavailable");

    world.secrets.set(Some(&serde_json::to_string(&world.authority).unwrap()));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(world.ask(world.genuine()).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_read_is_our_fault() {
    let world = world();
    let lines = Lines::record();
    let response = world.endpoint.answer_unreadable();
    assert_eq!((response.status().as_u16(), &response.headers()["cache-control"]), (503, &"no-store".parse().unwrap()));
    let line = lines.of("token").pop().unwrap();
    assert_eq!((&line["outcome"], &line["reason"]), (&"refused".into(), &"request-unreadable".into()));
}

#[tokio::test(start_paused = true)]
async fn what_is_our_fault_is_503_and_says_nothing_of_the_cause() {
    let unreadable = world();
    unreadable.secrets.set(None);
    let malformed = world();
    malformed.secrets.set(Some("{"));
    let empty = world();
    empty.secrets.set(Some(
        r#"{"issuer":"","audience":"","token_lifetime_seconds":7200,"secret_refresh_seconds":300,"keys":[],"clients":[]}"#,
    ));
    let unconfigured = World { endpoint: TokenEndpoint::unconfigured(TestClock::default()), ..world() };
    for world in [unreadable, malformed, empty, unconfigured] {
        let (status, answer) = world.ask(world.genuine()).await;
        assert_eq!((status, &answer["error"]), (503, &"temporarily_unavailable".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_too_short_are_not_given_unless_they_are_meant() {
    let mut world = world();
    world.authority.token_lifetime_seconds = 600;
    world.secrets.set(Some(&serde_json::to_string(&world.authority).unwrap()));
    assert_eq!(world.ask(world.genuine()).await.0, 503);
    world.authority.short_tokens_are_meant = true;
    world.secrets.set(Some(&serde_json::to_string(&world.authority).unwrap()));
    tokio::time::advance(Duration::from_secs(15)).await;
    assert_eq!(world.ask(world.genuine()).await.1["expires_in"], 600);
}

#[tokio::test(start_paused = true)]
async fn every_request_is_one_line_that_shows_neither_secret_nor_token() {
    let world = world();
    let lines = Lines::record();
    let (_, answer) = world.ask(world.genuine()).await;
    world.ask(request("ibm", "a wrong secret", GRANT)).await;
    let found: Vec<(Value, Value)> =
        lines.of("token").into_iter().map(|line| (line["outcome"].clone(), line["reason"].clone())).collect();
    assert_eq!(found, [("issued".into(), Value::Null), ("refused".into(), "invalid_client".into())]);
    for hidden in [world.client_secret.reveal(), "a wrong secret", answer["access_token"].as_str().unwrap()] {
        assert!(!lines.text().contains(hidden));
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_wrong_credentials_and_our_own_faults_are_counted_and_a_malformed_request_is_not() {
    let world = world();
    let counted = Counted::default();
    let _guard = counted.record();
    for (request, expected) in [
        (world.genuine(), &["tokens_issued=1"][..]),
        (request("ibm", "wrong", GRANT), &["tokens_unverified=1"]),
        (request("nobody", world.client_secret.reveal(), GRANT), &["tokens_unverified=1"]),
        (request("ibm", "x", "grant_type=password"), &[]),
        (Request::get("/oauth/token").body(Full::default()).unwrap(), &[]),
    ] {
        world.ask(request).await;
        assert_eq!(counted.take(), expected);
    }
    let _ = world.endpoint.answer_unreadable();
    assert_eq!(counted.take(), ["tokens_faults=1"]);
    world.secrets.set(None);
    tokio::time::advance(MAX_AUTHORITY_AGE).await;
    world.ask(world.genuine()).await;
    assert_eq!(counted.take(), ["tokens_faults=1"]);
}

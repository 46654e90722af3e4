use std::time::Duration;

use http::{Method, Request};
use http_body_util::BodyExt as _;
use intake_providers::machnet::Machnet;
use intake_providers::nurturecloud::NurtureCloud;
use intake_providers::path_secret::PathSecret;
use serde_json::Value;
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::*;
use crate::answering::AnswerBy;
use crate::evidence::RequestOrigin;
use crate::queue_message;
use crate::testing::{
    Behaviour, Counted, Lines, Memory, MemoryPayloads, MemoryQueue, MemorySecrets, OTHER_SECRET, SECRET, TestClock,
    secret_document, signature,
};

mod preparation;

const BODY: &[u8] = br#"{"id":"1","event_name":"transaction_processed","resource_id":"r"}"#;

type TestIntake = Intake<Machnet, Memory>;

#[derive(Clone)]
struct World {
    queue: MemoryQueue,
    payloads: MemoryPayloads,
    secrets: MemorySecrets,
    intake: TestIntake,
}

fn world() -> World {
    let queue = MemoryQueue::default();
    let payloads = MemoryPayloads::default();
    let secrets = MemorySecrets::with(&secret_document(&[("main", SECRET)]));
    let intake =
        Intake::new(queue.clone(), payloads.clone(), secrets.clone(), TestClock::default(), IntakeSettings::default());
    World { queue, payloads, secrets, intake }
}

fn request(body: impl Into<Bytes>, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut request = Request::post("/webhooks/machnet");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).unwrap()
}

fn signed(body: &'static [u8]) -> Request<Full<Bytes>> {
    request(body, &[("x-raas-webhook-signature", &signature(SECRET, body))])
}

impl World {
    async fn send<B>(&self, request: Request<B>) -> (u16, Value)
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let response = self.intake.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let refusal = response.extensions().get::<Refusal>().copied();
        let kind = if status == 200 { "application/json" } else { "application/problem+json" };
        assert_eq!(response.headers()["content-type"], kind);
        assert_eq!(response.headers().get("allow").is_some(), status == 405);
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert!(status == 200 || answer["status"] == status);
        let instance = refusal.and_then(|refusal| refusal.id).map(|id| format!("urn:uuid:{id}"));
        assert_eq!(answer["instance"].as_str(), instance.as_deref(), "a refusal has an id that can be quoted");
        assert_eq!(instance.is_some(), status != 200);
        (status, answer)
    }
}

#[tokio::test(start_paused = true)]
async fn a_genuine_delivery_is_answered_200_once_the_queue_has_it_to_the_byte() {
    let world = world();
    let (status, receipt) = world.send(signed(BODY)).await;
    assert_eq!(status, 200);
    let [document] = &world.queue.documents()[..] else { panic!("one document") };
    let delivery = queue_message::read(document, &world.payloads).await.unwrap();
    assert_eq!(delivery.body, BODY);
    assert_eq!(receipt["delivery_id"], delivery.id.to_string());
    assert_eq!(delivery.authenticated_by.account.as_str(), "main");
}

#[tokio::test(start_paused = true)]
async fn every_header_is_kept_but_credentials() {
    let world = world();
    let headers = [
        ("x-raas-webhook-signature", &*signature(SECRET, BODY)),
        ("x-raas-event", "transaction_processed"),
        ("authorization", "Bearer of something secret"),
        ("cookie", "session"),
        ("x-forwarded-for", "203.0.113.9"),
    ];
    world.send(request(BODY, &headers)).await;
    let delivery = queue_message::read(&world.queue.documents()[0], &world.payloads).await.unwrap();
    let names: Vec<&str> = delivery.headers.iter().map(|header| header.name.as_str()).collect();
    assert_eq!(names, ["x-raas-webhook-signature", "x-raas-event", "x-forwarded-for", "intake-omitted-headers"]);
    assert!(!world.queue.documents()[0].contains("something secret"));
}

#[tokio::test(start_paused = true)]
async fn what_a_forger_sends_is_refused_in_clear_words_and_asks_aws_for_nothing() {
    let world = world();
    let genuine = signature(SECRET, BODY);
    let forged = signature(OTHER_SECRET, BODY);
    let header = "x-raas-webhook-signature";
    let get = Request::builder().method(Method::GET).uri("/").body(Full::default()).unwrap();
    for (request, status, problem, words) in [
        (get, 405, "method-not-allowed", "takes POST only"),
        (request(BODY, &[]), 401, "signature-missing", "x-raas-webhook-signature is missing"),
        (request(BODY, &[(header, &genuine), (header, &genuine)]), 401, "signature-repeated", "more than once"),
        (request(BODY, &[(header, "abc")]), 401, "signature-malformed", "64 hex digits"),
        (request(BODY, &[(header, &format!("{genuine},{genuine}"))]), 401, "signature-malformed", "64 hex digits"),
    ] {
        let (found, answer) = world.send(request).await;
        assert_eq!((found, &answer["type"]), (status, &Value::from(format!("urn:webhook-intake:problem:{problem}"))));
        assert!(answer["detail"].as_str().unwrap().contains(words), "{answer}");
    }
    assert_eq!(world.secrets.fetches(), 0, "not even the secret is fetched for a request that lacks the form");

    for _ in 0..50 {
        let (status, answer) = world.send(request(BODY, &[(header, &forged)])).await;
        assert_eq!((status, &answer["type"]), (409, &Value::from("urn:webhook-intake:problem:signature-mismatch")));
        assert!(!answer.to_string().contains(SECRET));
    }
    assert_eq!(world.secrets.fetches(), 1);
    assert!(world.queue.documents().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_body_of_four_mebibytes_is_taken_and_one_byte_more_is_refused_with_the_limit_named() {
    let world = world();
    let lines = Lines::record();
    let largest = vec![b' '; MAX_BODY_BYTES];
    let tag = signature(SECRET, &largest);
    let (status, _) = world.send(request(largest.clone(), &[("x-raas-webhook-signature", &tag)])).await;
    assert_eq!(status, 200);
    assert_eq!(world.payloads.0.lock().unwrap().len(), 1);
    assert_eq!(lines.of("delivery")[0]["offloaded"], true);

    let mut larger = largest;
    larger.push(b' ');
    let tag = signature(SECRET, &larger);
    let (status, answer) = world.send(request(larger, &[("x-raas-webhook-signature", &tag)])).await;
    assert_eq!(status, 413);
    assert!(answer["detail"].as_str().unwrap().contains("4194304 bytes"), "{answer}");
    assert_eq!(world.queue.documents().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_of_unknown_length_is_cut_off_at_the_limit() {
    let world = world();
    let chunks = futures_util::stream::iter(
        (0..5).map(|_| Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(vec![b' '; 1024 * 1024])))),
    );
    let body = http_body_util::StreamBody::new(chunks);
    let request = Request::post("/").header("x-raas-webhook-signature", "0".repeat(64)).body(body).unwrap();
    assert_eq!(world.send(request).await.0, 413);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_unreadable_and_not_too_large() {
    let world = world();
    let broken = futures_util::stream::iter([Err::<http_body::Frame<Bytes>, _>(std::io::Error::other("reset"))]);
    let body = http_body_util::StreamBody::new(broken);
    let request = Request::post("/").header("x-raas-webhook-signature", "0".repeat(64)).body(body).unwrap();
    assert_eq!(world.send(request).await.0, 400);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_down_means_send_it_again_without_saying_why() {
    let world = world();
    world.queue.behave(Behaviour::Fail);
    let (status, answer) = world.send(signed(BODY)).await;
    assert_eq!((status, &answer["type"]), (409, &Value::from("urn:webhook-intake:problem:send-again")));
    assert!(!answer.to_string().contains("out of order"));

    world.queue.behave(Behaviour::Work);
    assert_eq!(world.send(signed(BODY)).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_hangs_is_given_up_at_the_deadline() {
    let world = world();
    world.queue.behave(Behaviour::Hang);
    let started = Instant::now();
    assert_eq!(world.send(signed(BODY)).await.0, 409);
    assert_eq!(started.elapsed().as_millis(), 3_000);
}

#[tokio::test(start_paused = true)]
async fn the_first_request_is_charged_with_the_start_and_the_second_is_not() {
    let world = world();
    world.queue.behave(Behaviour::Hang);
    let intake = world.intake.clone().started_in(Duration::from_millis(1_200));
    let world = World { intake, ..world };
    for expected in [1_800, 3_000] {
        let started = Instant::now();
        assert_eq!(world.send(signed(BODY)).await.0, 409);
        assert_eq!(started.elapsed().as_millis(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_invocation_that_ends_earlier_is_answered_before_it_does() {
    let world = world();
    world.queue.behave(Behaviour::Hang);
    let started = Instant::now();
    let mut request = signed(BODY);
    request.extensions_mut().insert(AnswerBy(started + Duration::from_millis(700)));
    assert_eq!(world.send(request).await.0, 409);
    assert_eq!(started.elapsed().as_millis(), 700);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up_at_the_deadline() {
    let world = world();
    let body =
        http_body_util::StreamBody::new(futures_util::stream::pending::<Result<http_body::Frame<Bytes>, Infallible>>());
    let request = Request::post("/").header("x-raas-webhook-signature", "0".repeat(64)).body(body).unwrap();
    assert_eq!(world.send(request).await.0, 409);
}

#[tokio::test(start_paused = true)]
async fn a_panic_means_send_it_again() {
    let world = world();
    world.queue.behave(Behaviour::Panic);
    assert_eq!(world.send(signed(BODY)).await.0, 409);
    world.queue.behave(Behaviour::Work);
    assert_eq!(world.send(signed(BODY)).await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn without_usable_settings_every_delivery_is_sent_again() {
    let world = World { intake: Intake::unconfigured(TestClock::default()), ..world() };
    let (status, answer) = world.send(signed(BODY)).await;
    assert_eq!((status, &answer["type"]), (409, &Value::from("urn:webhook-intake:problem:send-again")));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_read_is_sent_again_and_counted_under_a_reason_of_its_own() {
    let world = world();
    let lines = Lines::record();
    let response = world.intake.answer_unreadable();
    assert_eq!(response.status().as_u16(), 409);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(answer["type"], "urn:webhook-intake:problem:send-again");
    let line = lines.of("delivery").pop().unwrap();
    assert_eq!((&line["outcome"], &line["reason"]), (&"rejected".into(), &"request-unreadable".into()));
    assert_eq!((&line["status"], world.secrets.fetches()), (&409.into(), 0));
}

#[tokio::test(start_paused = true)]
async fn nothing_verifies_under_a_placeholder_or_a_malformed_or_an_unreadable_secret() {
    let placeholder = secret_document(&[("main", "REPLACE-ME-REPLACE-ME-REPLACE-ME")]);
    for text in [Some(r#"{"keys":[]}"#), Some(placeholder.as_str()), Some("not json"), None] {
        let world = world();
        world.secrets.set(text);
        let tag = signature(SECRET, BODY);
        for signature in [&tag, &"0".repeat(64)] {
            let (status, answer) = world.send(request(BODY, &[("x-raas-webhook-signature", signature)])).await;
            assert_eq!((status, &answer["type"]), (409, &Value::from("urn:webhook-intake:problem:send-again")));
        }
        assert!(world.queue.documents().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_rotated_in_flight_is_picked_up_and_the_old_one_is_out() {
    let world = world();
    assert_eq!(world.send(signed(BODY)).await.0, 200);
    world.secrets.set(Some(&secret_document(&[("main", OTHER_SECRET)])));
    tokio::time::advance(Duration::from_secs(15)).await;
    let rotated = request(BODY, &[("x-raas-webhook-signature", &signature(OTHER_SECRET, BODY))]);
    assert_eq!(world.send(rotated).await.0, 200);
    assert_eq!(world.send(signed(BODY)).await.0, 409);
    assert_eq!(world.secrets.fetches(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_line_of_a_refused_request_says_where_it_came_from_and_that_of_an_accepted_one_does_not() {
    let world = world();
    let lines = Lines::record();
    let from_somewhere = |mut request: Request<Full<Bytes>>| {
        let origin = RequestOrigin {
            source_address: Some("203.0.113.7".to_owned()),
            api_request_id: Some("id-of-the-api".to_owned()),
        };
        request.extensions_mut().insert(origin);
        request
    };
    let headers = [("user-agent", "RaaS/2"), ("x-raas-webhook-signature", "a value"), ("content-length", "17")];

    world.send(from_somewhere(request(BODY, &headers))).await;
    let refused = lines.of("delivery").pop().unwrap();
    world.send(from_somewhere(signed(BODY))).await;
    let accepted = lines.of("delivery").pop().unwrap();

    for (field, value) in [
        ("route", Value::from("/webhooks/machnet")),
        ("source_address", "203.0.113.7".into()),
        ("api_request_id", "id-of-the-api".into()),
        ("user_agent", "RaaS/2".into()),
        ("header_names", "user-agent x-raas-webhook-signature content-length".into()),
        ("content_length", 17.into()),
    ] {
        assert_eq!(refused[field], value, "{field}");
        assert_eq!((&accepted["outcome"], accepted.get(field)), (&"accepted".into(), None), "{field}");
    }
    assert_eq!(refused["body_bytes"], 0, "the proof is malformed, so the body is not read");
    assert!(!lines.text().contains("a value"));
}

#[tokio::test(start_paused = true)]
async fn every_request_is_one_line_with_its_outcome_and_reason_and_no_secret_or_body() {
    let world = world();
    let lines = Lines::record();
    for (behaviour, outcome, reason) in [
        (Behaviour::Work, "accepted", Value::Null),
        (Behaviour::Fail, "rejected", "queue-unavailable".into()),
        (Behaviour::FailAfterwards, "unknown", "queue-unavailable".into()),
        (Behaviour::Hang, "unknown", "deadline-exceeded".into()),
        (Behaviour::Panic, "unknown", "panic".into()),
    ] {
        world.queue.behave(behaviour);
        world.send(signed(BODY)).await;
        let line = lines.of("delivery").pop().unwrap();
        assert_eq!((&line["outcome"], &line["reason"]), (&Value::from(outcome), &reason), "{line}");
        assert_eq!((&line["provider"], &line["account"]), (&Value::from("machnet"), &Value::from("main")));
        assert_eq!(line["body_bytes"], BODY.len());
        assert!(line.get("offloaded").is_none(), "it is said of the few that are");
    }
    world.send(request(BODY, &[])).await;
    let line = lines.of("delivery").pop().unwrap();
    assert_eq!((&line["outcome"], &line["reason"]), (&Value::from("rejected"), &Value::from("signature-missing")));
    assert_eq!(lines.of("delivery").len(), 6);
    for hidden in [SECRET, "transaction_processed", &signature(SECRET, BODY)] {
        assert!(!lines.text().contains(hidden), "{}", lines.text());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_ours_to_send_it_again_is_a_fault_whatever_the_cause_and_also_when_the_outcome_is_unknown() {
    let world = world();
    let counted = Counted::default();
    let _guard = counted.record();
    for (behaviour, expected) in [
        (Behaviour::Work, &["accepted machnet=1"][..]),
        (Behaviour::Fail, &["faults machnet=1"]),
        (Behaviour::FailAfterwards, &["faults machnet=1", "unknown machnet=1"]),
        (Behaviour::Hang, &["faults machnet=1", "unknown machnet=1"]),
        (Behaviour::Panic, &["faults machnet=1", "unknown machnet=1"]),
    ] {
        world.queue.behave(behaviour);
        world.send(signed(BODY)).await;
        assert_eq!(counted.take(), expected, "{behaviour:?}");
    }
    let _ = world.intake.answer_unreadable();
    assert_eq!(counted.take(), ["faults machnet=1"]);
    let unreadable = self::world();
    unreadable.secrets.set(None);
    let unconfigured = World { intake: Intake::unconfigured(TestClock::default()), ..world };
    for world in [unreadable, unconfigured] {
        world.send(signed(BODY)).await;
        assert_eq!(counted.take(), ["faults machnet=1"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_rejected_request_is_counted_by_its_reason_and_a_proof_that_did_not_hold_by_its_provider() {
    let world = world();
    let counted = Counted::default();
    let _guard = counted.record();
    let header = "x-raas-webhook-signature";
    let get = Request::builder().method(Method::GET).uri("/").body(Full::default()).unwrap();
    for (request, expected) in [
        (get, &["rejected method-not-allowed=1"][..]),
        (request(vec![b' '; MAX_BODY_BYTES + 1], &[(header, &"0".repeat(64))]), &["rejected body-too-large=1"]),
        (request(BODY, &[]), &["rejected signature-missing=1", "unverified machnet=1"]),
        (request(BODY, &[(header, "abc")]), &["rejected signature-malformed=1", "unverified machnet=1"]),
        (
            request(BODY, &[(header, &signature(OTHER_SECRET, BODY))]),
            &["rejected signature-mismatch=1", "unverified machnet=1"],
        ),
    ] {
        world.send(request).await;
        assert_eq!(counted.take(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_in_the_path_is_in_no_log_no_answer_and_no_document() {
    let lines = Lines::record();
    let (ours, theirs) = (PathSecret::of_randomness([1; 32]), PathSecret::of_randomness([2; 32]));
    let document = serde_json::json!({"keys": [{"account": "main", "secret_sha256": ours.hash().digest()}]});
    let (queue, payloads) = (MemoryQueue::default(), MemoryPayloads::default());
    let intake: Intake<NurtureCloud, Memory> = Intake::new(
        queue.clone(),
        payloads.clone(),
        MemorySecrets::with(&document.to_string()),
        TestClock::default(),
        IntakeSettings::default(),
    );
    let mut shown = String::new();
    let mut statuses = Vec::new();
    for (secret, behaviour) in [
        (ours.reveal(), Behaviour::Work),
        (theirs.reveal(), Behaviour::Work),
        ("too-short", Behaviour::Work),
        (ours.reveal(), Behaviour::Fail),
        (ours.reveal(), Behaviour::Panic),
    ] {
        queue.behave(behaviour);
        let request = Request::post(format!("https://hooks.example/webhooks/nurturecloud/{secret}?again={secret}"));
        let response = intake.clone().oneshot(request.body(Full::from("{}")).unwrap()).await.unwrap();
        statuses.push(response.status().as_u16());
        shown += &format!("{:?}", response.headers());
        shown += str::from_utf8(&response.into_body().collect().await.unwrap().to_bytes()).unwrap();
    }
    assert_eq!(statuses, [200, 401, 401, 503, 503]);
    assert_eq!(lines.of("delivery").len(), 5);
    assert_eq!(lines.of("delivery")[0]["key_fingerprint"], ours.hash().fingerprint().as_str());
    shown += &lines.text();
    shown += &queue.documents().concat();
    assert!(shown.contains("path-secret-mismatch") && shown.contains("delivery_id"));
    for secret in [ours.reveal(), theirs.reveal(), &ours.hash().digest().to_string()] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

use std::collections::BTreeMap;
use std::sync::Arc;

use intake_providers::ProviderName;
use intake_providers::machnet::Machnet;
use serde_json::Value;

use super::*;
use crate::intake::{Intake, IntakeSettings};
use crate::refused::RefusedRequest;
use crate::testing::{
    Behaviour, Lines, Memory, MemoryPayloads, MemoryQueue, MemorySecrets, OTHER_SECRET, SECRET, TestClock,
    secret_document, signature,
};
use crate::token_endpoint::TokenEndpoint;

const BODY: &[u8] = br#"{"id":"1","event_name":"transaction_processed","resource_id":"r"}"#;

#[derive(Clone)]
struct MemoryStore {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
    writes: Arc<Mutex<usize>>,
    behaviour: Behaviour,
}

impl MemoryStore {
    fn new(behaviour: Behaviour) -> Self {
        Self { objects: Arc::default(), writes: Arc::default(), behaviour }
    }

    fn kept(&self) -> Vec<RefusedRequest> {
        self.objects.lock().unwrap().values().map(|document| document::read(document).unwrap()).collect()
    }

    fn writes(&self) -> usize {
        *self.writes.lock().unwrap()
    }
}

impl RefusedStore for MemoryStore {
    async fn put_new(&self, key: &str, document: Bytes) -> Result<PutNew, PortError> {
        *self.writes.lock().unwrap() += 1;
        self.behaviour.before("refused put").await?;
        let mut objects = self.objects.lock().unwrap();
        if objects.contains_key(key) {
            return Ok(PutNew::Taken);
        }
        objects.insert(key.to_owned(), document);
        Ok(PutNew::Written)
    }
}

/// One copy of a webhook function.
struct Copy {
    queue: MemoryQueue,
    clock: TestClock,
    intake: Intake<Machnet, Memory>,
    keeper: RefusedKeeper<MemoryStore, TestClock>,
}

impl Copy {
    fn new(store: &MemoryStore, clock: &TestClock, max_per_hour: u8) -> Self {
        let queue = MemoryQueue::default();
        let secrets = MemorySecrets::with(&secret_document(&[("main", SECRET)]));
        let settings = IntakeSettings::default();
        let intake = Intake::new(queue.clone(), MemoryPayloads::default(), secrets, clock.clone(), settings);
        let keeper = RefusedKeeper::new(store.clone(), clock.clone(), "machnet", max_per_hour);
        Self { queue, clock: clock.clone(), intake, keeper }
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> (u16, Value, u128) {
        let started = Instant::now();
        let response = self.keeper.answer(&mut self.intake.clone(), request).await;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&body).unwrap(), started.elapsed().as_millis())
    }
}

fn signed(secret: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let body = body.into();
    Request::post("/webhooks/machnet")
        .header("x-raas-webhook-signature", signature(secret, &body))
        .header("authorization", "Bearer of a secret")
        .body(Full::new(body))
        .unwrap()
}

fn forged() -> Request<Full<Bytes>> {
    signed(OTHER_SECRET, BODY)
}

#[tokio::test(start_paused = true)]
async fn a_refused_request_is_kept_whole_under_the_id_of_its_answer_and_an_accepted_one_is_not() {
    let store = MemoryStore::new(Behaviour::Work);
    let copy = Copy::new(&store, &TestClock::default(), 5);
    assert_eq!(copy.answer(signed(SECRET, BODY)).await.0, 200);
    assert_eq!(store.writes(), 0);

    let mut request = forged();
    request.extensions_mut().insert(RawQuery("a=1".to_owned()));
    let (status, answer, _) = copy.answer(request).await;

    let [kept] = &store.kept()[..] else { panic!("one request was expected") };
    let RefusedSummary { id, received_at, provider, target, is_whole, .. } = &kept.summary;
    assert_eq!((status, answer["instance"].as_str()), (409, Some(&*format!("urn:uuid:{id}"))));
    assert_eq!((kept.summary.status, kept.summary.reason.as_str()), (409, "signature-mismatch"));
    assert_eq!((*received_at, *provider), (copy.clock.now(), Some(ProviderName::Machnet)));
    assert_eq!((target.as_str(), *is_whole), ("/webhooks/machnet?a=1", true));
    let head = format!(
        "POST /webhooks/machnet?a=1 HTTP/1.1\r\nauthorization: Bearer of a secret\r\nx-raas-webhook-signature: {}\r\n",
        signature(OTHER_SECRET, BODY)
    );
    assert_eq!((String::from_utf8_lossy(&kept.head), &*kept.body), (head.into(), BODY));
    let keys: Vec<String> = store.objects.lock().unwrap().keys().cloned().collect();
    assert!(keys[0].starts_with("refused/machnet/2026-11-21T09/00"), "{keys:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flood_fills_the_places_of_each_hour_and_no_further_write_is_tried() {
    let store = MemoryStore::new(Behaviour::Work);
    let copy = Copy::new(&store, &TestClock::default(), 5);
    for kept in [5, 10] {
        for _ in 0..50 {
            assert_eq!(copy.answer(forged()).await.0, 409);
        }
        assert_eq!((store.kept().len(), store.writes()), (kept, kept));
        copy.clock.pass(Duration::from_secs(60 * 60));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hundred_copies_share_the_places_and_each_gives_up_after_three_writes_that_failed() {
    let store = MemoryStore::new(Behaviour::Work);
    let clock = TestClock::default();
    let copies: Vec<Copy> = (0..100).map(|_| Copy::new(&store, &clock, 5)).collect();
    for _ in 0..20 {
        for copy in &copies {
            assert_eq!(copy.answer(forged()).await.0, 409);
        }
    }
    assert_eq!(store.kept().len(), 5);
    assert_eq!(store.writes(), 5 + 3 * 100, "after 2,000 refused requests");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_delays_three_answers_by_its_limit_and_then_none_in_that_hour() {
    let store = MemoryStore::new(Behaviour::Hang);
    let copy = Copy::new(&store, &TestClock::default(), 100);
    for hour in 1..=2 {
        for expected in [300, 300, 300, 0, 0] {
            let (status, answer, milliseconds) = copy.answer(forged()).await;
            assert_eq!((status, milliseconds), (409, expected));
            assert_eq!(answer["type"], "urn:webhook-intake:problem:signature-mismatch");
        }
        assert_eq!(store.writes(), 3 * hour);
        copy.clock.pass(Duration::from_secs(60 * 60));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_once_the_answer_is_due() {
    let store = MemoryStore::new(Behaviour::Hang);
    let copy = Copy::new(&store, &TestClock::default(), 100);
    copy.queue.behave(Behaviour::Hang);
    let (status, _, milliseconds) = copy.answer(signed(SECRET, BODY)).await;
    assert_eq!((status, milliseconds, store.writes()), (409, 3_000, 0));

    for (left, expected) in [(299, 0), (300, 300)] {
        let mut request = forged();
        request.extensions_mut().insert(AnswerBy(Instant::now() + Duration::from_millis(left)));
        assert_eq!(copy.answer(request).await.2, expected, "{left} ms are left");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_or_panics_changes_no_answer_and_its_line_says_so() {
    for (behaviour, error) in [
        (Behaviour::Fail, "refused put failed: out of order"),
        (Behaviour::Panic, "a defect of ours"),
        (Behaviour::Hang, "there was no answer within 300 ms"),
    ] {
        let lines = Lines::record();
        let store = MemoryStore::new(behaviour);
        let copy = Copy::new(&store, &TestClock::default(), 100);
        for _ in 0..10 {
            let (status, answer, _) = copy.answer(forged()).await;
            assert_eq!((status, &answer["type"]), (409, &"urn:webhook-intake:problem:signature-mismatch".into()));
        }
        let lines = lines.of("the refused request cannot be kept");
        assert_eq!((lines.len(), &lines[0]["error"]), (3, &error.into()));
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_large_body_the_beginning_is_kept() {
    let store = MemoryStore::new(Behaviour::Work);
    let copy = Copy::new(&store, &TestClock::default(), 5);
    for bytes in [MAX_KEPT_BODY_BYTES, MAX_KEPT_BODY_BYTES + 1] {
        assert_eq!(copy.answer(signed(OTHER_SECRET, vec![b' '; bytes])).await.0, 409);
    }
    let mut kept = store.kept();
    kept.sort_by_key(|request| request.summary.id);
    let found: Vec<_> = kept.iter().map(|kept| (kept.body.len(), kept.summary.is_whole)).collect();
    assert_eq!(found, [(MAX_KEPT_BODY_BYTES, true), (MAX_KEPT_BODY_BYTES, false)]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_request_is_kept_too() {
    let store = MemoryStore::new(Behaviour::Work);
    let clock = TestClock::default();
    let mut endpoint: TokenEndpoint<Memory> =
        TokenEndpoint::new(MemorySecrets::with("{}"), clock.clone(), IntakeSettings::default());
    let keeper = RefusedKeeper::new(store.clone(), clock, "sterling-token", 1);
    let request = Request::post("/oauth/token").body(Full::new(Bytes::from_static(b"grant_type=x"))).unwrap();
    let response = keeper.answer(&mut endpoint, request).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let [kept] = &store.kept()[..] else { panic!("one request was expected") };
    assert_eq!((kept.summary.provider, kept.summary.reason.as_str()), (None, "invalid_request"));
    assert_eq!(store.objects.lock().unwrap().keys().next().unwrap(), "refused/sterling-token/2026-11-21T09/000");
}

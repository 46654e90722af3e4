//! One suite for every registered webhook: each situation is brought about, and the answer is compared with the table in which
//! the provider's imitation says what we owe it.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use intake_pipeline::intake::{Intake, IntakeSettings, MAX_BODY_BYTES};
use intake_pipeline::key_cache::MIN_REREAD_INTERVAL;
use intake_pipeline::queue_message::InboundMessage;
use intake_providers::delivery::DeliveryId;
use intake_providers::registry::{VisitWebhooks, visit_webhooks};
use intake_providers::timestamp::Timestamp;
use intake_providers::webhook::Webhook;
use intake_simulator::IMITATIONS;
use intake_simulator::contract::Contract;
use intake_simulator::owed::{ExpectedAnswer, Situation};
use intake_simulator::signed_delivery::SignedDelivery;
use tower::ServiceExt as _;

use self::platform::{Behaviour, FixedClock, Ports, TestPlatform};

mod platform;

/// The deadline of the intake under test.
const DEADLINE: Duration = Duration::from_secs(3);

/// A webhook with its contract, on ports that do what the test says.
struct World<W: Webhook> {
    contract: Contract,
    ports: Ports,
    intake: Intake<W, TestPlatform>,
}

impl<W: Webhook> World<W> {
    fn new() -> Self {
        let imitation = IMITATIONS.iter().find(|imitation| imitation.name() == W::NAME).unwrap();
        let contract = Contract::of(*imitation, now()).unwrap().unwrap();
        let ports = Ports::with_secret(contract.key.secret());
        let settings = IntakeSettings { deadline: DEADLINE, ..IntakeSettings::default() };
        let intake = Intake::new(
            ports.queue.clone(),
            ports.payloads.clone(),
            ports.secrets.clone(),
            FixedClock(now()),
            settings,
        );
        Self { contract, ports, intake }
    }

    fn request(&self, method: &str, delivery: &SignedDelivery) -> Request<Full<Bytes>> {
        let path = delivery.path(self.contract.route.path());
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in delivery.headers() {
            request = request.header(name, value);
        }
        request.body(Full::new(delivery.body.clone())).unwrap()
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Response<Full<Bytes>> {
        self.intake.clone().oneshot(request).await.unwrap()
    }

    async fn post(&self, delivery: &SignedDelivery) -> Response<Full<Bytes>> {
        self.answer(self.request("POST", delivery)).await
    }

    /// Every answer to a situation.
    async fn answers(&self, situation: Situation) -> Vec<Response<Full<Bytes>>> {
        let (contract, ports) = (&self.contract, &self.ports);
        let genuine = contract.genuine().unwrap();
        let mut answers = Vec::new();
        match situation {
            Situation::Accepted => answers.push(self.post(&genuine).await),
            Situation::WrongMethod => {
                for method in ["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"] {
                    answers.push(self.answer(self.request(method, &genuine)).await);
                }
            }
            Situation::CredentialMissing => answers.push(self.post(&contract.credential_missing().unwrap()).await),
            Situation::CredentialRepeated => {
                let repeated = contract.credential_repeated().unwrap().expect("the table says that it can be repeated");
                answers.push(self.post(&repeated).await);
            }
            Situation::CredentialMalformed => {
                for malformed in contract.credential_malformed().unwrap() {
                    answers.push(self.post(&malformed).await);
                }
            }
            Situation::WrongKey => answers.push(self.post(&contract.by_other_key().unwrap()).await),
            Situation::NoActiveKey => {
                for secret in contract.unset_secrets() {
                    answers.push(self.post_under(secret, &genuine).await);
                }
            }
            Situation::SecretMalformed => {
                for secret in contract.malformed_secrets() {
                    answers.push(self.post_under(secret, &genuine).await);
                }
            }
            Situation::SecretsAway => {
                ports.secrets.take_away();
                answers.push(self.post(&genuine).await);
            }
            Situation::BodyTooLarge => {
                let body = Bytes::from(vec![b' '; MAX_BODY_BYTES + 1]);
                answers.push(self.post(&contract.key.sign(body).unwrap()).await);
            }
            Situation::QueueAway => answers.push(self.post_to(Behaviour::Fail, &genuine).await),
            Situation::DeadlineExceeded => {
                let started = tokio::time::Instant::now();
                answers.push(self.post_to(Behaviour::Hang, &genuine).await);
                assert!(started.elapsed() <= DEADLINE, "{}: answered after {:?}", W::NAME, started.elapsed());
            }
            Situation::Panic => answers.push(self.post_to(Behaviour::Panic, &genuine).await),
            Situation::EventUnreadable => answers.push(self.intake.answer_unreadable()),
        }
        answers
    }

    async fn post_to(&self, queue: Behaviour, delivery: &SignedDelivery) -> Response<Full<Bytes>> {
        self.ports.queue.behave(queue);
        self.post(delivery).await
    }

    /// The answer of an intake that has read no other secret.
    async fn post_under(&self, secret: &str, delivery: &SignedDelivery) -> Response<Full<Bytes>> {
        let ports = Ports { queue: self.ports.queue.clone(), ..Ports::with_secret(secret) };
        let settings = IntakeSettings { deadline: DEADLINE, ..IntakeSettings::default() };
        let intake: Intake<W, TestPlatform> =
            Intake::new(ports.queue, ports.payloads, ports.secrets, FixedClock(now()), settings);
        intake.oneshot(self.request("POST", delivery)).await.unwrap()
    }
}

fn now() -> Timestamp {
    Timestamp::parse("2026-11-21T09:30:00Z").unwrap()
}

/// What is wrong with an answer, if anything is.
async fn differs(answer: Response<Full<Bytes>>, expected: ExpectedAnswer) -> Option<String> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let (status, has_challenge) = (head.status.as_u16(), head.headers.contains_key(header::WWW_AUTHENTICATE));
    if (status, has_challenge) != (expected.status, expected.has_challenge) {
        return Some(format!(
            "answered {status}, challenge: {has_challenge}; owed {}, challenge: {}",
            expected.status, expected.has_challenge
        ));
    }
    let content_type = head.headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap());
    let is_problem = content_type == Some("application/problem+json");
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let id = body["instance"].as_str().and_then(|instance| instance.strip_prefix("urn:uuid:"));
    if is_problem != id.is_some_and(|id| id.parse::<DeliveryId>().is_ok()) {
        return Some("a refusal has no id that can be quoted".to_owned());
    }
    if is_problem == (status == 200) || (is_problem && body["status"] != status) {
        return Some(format!("answered {content_type:?} with {body}"));
    }
    None
}

#[derive(Default)]
struct EverySituation {
    differences: Vec<String>,
    webhooks: usize,
}

impl VisitWebhooks for EverySituation {
    fn visit<W: Webhook>(&mut self) {
        self.webhooks += 1;
        for &situation in Situation::ALL {
            // A world of its own for each, because a key cache remembers.
            let found = run(async {
                let world = World::<W>::new();
                let Some(expected) = world.contract.expected(situation) else { return Vec::new() };
                let mut found = Vec::new();
                let answers = world.answers(situation).await;
                if answers.is_empty() {
                    found.push("no request brings it about".to_owned());
                }
                for answer in answers {
                    found.extend(differs(answer, expected).await);
                }
                let queued = world.ports.queue.messages().len();
                if queued != usize::from(situation == Situation::Accepted) {
                    found.push(format!("{queued} deliveries were queued"));
                }
                found
            });
            self.differences.extend(found.into_iter().map(|text| format!("{}: {situation:?}: {text}", W::NAME)));
        }
    }
}

#[test]
fn every_webhook_answers_each_situation_as_its_provider_is_owed() {
    let mut check = EverySituation::default();
    visit_webhooks(&mut check);
    assert!(check.webhooks > 0);
    assert!(check.differences.is_empty(), "\n{}", check.differences.join("\n"));
}

struct Durable;

impl VisitWebhooks for Durable {
    fn visit<W: Webhook>(&mut self) {
        run(async {
            let world = World::<W>::new();
            let body = world.contract.body.clone();
            assert_eq!(world.post(&world.contract.genuine().unwrap()).await.status(), 200, "{}", W::NAME);
            let messages = world.ports.queue.messages();
            let delivery = InboundMessage::parse(&messages[0]).unwrap().fetch(&world.ports.payloads).await.unwrap();
            assert_eq!((delivery.provider, delivery.body, messages.len()), (W::NAME, body, 1));
        });
    }
}

#[test]
fn what_every_webhook_accepts_is_on_the_queue_to_the_byte() {
    visit_webhooks(&mut Durable);
}

struct Rotation;

impl VisitWebhooks for Rotation {
    fn visit<W: Webhook>(&mut self) {
        run(async {
            let world = World::<W>::new();
            let expected = |situation| world.contract.expected(situation).unwrap().status;
            let (accepted, wrong_key) = (expected(Situation::Accepted), expected(Situation::WrongKey));
            let (old, new) = (world.contract.genuine().unwrap(), world.contract.by_other_key().unwrap());
            assert_eq!(world.post(&old).await.status(), accepted, "{}", W::NAME);

            world.ports.secrets.set(world.contract.other_key.secret());
            tokio::time::advance(MIN_REREAD_INTERVAL).await;
            assert_eq!(world.post(&new).await.status(), accepted, "{}: the new key", W::NAME);
            assert_eq!(world.post(&old).await.status(), wrong_key, "{}: the key that was taken out", W::NAME);
        });
    }
}

#[test]
fn every_webhook_takes_up_a_rotated_key_and_drops_the_old_one() {
    visit_webhooks(&mut Rotation);
}

struct OutageAfterUse;

impl VisitWebhooks for OutageAfterUse {
    fn visit<W: Webhook>(&mut self) {
        run(async {
            let world = World::<W>::new();
            let genuine = world.contract.genuine().unwrap();
            assert_eq!(world.post(&genuine).await.status(), 200, "{}", W::NAME);
            world.ports.secrets.take_away();
            tokio::time::advance(Duration::from_secs(60 * 60)).await;
            assert_eq!(world.post(&genuine).await.status(), 200, "{}: by the keys that were read last", W::NAME);
        });
    }
}

#[test]
fn every_webhook_goes_on_with_the_keys_that_it_read_last_while_secrets_are_away() {
    visit_webhooks(&mut OutageAfterUse);
}

/// Runs on a clock that stands still until everything waits, and is then moved to the next timer.
fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test)
}

//! The HTTP API in front of the webhooks and the token endpoint, and the observer beside it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use intake_pipeline::answering::AnswerBy;
use intake_pipeline::intake::{Intake, IntakeSettings};
use intake_pipeline::preparation::MAX_PREPARATION;
use intake_pipeline::token_endpoint::TokenEndpoint;
use intake_providers::accredit::Accredit;
use intake_providers::delivery::DeliveryId;
use intake_providers::machnet::Machnet;
use intake_providers::nurturecloud::NurtureCloud;
use intake_providers::sterling::Sterling;
use intake_providers::webhook::Webhook;
use intake_simulator::signed_delivery::SignedDelivery;
use tokio::time::{Instant, sleep};
use tower::Service as _;

use crate::instance::Instance;
use crate::invariant::Invariant;
use crate::keys;
use crate::lambda::{Ended, Function, start_up};
use crate::marks::Mark;
use crate::planted::Plant;
use crate::platform::{Services, Simulated};
use crate::swarm::FaultClass;

/// The functions' timeout.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The reserve of an invocation for sending the answer.
const MARGIN: Duration = Duration::from_millis(300);

/// When a request must be answered at the latest: within three seconds of our code's start, which comes after at most 200 ms of
/// Lambda's. Timers of the simulation are exact to a millisecond.
const DEADLINE: Duration = Duration::from_millis(3_205);

/// How long a provider waits for an answer that does not come.
const NO_ANSWER: Duration = Duration::from_secs(5);

type Handler = Box<dyn Fn(Request<Full<Bytes>>) -> BoxFuture<'static, Response<Full<Bytes>>> + Send + Sync>;

/// A request as it is sent.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Sent {
    /// A webhook's delivery.
    pub(crate) fn delivery<W: Webhook>(delivery: &SignedDelivery) -> Self {
        Self { path: delivery.path(W::ROUTE.path()), headers: delivery.header_map(), body: delivery.body.clone() }
    }
}

/// An answer as the sender gets it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
    /// Whether our code gave it, and not the API in its place.
    pub(crate) is_ours: bool,
    /// How long the process stood still that gave it.
    stood_still: Duration,
}

/// The API and its functions.
#[derive(Debug)]
pub(crate) struct Gateway {
    services: Services,
    functions: BTreeMap<&'static str, Function<Handler>>,
    secret_refresh: Duration,
}

impl Gateway {
    pub(crate) fn new(services: &Services, settings: IntakeSettings) -> Self {
        let functions = BTreeMap::from([
            (keys::ACCREDIT, webhook::<Accredit>(services, settings)),
            (keys::MACHNET, webhook::<Machnet>(services, settings)),
            (keys::NURTURECLOUD, webhook::<NurtureCloud>(services, settings)),
            (keys::STERLING, webhook::<Sterling>(services, settings)),
            (keys::STERLING_TOKEN, token_endpoint(services, settings)),
        ]);
        Self { services: services.clone(), functions, secret_refresh: settings.secret_refresh }
    }

    /// Posts a request over a network that may lose it, or its answer. `key_part` is what the function's secret must hold for the
    /// request to be accepted.
    pub(crate) async fn post(&self, function: &'static str, sent: &Sent, key_part: Option<&str>) -> Option<Answer> {
        let world = &self.services.world;
        let is_lost = world.happens(FaultClass::LostRequests);
        let is_lost_before = is_lost && world.random.permille(400);
        sleep(world.random.milliseconds(1..=80)).await;
        if is_lost {
            world.marks.see(Mark::LostOnTheWay);
        }
        if is_lost_before {
            sleep(NO_ANSWER).await;
            return None;
        }
        let asked_at = Instant::now();
        let answer = self.answer(function, sent, key_part).await;
        if !answer.stood_still.is_zero() && asked_at.elapsed() > NO_ANSWER {
            world.marks.see(Mark::AnsweredTooLate);
            world.line(function, || format!("nobody waits for the answer {} any more", answer.status));
            return None;
        }
        if is_lost {
            if answer.status == 200 {
                world.marks.see(Mark::AcceptedTwice);
            }
            world.line(function, || format!("the answer {} is lost on the way", answer.status));
            sleep(NO_ANSWER).await;
            return None;
        }
        Some(answer)
    }

    async fn answer(&self, name: &'static str, sent: &Sent, key_part: Option<&str>) -> Answer {
        let world = &self.services.world;
        let in_place_of_ours =
            |status| Answer { status, body: Bytes::new(), is_ours: false, stood_still: Duration::ZERO };
        let Some(function) = self.functions.get(name) else { return in_place_of_ours(404) };
        let began = Instant::now();
        let mut request = Request::new(Full::new(sent.body.clone()));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = sent.headers.clone();
        if let Ok(uri) = sent.path.parse() {
            *request.uri_mut() = uri;
        }
        let invocation = function
            .invoke(|handler, _, end_by| {
                request.extensions_mut().insert(AnswerBy(end_by.checked_sub(MARGIN).unwrap_or(end_by)));
                async move {
                    let (head, body) = handler(request).await.into_parts();
                    let Ok(body) = body.collect().await;
                    (head.status.as_u16(), body.to_bytes())
                }
                .boxed()
            })
            .await;
        let stood_still = invocation.instance.stood_still();
        let Ended::Done((mut status, body)) = invocation.ended else {
            world.line(name, || "API Gateway answers 502 in our place".to_owned());
            return in_place_of_ours(502);
        };
        if world.plant_shows(Plant::LateAnswer) {
            sleep(Duration::from_secs(4)).await;
        }
        if world.is_planted(Plant::WrongStatus) && name == keys::MACHNET && status == 409 {
            status = 503;
        }
        if world.is_planted(Plant::SuccessBeforeSend)
            && name != keys::STERLING_TOKEN
            && matches!(status, 400 | 409 | 503)
        {
            status = 200;
        }
        world.line(name, || format!("{} answers {status}", invocation.instance.name));
        if began.elapsed() > DEADLINE + stood_still {
            let text = format!("{name} answered {status} after {} ms", began.elapsed().as_millis());
            world.violate(Invariant::AnswersAreInTime, text);
        }
        if status == 200 {
            if name != keys::STERLING_TOKEN {
                self.observe_accepted(name, &body);
            }
            self.observe_key(name, &invocation.instance, key_part);
        }
        Answer { status, body, is_ours: true, stood_still }
    }

    /// What an observer beside the API checks when a delivery is acknowledged.
    fn observe_accepted(&self, name: &'static str, body: &Bytes) {
        let world = &self.services.world;
        let receipt: Option<serde_json::Value> = serde_json::from_slice(body).ok();
        let delivery_id = receipt.as_ref().and_then(|receipt| {
            let id = receipt.get("delivery_id").or_else(|| receipt.get("instance"))?.as_str()?;
            id.rsplit(':').next()?.parse::<DeliveryId>().ok()
        });
        match delivery_id {
            Some(id) if self.services.reference.has(id) => {}
            _ => world.violate(
                Invariant::NoAcknowledgementBeforeDurability,
                format!("{name} was acknowledged, and our queue does not have it: {receipt:?}"),
            ),
        }
    }

    /// What it checks of the key, or of the client, by which a request was accepted.
    fn observe_key(&self, name: &'static str, instance: &Instance, key_part: Option<&str>) {
        let world = &self.services.world;
        let allowance = self.secret_refresh + instance.stood_still();
        if let Some(part) = key_part
            && !self.services.secrets.may_use(instance, name, part, allowance)
        {
            let text = format!("{} accepted a request of {name} under a key that is not in its secret", instance.name);
            world.violate(Invariant::RemovedKeysAreOut, text);
        }
    }
}

fn webhook<W: Webhook>(services: &Services, settings: IntakeSettings) -> Function<Handler> {
    let owned = services.clone();
    Function::new(
        &services.world,
        W::NAME.as_str(),
        TIMEOUT,
        FaultClass::FrozenRequests,
        move |instance: Arc<Instance>| {
            let services = owned.clone();
            async move {
                start_up(&services.world).await;
                let began = Instant::now();
                let intake: Intake<W, Simulated> = Intake::new(
                    services.queue(&instance, Mark::KilledAfterSend),
                    services.payloads(&instance),
                    services.secret(W::NAME.as_str(), &instance),
                    services.clock(&instance),
                    settings,
                );
                intake.prepare(MAX_PREPARATION).await;
                let intake = intake.started_in(began.elapsed());
                let handler: Handler = Box::new(move |request| {
                    let mut intake = intake.clone();
                    async move {
                        let Ok(response) = intake.call(request).await;
                        response
                    }
                    .boxed()
                });
                handler
            }
            .boxed()
        },
    )
}

fn token_endpoint(services: &Services, settings: IntakeSettings) -> Function<Handler> {
    let owned = services.clone();
    Function::new(
        &services.world,
        keys::STERLING_TOKEN,
        TIMEOUT,
        FaultClass::FrozenRequests,
        move |instance: Arc<Instance>| {
            let services = owned.clone();
            async move {
                start_up(&services.world).await;
                let began = Instant::now();
                let secret = services.secret(keys::STERLING_TOKEN, &instance);
                let endpoint: TokenEndpoint<Simulated> =
                    TokenEndpoint::new(secret, services.clock(&instance), settings);
                endpoint.prepare(MAX_PREPARATION).await;
                let endpoint = endpoint.started_in(began.elapsed());
                let handler: Handler = Box::new(move |request| {
                    let mut endpoint = endpoint.clone();
                    async move {
                        let Ok(response) = endpoint.call(request).await;
                        response
                    }
                    .boxed()
                });
                handler
            }
            .boxed()
        },
    )
}

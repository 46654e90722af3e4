//! Sterling: gets a token from us first, and a new one after a 401. A batch may be cut differently when it is sent again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{HeaderMap, HeaderName, HeaderValue};
use intake_providers::sterling::Sterling;
use intake_providers::timestamp::Timestamp;
use intake_simulator::signed_delivery::SignedDelivery;
use intake_simulator::sterling::Event;
use intake_simulator::token::{ClientCredentials, TokenRequest};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::gateway::{Answer, Sent};
use crate::guarded::Guarded;
use crate::invariant::Invariant;
use crate::keys::{self, STERLING, STERLING_TOKEN};
use crate::marks::Mark;
use crate::site::Site;
use crate::swarm::FaultClass;

/// Number of retries of a delivery.
const RETRIES: u32 = 6;

/// By how much the clocks of two processes and the leeway of a token may add up.
const UNCERTAIN: Duration = Duration::from_secs(60);

/// Number of events of a long delivery.
const MANY_EVENTS: u64 = 270;

#[derive(Clone, Debug)]
struct Token {
    text: String,
    issued_at: Instant,
    lifetime: Duration,
}

/// Sterling's side.
struct Tenant {
    site: Arc<Site>,
    token: Guarded<Option<Token>>,
    /// Whether it gets a new token before the old one expires, or waits for the 401.
    refreshes_early: bool,
}

/// Sends its events.
pub(super) async fn send(site: Arc<Site>) {
    let world = site.services.world.clone();
    let refreshes_early = world.random.permille(500);
    let tenant = Arc::new(Tenant { site, token: Guarded::default(), refreshes_early });
    let mut deliveries = FuturesUnordered::new();
    for at in world.schedule(world.swarm.events) {
        sleep(at.saturating_sub(world.at())).await;
        let events = events(&tenant.site);
        let tenant = Arc::clone(&tenant);
        deliveries.push(tokio::spawn(async move { tenant.deliver(events).await }));
    }
    while deliveries.next().await.is_some() {}
}

fn events(site: &Site) -> Vec<Value> {
    let world = &site.services.world;
    let random = &world.random;
    let is_long = world.happens(FaultClass::LargeDeliveries);
    let count = if is_long { MANY_EVENTS } else { random.between(1..=4) };
    let is_malformed = world.happens(FaultClass::MalformedContent);
    let event = |number| {
        let item = if is_long { number } else { random.between(0..=3) };
        let at = Timestamp::EPOCH.plus(Duration::from_secs(1_795_000_000 + random.between(0..=1)));
        let event =
            Event::supply_change(&format!("item-{item}"), u32::try_from(random.between(0..=2)).unwrap_or(0), at);
        let mut event = serde_json::to_value(event).unwrap_or_default();
        if is_malformed
            && random.permille(300)
            && let Some(event) = event.as_object_mut()
        {
            event.remove("code");
        }
        event
    };
    (0..count).map(event).collect()
}

/// The body of a delivery: these events in one batch or in two.
fn body(site: &Site, events: &[Value], channel: &str) -> Bytes {
    let random = &site.services.world.random;
    let batch = |events: &[Value]| json!({"channel": channel, "identifiers": [], "events": events});
    let cut = random.below(events.len());
    let (first, second) = events.split_at(cut.min(events.len()));
    let batches =
        if first.is_empty() || random.permille(600) { vec![batch(events)] } else { vec![batch(first), batch(second)] };
    Bytes::from(json!({ "eventbatch": batches }).to_string())
}

/// A client's request for a token.
pub(super) fn token_request(client: &ClientCredentials) -> Option<Sent> {
    let request = TokenRequest::of(client);
    let mut headers = HeaderMap::new();
    for (name, value) in request.headers() {
        headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).ok()?);
    }
    let body = Bytes::from_static(TokenRequest::BODY.as_bytes());
    Some(Sent { path: TokenRequest::PATH.to_owned(), headers, body })
}

/// The token in an answer, and its lifetime.
pub(super) fn issued(site: &Site, answer: &Answer) -> Option<(String, Duration)> {
    let document: Value = serde_json::from_slice(&answer.body).ok()?;
    let text = document.get("access_token")?.as_str()?.to_owned();
    let lifetime = Duration::from_secs(document.get("expires_in")?.as_u64()?);
    site.tokens.get().push(text.clone());
    Some((text, lifetime))
}

impl Tenant {
    /// Delivers events until they are accepted, or are given up into the tenant's failed queue.
    async fn deliver(&self, events: Vec<Value>) {
        let world = &self.site.services.world;
        // The envelope of a long channel is an object of its own.
        let channel = if world.random.permille(100) { "c".repeat(1_100) } else { "Order Management".to_owned() };
        let mut is_refreshed = false;
        let mut left = RETRIES;
        let mut body = body(&self.site, &events, &channel);
        while left > 0 {
            left -= 1;
            let Some(token) = self.token().await else {
                sleep(world.random.seconds(5..=30)).await;
                continue;
            };
            let mut sent = Sent::delivery::<Sterling>(&SignedDelivery::with_bearer_token(&token.text, body.clone()));
            if world.random.permille(200)
                && let Ok(copy) = HeaderValue::from_str(&token.text)
            {
                // As a proxy adds it.
                sent.headers.insert(HeaderName::from_static("x-forwarded-grant"), copy);
            }
            let answer = self.site.gateway.post(STERLING, &sent, None).await;
            let age = token.issued_at.elapsed();
            if let Some(answer) = answer {
                self.site.check_status(STERLING, &answer, &[200, 401, 503]);
                match answer.status {
                    200 => {
                        if answer.is_ours && age > token.lifetime + UNCERTAIN {
                            let text = format!(
                                "a token of {} s was accepted after {} s",
                                token.lifetime.as_secs(),
                                age.as_secs()
                            );
                            world.violate(Invariant::NothingForgedIsAccepted, text);
                        }
                        return;
                    }
                    401 if answer.is_ours => {
                        if age + UNCERTAIN < token.lifetime {
                            let text = format!(
                                "a token of {} s was refused after {} s",
                                token.lifetime.as_secs(),
                                age.as_secs()
                            );
                            world.violate(Invariant::AnswersFollowTheContract, text);
                        }
                        world.marks.see(Mark::TokenExpired);
                        *self.token.get() = None;
                        if !is_refreshed {
                            is_refreshed = true;
                            left += 1;
                            continue;
                        }
                    }
                    _ => {}
                }
            }
            sleep(world.random.seconds(5..=60)).await;
            is_refreshed = false;
            if world.random.permille(500) {
                body = self::body(&self.site, &events, &channel);
                world.marks.see(Mark::RecutBatch);
            }
        }
    }

    /// The token to send with, or a new one.
    async fn token(&self) -> Option<Token> {
        let known = self.token.get().clone();
        if let Some(token) = known {
            let is_old = token.issued_at.elapsed() > token.lifetime.mul_f64(0.75);
            if !(self.refreshes_early && is_old) {
                return Some(token);
            }
        }
        let sent = token_request(&keys::client())?;
        let issued_at = Instant::now();
        let answer = self.site.gateway.post(STERLING_TOKEN, &sent, None).await?;
        self.site.check_status(STERLING_TOKEN, &answer, &[200, 503]);
        let (text, lifetime) = issued(&self.site, &answer)?;
        let token = Token { text, issued_at, lifetime };
        *self.token.get() = Some(token.clone());
        Some(token)
    }
}

//! NurtureCloud: notifications about entities, in any order and with no id. Nothing about retries is documented.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{HeaderName, HeaderValue};
use intake_providers::nurturecloud::NurtureCloud;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::gateway::Sent;
use crate::keys::{self, NURTURECLOUD};
use crate::site::Site;
use crate::swarm::FaultClass;

/// Number of retries of a sender that retries at all.
const RETRIES: u32 = 3;

/// Sends its notifications.
pub(super) async fn send(site: Arc<Site>) {
    let world = site.services.world.clone();
    let mut deliveries = FuturesUnordered::new();
    for at in world.schedule(world.swarm.events) {
        sleep(at.saturating_sub(world.at())).await;
        // Several at once, so that processors meet at one entity.
        let burst = if world.random.permille(300) { world.random.between(2..=4) } else { 1 };
        for _ in 0..burst {
            let body = body(&site);
            let site = Arc::clone(&site);
            deliveries.push(tokio::spawn(async move { deliver(&site, body).await }));
        }
    }
    while deliveries.next().await.is_some() {}
}

fn body(site: &Site) -> Bytes {
    let world = &site.services.world;
    let random = &world.random;
    let state = random.pick(&["Created", "Updated", "Current", "Deleted", "Updated"]).copied().unwrap_or_default();
    let is_malformed = world.happens(FaultClass::MalformedContent);
    let entity = || {
        let id = random.between(0..=2);
        let organisation = if random.permille(150) { "another-realty" } else { "example-realty" };
        let mut entity = json!({"organisationName": organisation, "businessId": "business-1", "id": format!("c-{id}")});
        if let Some(entity) = entity.as_object_mut() {
            match state {
                "Deleted" if random.permille(300) => {
                    let into = json!({
                        "organisationName": "example-realty", "businessId": "business-1", "id": format!("c-{}", (id + 1) % 3),
                    });
                    entity.insert("mergedInto".to_owned(), into);
                }
                "Deleted" => {}
                _ => {
                    let mut name = format!("name-{}", random.between(0..=3));
                    if random.permille(60) {
                        // Too large for its entry.
                        name = name.repeat(800);
                    }
                    entity.insert("name".to_owned(), json!(name));
                }
            }
            if is_malformed && random.permille(600) {
                entity.remove("businessId");
            }
        }
        entity
    };
    let payload = match random.between(0..=3) {
        0 => Value::Array((0..random.between(1..=4)).map(|_| entity()).collect()),
        _ => entity(),
    };
    Bytes::from(json!({"domainComponentName": "contact", "state": state, "payload": payload}).to_string())
}

/// Sends a notification until it is accepted, or given up.
pub(super) async fn deliver(site: &Site, body: Bytes) {
    let world = &site.services.world;
    let retries = if world.random.permille(700) { RETRIES } else { 0 };
    for _ in 0..=retries {
        let key = site.signing_key(NURTURECLOUD);
        let mut sent = Sent::delivery::<NurtureCloud>(&keys::sign_nurturecloud(key, body.clone()));
        if world.random.permille(200)
            && let Ok(path) = HeaderValue::from_str(&sent.path)
        {
            // As a proxy adds it, which knows nothing of the secret in it.
            sent.headers.insert(HeaderName::from_static("x-original-uri"), path);
        }
        if let Some(answer) = site.post(NURTURECLOUD, key, &sent).await {
            site.check_status(NURTURECLOUD, &answer, &[200, 503]);
            if answer.status == 200 {
                return;
            }
        }
        sleep(world.random.seconds(5..=60)).await;
    }
}

//! Machnet: any 2xx acknowledges, 409 is repeated, and anything else counts towards pausing the subscription.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use intake_providers::machnet::Machnet;
use serde_json::json;
use tokio::time::sleep;

use crate::gateway::Sent;
use crate::keys::{self, MACHNET};
use crate::site::Site;
use crate::swarm::FaultClass;

/// "10 more times every hour."
const RETRIES: u64 = 10;

/// An event before it has an id.
#[derive(Clone, Debug)]
struct Event {
    id: String,
    name: &'static str,
    resource: String,
    payload: String,
}

/// Sends its events.
pub(super) async fn send(site: Arc<Site>) {
    let world = site.services.world.clone();
    // A recorded delivery had an id of its own at every attempt.
    let has_new_ids = world.random.permille(300);
    let mut deliveries = FuturesUnordered::new();
    for at in world.schedule(world.swarm.events) {
        sleep(at.saturating_sub(world.at())).await;
        let event = event(&site);
        let site = Arc::clone(&site);
        deliveries.push(tokio::spawn(async move { deliver(&site, event, has_new_ids).await }));
    }
    while deliveries.next().await.is_some() {}
}

fn event(site: &Site) -> Event {
    let world = &site.services.world;
    let random = &world.random;
    let payload = match () {
        () if world.happens(FaultClass::LargeDeliveries) => "p".repeat(1024 * 1024 + 200),
        () if random.permille(50) => "p".repeat(17 * 1024),
        () => String::new(),
    };
    Event {
        id: format!("evt-{}", random.between(0..=7)),
        name: random.pick(&["transaction_completed", "transaction_failed"]).copied().unwrap_or_default(),
        resource: format!("trx-{}", random.between(0..=2)),
        payload,
    }
}

async fn deliver(site: &Site, mut event: Event, has_new_ids: bool) {
    let world = &site.services.world;
    let is_malformed = world.happens(FaultClass::MalformedContent);
    let is_old_form = world.random.permille(200);
    for attempt in 0..=RETRIES {
        if has_new_ids && attempt > 0 {
            event.id = format!("evt-new-{}", world.random.between(0..=999_999));
        }
        let id = if is_old_form { "persisted_object_id" } else { "id" };
        let Event { id: value, name, resource, payload } = &event;
        let timestamp = world.now().to_string();
        let mut document = json!({
            id: value, "event_name": name, "resource_id": resource, "user_id": "usr_1", "timestamp": timestamp,
        });
        if !payload.is_empty()
            && let Some(document) = document.as_object_mut()
        {
            document.insert("payload".to_owned(), json!([payload]));
        }
        if is_malformed && let Some(document) = document.as_object_mut() {
            document.remove(id);
        }
        let key = site.signing_key(MACHNET);
        let body = Bytes::from(document.to_string());
        let Some(signed) = keys::sign_machnet(key, body, name) else { return };
        let sent = Sent::delivery::<Machnet>(&signed);
        if let Some(answer) = site.post(MACHNET, key, &sent).await {
            site.check_status(MACHNET, &answer, &[200, 409]);
            if answer.status == 200 {
                return;
            }
        }
        sleep(world.random.seconds(10..=90)).await;
    }
}

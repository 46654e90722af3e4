//! NowCerts: publishes to its own broker, and some of it once more for a replay.

use std::sync::Arc;

use bytes::Bytes;
use intake_providers::amqp::{Message, Properties};
use tokio::time::sleep;

use crate::site::Site;

const QUEUE: &str = "events.agency";
const REPLAY_QUEUE: &str = "events.agency.replay";

/// Publishes its events.
pub(super) async fn send(site: Arc<Site>) {
    let world = site.services.world.clone();
    for at in world.schedule(world.swarm.events) {
        sleep(at.saturating_sub(world.at())).await;
        // Several at once, so that they travel in batches.
        for _ in 0..world.random.between(1..=3) {
            let message = message(&site);
            if world.random.permille(150) {
                site.broker.publish(REPLAY_QUEUE, message.clone());
            }
            site.broker.publish(QUEUE, message);
        }
    }
    // What connections that broke have cost is asked for again, once nothing fails any more.
    sleep(world.safety_ends().saturating_sub(world.at())).await;
    for mut message in site.broker.take_dropped() {
        message.properties.delivery_count = None;
        site.broker.publish(REPLAY_QUEUE, message);
    }
}

fn message(site: &Site) -> Message {
    let random = &site.services.world.random;
    let number = random.between(0..=4);
    let premium = random.between(0..=2);
    let body = format!(r#"{{"Event":"PolicyUpdated","Id":"policy-{number}","Premium":{premium}}}"#);
    let message_id = random.permille(600).then(|| format!("message-{number}"));
    let properties = Properties {
        message_id,
        kind: Some("PolicyUpdated".to_owned()),
        content_type: Some("application/json".to_owned()),
        routing_key: "policy.updated".to_owned(),
        ..Properties::default()
    };
    Message { body: Bytes::from(body), properties }
}

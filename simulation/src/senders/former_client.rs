//! A client of the token endpoint that is removed, and goes on with what it has: its credentials and its last token.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use intake_providers::sterling::Sterling;
use intake_simulator::signed_delivery::SignedDelivery;
use tokio::time::{Instant, sleep};

use crate::gateway::Sent;
use crate::keys::{self, FORMER_CLIENT_ID, STERLING, STERLING_TOKEN};
use crate::marks::Mark;
use crate::senders::sterling::{issued, token_request};
use crate::site::Site;
use crate::swarm::FaultClass;

/// Number of attempts before it is removed, or while that is not in every cache, and of those afterwards.
const ATTEMPTS: u32 = 6;

/// A token that it has.
struct Token {
    text: String,
    expires_at: Instant,
}

/// Sends events, whether it still may or not. An observer beside the API checks what is accepted.
pub(super) async fn send(site: Arc<Site>) {
    let world = &site.services.world;
    if !world.swarm.has(FaultClass::RemovedClients) {
        return;
    }
    let mut token = None;
    let window = u64::try_from(world.swarm.window.as_millis()).unwrap_or(0);
    for _ in 0..ATTEMPTS {
        sleep(world.random.milliseconds(1..=window / u64::from(ATTEMPTS))).await;
        attempt(&site, &mut token).await;
    }
    sleep(world.swarm.window.saturating_sub(world.at())).await;
    for _ in 0..ATTEMPTS {
        attempt(&site, &mut token).await;
        sleep(world.random.seconds(30..=200)).await;
    }
}

async fn attempt(site: &Site, token: &mut Option<Token>) {
    let (world, gateway) = (&site.services.world, &site.gateway);
    let is_removed = site.operator.is_client_removed();
    if token.is_none() || world.random.permille(400) {
        let Some(request) = token_request(&keys::former_client()) else { return };
        if let Some(answer) = gateway.post(STERLING_TOKEN, &request, Some(FORMER_CLIENT_ID)).await {
            // A removal may reach a cache between this line and the answer.
            let was_removed = is_removed || site.operator.is_client_removed();
            site.check_status(STERLING_TOKEN, &answer, if was_removed { &[200, 401, 503] } else { &[200, 503] });
            match issued(site, &answer) {
                Some((text, lifetime)) => *token = Some(Token { text, expires_at: Instant::now() + lifetime }),
                None if answer.is_ours && answer.status == 401 => world.marks.see(Mark::RemovedClientGotNoToken),
                None => {}
            }
        }
    }
    let Some(Token { text, expires_at }) = token else { return };
    let body = format!(
        r#"{{"eventbatch":[{{"channel":"Order Management","identifiers":[],"events":[{{"code":"supplyChange","number":{}}}]}}]}}"#,
        world.random.between(0..=3)
    );
    let sent = Sent::delivery::<Sterling>(&SignedDelivery::with_bearer_token(text, Bytes::from(body)));
    // One that is as good as expired may be refused for that.
    let is_fresh = expires_at.saturating_duration_since(Instant::now()) > Duration::from_secs(60);
    if let Some(answer) = gateway.post(STERLING, &sent, Some(FORMER_CLIENT_ID)).await
        && answer.is_ours
        && answer.status == 401
        && is_fresh
    {
        world.marks.see(Mark::RemovedClientRefused);
    }
}
